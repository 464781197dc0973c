"""`exe` and `script`: the line that runs a sent file, and what is told of what it left."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ddcplay.errors import UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.probe_file import OPTION, ProbeFile
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.program import ExeProbe, ScriptProbe
from ddcplay.transport.base import Command, Placement
from ddcplay.units import Deadline, SystemClock

HOME = "ddcplay-0123456789ab"
DIRECTORY = rf"C:\Users\R&D (x)\Temp\{HOME}"


def spec(name: str, *args: str, cleanup: str = "visit", **more: object) -> ProbeSpec:
    file = ProbeFile(f"tools/{name}", "ab" * 32, 10, HOME, cleanup=cleanup)
    kind = "exe" if name.endswith(".exe") else "script"
    policy = more.pop("execution_policy", None)
    options = {OPTION: file, "args": args} | ({"execution_policy": policy} if policy else {})
    return ProbeSpec("bench", kind, name, options=options, **{"priority": "normal", **more})


@dataclass
class Target:
    output: ProbeOutput = ProbeOutput(exit_code=0, round_trips=3)  # noqa: RUF009 - a frozen value
    trouble: ProbeOutput | None = None
    lines: list[str] = field(default_factory=list)

    def put(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        return Placement(DIRECTORY, rf"{DIRECTORY}\x", "winrm, tar", round_trips=10, trouble=self.trouble)

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.lines.append(command.line)
        return self.output


def ran(probe: ProbeSpec, target: Target) -> ProbeOutput:
    kind = ExeProbe() if probe.kind == "exe" else ScriptProbe()
    return kind.run(probe, target, Deadline.after(SystemClock(), 5))


def test_a_program_starts_in_its_private_directory_with_its_whole_path():
    target = Target()
    ran(spec("bench.exe", "a b", "%TEMP%"), target)
    path = rf"{DIRECTORY}\abababababababab-bench.exe"
    assert target.lines == [rf'cd /d "{DIRECTORY}" && "{path}" ^"a b^" %^TEMP%']


def test_a_directory_that_is_written_is_where_it_starts():
    target = Target()
    ran(spec("bench.exe", chdir=r"C:\Windows"), target)
    assert target.lines == [rf'"{DIRECTORY}\abababababababab-bench.exe"']


def test_plan_shows_the_line_with_the_directory_as_it_is_written():
    line = ExeProbe().command_line(spec("bench.exe", "x", priority="low"))
    path = rf"%TEMP%\{HOME}\abababababababab-bench.exe"
    assert line == rf'cd /d "%TEMP%\{HOME}" && start "" /low /b /wait "{path}" x'


def test_a_powershell_script_runs_by_file_and_a_policy_is_passed_only_when_written():
    path = rf"{DIRECTORY}\abababababababab-x.ps1"
    plain, written = Target(), Target()
    ran(spec("x.ps1", "one two"), plain)
    ran(spec("x.ps1", execution_policy="bypass"), written)
    assert f'powershell.exe -NoProfile -NonInteractive -File "{path}" "one two"' in plain.lines[0]
    assert "-ExecutionPolicy bypass -File" in written.lines[0]


def test_a_refused_unsigned_script_is_explained():
    said = b"x.ps1 cannot be loaded ... about_Execution_Policies at https://go.microsoft.com/...\r\n"
    output = ran(spec("x.ps1"), Target(ProbeOutput(exit_code=1, stderr=said)))
    assert "execution_policy: bypass" in output.hint


@pytest.mark.parametrize("argument", ['a"b', "100%"])
def test_what_a_batch_file_would_read_again_is_refused_before_anything_runs(argument):
    with pytest.raises(UsageError):
        ScriptProbe().command_line(spec("x.cmd", argument))


def test_a_line_that_could_become_too_long_is_refused_before_anything_runs():
    with pytest.raises(UsageError, match="bench"):
        ExeProbe().command_line(spec("bench.exe", "x" * 7900))


@pytest.mark.parametrize(
    ("cleanup", "left", "kept"),
    [("visit", (DIRECTORY,), ()), ("experiment", (), (DIRECTORY,)), ("never", (), ())],
)
def test_what_is_left_is_told_after_success_and_after_trouble(cleanup, left, kept):
    trouble = ProbeOutput(reason=Reason.TIMEOUT, detail="late")
    for target in (Target(), Target(trouble=trouble), Target(ProbeOutput(reason=Reason.TIMEOUT))):
        output = ran(spec("bench.exe", cleanup=cleanup), target)
        assert (output.left, output.kept) == (left, kept)


def test_a_program_that_could_not_be_sent_is_not_started():
    target = Target(trouble=ProbeOutput(reason=Reason.TRANSPORT, detail="no way"))
    assert ran(spec("bench.exe"), target).detail == "no way"
    assert target.lines == []


def test_the_way_is_told_and_its_requests_are_counted():
    output = ran(spec("bench.exe"), Target())
    assert (output.detail, output.round_trips) == ("file: winrm, tar", 13)
