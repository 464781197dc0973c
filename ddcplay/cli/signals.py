"""Ctrl-C and SIGTERM, turned into requests to stop.

Python runs signal handlers in the main thread between two instructions, possibly while that thread holds the
very lock a request needs. So the handler does nothing; the signal's number arrives through a socket and a
thread of this module acts on it (`signal.set_wakeup_fd`, the way event loops do it).
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from ddcplay.engine.events import Event, VisitEnded, VisitStarted
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.verdict import EXIT_INTERRUPTED

_SHOW_CURSOR = b"\x1b[?25h"
_FORCED = 3
_Handler = Callable[[int, FrameType | None], Any] | int | None


class InFlight:
    """Counts visits in flight, for the message after the first Ctrl-C."""

    def __init__(self) -> None:
        self._visits: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self._visits)

    def handle(self, event: Event) -> None:
        """Take one event."""
        match event:
            case VisitStarted():
                self._visits.add((event.experiment, event.host))
            case VisitEnded():
                self._visits.discard((event.experiment, event.host))
            case _:
                pass


class SignalWatch:
    """While it is entered, signals become stop requests; the third one ends the process on the spot.

    Args:
        stop: what to ask.
        in_flight: how many visits are running.
        say: tells the user, safe from any thread.
    """

    def __init__(self, stop: StopRequest, in_flight: InFlight, say: Callable[[str], None]) -> None:
        self._stop = stop
        self._in_flight = in_flight
        self._say = say
        self._asked = 0
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="ddcplay-signals", daemon=True)
        self._before: dict[int, _Handler] = {}
        self._fd_before = -1

    def __enter__(self) -> Self:
        self._thread.start()
        self._fd_before = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in _signals():
            self._before[number] = signal.signal(number, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        self._theirs.close()  # ends the thread
        self._thread.join(timeout=1)
        self._ours.close()

    def _watch(self) -> None:
        while numbers := self._ours.recv(64):
            for number in numbers:
                if number in _signals():
                    self._request(number)

    def _request(self, number: int) -> None:
        self._asked += 1
        if self._asked >= _FORCED:
            # The orderly ways out were asked for and did not end: what is acknowledged survives this, too.
            if os.isatty(2):
                os.write(2, _SHOW_CURSOR)
            os._exit(EXIT_INTERRUPTED)
        by_service_manager = number == signal.SIGTERM
        again = self._stop.finish.is_set()
        running = len(self._in_flight)
        self._stop.request(by_service_manager=by_service_manager)
        if again:
            self._say("leaving at once: sockets are closed, what arrived is kept")
            return
        visits = (
            f"finishing {running} visit{'' if running == 1 else 's'} in flight" if running else "stopping"
        )
        self._say(f"{visits}; {'a second signal' if by_service_manager else 'Ctrl-C again'} leaves at once")


def _signals() -> tuple[int, ...]:
    """Return the signals that mean stop; Windows services and consoles send SIGBREAK."""
    found = (getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGBREAK"))
    return tuple(number for number in found if number is not None)
