"""Two coordinators cannot run one experiment (design §9.6): a file lock, and a note of who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ddcplay.errors import ExperimentBusyError
from ddcplay.store.files import make_private_directory, open_private, write_all

_LOCK = ".lock"
_OWNER = ".owner"  # apart from the lock: Windows lets nobody read a locked file


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs an experiment.

    Args:
        pid: process id on `host`.
        host: name of the coordinator's machine.
        since: UTC Unix seconds.
    """

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host} since {moment}"

    def alive(self) -> bool:
        """Say whether that process still runs; a process of another machine is believed."""
        if self.host != socket.gethostname() or sys.platform == "win32":  # kill(pid, 0) ends it on Windows
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            return True
        return True


class ExperimentLock:
    """Holds an experiment until `release`.

    Args:
        directory: of the experiment; created when missing.
        experiment: its name, for the message.
        now: UTC Unix seconds.

    Raises:
        ExperimentBusyError: another coordinator holds it.
    """

    def __init__(self, directory: Path, experiment: str, now: float) -> None:
        make_private_directory(directory)
        self._directory = directory
        # Not bound to a thread: whoever closes the store releases it.
        self._lock = FileLock(directory / _LOCK, mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except (Timeout, RuntimeError) as error:
            who = owner_of(directory)
            raise ExperimentBusyError(
                f"experiment {experiment!r} is already run by {who or 'another process'}",
                "stop that one first, or use another --data-dir",
            ) from error
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        descriptor = open_private(directory / _OWNER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, json.dumps(note).encode())
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Let the experiment go; further calls do nothing."""
        if self._lock.is_locked:
            (self._directory / _OWNER).unlink(missing_ok=True)
            self._lock.release()


def owner_of(directory: Path) -> Owner | None:
    """Return who holds (or held, when killed) an experiment; None when it was left properly."""
    try:
        note = json.loads((directory / _OWNER).read_text(encoding="utf-8"))
        return Owner(int(note["pid"]), str(note["host"]), float(note["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
