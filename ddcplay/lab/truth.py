"""What really was: the lab's own record of the PCs' states when they were asked, apart from their answers.

One JSON object per line, in order of time. `sweep`: who was off, and whose WinRM was closed. `visit`: the
state of one PC when a visit connected. A report made of what probes said can be held against it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from ddcplay.lab.machine import Machine

FILE = "truth.jsonl"
_BLOCK = 1024 * 1024


class TruthLog:
    """Appends lines; each is out of this process when the call returns, so a killed process lost none.

    Args:
        path: of the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def sweep(self, at: float, off: Sequence[str], closed: Sequence[str], asked: int) -> None:
        """Write who did not answer a sweep.

        Args:
            at: UTC Unix seconds.
            off: hosts that were off.
            closed: hosts that were on, with WinRM closed.
            asked: hosts in all.
        """
        self._write({"event": "sweep", "t": at, "asked": asked, "off": off, "closed": closed})

    def visit(self, at: float, machine: Machine, fault: str = "") -> None:
        """Write the state of a PC at the moment a visit connected.

        Args:
            at: UTC Unix seconds.
            machine: the PC.
            fault: what the visit met instead of answers, "" for nothing.
        """
        if not machine.is_on(at):
            self._write({"event": "visit", "t": at, "host": machine.name, "on": False})
            return
        disks = machine.disks(at)
        received, sent = machine.nic_bytes(at)
        user = machine.user(at)
        self._write(
            {
                "event": "visit",
                "t": at,
                "host": machine.name,
                "on": True,
                "fault": fault,
                "user": user,
                "sessions": len(machine.sessions(at)),
                "boot": machine.booted_at(at),
                "idle_s": machine.idle_s(at),
                "ram_bytes": machine.ram_bytes,
                "ram_free_bytes": machine.free_memory_bytes(at),
                "swap_bytes": machine.swap_bytes,
                "swap_free_bytes": machine.free_swap_bytes(at),
                "disk_bytes": sum(disk.size_bytes for disk in disks),
                "disk_free_bytes": sum(disk.free_bytes for disk in disks),
                "bytes_received": received,
                "bytes_sent": sent,
            }
        )

    def _write(self, line: Mapping[str, object]) -> None:
        os.write(self._descriptor, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def cut_truth(path: Path, before: float | None) -> None:
    """Take out what a run that is taken up again will write once more, and a torn last line.

    Args:
        path: of the file; may be missing.
        before: UTC Unix seconds; lines of this time and later go. None keeps all whole lines.
    """
    if not path.exists():
        return
    with path.open("r+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            block = stream.read(end - start)
            first = 0 if start == 0 else block.find(b"\n") + 1
            if start and not first:
                raise ValueError(f"{path} holds a line of more than {_BLOCK} bytes")
            kept = _kept(block[first:], before)
            if kept or start == 0:
                stream.truncate(start + first + kept)
                return
            end = start + first
        stream.truncate(0)


def _kept(block: bytes, before: float | None) -> int:
    """Return how many bytes of a block of lines stay."""
    end = block.rfind(b"\n") + 1
    while end > 0:
        start = block.rfind(b"\n", 0, end - 1) + 1
        if before is None or orjson.loads(block[start:end])["t"] < before:
            return end
        end = start
    return 0
