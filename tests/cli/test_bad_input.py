from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Ddcplay = Callable[..., "subprocess.CompletedProcess[str]"]


def refused(done: subprocess.CompletedProcess[str], project: Path) -> str:
    """Check that a call was refused before anything happened, and return the message."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("ddcplay: error: ")
    assert "Traceback" not in done.stderr
    assert not (project / "data").exists()
    return done.stderr


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_wrong_key_is_refused_with_its_place_and_the_nearest_key(
    command: str, inside: Ddcplay, project: Path
) -> None:
    bad = project / "playbooks" / "bad.yml"
    bad.write_text("- name: x\n  hosts: labs\n  probs:\n    - name: a\n      command: ver\n")

    message = refused(inside(command, "bad"), project)

    assert "bad.yml:3:3" in message
    assert "'probs'" in message
    assert "probes" in message


def test_all_problems_of_all_files_are_told_each_on_its_line(inside: Ddcplay, project: Path) -> None:
    (project / "one.yml").write_text(
        "- name: x\n  hosts: labs\n  zzz: 1\n  probes: [{name: a, command: ver}]\n"
    )
    (project / "two.yml").write_text(
        "- name: y\n  hosts: labs\n  tasks: []\n  probes: [{name: a, command: ver}]\n"
    )

    message = refused(inside("check", "one.yml", "two.yml"), project)

    lines = [line for line in message.splitlines() if line.startswith("ddcplay: error: ")]
    assert len(lines) == 2
    assert "one.yml:3" in lines[0]
    assert "two.yml:3" in lines[1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "nothing.yml"], "nothing.yml"),
        (["run", "quick", "-l", "nobody"], "nobody"),
        (["run", "quick", "-i", "missing.yml"], "missing.yml"),
        (["run", "quick", "-C", "nowhere"], "nowhere"),
        (["run", "quick", "-t", "nosuchtag"], "nosuchtag"),
        (["run", "quick", "-e", "novalue"], "-e"),
        (["run", "quick", "-e", "{broken"], "-e"),
        (["run", "quick", "-e", "@missing-vars.yml"], "missing-vars.yml"),
        (["run", "quick", "-e", "[1]"], "mapping"),
        (["run", "quick", "--fail-on", "faild>5%"], "failed"),
        (["run", "quick", "--fail-on", "alert=terrible"], "is no severity"),
        (["run", "quick", "--executor", "treads"], "treads"),
        (["ping", "nobody"], "nobody"),
        (["probe", "labs"], "-c"),
        (["probe", "labs", "-c", "ver", "-p", "ver"], "-c"),
        (["probe", "labs", "-c", "ver", "--timeout", "soon"], "soon"),
        (["probe", "labs", "-c", "ver", "--csv", "--json"], "--csv"),
        (["inventory", "host", "nobody"], "nobody"),
        (["trace"], "no experiment"),
        (["trace", "nothing"], "nothing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_call_is_refused_and_nothing_is_contacted(
    words: list[str], told: str, inside: Ddcplay, project: Path
) -> None:
    assert told in refused(inside(*words), project)


def test_unknown_group_in_a_playbook_is_refused(inside: Ddcplay, project: Path) -> None:
    (project / "lost.yml").write_text("- name: x\n  hosts: lasb\n  probes: [{name: a, command: ver}]\n")

    message = refused(inside("run", "lost.yml"), project)

    assert "lasb" in message


def test_the_real_program_refuses_the_same_way(ddcplay: Ddcplay, project: Path) -> None:
    assert "nothing.yml" in refused(ddcplay("run", "nothing.yml"), project)


def test_traceback_is_shown_on_demand_only(inside: Ddcplay) -> None:
    assert "Traceback" not in inside("run", "nothing", "-vv").stderr
    assert "Traceback" in inside("run", "nothing", "-vvv").stderr


def test_a_secret_given_with_e_is_never_shown(inside: Ddcplay) -> None:
    for words in (["plan", "quick"], ["plan", "quick", "--json"], ["run", "nothing", "-vvv"]):
        done = inside(*words, "-e", "ansible_password=Sup3rS3cret!")
        assert "Sup3rS3cret!" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ('command: "echo \\e[2J"', "U+001B"),
        ('command: ver\n      env: {A: "x\\ay"}', "U+0007"),
        ("command: ver\n      max_output: 99999GiB", "max_output"),
    ],
)
def test_what_winrm_cannot_carry_is_refused_before_anything_is_contacted(
    key: str, told: str, inside: Ddcplay, project: Path
) -> None:
    (project / "bad.yml").write_text(f"- name: x\n  hosts: labs\n  probes:\n    - name: a\n      {key}\n")

    message = refused(inside("run", "bad.yml"), project)

    assert told in message
    assert "bad.yml:5:" in message or "bad.yml:6:" in message


@pytest.mark.parametrize("limit", ["", " , ", "@nobody.txt"])
def test_an_empty_limit_does_not_mean_the_whole_fleet(limit: str, inside: Ddcplay, project: Path) -> None:
    (project / "nobody.txt").write_text("# all hosts were fine\n")

    assert "names no host" in refused(inside("run", "quick", "-l", limit), project)


def test_unknown_group_is_told_with_the_place_of_its_play(inside: Ddcplay, project: Path) -> None:
    play = "- name: {0}\n  hosts: {1}\n  probes: [{{name: a, command: ver}}]\n"
    (project / "two.yml").write_text(play.format("one", "labs") + play.format("two", "lasb"))

    assert "two.yml:4:3: no host or group is called 'lasb'" in refused(inside("run", "two.yml"), project)
    assert "two.yml" not in refused(inside("run", "quick", "-l", "nobody"), project)


def test_a_directory_is_no_playbook(inside: Ddcplay, project: Path) -> None:
    (project / "site.yml").mkdir()

    assert "is a directory" in refused(inside("run", "site.yml"), project)


def test_aliases_that_blow_up_an_inventory_are_refused_at_once(inside: Ddcplay, project: Path) -> None:
    rows = ["    v0: &v0 [x]"] + [f"    v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9)}]" for n in range(1, 10)]
    path = project / "inventories" / "labs.yml"
    path.write_text(path.read_text() + "\n".join(rows) + "\n    ansible_port: '{{ v9 }}'\n")

    assert "aliases" in refused(inside("run", "quick"), project)


@pytest.mark.parametrize("scheme", ["env", "file", "cmd", "keyring"])
def test_a_reference_to_nothing_is_no_password_in_clear(scheme: str, inside: Ddcplay, project: Path) -> None:
    path = project / "inventories" / "labs.yml"
    path.write_text(path.read_text().replace("env:DDCPLAY_TEST_PASSWORD", f"'{scheme}: '"))

    assert f"nothing stands behind '{scheme}:'" in refused(inside("run", "quick"), project)


@pytest.mark.skipif(os.name != "posix", reason="only POSIX removes a directory in use")
def test_a_working_directory_that_is_gone_is_told(inside: Ddcplay, project: Path) -> None:
    (project / "gone").mkdir()
    os.chdir(project / "gone")
    (project / "gone").rmdir()

    done = inside("run", "quick")

    assert done.returncode == 2
    assert "current directory" in done.stderr
