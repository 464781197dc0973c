"""Warnings: allowed, but seldom meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import read_playbook

ROOT = Path(__file__).parents[3]


def warnings_of(tmp_path: Path, extra: str = "", body: str = "command: ver") -> tuple[str, ...]:
    path = tmp_path / "p.yml"
    path.write_text(
        f"- name: x\n  hosts: a\n  experiment: x\n{extra}  probes:\n    - name: p\n      {body}\n",
        encoding="utf-8",
    )
    return tuple(
        text.replace(str(path), "p.yml") for text in check_playbook(read_playbook(path, render=None))
    )


def test_a_plain_playbook_has_no_warnings(tmp_path: Path) -> None:
    assert warnings_of(tmp_path) == ()
    assert warnings_of(tmp_path, "  schedule: {every: 15m, align: true}\n") == ()


@pytest.mark.parametrize("name", ["labs.yml", "inventory-once.yml"])
def test_the_examples_have_no_warnings(name: str) -> None:
    assert check_playbook(read_playbook(ROOT / "playbooks" / name, render=None)) == ()


def test_a_visit_longer_than_the_interval_is_told(tmp_path: Path) -> None:
    found = warnings_of(tmp_path, "  schedule: {every: 69s}\n")
    assert found == (
        (
            "p.yml:1:3: a visit may take 1m10s, longer than every: 1m09s; "
            "visits unfinished when the next pass starts end as timeout"
        ),
    )
    assert warnings_of(tmp_path, "  schedule: {every: 70s}\n") == ()
    assert warnings_of(tmp_path, "  schedule: {every: 69s}\n  visit_timeout: 69s\n") == ()
    retried = warnings_of(tmp_path, "  schedule: {every: 70s}\n  defaults: {retries: 1, retry_delay: 1s}\n")
    assert "2m11s" in retried[0]


def test_an_interval_that_does_not_divide_the_day_is_told_when_aligned(tmp_path: Path) -> None:
    assert "no multiple" in warnings_of(tmp_path, "  schedule: {every: 7m, align: true}\n")[0]


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        (r"command: type \\server\share\list.txt", True),
        (r"powershell: Get-Content '\\server\share$\x'", True),
        (r"command: dir C:\\Windows\\Temp", False),
        (r"command: dir \\.\PhysicalDrive0", False),
        (r"powershell: Get-Item 'HKLM:\\SOFTWARE'", False),
    ],
)
def test_a_network_path_is_told_because_of_the_double_hop(tmp_path: Path, body: str, *, warned: bool) -> None:
    found = warnings_of(tmp_path, body=body)
    assert bool(found) == warned
    assert all("double hop" in text and text.startswith("p.yml:6:") for text in found)


def test_win32_product_is_told(tmp_path: Path) -> None:
    found = warnings_of(tmp_path, body="powershell: Get-CimInstance win32_product")
    assert "Win32_Product" in found[0]
    assert warnings_of(tmp_path, body="powershell: Get-CimInstance Win32_ProductX") == ()


def test_a_templated_command_longer_than_cmd_takes_is_told(tmp_path: Path) -> None:
    found = warnings_of(tmp_path, body='command: "echo {{ x }}' + "x" * 8191 + '"')
    assert "cmd.exe takes 8191" in found[0]


def test_a_vars_file_nobody_uses_is_told(tmp_path: Path) -> None:
    (tmp_path / "used.yml").write_text("drive: C\n", encoding="utf-8")
    (tmp_path / "unused.yml").write_text("driver: C\n", encoding="utf-8")
    (tmp_path / "through.yml").write_text("letter: C\nroot: '{{ letter }}:'\n", encoding="utf-8")
    extra = "  vars_files: [used.yml, unused.yml, through.yml]\n"
    found = warnings_of(tmp_path, extra, body='command: "dir {{ drive }}"')
    assert found == ("p.yml:1:3: vars file 'unused.yml': none of its variables is used by this playbook",)
