"""One TCP connect of the sweep, and the limits under which thousands of them are made at once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ddcplay.transport.evidence import Knock

_UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EACCES}
_UNREACHABLE_ON_WINDOWS = {10051, 10064, 10065, 1231, 1232}

_MOST_SOCKETS = 16_000
_MOST_FILES = 65_536
_BURST = 2_000
_BURST_WINDOW_S = 0.1
_SLICE = 100


def sockets_allowed() -> int:
    """Raise the soft limit of open files to what the system grants, and say how many the sweep may take.

    The limit belongs to the process and is shared with the visits that run meanwhile, so a quarter (at least
    64, at most 1,024) stays free. Windows has no such limit; there the range of ephemeral ports is the bound.

    Returns:
        Sockets in flight, 16,000 at most; with the usual hard limits (Linux 4,096 and more) a pool of
        1,000 hosts with two ports each is in flight as a whole.
    """
    if sys.platform == "win32":
        return _MOST_SOCKETS // 2
    import resource  # noqa: PLC0415 - does not exist on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = {resource.RLIM_INFINITY, -1}
    wanted = _MOST_FILES if hard in unlimited else min(hard, _MOST_FILES)
    if soft not in unlimited and soft < wanted:
        with suppress(ValueError, OSError):  # macOS refuses more than kern.maxfilesperproc; then it stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    files = _MOST_FILES if soft in unlimited else soft
    return max(16, min(_MOST_SOCKETS, files - min(1024, max(64, files // 4))))


class Paced:
    """Runs small actions (each sends one packet) in bursts that a switch's and a firewall's tables bear.

    At most 2,000 per 100 ms, and a hundred between two looks at what came in: an event loop that only sends
    would let answers rot in the sockets' buffers, and take them for silence.

    Args:
        room: says whether another action may run now; whoever makes room calls `pump`.
    """

    def __init__(self, room: Callable[[], bool] = lambda: True) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = room
        self._waiting: deque[Callable[[], None]] = deque()
        self._opens_at = 0.0
        self._taken = 0
        self._next: asyncio.Handle | None = None

    def put(self, action: Callable[[], None]) -> None:
        """Queue an action; it runs in turn, soon."""
        self._waiting.append(action)
        self.pump()

    def pump(self) -> None:
        """See to it that waiting actions run."""
        if self._next is None and self._waiting:
            self._next = self._loop.call_soon(self._run)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()

    def _run(self) -> None:
        self._next = None
        now = self._loop.time()
        if now >= self._opens_at + _BURST_WINDOW_S:
            self._opens_at, self._taken = now, 0
        for _ in range(min(_SLICE, _BURST - self._taken)):
            if not self._waiting or not self._room():
                return
            self._taken += 1
            self._waiting.popleft()()
        if self._taken >= _BURST:
            self._next = self._loop.call_at(self._opens_at + _BURST_WINDOW_S, self._run)
        else:
            self.pump()


@dataclass(slots=True, eq=False)
class Flight:
    """One connect: what is wanted, and how it stands.

    Args:
        to: what `connect` takes.
        timeout_s: from the SYN, not from the queue.
        heard: told the answer, once.
        launched: told when the SYN leaves.
    """

    to: tuple[str, int] | tuple[str, int, int, int]
    timeout_s: float
    heard: Callable[[Knock], None]
    launched: Callable[[], object] | None = None
    sock: socket.socket = field(init=False)
    timer: asyncio.TimerHandle | None = field(init=False, default=None)
    task: asyncio.Task[None] | None = field(init=False, default=None)
    watched: bool = field(init=False, default=False)


class Knocker:
    """Makes TCP connects, paced and never more at a time than the system allows.

    Callbacks instead of a task per connect: with 20,000 of them a task each costs more than the network.

    Args:
        sockets: at most this many in flight.
    """

    def __init__(self, sockets: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = sockets
        self._flying: set[Flight] = set()
        self._paced = Paced(room=lambda: len(self._flying) < self._sockets)
        self._start = (
            self._start_direct if isinstance(self._loop, asyncio.SelectorEventLoop) else self._start_task
        )
        self._tasks: set[asyncio.Task[None]] = set()

    def knock(self, family: socket.AddressFamily, flight: Flight) -> None:
        """Connect once, hang up and tell the answer.

        The kernel repeats a SYN after 1 s only, so a caller who wants another try within that time knocks
        again. Windows repeats a refused SYN for about 2 s before it says so: there a closed port is `silent`
        unless the timeout is longer.
        """
        self._paced.put(partial(self._launch, family, flight))

    def close(self) -> None:
        """Hang up on everything that is still in flight, telling nobody."""
        self._paced.clear()
        for task in self._tasks:
            task.cancel()
        for flight in list(self._flying):
            self._end(flight)

    def _launch(self, family: socket.AddressFamily, flight: Flight) -> None:
        if flight.launched is not None:
            flight.launched()
        try:
            flight.sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            flight.heard(Knock.UNTRIED)
            return
        flight.sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._flying.add(flight)
        flight.timer = self._loop.call_later(flight.timeout_s, self._expire, flight)
        try:
            self._start(flight)
        except OSError as error:
            self._land(flight, knock_of(error))
        except (ValueError, OverflowError):
            self._land(flight, Knock.UNTRIED)

    def _start_direct(self, flight: Flight) -> None:
        try:
            flight.sock.connect(flight.to)
        except (BlockingIOError, InterruptedError):
            flight.watched = True
            self._loop.add_writer(flight.sock.fileno(), self._ready, flight)
        else:
            self._ready(flight)

    def _start_task(self, flight: Flight) -> None:
        """Windows' completion ports have no readiness to watch; they want a task per connect."""

        async def connect() -> None:
            try:
                await self._loop.sock_connect(flight.sock, flight.to)
            except OSError as error:
                self._land(flight, knock_of(error))
            else:
                self._ready(flight)

        task = self._loop.create_task(connect())
        flight.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ready(self, flight: Flight) -> None:
        if flight in self._flying:
            self._land(flight, _state_of(flight))

    def _expire(self, flight: Flight) -> None:
        # A busy loop comes late: what the kernel knows by now counts, not what this loop has seen of it.
        self._land(flight, _state_of(flight))

    def _land(self, flight: Flight, knock: Knock) -> None:
        if flight in self._flying:
            self._end(flight)
            flight.heard(knock)
            self._paced.pump()

    def _end(self, flight: Flight) -> None:
        self._flying.discard(flight)
        if flight.timer is not None:
            flight.timer.cancel()
        if flight.watched:
            self._loop.remove_writer(flight.sock.fileno())
        if flight.task is not None:
            flight.task.cancel()
        flight.sock.close()


def _state_of(flight: Flight) -> Knock:
    """Ask the kernel how a connect stands right now."""
    code = flight.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        return knock_of(OSError(code, os.strerror(code)))
    try:
        peer = flight.sock.getpeername()
    except OSError:
        return Knock.SILENT
    # A closed port of this very machine can be met by our own SYN when the source port happens to be equal.
    return Knock.CLOSED if flight.sock.getsockname() == peer else Knock.OPEN


def knock_of(error: OSError) -> Knock:
    """Say what an error of `connect` means; what is this machine's own trouble counts as not tried."""
    if isinstance(error, ConnectionError):
        return Knock.CLOSED
    if isinstance(error, TimeoutError):
        return Knock.SILENT
    if error.errno in _UNREACHABLE or getattr(error, "winerror", None) in _UNREACHABLE_ON_WINDOWS:
        return Knock.UNREACHABLE
    return Knock.UNTRIED
