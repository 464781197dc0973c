"""When the next iteration starts, on a clock that may be set, leap, or stand still while a laptop sleeps.

The schedule is about wall-clock time, waiting is about monotonic time. Each wake reads both and compares
them, so that a clock that was set never makes iterations come thick and fast, nor stay away for a year.
"""

from __future__ import annotations

from ddcplay.engine.events import Observers, WaitingForNext
from ddcplay.engine.stop import StopRequest
from ddcplay.model.playbook import Play
from ddcplay.planning.timetable import Slot, next_slot
from ddcplay.units import Clock

LOOK_S = 60.0
"""How long the clock is trusted: a waiting coordinator looks at it at least this often."""
JUMP_S = 2.0
"""Wall clock and monotonic clock that differ by more than this since the last look: the clock was set."""
LATE_S = 10.0
"""A wake that comes this much after its slot has slept through it; the slot counts as missed."""


class Pace:
    """Paces one experiment in this process.

    Args:
        play: schedule and time zone.
        began_at: when the experiment began, UTC Unix seconds.
        clock: the process's time.
        stop: ends the waiting.
        observers: told what is waited for.
    """

    def __init__(
        self, play: Play, began_at: float, clock: Clock, stop: StopRequest, observers: Observers
    ) -> None:
        self._play = play
        self._began_at = began_at
        self._clock = clock
        self._stop = stop
        self._observers = observers
        self._started_at: float | None = None
        self._started: float | None = None
        self._took_s: float | None = None

    def resume(self, started_at: float, ended_at: float | None) -> None:
        """Take over the last iteration of an earlier process, UTC Unix seconds."""
        # A start in the future was written while the clock was wrong: it must not hold the next one up.
        self._started_at = min(started_at, self._clock.now())
        self._took_s = None if ended_at is None else max(0.0, ended_at - started_at)
        self._started = None

    def note_start(self, started_at: float) -> None:
        """Take note that an iteration of this process starts."""
        self._started_at, self._started, self._took_s = started_at, self._clock.monotonic(), None

    def note_end(self) -> None:
        """Take note that it is over."""
        if self._started is not None:
            self._took_s = self._clock.monotonic() - self._started

    def forget(self) -> None:
        """Start at once, whatever came before (`--once`, one pass)."""
        self._started_at = self._started = self._took_s = None

    def wait(self, *, quiet: bool = False) -> Slot | str:
        """Wait for the next slot.

        Args:
            quiet: nothing happened since the last wait; displays may keep silent about this one.

        Returns:
            The slot, whose time has come; or why there is none: `until` or `stopped`.

        Raises:
            UsageError: the schedule leaves no time to start.
        """
        slot = self._next()
        told: float | None = None
        while slot is not None:
            now, monotonic = self._clock.now(), self._clock.monotonic()
            pause = slot.starts_at - now
            if pause <= 0:
                if -pause <= self._late_s():
                    return slot
                slot = self._next()  # slept through it: the slots since are counted, the next one is taken
                continue
            if told != slot.starts_at:
                told = slot.starts_at
                self._observers.handle(WaitingForNext(self._play.experiment, told, quiet))
            if self._clock.wait(self._stop.finish, min(pause, LOOK_S)):
                return "stopped"
            passed = self._clock.monotonic() - monotonic
            if self._clock.now() - now < passed - JUMP_S:
                slot = self._next()  # the clock was set back: the slot must not recede with it
        return "until"

    def _late_s(self) -> float:
        every_s = self._play.schedule.every_s
        return LATE_S if every_s is None else min(LATE_S, every_s / 2)

    def _next(self) -> Slot | None:
        started_at = self._on_this_clock()
        ended_at = None if started_at is None or self._took_s is None else started_at + self._took_s
        return next_slot(
            self._play.schedule,
            self._play.timezone,
            self._clock.now(),
            began_at=self._began_at,
            last_started_at=started_at,
            last_ended_at=ended_at,
        )

    def _on_this_clock(self) -> float | None:
        """Return the last start as the clock would have it that is valid now."""
        if self._started_at is None or self._started is None:
            return self._started_at
        passed = self._clock.monotonic() - self._started
        now = self._clock.now()
        return now - passed if now - self._started_at < passed - JUMP_S else self._started_at
