"""What the process probes send, and what they make of what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput
from ddcplay.probing.clixml import readable
from ddcplay.probing.command import CommandProbe
from ddcplay.probing.powershell import MAX_LINE_BYTES, PowerShellProbe
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

HEAD = b"#< CLIXML\r\n"
OBJS = b'<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
PROGRESS = (
    b'<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T></TN><MS>'
    b'<I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV><AI>0</AI><Nil />'
    b"<PI>-1</PI><PC>-1</PC><T>Completed</T><SR>-1</SR><SD> </SD></PR></MS></Obj>"
)


@dataclass
class Recorder:
    """A connection that remembers what it was asked to run."""

    answer: ProbeOutput = field(default_factory=lambda: ProbeOutput(exit_code=0))
    ran: list[Command] = field(default_factory=list)

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.ran.append(command)
        return self.answer

    def query(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    facts = close = abort = query


def soon() -> Deadline:
    return Deadline.after(SystemClock(), 5)


def spec(body: str, kind: str = "powershell", **changes: Any) -> ProbeSpec:
    return ProbeSpec("p", kind, body, **changes)


def run_powershell(body: str, stderr: bytes = b"", **changes: Any) -> tuple[Command, ProbeOutput]:
    connection = Recorder(ProbeOutput(exit_code=0, stderr=stderr))
    output = PowerShellProbe().run(spec(body, **changes), connection, soon())
    return connection.ran[0], output


def test_a_command_of_normal_priority_is_sent_as_written_with_everything_the_probe_says() -> None:
    connection = Recorder()
    probe = CommandProbe()
    wanted = spec(
        'dir "C:\\x y" & echo 100%%\n', "command", stdin=b"in", env=(("A", "b"),), chdir="C:\\", codepage=850,
        max_output_bytes=9, kill_tree=False, priority="normal",
    )  # fmt: skip
    output = probe.run(wanted, connection, soon())
    assert connection.ran == [
        Command('dir "C:\\x y" & echo 100%%', b"in", (("A", "b"),), "C:\\", 850, 9, kill_tree=False)
    ]
    assert probe.command_line(wanted) == connection.ran[0].line
    assert output.reason is None


@pytest.mark.parametrize("line", ["", "  \n", "a\nb", "a\r\nb"])
def test_an_empty_command_or_several_lines_are_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        CommandProbe().command_line(spec(line, "command"))
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["Get-Date", "Get-Process | Where-Object { $_.CPU -gt 5 } > $null; 'a & b'\n"]
)
def test_a_safe_line_stays_readable(text: str) -> None:
    command, _ = run_powershell(text)
    assert command.line == (
        f'start "" /low /b /wait powershell.exe -NoProfile -NonInteractive -Command "{text.strip()}"'
    )
    assert command.stdin is None


@pytest.mark.parametrize(
    "text", ['Write-Output "x"', "echo %TEMP%", "a\nb", "Get-Item C:\\", "#" + "x" * MAX_LINE_BYTES]
)
def test_anything_else_goes_through_stdin(text: str) -> None:
    command, _ = run_powershell(text)
    assert command.line.endswith('-Command "Invoke-Expression ($input -join [char]10)"')
    assert command.stdin is not None
    script = command.stdin.decode()
    assert script.startswith("$ProgressPreference = 'SilentlyContinue'\n")
    assert script.endswith(f"{text}\n")


@given(st.text(min_size=1).filter(lambda text: text.strip("\r\n").strip()))
def test_the_command_line_is_short_and_never_encoded_or_ambiguous(text: str) -> None:
    try:
        line = PowerShellProbe().command_line(spec(text))
    except UsageError:
        return
    head, line = line[:24], line[24:]
    assert head == 'start "" /low /b /wait p'
    assert len(line.encode(errors="replace")) <= MAX_LINE_BYTES
    assert "-enc" not in line.lower() or "-enc" in text.lower()
    assert line.count('"') == 2
    assert "\n" not in line


def test_a_script_that_needs_stdin_cannot_have_the_users_stdin_too() -> None:
    with pytest.raises(UsageError, match="stdin"):
        PowerShellProbe().command_line(spec('Write-Output "x"', stdin=b"in"))
    command, _ = run_powershell("Read-Host", stdin=b"in")
    assert command.stdin == b"in"


def test_the_script_is_written_in_the_code_page_of_the_shell() -> None:
    assert run_powershell("'é'\n'x'")[0].stdin.endswith("'é'\n'x'\n".encode())  # type: ignore[union-attr]
    assert run_powershell("'é'\n'x'", codepage=850)[0].stdin.endswith(b"'\x82'\n'x'\n")  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="code page 437"):
        run_powershell("'€'\n'x'", codepage=437)


def test_stderr_stays_raw_and_its_text_is_readable() -> None:
    raw = HEAD + OBJS + b'<S S="Error">boom_x000D__x000A_</S></Objs>'
    _, output = run_powershell("x", raw)
    assert (output.stderr, output.stderr_text) == (raw, "boom\n")


def test_stderr_without_clixml_has_no_other_form() -> None:
    assert readable(b"") is None
    assert readable("plain é".encode("cp850")) is None


def test_progress_alone_is_nothing() -> None:
    assert readable(HEAD + OBJS + PROGRESS + b"</Objs>") == ""


def test_errors_are_joined_and_progress_is_left_out() -> None:
    body = PROGRESS + b'<S S="Error">Get-Item : no_x000D__x000A_</S><S S="Error">At line:1_x000D__x000A_</S>'
    assert readable(HEAD + OBJS + body + b"</Objs>") == "Get-Item : no\nAt line:1\n"


def test_other_streams_are_labelled() -> None:
    body = b'<S S="warning">w</S><S S="verbose">v</S><S S="debug">d</S><S S="Error">e_x000A_</S>'
    assert readable(HEAD + OBJS + body + b"</Objs>") == "WARNING: w\nVERBOSE: v\nDEBUG: d\ne\n"


def test_information_records_show_their_message() -> None:
    body = (
        b'<Obj S="information" RefId="0"><TN RefId="0"><T>Automation.InformationRecord</T></TN>'
        b'<ToString>hello</ToString><Props><S N="MessageData">hello</S></Props></Obj>'
    )
    assert readable(HEAD + OBJS + body + b"</Objs>") == "INFO: hello\n"


def test_several_documents_and_native_text_around_them() -> None:
    document = OBJS + b'<S S="Error">%d_x000A_</S></Objs>'
    raw = b"native before\r\n" + HEAD + document % 1 + HEAD + document % 2 + b"native after"
    assert readable(raw) == "native before\n1\n2\nnative after"


def test_a_truncated_document_gives_what_arrived() -> None:
    assert readable(HEAD + OBJS + b'<S S="Error">one_x000A_</S><S S="Error">tw') == "one\ntw"


def test_bytes_that_are_not_utf8_do_not_stop_the_reading() -> None:
    assert readable(HEAD + OBJS + b'<S S="Error">caf\xe9_x000A_</S></Objs>') == "caf\ufffd\n"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("_x001B_[31m", "\x1b[31m"),
        ("_xD83D__xDE00_", "\N{GRINNING FACE}"),
        ("_xD83D_", "\ufffd"),
        ("_x005F_x000A_", "_x000A_"),
        ("_x00e9_", "é"),
        ("a_xZZZZ_", "a_xZZZZ_"),
    ],
)
def test_escapes_are_read_as_utf16(escaped: str, text: str) -> None:
    assert readable(HEAD + OBJS + f'<S S="Error">{escaped}</S></Objs>'.encode()) == text


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("stolen")
    raw = (
        HEAD
        + f'<!DOCTYPE x [<!ENTITY f SYSTEM "file://{secret}">]>'.encode()
        + OBJS
        + b'<S S="Error">[&f;]</S></Objs>'
    )
    text = readable(raw)
    assert text is not None
    assert "[" in text
    assert f"[{secret.read_text()}" not in text


@given(st.binary())
def test_any_bytes_after_the_mark_are_survived(tail: bytes) -> None:
    assert isinstance(readable(HEAD + tail), str)
    assert isinstance(readable(HEAD + OBJS + tail), str)
