"""A process and all it started: how much memory they hold, and the end of all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

_LINUX = sys.platform.startswith("linux")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group; on Windows the process alone."""
    if sys.platform == "win32":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def outsiders(pid: int) -> list[int]:
    """Return handles of descendants that left the process group; Linux only."""
    handles = []
    if _LINUX:
        for each in _descendants(pid):
            with contextlib.suppress(OSError):
                if os.getpgid(each) != pid:
                    handles.append(os.pidfd_open(each))
    return handles


def kill_by_handle(handle: int) -> None:
    """End a process by its handle: its number may belong to somebody else by now."""
    if _LINUX:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _descendants(pid: int) -> list[int]:
    found, queue = [], [pid]
    while queue:
        for task in _listed(f"/proc/{queue.pop()}/task"):
            with contextlib.suppress(OSError):
                children = [int(each) for each in (task / "children").read_text("ascii").split()]
                found += children
                queue += children
    return found


def _listed(directory: str) -> list[Path]:
    try:
        return list(Path(directory).iterdir())
    except OSError:
        return []


def memory_of(pid: int) -> int:
    """Return the bytes of memory a process and its descendants hold; 0 where nobody can tell."""
    if _LINUX:
        return sum(map(_resident, (pid, *_descendants(pid))))
    return 0 if sys.platform == "win32" else _asked_of_ps(pid)


def _asked_of_ps(pid: int) -> int:
    """Return the bytes one process holds, where there is no /proc (macOS)."""
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        command = ["ps", "-o", "rss=", "-p", str(pid)]
        text = subprocess.run(command, capture_output=True, text=True, timeout=2, check=False).stdout
        return int(text) * 1024
    return 0


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
