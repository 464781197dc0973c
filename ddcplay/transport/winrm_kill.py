"""What an ended command left running: found, ended, looked for again, with nothing of ours over there.

Delete ends the shell's job, but a process that left the job lives on. So before the end is brought about the
target is asked once for all its processes (Win32_Process), the ones below our shell are remembered by id and
creation time, and afterwards it is asked what of them, or of what they started since, is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ddcplay.errors import FaultError
from ddcplay.transport.winrm_shells import Shells
from ddcplay.transport.wsman import SHELL, TRANSFER
from ddcplay.transport.wsman_read import Element
from ddcplay.units import Deadline

Ask = Callable[[str, Deadline], tuple[Mapping[str, object], ...]]
"""Runs one WQL query in root/cimv2; raises `FaultError`."""

PROCESSES = "SELECT ProcessId,ParentProcessId,CreationDate,CommandLine FROM Win32_Process"
_LOOK_S = 0.7
"""OperationTimeout of one look at the processes; Windows is up to a second late with saying so."""
_LATE_S = 1.5
"""What an answer may be late, kept free at the end of the budget."""
_MAX_NAMED = 60
"""Processes named in one taskkill; its /T takes what is below them."""
_PAUSE_S = 0.15


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the target.

    Args:
        pid: its id, which Windows gives out again later.
        parent: id of what started it, which may be gone, and its id given to somebody else.
        created: creation time as text that sorts; tells two holders of an id apart.
        line: command line, empty when it may not be seen.
    """

    pid: int
    parent: int
    created: str
    line: str


def processes_of(rows: Iterable[Mapping[str, object]]) -> tuple[Process, ...]:
    """Read the rows of `PROCESSES`; rows without ids or creation time (System, Idle) are left out."""
    found = []
    for row in rows:
        pid, parent, created = row.get("ProcessId"), row.get("ParentProcessId"), row.get("CreationDate")
        if isinstance(pid, int) and isinstance(parent, int) and created is not None:
            found.append(Process(pid, parent, str(created), str(row.get("CommandLine") or "")))
    return tuple(found)


def below(known: Mapping[int, str], processes: tuple[Process, ...]) -> dict[int, str]:
    """Return what of a tree is there, and everything its members, gone or not, have started.

    Args:
        known: id → creation time of the tree's members.
        processes: what runs now.

    Returns:
        Id → creation time of the members that run now.
    """
    now = {process.pid: process.created for process in processes}
    members = dict(known)
    grown = True
    while grown:
        grown = False
        for process in processes:
            if process.pid in members and members[process.pid] == process.created:
                continue
            since = members.get(process.parent)
            # The id of a member may have been given to a stranger, whose children are none of ours.
            holder = now.get(process.parent, since)
            if since is not None and since <= process.created and holder == since:
                members[process.pid] = process.created
                grown = True
    return {pid: created for pid, created in members.items() if now.get(pid) == created}


class Aftermath:
    """What happens to the processes of one command that is ended early.

    Args:
        shells: the connection's shells.
        ask: runs WQL.
        shell_id: where the command runs.
        line: the command's line, by which its process is known where Windows does not tell the shell's.
    """

    def __init__(self, shells: Shells, ask: Ask, shell_id: str, line: str) -> None:
        self._shells = shells
        self._ask = ask
        self._shell_id = shell_id
        self._line = line
        self._members: dict[int, str] | None = None

    def look(self, end: Deadline) -> None:
        """Remember which processes the command has, while it still runs; not every target can tell."""
        processes = self._processes(end)
        if processes is None:
            return
        host = self._shell_process(end)
        if host is not None:
            roots = [process for process in processes if process.parent == host]
        else:
            # The whole of it, and only one: a guess could end somebody else's program.
            whole = f'/C "{self._line}"'
            roots = [process for process in processes if process.line.endswith(whole)]
            if len(roots) != 1:
                return
        self._members = below({root.pid: root.created for root in roots}, processes)

    def settle(self, end: Deadline, kill: Callable[[str, Deadline], None] | None) -> bool | None:
        """Say whether anything is left, after ending it where that is wanted.

        Args:
            end: of all of it.
            kill: runs a command line in a fresh shell; None leaves what is there alone.

        Returns:
            True when nothing is left, False when something is, None when nobody could tell.
        """
        left = self._left(end)
        if left and kill is not None:
            named = " ".join(f"/PID {pid}" for pid in sorted(left)[:_MAX_NAMED])
            kill(f"taskkill /F /T {named}", end.capped(max(0.0, end.remaining_s() - _LATE_S)))
        if left:
            # What was ended a moment ago may still be listed.
            end.clock.sleep(min(_PAUSE_S, end.remaining_s()))
            again = self._left(end)
            left = left if again is None else again
        return None if left is None else not left

    def _left(self, end: Deadline) -> dict[int, str] | None:
        if self._members is None:
            return None
        processes = self._processes(end) if self._members else ()
        if processes is None:
            return None
        # What was seen once stays a member, so that a grandchild is found when its parent is gone.
        left = below(self._members, processes)
        self._members |= left
        return left

    def _processes(self, end: Deadline) -> tuple[Process, ...] | None:
        budget = end.capped(min(_LOOK_S, end.remaining_s() - _LATE_S))
        if self._shells.channel.lost or budget.expired():
            return None
        try:
            return processes_of(self._ask(PROCESSES, budget))
        except FaultError:
            return None

    def _shell_process(self, end: Deadline) -> int | None:
        """Ask for the process of our shell (winrshost.exe), which Windows 8 and later tell."""
        budget = end.capped(max(0.0, min(_LOOK_S + _LATE_S, end.remaining_s())))
        if self._shells.channel.lost or budget.expired():
            return None
        request = self._shells.envelopes.build("Get", f"{TRANSFER}/Get", "", _LOOK_S, self._shell_id)
        try:
            answer: Element = self._shells.channel.ask(request, budget, repeatable=True)
        except FaultError:
            return None
        text = (answer.findtext(f".//{{{SHELL}}}ProcessId") or "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None
