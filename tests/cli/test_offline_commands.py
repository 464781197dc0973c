"""Commands that answer from files alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Ddcplay = Callable[..., "subprocess.CompletedProcess[str]"]

LINES = "1081948390|1|0|1|50.0|3.9|m01||m12|\n1081949290|2|0|0|100.0|4.1|m01,m12|||\n"


def test_check_counts_plays_hosts_and_probes_of_several_files(inside: Ddcplay, project: Path) -> None:
    (project / "more.yml").write_text(
        "- name: More\n  hosts: pc1\n  probes: [{name: a, command: ver}, {name: b, powershell: hostname}]\n"
    )

    done = inside("check", "quick", "more.yml")

    assert (done.returncode, done.stdout) == (0, "fine: 2 plays, 3 hosts, 3 probes\n"), done.stderr


def test_plan_shows_the_command_line_and_secrets_as_references(inside: Ddcplay) -> None:
    done = inside("plan", "quick")

    assert done.returncode == 0, done.stderr
    assert "pc[1:3]" in done.stdout
    assert '\n    start "" /low /b /wait cmd /d /s /c "hostname"\n' in done.stdout
    assert "password env:DDCPLAY_TEST_PASSWORD" in done.stdout
    assert "127.0.0.1" in done.stdout
    assert "port 9" in done.stdout


def test_plan_as_json_has_every_host_with_its_command_lines(inside: Ddcplay) -> None:
    (play,) = json.loads(inside("plan", "quick", "--json").stdout)

    assert [host["host"] for host in play["hosts"]] == ["pc1", "pc2", "pc3"]
    shown = play["hosts"][0]["probes"][0]["command_line"]
    assert shown == 'start "" /low /b /wait cmd /d /s /c "hostname"'
    assert play["hosts"][0]["target"]["password"] == "env:DDCPLAY_TEST_PASSWORD"


def test_extra_vars_in_all_three_forms_reach_the_plan(inside: Ddcplay, project: Path) -> None:
    (project / "vars.yml").write_text("c: from file\n")
    (project / "e.yml").write_text(
        "- name: E\n  hosts: pc1\n  probes:\n    - name: a\n      command: 'echo {{ a }} {{ b }} {{ c }}'\n"
    )

    done = inside("plan", "e.yml", "-e", r"a=D:\x", "-e", '{"b": [1, 2]}', "-e", "@vars.yml")

    assert r"echo D:\x [1, 2] from file" in done.stdout, done.stderr


def test_limit_from_a_file(inside: Ddcplay, project: Path) -> None:
    (project / "broken.txt").write_text("pc3\npc1\n")

    (play,) = json.loads(inside("plan", "quick", "--json", "-l", "@broken.txt").stdout)

    assert [host["host"] for host in play["hosts"]] == ["pc1", "pc3"]


def test_inventory_is_shown_as_tree_list_and_host(inside: Ddcplay) -> None:
    assert "  |--@labs:\n  |  |--pc1\n" in inside("inventory", "graph").stdout
    listed = inside("inventory", "list").stdout
    assert "pc2" in listed
    assert "3 hosts" in listed
    assert json.loads(inside("inventory", "list", "--json").stdout)["labs"]["hosts"] == ["pc1", "pc2", "pc3"]
    shown = json.loads(inside("inventory", "host", "pc2", "--json").stdout)
    assert shown["ansible_password"] == "env:DDCPLAY_TEST_PASSWORD"


def test_trace_lines_go_to_a_pipe_as_they_are(inside: Ddcplay, project: Path) -> None:
    folder = project / "data" / "usage"
    folder.mkdir(parents=True)
    (folder / "disks.trace").write_text(LINES + "1081950190|1|")  # the last line is still being written

    assert inside("trace").stdout == LINES
    assert inside("trace", "usage", "--last", "1").stdout == LINES.splitlines(keepends=True)[1]
    rows = [json.loads(line) for line in inside("trace", "--json").stdout.splitlines()]
    assert [row["percent_ok"] for row in rows] == [50.0, 100.0]
    assert rows[0]["unavailable_names"] == ["m12"]
    assert inside("trace", "usage", "--probe", "other").returncode == 2


def test_trace_asks_which_of_several_experiments(inside: Ddcplay, project: Path) -> None:
    for name in ("usage", "quick-look"):
        folder = project / "data" / name
        folder.mkdir(parents=True)
        (folder / "hostname.trace").write_text(LINES)

    done = inside("trace")
    assert done.returncode == 2
    assert "quick-look, usage" in done.stderr
    # A playbook's name stands for its experiment.
    assert inside("trace", "quick.yml").stdout == LINES
    assert inside("trace", "quick", "--data-dir", str(project / "data")).stdout == LINES


def test_status_of_an_empty_project(inside: Ddcplay) -> None:
    done = inside("status")

    assert done.returncode == 0, done.stderr
    assert "no experiments" in done.stdout
    assert json.loads(inside("status", "--json").stdout) == []
