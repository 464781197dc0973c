"""Warnings about chains: what is thrown away, and what nobody hears of."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import read_playbook

ALERT = "[{alert: {name: low, when: 'data.free < 1'}}]"


def warned(
    tmp_path: Path,
    filters: str = "[store]",
    play: str = "",
    probe: str = "",
    *,
    smtp: bool = True,
    kind: str = "w32probe: {}",
) -> list[str]:
    (tmp_path / "f.py").write_text("class F: pass\n")
    path = tmp_path / "p.yml"
    path.write_text(
        f"- name: x\n  hosts: a\n{play}  probes:\n    - name: p\n      {kind}\n{probe}"
        f"      filters: {filters}\n"
    )
    found = check_playbook(read_playbook(path, render=None), smtp=smtp)
    return [text.replace(str(path), "p.yml") for text in found]


TOLD = "  alerts: {email: {to: [it@example.edu]}}\n"
PUSHED = "  alerts: {notify: [env:TEAMS]}\n"


def test_a_chain_that_stores_is_no_matter(tmp_path: Path) -> None:
    assert warned(tmp_path, smtp=False) == []


def test_an_alert_that_nobody_hears_of_is_told_with_its_place(tmp_path: Path) -> None:
    (text,) = warned(tmp_path, ALERT)
    assert text.startswith("p.yml:6:18: filter 'alert' of probe 'p' alerts nobody: the play has no alerts:")


@pytest.mark.parametrize("play", [TOLD, PUSHED])
def test_an_alert_that_somebody_hears_of_is_fine(tmp_path: Path, play: str) -> None:
    assert warned(tmp_path, ALERT, play) == []


def test_a_mail_filter_needs_recipients_of_the_play_or_its_own(tmp_path: Path) -> None:
    assert "mails nobody" in warned(tmp_path, "[email]")[0]
    assert warned(tmp_path, "[{email: {to: it@example.edu}}]") == []


@pytest.mark.parametrize("rule", ["absent: {for: 7d}", "vanish: {over: 50%}"])
def test_rules_about_the_pool_need_somebody_to_hear_of_them(tmp_path: Path, rule: str) -> None:
    (text,) = warned(tmp_path, play=f"  alerts: {{{rule}}}\n")
    assert "alerts nobody" in text


def test_mail_without_a_server_is_told_once(tmp_path: Path) -> None:
    both = TOLD + "  report: {every: 24h, email: {to: [it@example.edu]}}\n"
    for play in (TOLD, both):
        (text,) = warned(tmp_path, ALERT, play, smtp=False)
        assert "settings have no smtp" in text
    assert "settings have no smtp" in warned(tmp_path, "[{email: {to: it@example.edu}}]", smtp=False)[0]
    assert warned(tmp_path, ALERT, PUSHED, smtp=False) == []


def test_a_chain_of_the_defaults_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    probes = "".join(f"    - {{name: p{index}, command: ver}}\n" for index in range(3))
    path.write_text(f"- name: x\n  hosts: a\n  defaults:\n    filters: [email]\n  probes:\n{probes}")
    assert len(check_playbook(read_playbook(path, render=None))) == 1


@pytest.mark.parametrize("filters", ["[]", "[{parse: json}]", "[{when: data}, {omit: x}]"])
def test_a_probe_that_keeps_nothing_at_all_is_told(tmp_path: Path, filters: str) -> None:
    (text,) = warned(tmp_path, filters, probe="      keep: never\n")
    assert text == "p.yml:6:13: probe 'p' has keep: never, and no filter of it keeps anything"
    assert warned(tmp_path, filters, probe="      keep: on_change\n") == []


@pytest.mark.parametrize("filters", ["[store]", "[{parse: json}, {static: os}]", "[f.py:F]"])
def test_a_probe_whose_chain_keeps_something_is_fine(tmp_path: Path, filters: str) -> None:
    assert warned(tmp_path, filters, probe="      keep: never\n") == []


@pytest.mark.parametrize(
    ("kind", "filters", "told"),
    [
        ("command: ver", "[store]", True),
        ("command: ver", "[{when: record.exit_code}, {rate: sent}]", True),
        ("powershell: ls", "[{pick: a}]", True),
        ("powershell: ls\n      output: objects", "[store]", False),
        ("command: ver", "[{parse: csv}, store]", False),
        ("command: ver", "[{set: {at: record.exit_code}}, store]", False),
        ("command: ver", "[f.py:F, store]", False),
        ("wmi: SELECT A FROM B", "[store]", False),
        ("command: ver", "[{email: {to: it@example.edu}}]", False),
    ],
)
def test_text_that_nobody_parsed_is_told(tmp_path: Path, kind: str, filters: str, told: bool) -> None:
    found = warned(tmp_path, filters, kind=kind)
    assert bool(found) is told
    assert all(text.startswith("p.yml:") and text.endswith("put parse before it") for text in found)


@pytest.mark.parametrize(("active", "told"), [("0 8-17 * * 1-5", True), ("* 8-17 * * 1-5", False)])
def test_an_active_time_of_single_minutes_is_told(tmp_path: Path, active: str, told: bool) -> None:
    rule = f"  alerts: {{notify: env:URL, vanish: {{over: 50%, active: '{active}'}}}}\n"
    found = warned(tmp_path, play=rule)
    assert bool(found) is told
    assert all("write * as its first field" in text for text in found)
