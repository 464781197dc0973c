"""The processes that remote shells started on a simulated PC: ids, parents, lines, and who outlives whom.

What `Win32_Process` shows of them and what `taskkill` ends is one table, so that a client that claims to have
ended something can be believed or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ddcplay.lab.cim import Row, moment

FIRST_PID = 6004
_NAME = re.compile(r'\s*(?:"([^"]*)"|(\S+))')


@dataclass(frozen=True, slots=True)
class Started:
    """A process.

    Args:
        pid: its id, a multiple of four as on Windows.
        parent: id of what started it.
        name: image name.
        line: command line.
        created: Unix time.
        outside: it left the job of its shell, so Delete does not end it.
        protected: taskkill is refused.
    """

    pid: int
    parent: int
    name: str
    line: str
    created: float
    outside: bool = False
    protected: bool = False


class ProcessTable:
    """What remote shells started on one PC and what of it is left.

    Args:
        first_pid: where ids begin.
    """

    def __init__(self, first_pid: int = FIRST_PID) -> None:
        self._by_pid: dict[int, Started] = {}
        self._next = first_pid

    def start(self, parent: int, line: str, created: float, **how: bool) -> int:
        """Add a process and return its id."""
        match = _NAME.match(line)
        named = (match[1] or match[2] or "") if match else ""
        name = named.rpartition("\\")[2] or "cmd.exe"
        pid, self._next = self._next, self._next + 4
        self._by_pid[pid] = Started(pid, parent, name if "." in name else f"{name}.exe", line, created, **how)
        return pid

    def end(self, pid: int) -> None:
        """End a process and, as its job does, everything below it that did not leave the job."""
        self._by_pid.pop(pid, None)
        for process in self.children(pid):
            if not process.outside:
                self.end(process.pid)

    def kill(self, pid: int, *, tree: bool) -> list[tuple[Started, bool]] | None:
        """End a process by its id as taskkill does.

        Returns:
            Every process concerned, children first, and whether it was ended; None when there is none.
        """
        process = self._by_pid.get(pid)
        if process is None:
            return None
        told: list[tuple[Started, bool]] = []
        if tree:
            for child in self.children(pid):
                told += self.kill(child.pid, tree=True) or []
        if not process.protected:
            del self._by_pid[pid]
        return [*told, (process, not process.protected)]

    def children(self, pid: int) -> list[Started]:
        """Return what a process started and what still runs."""
        return [process for process in self._by_pid.values() if process.parent == pid]

    def running(self) -> list[Started]:
        """Return every process."""
        return list(self._by_pid.values())

    def clear(self) -> None:
        """Forget everything, as a power cut does."""
        self._by_pid.clear()

    def rows(self) -> list[Row]:
        """Return the instances of Win32_Process."""
        return [
            {
                "CommandLine": process.line,
                "CreationDate": moment(process.created),
                "Handle": str(process.pid),
                "Name": process.name,
                "ParentProcessId": process.parent,
                "Priority": 8,
                "ProcessId": process.pid,
                "SessionId": 0,
                "WorkingSetSize": 4_000_000,
            }
            for process in self._by_pid.values()
        ]
