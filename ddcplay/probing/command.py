"""Probe kind `command`: one line for cmd.exe, which reads it exactly as it is written."""

from __future__ import annotations

from typing import TypeVar

from ddcplay.errors import UsageError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput
from ddcplay.probing.launch import shell_line
from ddcplay.transport.base import Command, Connection
from ddcplay.units import Deadline

T = TypeVar("T", str, bytes)


def command_of(spec: ProbeSpec, line: str, stdin: bytes | None) -> Command:
    """Build the remote command of a probe that is one process.

    Args:
        spec: where shell, limits and ends come from.
        line: command line.
        stdin: what to feed, None for nothing.
    """
    return Command(
        line=line,
        stdin=stdin,
        env=tuple((name, _resolved(value)) for name, value in spec.env),
        chdir=spec.chdir,
        codepage=spec.codepage,
        max_output_bytes=spec.max_output_bytes,
        kill_tree=spec.kill_tree,
    )


def own_stdin(spec: ProbeSpec) -> bytes | None:
    """Return what the probe feeds its process; the visit has resolved a secret by now."""
    return None if spec.stdin is None else _resolved(spec.stdin)


def _resolved(value: T | SecretRef) -> T:
    if isinstance(value, SecretRef):
        raise TypeError("a secret reached a probe unresolved")
    return value


class CommandProbe:
    """Runs a command line through cmd.exe."""

    kind = "command"

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the line as the target will log it, wrapped when the priority asks for it.

        Raises:
            UsageError: it is empty, too long, or holds several lines (cmd.exe would run the first one only).
        """
        line = str(spec.body).strip("\r\n")
        if not line.strip():
            raise UsageError(f"probe {spec.name}: `command` is empty", "write the line cmd.exe is to run")
        if "\n" in line or "\r" in line:
            raise UsageError(
                f"probe {spec.name}: `command` has several lines, cmd.exe would run only the first",
                "join them with `&&`, or use `script` with a .cmd file",
            )
        return shell_line(line, spec.priority)

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Run the line once."""
        return connection.run(command_of(spec, self.command_line(spec), own_stdin(spec)), deadline)
