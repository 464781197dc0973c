"""Virtual time: a clock that jumps to what happens next, and an executor whose visits take time on it.

The engine never asks the machine for the time, so it runs on this clock as it is: gate, dispatcher, ramp and
schedule wait as ever, and a month passes in the time it takes to compute it. Times are whole microseconds
since the clock's origin, so a run that is taken up again computes the very same numbers.
"""

from __future__ import annotations

import heapq
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext

from ddcplay.engine.executors import Means
from ddcplay.engine.visit import LoginReport, News, VisitResult, VisitTools, run_visit
from ddcplay.errors import DdcplayError
from ddcplay.model.plan import Visit

_US = 1_000_000


class VirtualClock:
    """A clock of one thread: time passes only where somebody waits, up to the next event that was planned.

    Args:
        origin: UTC Unix seconds at which its monotonic time is 0.
        now: UTC Unix seconds at which it begins.
    """

    def __init__(self, origin: float, now: float | None = None) -> None:
        self._origin_us = round(origin * _US)
        self._us = self._origin_us if now is None else round(now * _US)
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def now(self) -> float:
        """Return UTC Unix seconds."""
        return self._us / _US

    def monotonic(self) -> float:
        """Return seconds since the origin."""
        return (self._us - self._origin_us) / _US

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Let time pass until `event` is set by something planned, at most `timeout_s`.

        Raises:
            DdcplayError: nothing is planned that could ever set it.
        """
        until = None if timeout_s is None else self._us + _microseconds(timeout_s)
        while not event.is_set():
            if self._events and (until is None or self._events[0][0] <= until):
                self._pass_to_next()
            elif until is not None:
                self._us = max(self._us, until)
                break
            else:
                raise DdcplayError("virtual time stands still: nothing is planned", "please report this bug")
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass, with all that is planned for them."""
        self.wait(threading.Event(), seconds)

    def plan(self, at_us: int, call: Callable[[], None]) -> None:
        """Have `call` called when a time has come; calls of one time come in the order they were planned.

        Args:
            at_us: as `microseconds`.
            call: must not wait.
        """
        self._planned += 1
        heapq.heappush(self._events, (at_us, self._planned, call))

    def plan_in(self, seconds: float, call: Callable[[], None]) -> None:
        """Have `call` called after some seconds."""
        self.plan(self._us + _microseconds(seconds), call)

    def branch(self) -> BranchClock:
        """Return a clock of its own for one visit, which begins at this clock's present."""
        return BranchClock(self._us, self._origin_us)

    def _pass_to_next(self) -> None:
        """Go to the next event, and call what is planned for that very moment."""
        self._us = max(self._us, self._events[0][0])
        while self._events and self._events[0][0] <= self._us:
            heapq.heappop(self._events)[2]()


class BranchClock:
    """The clock of one visit: it runs ahead of the others, whose turn comes when the visit's news are due."""

    def __init__(self, at_us: int, origin_us: int) -> None:
        self.microseconds = at_us
        self._origin_us = origin_us

    def now(self) -> float:
        """Return UTC Unix seconds."""
        return self.microseconds / _US

    def monotonic(self) -> float:
        """Return seconds since the origin."""
        return (self.microseconds - self._origin_us) / _US

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Let the time pass; nobody else acts meanwhile."""
        if not event.is_set() and timeout_s is not None:
            self.sleep(timeout_s)
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.microseconds += _microseconds(seconds)


class VirtualExecutor:
    """Computes each visit when it starts, and lets its news and its end arrive when their time has come.

    So visits lie side by side in as many lanes as the dispatcher allows, and an iteration takes as long as
    it would with that many workers.

    Args:
        means: shared by all visits; their clock is replaced by the visit's own.
        clock: of the coordinator.
        workers: visits in flight at most, kept by the dispatcher.
    """

    def __init__(self, means: Means, clock: VirtualClock, workers: int) -> None:
        self._means = means
        self._clock = clock
        self._flying = 0
        self.workers = workers

    def submit(self, visit: Visit, tell: Callable[[News], None]) -> Future[VisitResult]:
        """Compute the visit; the future is done at its end on the clock."""
        branch = self._clock.branch()
        login: list[tuple[int, News]] = []
        attempts: list[News] = []

        def note(news: News) -> None:
            if isinstance(news, LoginReport):
                login.append((branch.microseconds, news))
            else:
                attempts.append(news)

        means = self._means
        tools = VisitTools(
            means.transport_for, means.probe_for, branch, means.resolve, means.redact, note, _held
        )
        future: Future[VisitResult] = Future()
        try:
            result: VisitResult | BaseException = run_visit(visit, tools)
        except Exception as error:  # noqa: BLE001 - the future carries it, as from a pool
            result = error
        # The gate waits for the first login of several; of the others nobody needs to hear before the end.
        early = not self._flying
        self._flying += 1
        if early:
            for at_us, news in login:
                self._clock.plan(at_us, lambda news=news: tell(news))  # type: ignore[misc]
        late = attempts if early else [*(news for _, news in login), *attempts]
        self._clock.plan(branch.microseconds, lambda: self._end(future, result, late, tell))
        return future

    def abort(self) -> None:
        """Visits have no sockets here."""

    def shutdown(self) -> None:
        """Nothing is left running."""

    def _end(
        self,
        future: Future[VisitResult],
        result: VisitResult | BaseException,
        news: Sequence[News],
        tell: Callable[[News], None],
    ) -> None:
        self._flying -= 1
        for each in news:
            tell(each)
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


class FirstInLine:
    """Draws the canary: always the host that asked first, so nothing depends on what was drawn before."""

    def randrange(self, _stop: int) -> int:
        """Return 0."""
        return 0


def _held(_connection: object) -> nullcontext[None]:
    return _NOTHING


_NOTHING = nullcontext()


def _microseconds(seconds: float) -> int:
    """Round up to whole microseconds: a wait never ends before its time, and the shortest one passes some."""
    return max(1, math.ceil(seconds * _US - 1e-3)) if seconds > 0 else 0
