"""Who is logged on interactively, asked by WQL alone, and probes that stay away while somebody is.

A desktop has its own explorer.exe in a session above 0 (session 0 is the services'), also a locked or
disconnected one; the console user is asked for besides, because a kiosk may run another shell.
`Win32_LogonSession` is not used: it keeps dead sessions for ever and takes seconds on a busy host.
No user name leaves this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ddcplay.errors import FaultError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.probe_file import ProbeFile
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.base import Probe
from ddcplay.transport.base import MAX_ROWS_BYTES, Command, Connection, Placement, Watch
from ddcplay.units import Deadline

DESKTOPS = "SELECT SessionId,CreationDate FROM Win32_Process WHERE Name='explorer.exe'"
CONSOLE = "SELECT UserName FROM Win32_ComputerSystem"


@dataclass(frozen=True, slots=True)
class Desktop:
    """One interactive session.

    Args:
        session_id: Windows' number, above 0; None for a console user without a desktop of explorer's.
        since: when its desktop came up, about the logon; ISO 8601 UTC, empty when not known.
    """

    session_id: int | None
    since: str = ""


def desktops(connection: Connection, deadline: Deadline) -> tuple[Desktop, ...]:
    """Ask who is logged on interactively: one round trip when somebody is, two when nobody is.

    Raises:
        FaultError: it could not be asked.
    """
    found: dict[int, str] = {}
    for row in connection.query(DESKTOPS, deadline):
        session, since = row.get("SessionId"), row.get("CreationDate")
        if isinstance(session, int) and session > 0:
            begun = since if isinstance(since, str) else ""
            found[session] = min(filter(None, (found.get(session, ""), begun)), default="")
    if found:
        return tuple(Desktop(session, since) for session, since in sorted(found.items()))
    console = any(row.get("UserName") for row in connection.query(CONSOLE, deadline))
    return (Desktop(None),) if console else ()


def run_when_free(probe: Probe, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
    """Run a probe unless somebody is logged on, and end it when somebody logs on.

    Args:
        probe: of any kind.
        spec: with `exclusive`; `recheck_s` is the pace of looking again.
        connection: the visit's.
        deadline: of the attempt; asking counts.

    Returns:
        `skipped: busy` when somebody is there, `failed: wql` (or what else kept the question from being
        answered) without having run, else what the probe brought back.
    """
    try:
        there = desktops(connection, deadline)
    except FaultError as fault:
        return ProbeOutput(
            reason=Reason(fault.reason),
            detail=f"nobody could tell whether somebody is logged on, so it did not run: {fault.message}",
            hint=fault.hint,
            connection_lost=fault.connection_lost,
            accepted=not fault.retryable,
        )
    if there:
        return ProbeOutput(
            reason=Reason.BUSY, detail=_logged_on(there), hint="it is tried when it is due again"
        )
    return probe.run(spec, _Watched(connection, spec.recheck_s), deadline)


def _logged_on(there: tuple[Desktop, ...]) -> str:
    return "somebody is logged on" if len(there) == 1 else f"{len(there)} people are logged on"


class _Watched:
    """A connection whose commands end when somebody logs on; probes of every kind use it unaware."""

    def __init__(self, connection: Connection, recheck_s: float) -> None:
        self._connection = connection
        self._watch = Watch(self._ask, recheck_s, Reason.USER_LOGGED_ON)

    def _ask(self, deadline: Deadline) -> str | None:
        there = desktops(self._connection, deadline)
        return _logged_on(there) if there else None

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        """Run a command under watch."""
        return self._connection.run(replace(command, watch=self._watch), deadline)

    def query(
        self,
        wql: str,
        deadline: Deadline,
        namespace: str = "root/cimv2",
        *,
        max_bytes: int = MAX_ROWS_BYTES,
    ) -> tuple[Mapping[str, object], ...]:
        """Run a query; it loads the PC for a moment only."""
        return self._connection.query(wql, deadline, namespace, max_bytes=max_bytes)

    def put(self, file: ProbeFile, shell: Command, deadline: Deadline) -> Placement:
        """Send a file; sending is not watched."""
        return self._connection.put(file, shell, deadline)

    def facts(self) -> Mapping[str, object]:
        """Tell what was chosen."""
        return self._connection.facts()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abort(self) -> None:
        """Shut the sockets down."""
        self._connection.abort()
