"""How a run is asked to stop: once politely, twice at once (design §7)."""

from __future__ import annotations

import threading
from collections.abc import Callable


class StopRequest:
    """Shared by the signal handlers and the engine.

    The first request lets visits in flight finish, closes remote shells and writes the trace. The second
    closes all sockets, commits what arrived and leaves.
    """

    def __init__(self) -> None:
        self.finish = threading.Event()
        """Set by the first request: no new visits."""
        self.leave = threading.Event()
        """Set by the second request: leave at once."""
        self.by_service_manager = False
        """The first request was SIGTERM, which ends with exit code 0."""
        self._listeners: list[Callable[[], None]] = []

    def request(self, *, by_service_manager: bool = False) -> None:
        """Ask once more; safe inside a signal handler."""
        if self.finish.is_set():
            self.leave.set()
        else:
            self.by_service_manager = by_service_manager
            self.finish.set()
        for wake in tuple(self._listeners):
            wake()

    def listen(self, wake: Callable[[], None]) -> None:
        """Have `wake` called at each request; it must only set a flag."""
        self._listeners.append(wake)

    def unlisten(self, wake: Callable[[], None]) -> None:
        """Take a listener off again."""
        self._listeners.remove(wake)
