"""Where visits run: on a pool of threads, or in the caller's own thread.

The contract is small on purpose (style: submit, a future, shutdown), so that a cluster can stand behind it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from ddcplay.engine.visit import News, VisitResult, VisitTools, run_visit
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Visit
from ddcplay.probing.base import Probe
from ddcplay.transport.base import Connection, Transport
from ddcplay.units import Clock


@dataclass(frozen=True, slots=True)
class Means:
    """What every visit of a process shares; from it an executor makes the tools of each visit.

    Args:
        transport_for: connection name → transport.
        probe_for: probe kind → probe.
        clock: the process's clock.
        resolve: turns a reference into the secret.
        redact: takes secrets out of a text.
    """

    transport_for: Callable[[str], Transport]
    probe_for: Callable[[str], Probe]
    clock: Clock
    resolve: Callable[[SecretRef], str]
    redact: Callable[[str], str]


class Executor(Protocol):
    """Runs visits; at most `workers` at once."""

    def submit(self, visit: Visit, tell: Callable[[News], None]) -> Future[VisitResult]:
        """Start a visit; `tell` is called from a worker with every login and attempt as it happens."""

    def abort(self) -> None:
        """Shut the sockets of every visit in flight."""

    def shutdown(self) -> None:
        """Wait for nothing more than is running, and end the workers."""


class OpenConnections:
    """The connections in use, so that a second Ctrl-C can shut their sockets."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._aborted = False
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, connection: Connection) -> Iterator[None]:
        """Know a connection for as long as a visit uses it."""
        with self._lock:
            self._open.add(connection)
            too_late = self._aborted
        if too_late:  # it was still connecting when all others were shut
            connection.abort()
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def abort(self) -> None:
        """Shut the sockets of all of them."""
        with self._lock:
            self._aborted = True
            doomed = tuple(self._open)
        for connection in doomed:
            connection.abort()


class InlineExecutor:
    """Runs each visit in the caller's thread, one after another: for tests and virtual time."""

    def __init__(self, means: Means, workers: int) -> None:
        self._means = means
        self._connections = OpenConnections()
        self.workers = workers

    def submit(self, visit: Visit, tell: Callable[[News], None]) -> Future[VisitResult]:
        """Run the visit now; the future is done when this returns."""
        future: Future[VisitResult] = Future()
        try:
            future.set_result(run_visit(visit, _tools(self._means, tell, self._connections)))
        except Exception as error:  # noqa: BLE001 - the future carries it, as from a pool
            future.set_exception(error)
        return future

    def abort(self) -> None:
        """Shut the sockets of the visit in flight."""
        self._connections.abort()

    def shutdown(self) -> None:
        """Nothing is left running."""


class ThreadExecutor:
    """Runs visits on a pool of threads: the default.

    Args:
        means: shared by all visits.
        workers: threads at most; they start when they are needed.
    """

    def __init__(self, means: Means, workers: int) -> None:
        self._means = means
        self._connections = OpenConnections()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="visit")
        self.workers = workers

    def submit(self, visit: Visit, tell: Callable[[News], None]) -> Future[VisitResult]:
        """Start the visit on a thread of the pool."""
        return self._pool.submit(run_visit, visit, _tools(self._means, tell, self._connections))

    def abort(self) -> None:
        """Shut the sockets of every visit in flight."""
        self._connections.abort()

    def shutdown(self) -> None:
        """Let running visits end; a stuck one is left to the interpreter's exit."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _tools(means: Means, tell: Callable[[News], None], connections: OpenConnections) -> VisitTools:
    return VisitTools(
        means.transport_for,
        means.probe_for,
        means.clock,
        means.resolve,
        means.redact,
        tell,
        connections.holding,
    )
