"""Probe kind `powershell`: script text, readable in the target's logs.

Never `-EncodedCommand`: security products flag it and nobody can read it in an event log. A short line
travels on the command line, everything else through stdin, which also works in Constrained Language Mode.
With `output: objects` the script's objects become JSON on the target, so that no table is cut at the width of
a console; `objects` reads it.
"""

from __future__ import annotations

from dataclasses import replace

from ddcplay.errors import UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.clixml import readable
from ddcplay.probing.command import command_of, own_stdin
from ddcplay.probing.launch import program_line
from ddcplay.probing.objects import read_objects
from ddcplay.transport.base import Connection
from ddcplay.units import Deadline

MAX_LINE_BYTES = 6 * 1024
"""cmd.exe takes 8191 characters; what it adds itself and expansion need room."""

_START = "powershell.exe -NoProfile -NonInteractive -Command"
_FROM_STDIN = f'{_START} "Invoke-Expression ($input -join [char]10)"'
_QUIET = "$ProgressPreference = 'SilentlyContinue'\n"
_TO_JSON = "ConvertTo-Json -InputObject @(& {{{script}}}) -Depth 4 -Compress"
"""@( ) makes a list of whatever came, one object and none included."""
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
        output = replace(output, stderr_text=readable(output.stderr))
        return _with_rows(spec, output) if _wants_objects(spec) else output


def _plan(spec: ProbeSpec) -> tuple[str, bytes | None]:
    text = str(spec.body).strip("\r\n")
    if not text.strip():
        raise UsageError(f"probe {spec.name}: `powershell` is empty", "write the PowerShell text to run")
    objects = _wants_objects(spec)
    shown = _TO_JSON.format(script=text) if objects else text
    line = f'{_START} "{shown}"'
    # A backslash at the end would escape the closing quote; a comment would hide the closing brace.
    plain = not (objects and "#" in text)
    plain = plain and text.isprintable() and not _NOT_SAFE & set(text) and not text.endswith("\\")
    if plain and len(line.encode()) <= MAX_LINE_BYTES:
        return program_line(line, spec.priority), None
    if spec.stdin is not None:
        raise UsageError(
            f"probe {spec.name}: `stdin` cannot be used with this script, which needs stdin itself",
            f'make it one line of at most {MAX_LINE_BYTES} bytes without " and %, or use `script`',
        )
    sent = _TO_JSON.format(script=f"\n{text}\n") if objects else text
    return program_line(_FROM_STDIN, spec.priority), _encoded(spec, f"{_QUIET}{sent}\n")


def _wants_objects(spec: ProbeSpec) -> bool:
    return spec.options.get("output", "text") == "objects"


def _with_rows(spec: ProbeSpec, output: ProbeOutput) -> ProbeOutput:
    """Add the rows; an answer without them is a failure of its own where the exit code is fine."""
    if output.reason is not None:
        return output
    try:
        return replace(output, data=read_objects(output.stdout, _codec(spec)))
    except ValueError as error:
        if "ConvertTo-Json" in (output.stderr_text or ""):
            return replace(
                output,
                reason=Reason.EXIT_CODE,
                detail="PowerShell 2 cannot write objects (there is no ConvertTo-Json)",
                hint="install Windows Management Framework 5.1 there, or use `output: text`",
            )
        if output.exit_code not in spec.ok_codes:
            return output  # the script failed: its exit code and stderr say more
        return replace(
            output,
            reason=Reason.TRANSPORT,
            detail=f"no objects came back: {error}",
            hint="let the script end by itself instead of with `exit 0`, and print with Write-Output alone",
        )


def _encoded(spec: ProbeSpec, text: str) -> bytes:
    try:
        return text.encode(_codec(spec))
    except (UnicodeEncodeError, LookupError) as error:
        raise UsageError(
            f"probe {spec.name}: the script cannot be written in code page {spec.codepage}",
            "leave `codepage` out (65001 is UTF-8) or remove the characters it lacks",
        ) from error


def _codec(spec: ProbeSpec) -> str:
    return "utf-8" if spec.codepage == 65001 else f"cp{spec.codepage}"
