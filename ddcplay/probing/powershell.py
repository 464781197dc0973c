"""Probe kind `powershell`: script text, readable in the target's logs.

Never `-EncodedCommand`: security products flag it and nobody can read it in an event log. A short line
travels on the command line, everything else through stdin, which also works in Constrained Language Mode.
"""

from __future__ import annotations

from dataclasses import replace

from ddcplay.errors import UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput
from ddcplay.probing.clixml import readable
from ddcplay.probing.command import command_of, own_stdin
from ddcplay.probing.launch import program_line
from ddcplay.transport.base import Connection
from ddcplay.units import Deadline

MAX_LINE_BYTES = 6 * 1024
"""cmd.exe takes 8191 characters; what it adds itself and expansion need room."""

_START = "powershell.exe -NoProfile -NonInteractive -Command"
_FROM_STDIN = f'{_START} "Invoke-Expression ($input -join [char]10)"'
_QUIET = "$ProgressPreference = 'SilentlyContinue'\n"
_NOT_SAFE = frozenset('"%')
"""Within double quotes cmd.exe leaves all printable characters but these alone."""


class PowerShellProbe:
    """Runs PowerShell text with Windows PowerShell."""

    kind = "powershell"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the line the target will log; a longer script goes through stdin and is not part of it.

        Raises:
            UsageError: the text is empty or does not fit the probe's code page, or stdin would be needed for
                both the script and the probe's own input.
        """
        line, _ = _plan(spec)
        return line

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Run the script once; `stderr` stays raw, `stderr_text` is what a person reads."""
        line, script = _plan(spec)
        stdin = own_stdin(spec) if script is None else script
        output = connection.run(command_of(spec, line, stdin), deadline)
        return replace(output, stderr_text=readable(output.stderr))


def _plan(spec: ProbeSpec) -> tuple[str, bytes | None]:
    text = str(spec.body).strip("\r\n")
    if not text.strip():
        raise UsageError(f"probe {spec.name}: `powershell` is empty", "write the PowerShell text to run")
    if spec.options.get("output", "text") != "text":
        raise UsageError(
            f"probe {spec.name}: only `output: text` is supported", "pipe to ConvertTo-Json and use `parse`"
        )
    line = f'{_START} "{text}"'
    # A backslash at the end would escape the closing quote.
    plain = text.isprintable() and not _NOT_SAFE & set(text) and not text.endswith("\\")
    if plain and len(line.encode()) <= MAX_LINE_BYTES:
        return program_line(line, spec.priority), None
    if spec.stdin is not None:
        raise UsageError(
            f"probe {spec.name}: `stdin` cannot be used with this script, which needs stdin itself",
            f'make it one line of at most {MAX_LINE_BYTES} bytes without " and %, or use `script`',
        )
    return program_line(_FROM_STDIN, spec.priority), _encoded(spec, f"{_QUIET}{text}\n")


def _encoded(spec: ProbeSpec, text: str) -> bytes:
    codec = "utf-8" if spec.codepage == 65001 else f"cp{spec.codepage}"
    try:
        return text.encode(codec)
    except (UnicodeEncodeError, LookupError) as error:
        raise UsageError(
            f"probe {spec.name}: the script cannot be written in code page {spec.codepage}",
            "leave `codepage` out (65001 is UTF-8) or remove the characters it lacks",
        ) from error
