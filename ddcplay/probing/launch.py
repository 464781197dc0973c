"""The exact command line a target gets: priority, quoting, escaping for every kind that starts a process.

A remote shell hands a line to `%COMSPEC% /C`, so cmd.exe reads it before any program does. What a program
is to receive must survive that reading: first `%NAME%` is replaced, then quotes, `^` and the operators are
looked at, and `start`, which sets the priority class, takes the rest as it is. Two facts carry the escaping:

- Outside quotes `^` makes the next character an ordinary one, a quote too.
- On a command line (not in a batch file) a `%NAME%` that is not defined stays as it is. A caret behind the
  percent sign makes the name one that nobody defines, and is gone before the program sees the line.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from ddcplay.errors import UsageError

MAX_LINE_CHARS = 8150
"""cmd.exe takes 8191 characters, and its own path and `/C ""` count too."""

_CLASSES = {"low": "/low", "below_normal": "/belownormal"}
_SPECIAL = frozenset('()<>&|^"')
# XML 1.0 cannot carry the control characters, cmd.exe ends a line at CR, LF and NUL.
_NOT_SENDABLE = re.compile("[\x00-\x08\x0a-\x1f\ud800-\udfff\ufffe\uffff]")
_PLAIN_PROGRAM = re.compile(r"[\w.:\\-]+", re.ASCII)


def shell_line(line: str, priority: str) -> str:
    """Return what runs a line of cmd.exe, operators and all, at a priority.

    Args:
        line: as its author wrote it; the cmd.exe that carries it out sees exactly this.
        priority: `low`, `below_normal` or `normal`; the last adds nothing.

    Raises:
        UsageError: it cannot be sent, or is too long once wrapped.
    """
    if priority not in _CLASSES:
        return _checked(line)
    return _started(escaped(f'cmd /d /s /c "{_checked(line)}"'), priority)


def launch_line(program: str, args: Sequence[str], priority: str) -> str:
    """Return what starts a program with every argument exactly as written.

    Args:
        program: name or path; environment variables in it (`%TEMP%`) are filled in by the target.
        args: arguments; nothing in them is special to cmd.exe, and the C run-time library splits them again.
        priority: `low`, `below_normal` or `normal`.

    Raises:
        UsageError: something in it cannot be sent, or the whole is too long.
    """
    rest = f" {escaped(_checked(subprocess.list2cmdline(args)))}" if args else ""
    return _started(_named(program) + rest, priority)


def program_line(line: str, priority: str) -> str:
    """Return what starts a program whose command line is written out already.

    Args:
        line: program name without blanks, then its arguments as the program is to see them.
        priority: `low`, `below_normal` or `normal`.

    Raises:
        UsageError: it cannot be sent, or is too long.
    """
    return _started(escaped(_checked(line)), priority)


def batch_line(script: str, args: Sequence[str], priority: str) -> str:
    """Return what runs a .cmd or .bat file, which cmd.exe itself must read.

    Args:
        script: path; environment variables in it are filled in by the target.
        args: what `%~1` … shall be. cmd.exe looks at them again inside the file, so what could become a
            command there is refused.
        priority: `low`, `below_normal` or `normal`.

    Raises:
        UsageError: an argument holds `"` or `%`, or something cannot be sent.
    """
    for argument in args:
        if '"' in argument or "%" in argument:
            raise UsageError(
                f"the argument {argument!r} of a batch file holds a quote or a percent sign",
                "cmd.exe would read it again: hand it over in `env`, or use a .ps1 file",
            )
    quoted = " ".join([_quoted(script), *(f'"{argument}"' for argument in args)])
    return shell_line(quoted, priority)


def escaped(text: str) -> str:
    """Escape text so that cmd.exe, reading a command line, hands exactly this to `start` or a program.

    Args:
        text: one line; it stands behind a command's name.
    """
    if "%" not in text and _safe_as_it_is(text):
        return text
    result: list[str] = []
    behind_percent = False
    for char in text:
        if char in _SPECIAL or behind_percent:
            result.append("^")
        result.append(char)
        behind_percent = char == "%"
    return "".join(result)


def _safe_as_it_is(text: str) -> bool:
    """Say whether cmd.exe finds nothing special outside the quotes; then the line stays readable.

    Anything else is escaped as a whole, quotes too: mixing both would depend on how a reader pairs quotes.
    """
    parts = text.split('"')
    return len(parts) % 2 == 1 and not any(_SPECIAL & set(outside) for outside in parts[::2])


def _started(rest: str, priority: str) -> str:
    # "" is the title: without it `start` takes the first quoted text for one. /b: no window of its own, the
    # streams are inherited. /wait: its exit code is the program's.
    flag = _CLASSES.get(priority)
    line = f'start "" {flag} /b /wait {rest}' if flag else rest
    if len(line) > MAX_LINE_CHARS:
        raise UsageError(
            f"the command line would have {len(line)} characters, {MAX_LINE_CHARS} fit",
            "shorten it, or use `script` and send a file",
        )
    return line


def _named(program: str) -> str:
    return program if _PLAIN_PROGRAM.fullmatch(program) else _quoted(program)


def _quoted(program: str) -> str:
    if '"' in program or not program.strip():
        raise UsageError(
            f"{program!r} cannot be the path of a program", "Windows allows no quote in a file name"
        )
    return f'"{_checked(program)}"'


def _checked(text: str) -> str:
    found = _NOT_SENDABLE.search(text)
    if found:
        raise UsageError(
            f"character {ord(found[0]):#04x} cannot be part of a command line",
            "hand such data over in `stdin`, or send a script",
        )
    return text
