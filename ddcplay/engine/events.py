"""What the engine tells observers: the terminal display, plain lines, JSON, later JUnit.

Observers are handed in by `cli`; the engine knows only this Protocol. They are called from several threads,
one call at a time (`Observers` holds a lock), and must return quickly.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ddcplay.model.alert import AlertEvent, Severity
from ddcplay.model.result import AttemptResult, Reason


@dataclass(frozen=True, slots=True)
class ExperimentStarted:
    """A play begins, or goes on after a restart.

    Args:
        experiment: its name.
        play: the play's name.
        rooms: room → host names, in inventory order; display groups.
        probes: probe names in order.
        every_s: None unless the schedule has an interval.
        directory: where its files are written.
        repeats: several iterations are to be expected.
    """

    experiment: str
    play: str
    rooms: Mapping[str, Sequence[str]]
    probes: Sequence[str]
    every_s: float | None
    directory: str
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class IterationStarted:
    """A pass over the pool begins; `pairs` attempts are due, `done` of them before a restart."""

    experiment: str
    iteration: int
    started_at: float
    pairs: int
    done: int = 0
    continued: bool = False


@dataclass(frozen=True, slots=True)
class HostSwept:
    """The sweep has an answer for a host (`state` is up, no_answer, port_closed or no_name)."""

    experiment: str
    iteration: int
    host: str
    state: str


@dataclass(frozen=True, slots=True)
class VisitStarted:
    """A worker begins with a host."""

    experiment: str
    iteration: int
    host: str


@dataclass(frozen=True, slots=True)
class VisitEnded:
    """A worker is through with a host; `facts` say which scheme, port and authentication were used."""

    experiment: str
    iteration: int
    host: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AttemptRecorded:
    """An attempt is acknowledged: its row survives a crash."""

    result: AttemptResult


@dataclass(frozen=True, slots=True)
class FilterFailed:
    """A filter made an acknowledged attempt `failed: filter`; `result` is the attempt as it stands now."""

    result: AttemptResult


@dataclass(frozen=True, slots=True)
class Backlog:
    """Attempts wait for their filters, and the next iteration waits for them; 0 once it goes on."""

    experiment: str
    waiting: int


@dataclass(frozen=True, slots=True)
class AlertChanged:
    """Something happened to an alert, and it is written."""

    event: AlertEvent


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """Counts of one probe in one iteration, and its remote seconds."""

    probe: str
    ok: int
    failed: int
    unavailable: int
    skipped: int
    elapsed_s: float
    reasons: Mapping[Reason, Sequence[str]] = field(default_factory=dict)
    hints: Mapping[Reason, str] = field(default_factory=dict)
    on: int = 0

    @property
    def percent_ok(self) -> float | None:
        """Return 100·ok/(ok+failed+unavailable), None for 0/0 (section 6 of the trace format)."""
        total = self.ok + self.failed + self.unavailable
        return 100.0 * self.ok / total if total else None


@dataclass(frozen=True, slots=True)
class IterationClosed:
    """An iteration's last chain is done and its trace line is written.

    Args:
        experiment: the experiment's name.
        iteration: its id.
        elapsed_s: remote part, wall seconds from its start to its last attempt.
        probes: counts per probe, in order.
        state: `closed`, or `interrupted` when it was cut short.
        unreached_on: hosts that were on but could not be collected.
        firing: severity → alerts that fire now.
    """

    experiment: str
    iteration: int
    elapsed_s: float
    probes: Sequence[ProbeSummary]
    state: str = "closed"
    unreached_on: Sequence[str] = ()
    firing: Mapping[Severity, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WaitingForNext:
    """Nothing to do until `next_at` (UTC Unix seconds); `quiet` when nothing happened since the last one."""

    experiment: str
    next_at: float
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """How a single shot stands; told at its start and after every window that changed it.

    Args:
        experiment: its name.
        owed: (host, probe) pairs still to do.
        oldest_since: UTC Unix seconds of the oldest of them, None when nothing is owed.
        given_up: pairs that were never done and are owed no more.
        paid: pairs that are done.
    """

    experiment: str
    owed: int
    oldest_since: float | None
    given_up: int
    paid: int = 0


@dataclass(frozen=True, slots=True)
class ExperimentEnded:
    """No further iteration in this process; `why` is done, gave_up, until, iterations, stopped or failed."""

    experiment: str
    iterations: int
    why: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a human should read once: `level` is info, warning or error."""

    level: str
    text: str
    experiment: str = ""


Event = (
    ExperimentStarted
    | IterationStarted
    | HostSwept
    | VisitStarted
    | VisitEnded
    | AttemptRecorded
    | FilterFailed
    | Backlog
    | AlertChanged
    | IterationClosed
    | WaitingForNext
    | Owed
    | ExperimentEnded
    | Notice
)


class Observer(Protocol):
    """Somebody who watches a run."""

    def handle(self, event: Event) -> None:
        """Take one event; must not block for long and must not raise."""


class Observers:
    """Hands each event to every observer, one at a time.

    Args:
        observers: in the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._lock = threading.Lock()

    def handle(self, event: Event) -> None:
        """Tell every observer."""
        with self._lock:
            for observer in self._observers:
                observer.handle(event)
