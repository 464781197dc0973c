"""A queue of small calls that one thread carries out: how workers, sweep and gate talk to an iteration."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from ddcplay.units import Clock


class Inbox:
    """Calls posted from any thread, carried out by the thread that owns the inbox.

    Args:
        clock: its `wait` is where the owner sleeps, so virtual time passes there.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: deque[Callable[[], None]] = deque()
        self._filled = threading.Event()

    def post(self, call: Callable[[], None]) -> None:
        """Leave a call for the owner; returns at once."""
        self._calls.append(call)
        self._filled.set()

    def wake(self) -> None:
        """Make the owner look around, with nothing to carry out."""
        self._filled.set()

    def carry_out(self, timeout_s: float | None) -> bool:
        """Wait for calls, at most `timeout_s`, and carry out all that are there.

        Returns:
            Whether there were any.
        """
        if not self._calls:
            self._clock.wait(self._filled, timeout_s)
        self._filled.clear()
        worked = False
        while self._calls:
            self._calls.popleft()()
            worked = True
        return worked
