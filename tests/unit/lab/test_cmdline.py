"""The small cmd.exe and PowerShell behave like the real ones where a collector can tell."""

from __future__ import annotations

import base64

import pytest

from ddcplay.lab.cmdline import run_line
from ddcplay.lab.machine import Machine
from ddcplay.lab.program import Console, Read, Sleep, Write, base_environment


def run(line: str, stdin: bytes = b"", codepage: int = 65001) -> tuple[str, str, int]:
    machine = Machine(1, "pc1")
    console = Console(machine, lambda: 1_792_062_000.0, "LAB\\lab", codepage)
    console.env = base_environment(machine, console.user)
    program = run_line(console, line)
    out = {"stdout": b"", "stderr": b""}
    given: list[bytes | None] = [stdin, None] if stdin else [None]
    answer: bytes | None = None
    while True:
        try:
            step = program.send(answer)
        except StopIteration as end:
            code = int(end.value)
            break
        answer = None
        if isinstance(step, Write):
            out[step.stream] += step.data
        elif isinstance(step, Read):
            answer = given.pop(0) if given else None
        else:
            assert isinstance(step, Sleep)
    return out["stdout"].decode(), out["stderr"].decode(), code


@pytest.mark.parametrize(
    ("line", "stdout", "code"),
    [
        ("hostname", "PC1\r\n", 0),
        ("echo hi & exit 3", "hi \r\n", 3),
        ("echo a&& echo b|| echo c", "a\r\nb\r\n", 0),
        ("nosuch 2>nul || echo c", "c\r\n", 0),
        ("nosuch 2>nul && echo b", "", 1),
        ('echo "a & b"', '"a & b"\r\n', 0),
        ("echo a^&b", "a&b\r\n", 0),
        ("echo %COMPUTERNAME% %NONE%", "PC1 %NONE%\r\n", 0),
        ("echo.", "\r\n", 0),
        ("(echo a& echo b)", "a\r\nb\r\n", 0),
        ("cmd /c echo hi", "hi\r\n", 0),
        ('cmd.exe /c "echo "hi""', '"hi"\r\n', 0),
        ('C:\\Windows\\system32\\cmd.exe /d /s /c "exit 7"', "", 7),
        ('start "" /low /b /wait cmd /c "echo hi& exit 4"', "hi\r\n", 4),
        ('start "" /low /b /wait hostname', "PC1\r\n", 0),
        ("set X=1& set X", "X=1\r\n", 0),
        ("cd /d C:\\Temp & cd", "C:\\Temp\r\n", 0),
        ("chcp 1252", "Active code page: 1252\r\n", 0),
        ("echo text>C:\\Temp\\a.txt& type C:\\Temp\\a.txt", "text\r\n", 0),
        ("tasklist | findstr /i LSASS >nul && echo found", "found\r\n", 0),
        ("exit -1073741510", "", -1073741510),
    ],
)
def test_a_line_prints_and_ends_as_in_cmd(line: str, stdout: str, code: int) -> None:
    assert run(line) == (stdout, "", code)


def test_an_unknown_command_says_so_on_stderr() -> None:
    out, err, code = run("nosuch.exe /x")
    assert (out, code) == ("", 1)
    assert err == (
        "'nosuch.exe' is not recognized as an internal or external command,\r\n"
        "operable program or batch file.\r\n"
    )


def test_stdout_can_be_sent_to_stderr() -> None:
    assert run("echo bad 1>&2") == ("", "bad \r\n", 0)
    assert run("echo bad>&2") == ("", "bad\r\n", 0)


def test_more_and_findstr_read_standard_input() -> None:
    assert run("more", b"one\r\ntwo\r\n")[0] == "one\r\ntwo\r\n"
    assert run("findstr two", b"one\r\ntwo\r\n") == ("two\r\n", "", 0)
    assert run("findstr three", b"one\r\ntwo\r\n")[2] == 1


def test_what_a_code_page_cannot_hold_becomes_a_question_mark() -> None:
    assert run("echo €", codepage=437)[0] == "?\r\n"


def encoded(script: str) -> str:
    return "powershell -NoProfile -EncodedCommand " + base64.b64encode(script.encode("utf-16-le")).decode()


@pytest.mark.parametrize(
    "line",
    [
        encoded("Write-Output 'hi'; exit 5"),
        "powershell.exe -NoProfile -NonInteractive -Command \"Write-Output 'hi'; exit 5\"",
        "powershell -ExecutionPolicy Bypass -c Write-Output 'hi'; exit 5",
    ],
)
def test_powershell_runs_a_script_from_its_line(line: str) -> None:
    out, err, code = run(line)
    assert (out, code) == ("hi\r\n", 5)
    assert err.startswith("#< CLIXML\r\n<Objs ")
    assert 'S="progress"' in err


@pytest.mark.parametrize(
    "line",
    [
        "powershell -Command -",
        "powershell",
        'powershell -Command "Invoke-Expression ($input -join [char]10)"',
    ],
)
def test_powershell_runs_a_script_from_standard_input(line: str) -> None:
    out, err, code = run(
        line, b"$ProgressPreference = 'SilentlyContinue'\n$x = 'y'\nWrite-Output \"$x\"\nexit 2\n"
    )
    assert (out, err, code) == ("y\r\n", "", 2)


def test_the_playbooks_of_the_project_are_answered() -> None:
    head, row = run("systeminfo /fo csv")[0].splitlines()
    assert head.startswith('"Host Name","OS Name"')
    assert row.count('","') == head.count('","')
    assert "Total bytes" in run("fsutil volume diskfree C:")[0]
    assert run("fsutil volume diskfree Q:")[2] == 1
    assert run("query user")[2] in (0, 1)
    quiet = "powershell -Command \"$ProgressPreference = 'SilentlyContinue'; "
    free, err, code = run(quiet + '(Get-CimInstance Win32_OperatingSystem).FreePhysicalMemory"')
    assert (free.strip().isdigit(), err, code) == (True, "", 0)
    software = "Get-ItemProperty 'HKLM:\\SOFTWARE\\CurrentVersion\\Uninstall\\*' | ConvertTo-Csv"
    assert run(f'{quiet}{software}"')[0].startswith('"DisplayName"')


def test_powershell_errors_are_clixml_with_escaped_line_ends() -> None:
    _, err, code = run(encoded("Write-Error 'a<b'"))
    assert code == 1
    assert '<S S="Error">' in err
    assert "a&lt;b_x000D__x000A_</S>" in err


def test_powershell_console_error_is_plain_text() -> None:
    line = "powershell -Command $ProgressPreference='SilentlyContinue'; [Console]::Error.WriteLine('plain')"
    assert run(line) == ("", "plain\r\n", 0)
