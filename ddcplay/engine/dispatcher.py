"""Decides when a visit may start: free workers, the play's concurrency, one visit per address, the ramp.

One dispatcher serves all plays of a process (design §9.9). Visits that must wait hold no worker.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from ddcplay.engine.executors import Executor
from ddcplay.engine.visit import News, VisitResult
from ddcplay.model.plan import Visit
from ddcplay.units import Clock

Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A visit that wants to start.

    Args:
        make: builds the visit at the moment it starts, so that its budget ends with the iteration's slot.
        endpoint: resolved address and port; two jobs of one endpoint never run together.
        lane: the play it belongs to.
        lane_width: how many visits of that lane may be in flight.
        patience_s: how long it waits for its endpoint while another visit uses it.
        held: asked just before it starts; True takes it out of the queue (somebody else has it again).
        started: told, from any thread, when it starts.
        tell: takes its news.
        ended: takes its result; the future is done.
        in_use: told when it waited that long.
        wake: told when a place became free, so that somebody pumps.
    """

    make: Callable[[], Visit] = field(repr=False)
    endpoint: Endpoint
    lane: str
    lane_width: int
    patience_s: float
    held: Callable[[], bool] = field(repr=False)
    started: Callable[[], None] = field(repr=False)
    tell: Callable[[News], None] = field(repr=False)
    ended: Callable[[Future[VisitResult]], None] = field(repr=False)
    in_use: Callable[[], None] = field(repr=False)
    wake: Callable[[], None] = field(repr=False)


class Dispatcher:
    """Starts jobs in order of arrival, when pumped and nothing stands in their way.

    Args:
        executor: where visits run.
        clock: monotonic time for the ramp and for expiry.
        workers: visits in flight over all lanes.
        ramp_per_s: visits started per second after a first burst of as many, 0 for no ramp.
    """

    def __init__(self, executor: Executor, clock: Clock, workers: int, ramp_per_s: float) -> None:
        self._executor = executor
        self._clock = clock
        self._workers = workers
        self._ramp = _Ramp(ramp_per_s, clock.monotonic())
        self._lock = threading.RLock()
        self._lanes: dict[str, deque[Job]] = {}
        self._busy: set[Endpoint] = set()
        self._blocked_since: dict[Job, float] = {}
        self._in_flight: Counter[str] = Counter()

    def offer(self, job: Job) -> None:
        """Queue a job; it starts in the next `pump`."""
        with self._lock:
            self._lanes.setdefault(job.lane, deque()).append(job)

    def withdraw(self, lane: str) -> None:
        """Take back all jobs of a lane that have not started."""
        with self._lock:
            for job in self._lanes.pop(lane, ()):
                self._blocked_since.pop(job, None)

    def in_flight(self, lane: str) -> int:
        """Count the running visits of a lane."""
        with self._lock:
            return self._in_flight[lane]

    def pump(self) -> float | None:
        """Start every job that may start now and drop those that waited too long.

        Returns:
            Seconds until time alone lets another job start or expire, None when only an ending job can.
        """
        expired: list[Job] = []
        ready: list[Job] = []
        with self._lock:
            now = self._clock.monotonic()
            for lane in list(self._lanes):
                self._drain(lane, now, ready, expired)
            pause = self._pause(now)
        for job in expired:
            job.in_use()
        for job in ready:
            self._start(job)
        return pause

    def _drain(self, lane: str, now: float, ready: list[Job], expired: list[Job]) -> None:
        """Start what this lane may start; stops at the first limit, so a long queue costs nothing."""
        queue = self._lanes[lane]
        passed: list[Job] = []
        while queue:
            job = queue[0]
            if self._in_flight[lane] >= job.lane_width or self._in_flight.total() >= self._workers:
                break
            if job.endpoint in self._busy:
                queue.popleft()
                since = self._blocked_since.setdefault(job, now)
                (expired if now - since >= job.patience_s else passed).append(job)
            elif job.held():
                queue.popleft()
            elif self._ramp.take(now):
                self._busy.add(job.endpoint)
                self._in_flight[lane] += 1
                ready.append(queue.popleft())
            else:
                break
        queue.extendleft(reversed(passed))
        for job in (*expired, *ready):
            self._blocked_since.pop(job, None)
        if not queue:
            del self._lanes[lane]

    def _pause(self, now: float) -> float | None:
        if not self._lanes:
            return None
        patient_until = min(
            (since + job.patience_s for job, since in self._blocked_since.items()), default=float("inf")
        )
        pause = max(0.0, min(patient_until - now, self._ramp.pause(now)))
        return pause if pause < float("inf") else None

    def _start(self, job: Job) -> None:
        job.started()
        future = self._executor.submit(job.make(), job.tell)
        future.add_done_callback(lambda done: self._ended(job, done))

    def _ended(self, job: Job, done: Future[VisitResult]) -> None:
        with self._lock:
            self._busy.discard(job.endpoint)
            self._in_flight[job.lane] -= 1
            waiting = [queue[0] for queue in self._lanes.values()]
        job.ended(done)
        for other in waiting:
            other.wake()


class _Ramp:
    """A token bucket: a burst of one second's worth, then `per_s` starts per second."""

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s)
        self._tokens = self._size
        self._filled_at = now

    def take(self, now: float) -> bool:
        if not self._per_s:
            return True
        self._fill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def pause(self, now: float) -> float:
        if not self._per_s:
            return float("inf")
        self._fill(now)
        return float("inf") if self._tokens >= 1 else (1 - self._tokens) / self._per_s

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
