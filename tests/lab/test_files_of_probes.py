"""`exe` and `script` probes end to end: what is sent, what runs, and that the disk is as it was before."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.lab.faults import Fault

pytestmark = pytest.mark.lab

PLAY = """\
- name: Road
  hosts: all
  ping: tcp
  defaults: {copy: winrm, timeout: 20s}
  probes:
"""
ECHO = """\
    - name: echo
      exe: tools/echo.exe
      args: ["a b", 'quo"te', "%TEMP%", "^&|!", "é", "", 'back\\', "--write", "side.txt"]
"""


class Project:
    """A directory with a playbook and files, and the program run in it against a lab."""

    def __init__(self, path: Path, lab) -> None:
        self.path, self.lab = path, lab
        (path / "lab.yml").write_text(lab.inventory_yaml())
        (path / "tools").mkdir()
        (path / "tools" / "echo.exe").write_bytes(b"MZ" + bytes(range(256)) * 900)
        (path / "three.ps1").write_bytes(b"\xef\xbb\xbfWrite-Output $args[0]\r\nexit 3\r\n")
        (path / "five.cmd").write_bytes(b"@echo off\r\necho got %~1\r\nexit /b 5\r\n")

    def play(self, probes: str) -> Project:
        (self.path / "road.yml").write_text(PLAY + probes)
        return self

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "ddcplay", *arguments]
        return subprocess.run(line, cwd=self.path, capture_output=True, text=True, timeout=120, check=False)

    def run(self, *more: str) -> dict[str, dict[str, object]]:
        done = self.call("run", "road.yml", "-i", "lab.yml", "--json", *more)
        assert done.returncode in {0, 3}, done.stderr
        return {row["probe"]: row for row in map(json.loads, done.stdout.splitlines())}

    def clean(self, *more: str) -> tuple[int, dict[str, list[dict[str, object]]]]:
        done = self.call("clean", "-i", "lab.yml", "--json", *more)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)[0]

    def debts(self) -> list[tuple[str, str, bool]]:
        with sqlite3.connect(self.path / "data" / "road" / "experiment.db") as database:
            return database.execute(
                "select host, probe, paid_at is not null from debt where kind = 'cleanup' order by 1, 2"
            ).fetchall()

    def sent(self, host: str = "pc1") -> int:
        return sum("-xmf -" in line or "FromBase64" in line for line in self.lab.stats(host)["commands"])


@pytest.fixture
def project(tmp_path, lab_factory):
    lab = lab_factory(LabConfig((LabHost("pc1"),)))
    yield Project(tmp_path, lab)
    lab.stop()


def test_a_program_gets_its_arguments_exactly_and_leaves_the_disk_as_it_was(project):
    before = project.lab.files("pc1")
    row = project.play(ECHO).run()["echo"]
    said = json.loads(row["stdout"])
    assert said["argv"] == ["a b", 'quo"te', "%TEMP%", "^&|!", "é", "", "back\\", "--write", "side.txt"]
    assert "\\ddcplay-" in said["cwd"]
    assert (row["outcome"], row["detail"]) == ("ok", "file: winrm, tar")
    assert project.lab.files("pc1") == before
    assert project.debts() == []


def test_an_older_windows_without_tar_gets_the_file_through_powershell(tmp_path, lab_factory):
    project = Project(tmp_path, lab_factory(LabConfig((LabHost("pc1", has_tar=False),))))
    before = project.lab.files("pc1")
    row = project.play(ECHO).run()["echo"]
    assert (row["outcome"], row["detail"]) == ("ok", "file: winrm, powershell")
    assert project.lab.files("pc1") == before


def test_exit_code_and_both_streams_are_the_files_own(project):
    rows = project.play(
        '    - {name: exe, exe: tools/echo.exe, args: ["--exit", 255, "--stderr", "to error"]}\n'
        "    - {name: ps, script: three.ps1, args: [first], ok_codes: 3}\n"
        "    - {name: cmd, script: five.cmd, args: [a b], priority: normal}\n"
    ).run()
    assert (rows["exe"]["exit_code"], rows["exe"]["stderr"]) == (255, "to error\r\n")
    assert (rows["ps"]["outcome"], rows["ps"]["stdout"]) == ("ok", "first\r\n")
    assert (rows["cmd"]["exit_code"], rows["cmd"]["stdout"]) == (5, "got a b\r\n")
    lines = project.lab.stats("pc1")["commands"]
    assert not any("ExecutionPolicy" in line for line in lines)


def test_a_program_that_is_ended_at_its_timeout_leaves_nothing_either(project):
    before = project.lab.files("pc1")
    row = project.play(
        '    - {name: slow, exe: tools/echo.exe, args: ["--sleep", "30"], timeout: 2s}\n'
    ).run()["slow"]
    assert (row["outcome"], row["reason"]) == ("failed", "timeout")
    assert project.lab.files("pc1") == before
    assert project.debts() == []


def test_what_is_kept_for_the_experiment_is_sent_once_and_goes_with_clean(project):
    before = project.lab.files("pc1")
    project.play(ECHO + "      cleanup: experiment\n")
    project.run()
    assert project.run()["echo"]["detail"] == "file: there"
    assert project.sent() == 1
    assert project.debts() == [("pc1", "echo", 0)]
    code, said = project.clean("--limit", "pc1")
    assert code == 0
    assert [row["host"] for row in said["removed"]] == ["pc1"]
    assert project.lab.files("pc1") == before
    assert project.debts() == [("pc1", "echo", 1)]
    assert project.clean() == (0, {"experiment": "road", "removed": [], "owed": []})


def test_a_pc_that_went_off_is_owed_its_cleanup_until_it_is_back(project):
    before = project.lab.files("pc1")
    project.play(ECHO + "      cleanup: experiment\n").run()
    project.lab.set_power("pc1", False)
    code, said = project.clean()
    assert code == 3
    assert [row["tries"] for row in said["owed"]] == [1]
    assert "no_answer" in said["owed"][0]["why"]
    project.lab.set_power("pc1", True)
    assert project.clean()[0] == 0
    assert project.lab.files("pc1") == before


def test_a_connection_that_is_lost_leaves_a_debt_which_the_next_visit_pays(project):
    project.play('    - {name: echo, exe: tools/echo.exe, args: ["--sleep", "1"], timeout: 4s}\n')
    project.lab.set_fault("pc1", Fault("mute", operation="send"))
    first = project.run()["echo"]
    assert first["outcome"] == "failed"
    assert project.debts() == [("pc1", "echo", 0)]
    project.lab.clear_faults("pc1")
    assert project.run()["echo"]["outcome"] == "ok"
    assert project.debts() == [("pc1", "echo", 1)]


def test_never_leaves_the_file_and_owes_nothing(project):
    project.play(ECHO + "      cleanup: never\n").run()
    assert any(path.endswith("-echo.exe") for path in project.lab.files("pc1"))
    assert project.debts() == []


def test_a_host_that_left_the_inventory_stays_owed_and_is_named(project):
    project.play(ECHO + "      cleanup: experiment\n").run()
    text = (project.path / "lab.yml").read_text()
    (project.path / "lab.yml").write_text(text.replace("pc1", "other"))
    code, said = project.clean()
    assert code == 3
    assert "inventory does not have this host" in said["owed"][0]["why"]


def test_plan_names_the_file_and_a_missing_one_is_refused_with_where_it_was_looked_for(project):
    shown = project.play(ECHO).call("plan", "road.yml", "-i", "lab.yml").stdout
    assert "tools/echo.exe · 230,402 bytes" in shown
    (project.path / "tools" / "echo.exe").rename(project.path / "elsewhere.exe")
    refused = project.call("check", "road.yml", "-i", "lab.yml")
    assert refused.returncode == 2
    assert "there is no file 'tools/echo.exe'" in refused.stderr
    assert "road.yml:7:12" in refused.stderr
