"""Probe kinds `exe` and `script`: a local file, sent to the target, run there, and removed again.

The file lies in a private directory of its probe, which is also where the program starts (unless `chdir` is
written): what it leaves beside itself goes with the directory. Who removes that directory, and when, is the
visit's business; the probe only says what it left.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ddcplay.errors import UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.probe_file import OPTION, ProbeFile
from ddcplay.model.result import ProbeOutput
from ddcplay.probing.clixml import readable
from ddcplay.probing.command import command_of, own_stdin
from ddcplay.probing.launch import MAX_LINE_CHARS, batch_line, launch_line
from ddcplay.transport.base import Connection, Placement
from ddcplay.units import Deadline

_POWERSHELL = "powershell.exe"
_UNRESOLVED = r"C:\ddcplay-directory"
"""Stands for the private directory until the target has told where it is; needs no quotes and no carets."""
_RESOLVED_CHARS = 300
"""What a real directory may be longer; it stands in the line twice at most."""
_POLICY_ERRORS = (b"about_Execution_Policies", b"UnauthorizedAccess")
"""In every language of Windows the refusal of an unsigned script names one of these."""


class ExeProbe:
    """Runs a local console program on the target."""

    kind = "exe"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the line the target will log; its private directory may hold variables still.

        Raises:
            UsageError: the arguments cannot be sent, or the line is too long.
        """
        return _planned_line(spec)

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Send the program unless the target holds it, and run it once."""
        return _sent_and_run(spec, connection, deadline)


class ScriptProbe:
    """Runs a local .ps1, .cmd or .bat on the target, its bytes untouched so that signatures stay valid."""

    kind = "script"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the line the target will log; its private directory may hold variables still.

        Raises:
            UsageError: the arguments cannot be sent, or the line is too long.
        """
        return _planned_line(spec)

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Send the script unless the target holds it, and run it once."""
        output = _sent_and_run(spec, connection, deadline)
        if _file_of(spec).suffix != ".ps1":
            return output
        hint = output.hint
        if output.exit_code and any(word in output.stderr for word in _POLICY_ERRORS):
            hint = "the target allows no unsigned scripts: sign it, or write `execution_policy: bypass`"
        return replace(output, stderr_text=readable(output.stderr), hint=hint)


def _sent_and_run(spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
    file = _file_of(spec)
    shell = command_of(spec, "", None)
    placement = connection.put(file, shell, deadline)
    if placement.trouble is not None:
        return _with_leftovers(placement.trouble, file, placement)
    command = command_of(spec, _line(spec, file, placement.directory), own_stdin(spec))
    output = connection.run(command, deadline)
    told = replace(
        output,
        detail=output.detail or f"file: {placement.way}",
        round_trips=output.round_trips + placement.round_trips,
    )
    return _with_leftovers(told, file, placement)


def _with_leftovers(output: ProbeOutput, file: ProbeFile, placement: Placement) -> ProbeOutput:
    match file.cleanup:
        case "visit":
            return replace(output, left=(placement.directory,))
        case "experiment":
            return replace(output, kept=(placement.directory,))
        case _:
            return output


def _planned_line(spec: ProbeSpec) -> str:
    """Return the line as far as it is known before the target has resolved `remote_dir`."""
    file = _file_of(spec)
    line = _line(spec, file, _UNRESOLVED)
    if len(line) > MAX_LINE_CHARS - _RESOLVED_CHARS:
        raise UsageError(
            f"probe {spec.name}: the command line would have {len(line)} characters",
            f"{MAX_LINE_CHARS - _RESOLVED_CHARS} fit: hand the rest over in `stdin` or `env`",
        )
    shown = line.replace(f'"{_UNRESOLVED}', f'"{file.written_directory}')
    return re.sub(rf"{re.escape(_UNRESOLVED)}\\\S+", lambda _: f'"{file.written_path}"', shown)


def _line(spec: ProbeSpec, file: ProbeFile, directory: str) -> str:
    path = f"{directory}\\{file.remote_name}"
    args = spec.options.get("args", ())
    assert isinstance(args, tuple), "the configuration makes a tuple of texts"
    if file.suffix in (".cmd", ".bat"):
        line = batch_line(path, args, spec.priority)
    elif file.suffix == ".ps1":
        policy = spec.options.get("execution_policy")
        options = ["-NoProfile", "-NonInteractive", *(["-ExecutionPolicy", str(policy)] if policy else [])]
        line = launch_line(_POWERSHELL, [*options, "-File", path, *args], spec.priority)
    else:
        line = launch_line(path, args, spec.priority)
    return line if spec.chdir else f'cd /d "{directory}" && {line}'


def _file_of(spec: ProbeSpec) -> ProbeFile:
    file = spec.options.get(OPTION)
    if not isinstance(file, ProbeFile):
        raise UsageError(f"probe {spec.name}: it has no file", "this is a bug, please report it")
    return file
