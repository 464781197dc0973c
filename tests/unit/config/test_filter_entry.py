"""Chains as they are read: forms, files, plug-ins, labels, and where a mistake is pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ddcplay.config.playbook_file import read_playbook
from ddcplay.errors import ConfigError, Problem
from ddcplay.model.alert import Severity
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Absent, AlertPolicy, FilterEntry, Play, ReportPolicy, Vanish
from ddcplay.model.result import Outcome
from ddcplay.templating.environment import render_value

GOOD = Path(__file__).parents[2] / "data" / "valid" / "playbook"


@pytest.fixture(scope="module")
def play() -> Play:
    return read_playbook(GOOD / "chains.yml", render=render_value).plays[0]


@pytest.fixture(scope="module")
def own(play: Play) -> tuple[FilterEntry, ...]:
    return play.probes[1].filters


def read(tmp_path: Path, chain: str, **more: Any) -> tuple[FilterEntry, ...]:
    path = tmp_path / "p.yml"
    path.write_text(
        f"- name: x\n  hosts: a\n  probes:\n    - name: p\n      command: ver\n      filters:\n{chain}"
    )
    return read_playbook(path, render=render_value, **more).plays[0].probes[0].filters


def problems(tmp_path: Path, chain: str, **more: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, chain, **more)
    return list(caught.value.problems)


def test_a_probe_without_a_chain_has_that_of_the_defaults(play: Play) -> None:
    assert [entry.label for entry in play.probes[0].filters] == ["store"]
    assert play.probes[0].filters[0].place.line == 13


def test_a_chain_of_its_own_replaces_that_of_the_defaults_even_when_it_is_empty(play: Play) -> None:
    assert play.probes[2].filters == ()
    assert len(play.probes[1].filters) == 7


def test_a_second_filter_of_one_name_is_numbered(own: tuple[FilterEntry, ...]) -> None:
    assert [entry.label for entry in own] == [
        *("store", "alert", "store#2", "email"),
        *("parts/low_disk.py:LowDisk", "low_disk.py:LowDisk", "json.decoder:JSONDecoder"),
    ]


def test_on_is_ok_unless_written_and_any_is_all(own: tuple[FilterEntry, ...]) -> None:
    assert own[0].on == (Outcome.OK,)
    assert own[2].on == tuple(Outcome)
    assert own[3].on == (Outcome.OK, Outcome.FAILED)
    assert own[4].on == (Outcome.FAILED,)


def test_options_stay_as_they_were_written(own: tuple[FilterEntry, ...]) -> None:
    assert own[0].options is None
    assert own[2].options == {"key": {"disks": "device"}}
    assert own[3].options == {"text": "{{ record.stderr }}"}


def test_only_filters_of_ours_run_in_the_pipeline(own: tuple[FilterEntry, ...]) -> None:
    assert [entry.builtin for entry in own] == [True] * 4 + [False] * 3


def test_a_file_is_found_beside_the_playbook_then_among_the_projects_filters(
    own: tuple[FilterEntry, ...],
) -> None:
    assert [Path(entry.file) for entry in own[4:]] == [
        (GOOD / "parts" / "low_disk.py").absolute(),
        (GOOD / "filters" / "low_disk.py").absolute(),
        Path(),
    ]
    assert Path(own[4].file).is_absolute()


def test_an_entry_stands_where_its_name_does(own: tuple[FilterEntry, ...]) -> None:
    assert [(entry.place.line, entry.place.column) for entry in own[:3]] == [(20, 11), (21, 11), (27, 11)]


def test_a_file_beside_the_playbook_wins_over_one_of_the_project(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for folder in (tmp_path, root, root / "filters"):
        folder.mkdir(exist_ok=True)
        (folder / "f.py").write_text("class F: pass\n")
    for expected in (tmp_path, root, root / "filters"):
        (entry,) = read(tmp_path, "        - f.py:F\n", project_root=root)
        assert entry.file == str((expected / "f.py").absolute())
        (expected / "f.py").unlink()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class F(:\n", "is no Python file"),
        ("class G: pass\n", "there is no class 'F'"),
        ("from os import path\nLIMIT: int = 3\nclass G: pass\n", "there is no class 'F'"),
        ("x = '\\0'\n\0", "is no Python file"),
    ],
)
def test_a_file_without_the_class_is_refused(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "f.py").write_text(source)
    (found,) = problems(tmp_path, "        - f.py:F\n")
    assert words in found.message
    assert (found.place.line, found.place.column) == (7, 11)


@pytest.mark.parametrize(
    "source",
    ["from os import path as F\n", "from os import *\n", "F = object\n", "if True:\n    class F: pass\n"],
)
def test_a_class_that_only_running_the_file_shows_is_left_to_the_filter_process(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "f.py").write_text(source)
    assert read(tmp_path, "        - f.py:F\n")[0].file


def test_a_file_that_python_warns_of_is_read_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("x = '\\d'\nclass F: pass\n")
    assert read(tmp_path, "        - f.py:F\n")


def test_a_plug_in_of_another_package_runs_as_user_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "site" / "school-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: school\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[ddcplay.filters]\nslow = school.filters:Slow\n")
    monkeypatch.syspath_prepend(str(metadata.parent))
    (entry,) = read(tmp_path, "        - slow: {factor: 2}\n")
    assert (entry.name, entry.label, entry.builtin) == ("school.filters:Slow", "slow", False)
    (found,) = problems(tmp_path, "        - slo\n")
    assert found.hint == "did you mean 'slow'?"


def test_user_code_of_all_plays_is_checked_in_one_go_and_findings_point_into_the_file(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text("class F: pass\n")
    asked: list[list[str]] = []

    def check(entries: Any) -> Any:
        asked.append([entry.label for entry in entries])
        yield 0, (), "cannot be imported", "correct it"
        yield 1, ("disks", 1, "min_pct"), "must be a number", ""

    options = "            disks:\n              - 1\n              - min_pct: x\n"
    chain = f"        - f.py:F\n        - f.py:F:\n{options}"
    found = problems(tmp_path, chain, check_user_filters=check)
    assert asked == [["f.py:F", "f.py:F#2"]]
    assert [(item.place.line, item.place.column, item.message) for item in found] == [
        (7, 11, "filter 'f.py:F': cannot be imported"),
        (11, 26, "filter 'f.py:F#2': must be a number"),
    ]
    assert found[0].hint == "correct it"


def test_a_playbook_without_user_code_starts_nothing(tmp_path: Path) -> None:
    def check(_entries: Any) -> Any:
        raise AssertionError("nothing to check")

    assert read(tmp_path, "        - store\n", check_user_filters=check)


def test_a_value_that_may_be_of_several_types_is_told_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "        - email: {text: [a]}\n")
    assert [item.place.column for item in found] == [25]


# alerts: and report:


def test_every_key_of_alerts_is_read(play: Play) -> None:
    assert play.alerts == AlertPolicy(
        email_to=("it@example.edu", "help.desk+pc@labs.example.edu"),
        attach=("trace",),
        notify=(
            SecretRef("env", "TEAMS_URL"),
            SecretRef("env", "SLACK_URL"),
            SecretRef("plain", "ntfy://ntfy.example.edu/labs"),
        ),
        repeat_s=None,
        group_wait_s=300,
        absent=Absent(7 * 86400, "labs", Severity.INFO),
        vanish=Vanish(50, "labs", "* 8-20 * * 1-5", Severity.WARNING),
        max_hosts=5,
        max_attachments=1 << 20,
    )


def test_every_key_of_a_report_is_read(play: Play) -> None:
    assert play.report == ReportPolicy(86400, "report.html", ("it@example.edu",), ("trace", "report"))


def test_what_is_not_written_keeps_the_defaults_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    text = "- name: x\n  hosts: a\n  probes: [{name: p, command: ver}]\n"
    path.write_text(f"{text}  alerts: {{absent: {{for: 7d}}, vanish: {{over: 30}}}}\n")
    alerts = read_playbook(path, render=None).plays[0].alerts
    assert alerts == AlertPolicy(absent=Absent(7 * 86400), vanish=Vanish(30))
    path.write_text(text)
    bare = read_playbook(path, render=None).plays[0]
    assert (bare.alerts, bare.report) == (AlertPolicy(), None)


@pytest.mark.parametrize("over", ["100%", "-1", ".nan", ".inf", "true", "1000", "[1]", "'5 percent'"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, over: str) -> None:
    path = tmp_path / "p.yml"
    play = "- name: x\n  hosts: a\n  probes: [{name: p, command: ver}]\n"
    path.write_text(f"{play}  alerts: {{vanish: {{over: {over}}}}}\n")
    with pytest.raises(ConfigError, match="'over'"):
        read_playbook(path, render=None)


def test_no_message_shows_an_apprise_address(tmp_path: Path) -> None:
    path = tmp_path / "p.yml"
    path.write_text(
        "- name: x\n  hosts: a\n  probes: [{name: p, command: ver}]\n"
        '  alerts: {notify: [hunter2hunter2, "slack://hunter2\\n"]}\n'
    )
    with pytest.raises(ConfigError) as caught:
        read_playbook(path, render=None)
    assert "hunter2" not in str(caught.value)


def test_all_but_skipped_attempts_enter_a_textfile_unless_on_says_otherwise(tmp_path: Path) -> None:
    chain = "        - textfile\n        - textfile: {}\n          on: [ok]\n"
    free, narrow = read(tmp_path, chain)
    assert free.on == (Outcome.OK, Outcome.FAILED, Outcome.UNAVAILABLE)
    assert narrow.on == (Outcome.OK,)
