"""What a program receives after cmd.exe, `start` and the C run-time library have read our line.

The three readers are written here once more, from their documentation, so that the escaping is checked
against something that knows nothing of it.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ddcplay.errors import UsageError
from ddcplay.probing.launch import MAX_LINE_CHARS, batch_line, launch_line, program_line, shell_line

ENVIRONMENT = {
    "TEMP": "C:\\Users\\it admin\\Temp", "PATH": "C:\\Program Files (x86)\\a&b;C:\\W",
    "A": 'x%B%"&^', "B": "b", "X Y": "z", "OS": "Windows_NT",
}  # fmt: skip


class ReadDifferentlyError(AssertionError):
    """cmd.exe would see an operator where there should be none."""


def percent_phase(line: str) -> str:
    """Phase 1 on a command line: what is not defined stays, and reading goes on behind its first `%`."""
    result, at = "", 0
    while at < len(line):
        if line[at] != "%":
            result, at = result + line[at], at + 1
            continue
        name = re.match(r"[^%:]+", line[at + 1 :])
        value = ENVIRONMENT.get(name[0].upper()) if name else None
        end = at + 1 + len(name[0]) if name else at + 1
        if value is None or end >= len(line):
            result, at = result + "%", at + 1
        elif line[end] == "%":
            result, at = result + value, end + 1
        else:
            changed = re.match(r":(?:~(-?\d+)(?:,(-?\d+))?|(\*?)([^=%]+)=([^%]*))%", line[end:])
            if changed is None:
                result, at = result + "%", at + 1
            else:
                result, at = result + f"<changed {value}>", end + len(changed[0])
    return result


def caret_phase(line: str) -> str:
    """Phase 2: quotes protect, carets outside them go and make the next character ordinary."""
    result, quoted, at = "", False, 0
    while at < len(line):
        char = line[at]
        if char == "^" and not quoted:
            at += 1
            if at < len(line):
                result += line[at]
        else:
            if char == '"':
                quoted = not quoted
            elif char in "&|<>" and not quoted:
                raise ReadDifferentlyError(f"{char} at {at} of {line}")
            result += char
        at += 1
    return result


def as_start_sees(line: str) -> str:
    return caret_phase(percent_phase(line))


def without_start(line: str, flag: str = "/low") -> str:
    head = f'start "" {flag} /b /wait '
    assert line.startswith(head)
    return line.removeprefix(head)


def split_arguments(line: str) -> list[str]:
    """Split like CommandLineToArgvW and the C run-time library, the program's name first."""
    if line.startswith('"'):
        name, _, line = line[1:].partition('"')
    else:
        name, _, line = line.partition(" ")
        line = " " + line
    found = [name]
    at = 0
    while True:
        while at < len(line) and line[at] in " \t":
            at += 1
        if at >= len(line):
            return found
        argument, quoted = "", False
        while at < len(line) and (quoted or line[at] not in " \t"):
            backslashes = len(line[at:]) - len(line[at:].lstrip("\\"))
            at += backslashes
            if at < len(line) and line[at] == '"':
                argument += "\\" * (backslashes // 2)
                if backslashes % 2:
                    argument += '"'
                elif quoted and line[at + 1 : at + 2] == '"':
                    argument += '"'
                    at += 1
                else:
                    quoted = not quoted
                at += 1
            else:
                argument += "\\" * backslashes
                if at < len(line) and (quoted or line[at] not in " \t"):
                    argument += line[at]
                    at += 1
        found.append(argument)


SENDABLE = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\ufffe\uffff")
NASTY = st.text(st.one_of(st.sampled_from(' \t"%^&|<>()!\\:=~*,;@TEMPPATH'), SENDABLE), max_size=24)
ARGUMENTS = st.lists(NASTY, max_size=6)


@given(ARGUMENTS)
@example(
    [
        "%TEMP%",
        "%TEMP:~0,3%",
        "%PATH:a=b%",
        "%%",
        "%",
        "100%",
        "%^TEMP%",
        "^",
        '"',
        '\\"',
        "",
        " ",
        "a\\",
        "a b\\",
    ]
)
@example(['%A%"', "&calc", '"&calc&"', "|more", ">x", "2>&1", "%X Y%", "!OS!", "(", ")"])
def test_a_program_receives_every_argument_as_written_at_every_priority(args: list[str]) -> None:
    for priority, flag in (("low", "/low"), ("below_normal", "/belownormal"), ("normal", None)):
        line = launch_line("C:\\Temp\\p.exe", args, priority)
        rest = line if flag is None else without_start(line, flag)
        assert split_arguments(as_start_sees(rest)) == ["C:\\Temp\\p.exe", *args]


@given(NASTY.filter(str.strip))
@example('echo %TEMP% & dir "C:\\a b" | find "x" > o.txt 2>&1')
@example('"C:\\a b\\x.exe" "1"')
@example("echo %PATH:;=^ % ^& !x!")
@example("echo 100%")
@example('echo "open')
def test_the_inner_cmd_sees_a_line_exactly_as_its_author_wrote_it(line: str) -> None:
    seen = as_start_sees(without_start(shell_line(line, "low")))
    assert seen == f'cmd /d /s /c "{line}"'


@given(NASTY)
def test_a_written_out_program_line_reaches_the_program_unchanged(arguments: str) -> None:
    line = f"powershell.exe -Command {arguments}"
    assert as_start_sees(without_start(program_line(line, "below_normal"), "/belownormal")) == line


def test_the_path_of_a_program_is_filled_in_by_the_target() -> None:
    seen = as_start_sees(without_start(launch_line("%TEMP%\\ddc & co\\p.exe", ["%TEMP%"], "low")))
    assert split_arguments(seen) == ["C:\\Users\\it admin\\Temp\\ddc & co\\p.exe", "%TEMP%"]


def test_normal_priority_adds_nothing_to_a_line() -> None:
    assert shell_line("dir & ver", "normal") == "dir & ver"
    assert launch_line("hostname", [], "normal") == "hostname"


def test_lines_without_percent_signs_stay_readable() -> None:
    assert shell_line("hostname", "low") == 'start "" /low /b /wait cmd /d /s /c "hostname"'
    assert shell_line('dir "C:\\a b" & ver', "low") == (
        'start "" /low /b /wait cmd /d /s /c "dir "C:\\a b" & ver"'
    )
    assert launch_line("C:\\p.exe", ["a b", "c"], "below_normal") == (
        'start "" /belownormal /b /wait C:\\p.exe "a b" c'
    )


@pytest.mark.parametrize("bad", ["\0", "\r", "\n", "\x1b", "\ud800"])
def test_what_cannot_be_part_of_a_line_is_refused(bad: str) -> None:
    for make in (
        lambda: launch_line("p.exe", [f"a{bad}"], "low"),
        lambda: launch_line(f"p{bad}.exe", [], "normal"),
        lambda: shell_line(f"echo {bad}", "normal"),
        lambda: program_line(f"p.exe {bad}", "low"),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        assert caught.value.hint


def test_a_line_that_grows_too_long_is_refused_before_anything_is_sent() -> None:
    shell_line("x" * (MAX_LINE_CHARS - 60), "low")
    with pytest.raises(UsageError, match="characters"):
        shell_line("x" * MAX_LINE_CHARS, "low")
    with pytest.raises(UsageError, match="characters"):
        launch_line("p.exe", ["&" * 5000, "%"], "low")


@pytest.mark.parametrize("argument", ['a"b', "%PATH%"])
def test_a_batch_file_gets_no_argument_that_it_would_read_as_a_command(argument: str) -> None:
    with pytest.raises(UsageError, match="batch"):
        batch_line("C:\\a b\\s.cmd", [argument], "low")


def test_a_batch_file_gets_quoted_arguments() -> None:
    line = batch_line("C:\\a b\\s.cmd", ["x & y", "^"], "low")
    assert as_start_sees(without_start(line)) == 'cmd /d /s /c ""C:\\a b\\s.cmd" "x & y" "^""'
