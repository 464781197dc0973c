"""A child process with a channel to it: asked with a deadline, watched for memory, ended with all it started.

It knows nothing of filters; `user_process` says what is asked. Everything that waits, waits in the caller's
thread; a second thread only carries what the process prints into the log.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ddcplay
from ddcplay.filtering.process_tree import kill_by_handle, kill_group, memory_of, outsiders
from ddcplay.filtering.wire import Frame, WireError, pack, unpack

_LOOK_S = 0.1
"""Seconds between two looks at the memory of a process that is working."""

_START_S = 60.0
"""Seconds for starting an interpreter; generous, because a busy machine is no fault of a filter."""

_END_S = 1.0
"""Seconds a process that was asked to end has for it."""

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT})
_MAX_LINES = 200
_MAX_LINE = 1000
# The same ddcplay as ours, wherever it is; nothing else may be imported from its directory because of that.
_STARTER = (
    "import sys; sys.path.insert(0, sys.argv[1]); import ddcplay; del sys.path[0];"
    "from ddcplay.filtering.user_child import main; main()"
)


class ChildError(Exception):
    """The process did not answer; it is gone.

    Args:
        what: one line that goes on from `the filter `.
    """


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """How the process is started.

    Args:
        memory_bytes: bound of the process and of each process it starts; their sum is watched, too.
        directory: its working directory.
        search_path: directories that user code may import from.
        environment: all of it.
        printed: called with each line that user code prints; in another thread.
    """

    memory_bytes: int
    directory: Path
    search_path: Sequence[Path]
    environment: Mapping[str, str]
    printed: Callable[[str], None]


class Child:
    """One running process; after a `ChildError` it is of no use any more.

    Args:
        settings: how it is started.
    """

    def __init__(self, settings: ChildSettings) -> None:
        self._settings = settings
        self._lines_left = _MAX_LINES
        self._channel, theirs = socket.socketpair()
        try:
            self._process = _start(settings, theirs)
        except OSError as error:
            self._channel.close()
            raise ChildError(f"process cannot be started: {error}") from error
        finally:
            theirs.close()
        self._printer = threading.Thread(target=self._carry_prints, name="filter-prints", daemon=True)
        self._printer.start()
        self._gone = False
        try:
            self._receive(time.monotonic() + _START_S, _START_S, 1024)
        except WireError as error:
            self.kill()
            raise ChildError("process does not answer as one of ddcplay") from error

    def alive(self) -> bool:
        """Say whether the process still runs."""
        return self._process.poll() is None

    def ask(self, frame: Frame, timeout_s: float, max_body: int, heard: Callable[[Frame], None]) -> Frame:
        """Send a frame and wait for the answer.

        Args:
            frame: what is asked.
            timeout_s: for all of it.
            max_body: bytes the answer may have.
            heard: called with each log line that comes before it.

        Raises:
            ChildError: no answer; the process and all it started are gone.
        """
        self._lines_left = _MAX_LINES
        deadline = time.monotonic() + timeout_s
        try:
            self._send(pack(frame), deadline, timeout_s)
            while True:
                answer = self._receive(deadline, timeout_s, max_body)
                if answer.head.get("op") != "log":
                    return answer
                heard(answer)
        except WireError as error:
            self.kill()
            raise ChildError(f"gave back {error}") from error

    def kill(self) -> None:
        """End the process and all it started, at once."""
        if self._gone:
            return
        self._gone = True
        outside = outsiders(self._process.pid)
        kill_group(self._process)
        for handle in outside:
            kill_by_handle(handle)
        self._channel.close()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._printer.join(_END_S)

    def interrupt(self) -> None:
        """End the process while another thread waits for its answer, which then fails and clears up."""
        if self.alive():
            kill_group(self._process)

    def close(self) -> None:
        """Let the process end by itself, then end what is left of it."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_WR)
            self._channel.settimeout(_END_S)
            while self._channel.recv(65536):
                pass
        self.kill()

    def _send(self, whole: bytes, deadline: float, timeout_s: float) -> None:
        view = memoryview(whole)
        while view:
            try:
                view = view[self._patiently(deadline, timeout_s, partial(self._channel.send, view)) :]
            except OSError as error:
                raise ChildError(self._end()) from error

    def _receive(self, deadline: float, timeout_s: float, max_body: int) -> Frame:
        def read(size: int) -> bytes:
            whole = bytearray(size)
            view = memoryview(whole)
            while view:
                try:
                    got = self._patiently(deadline, timeout_s, partial(self._channel.recv_into, view))
                except OSError as error:
                    raise ChildError(self._end()) from error
                if not got:
                    raise ChildError(self._end())
                view = view[got:]
            return bytes(whole)

        return unpack(read, max_body)

    def _patiently(self, deadline: float, timeout_s: float, step: Callable[[], int]) -> int:
        """Try one step until it goes on, looking at time and memory meanwhile."""
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise ChildError(f"took longer than {timeout_s:g}s")
            self._channel.settimeout(min(left, _LOOK_S))
            try:
                return step()
            except TimeoutError:
                if memory_of(self._process.pid) > self._settings.memory_bytes:
                    self.kill()
                    raise ChildError(memory_text(self._settings.memory_bytes)) from None

    def _end(self) -> str:
        """Say how a process ended that closed its channel."""
        try:
            status: int | None = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            status = None
        self.kill()
        return _end_text(status, self._settings.memory_bytes)

    def _carry_prints(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            rest = b""
            while chunk := os.read(stream.fileno(), 65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._print(line)
                if len(rest) > 65536:
                    self._print(rest)
                    rest = b""
            self._print(rest)

    def _print(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if not text or self._lines_left < 0:
            return
        self._lines_left -= 1
        with contextlib.suppress(Exception):  # a log that fails must not stop user code at a full pipe
            self._settings.printed(text[:_MAX_LINE] if self._lines_left >= 0 else "… the rest is left out")


def memory_text(memory_bytes: int) -> str:
    """Return what is said of a filter that used too much."""
    return f"used more than {memory_bytes // 1024**2} MiB of memory"


def _start(settings: ChildSettings, theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    windows = sys.platform == "win32"
    root = str(Path(ddcplay.__file__).parent.parent)
    channel = "-" if windows else str(theirs.fileno())
    arguments = [root, channel, str(settings.memory_bytes), *map(str, settings.search_path)]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _STARTER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        pass_fds=() if windows else (theirs.fileno(),),
        start_new_session=not windows,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        cwd=settings.directory,
        env=dict(settings.environment),
    )
    if sys.platform == "win32":
        assert process.stdin is not None
        description = theirs.share(process.pid)
        process.stdin.write(len(description).to_bytes(4, "big") + description)
    return process


def _end_text(status: int | None, memory_bytes: int) -> str:
    from ddcplay.filtering.user_child import EXIT_CHANNEL, EXIT_MEMORY  # noqa: PLC0415 - what runs over there

    if status is None or status == EXIT_CHANNEL:
        return "closed the channel to ddcplay"
    if status == EXIT_MEMORY:
        return memory_text(memory_bytes)
    if status < 0:
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        why = (
            f"; maybe its {memory_bytes // 1024**2} MiB of memory were used up" if number in _CRASHES else ""
        )
        return f"ended its process by {name}{why}"
    return f"ended its process with exit status {status}"
