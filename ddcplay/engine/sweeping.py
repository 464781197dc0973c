"""The sweeps of one iteration: the first over everybody, later ones over those that were silent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ddcplay.engine.inbox import Inbox
from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingPolicy
from ddcplay.transport.sweep import SweepAnswer
from ddcplay.units import Clock

Sweep = Callable[[Sequence[Target], PingPolicy, Callable[[SweepAnswer], None], threading.Event | None], None]


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """A sweep on virtual time: it plans its answers and returns at once.

    Args:
        begin: gets targets, policy, whom to tell each answer, and whom to tell the end of the sweep.
    """

    begin: Callable[[Sequence[Target], PingPolicy, Callable[[SweepAnswer], None], Callable[[], None]], None]


class Sweeping:
    """Runs one sweep after another, beside the thread of the iteration.

    Args:
        sweep: finds out who is there.
        policy: of the play.
        clock: the process's time.
        inbox: of the iteration; woken when a sweep is over.
        threaded: False sweeps in the caller's thread (virtual time).
    """

    def __init__(
        self,
        sweep: Sweep | PlannedSweep,
        policy: PingPolicy,
        clock: Clock,
        inbox: Inbox,
        threaded: bool,  # noqa: FBT001 - one call
    ) -> None:
        self._do = sweep
        self._policy = policy
        self._clock = clock
        self._inbox = inbox
        self._threaded = threaded
        self._off = threading.Event()
        self._failure: BaseException | None = None
        self.silent: dict[str, SweepAnswer] = {}
        """Hosts that were not there and may be asked again."""
        self.rounds = 0
        """How many sweeps were started."""
        self.began = 0.0
        """When the last one was, in monotonic seconds."""
        self.running = False
        """A sweep goes on, or answers of it have not been carried out."""

    def start(self, targets: Sequence[Target], heard: Callable[[SweepAnswer], None]) -> None:
        """Begin a sweep; `heard` is called from its thread."""
        if not targets or self._off.is_set():
            return
        self.rounds += 1
        self.began = self._clock.monotonic()
        self.running = True
        if isinstance(self._do, PlannedSweep):
            self._do.begin(targets, self._policy, heard, lambda: self._inbox.post(self._over))
        elif self._threaded:
            arguments = (self._do, targets, heard)
            threading.Thread(target=self._look, args=arguments, name="sweep", daemon=True).start()
        else:
            self._look(self._do, targets, heard)

    def stop(self) -> None:
        """End the sweep that goes on, and start no other."""
        self._off.set()

    def check(self) -> None:
        """Raise what ended a sweep, in the iteration's thread."""
        if self._failure is not None:
            raise self._failure

    def _look(self, sweep: Sweep, targets: Sequence[Target], heard: Callable[[SweepAnswer], None]) -> None:
        try:
            sweep(targets, self._policy, heard, self._off)
        except BaseException as error:  # noqa: BLE001 - raised again by `check`
            self._failure = error
        self._inbox.post(self._over)

    def _over(self) -> None:
        self.running = False
