"""The figures of a report, each with its unit; `report/summary.py` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ddcplay.model.alert import AlertUpdate
from ddcplay.model.report import HostPresence
from ddcplay.model.result import Outcome, Reason
from ddcplay.report.words import percent_of


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the pool was there, and how much of it was collected.

    Args:
        hosts: that were asked at least once.
        asked: (host, iteration) pairs that were tried.
        on: of these, the machine was seen switched on.
        collected: of these, at least one probe was ok.
    """

    hosts: int
    asked: int
    on: int
    collected: int

    @property
    def on_pct(self) -> float | None:
        """Share of `asked`."""
        return percent_of(self.on, self.asked)

    @property
    def collected_pct(self) -> float | None:
        """Share of `asked`."""
        return percent_of(self.collected, self.asked)

    @property
    def collected_of_on_pct(self) -> float | None:
        """Share of `on`."""
        return percent_of(self.collected, self.on)


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """How a probe fared, counted in attempts as its trace counts them."""

    probe: str
    ok: int
    failed: int
    unavailable: int
    skipped: int
    mean_s: float | None

    @property
    def percent_ok(self) -> float | None:
        """100·ok/(ok+failed+unavailable), as in the trace."""
        return percent_of(self.ok, self.ok + self.failed + self.unavailable)


@dataclass(frozen=True, slots=True)
class ReasonLine:
    """Attempts that were not ok for one reason.

    Args:
        outcome: failed, unavailable or skipped.
        reason: why.
        attempts: how many.
        hosts: on which, those with most attempts first.
        advice: what to do.
        example: detail of the newest; may hold text of a target.
    """

    outcome: Outcome
    reason: Reason
    attempts: int
    hosts: tuple[str, ...]
    advice: str
    example: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do.

    Args:
        title: what is wrong.
        fix: what to do.
        hosts: where, in inventory order.
        detail: what one of them said; may hold text of a target.
        rank: tasks are listed by it.
    """

    title: str
    fix: str
    hosts: tuple[str, ...] = ()
    detail: str = field(default="", repr=False)
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Offender:
    """A host that fails often.

    Args:
        host: inventory name.
        room: where it is, empty when nobody knows.
        failed: failed attempts.
        reached: attempts that were ok or failed.
        reason: the most frequent one.
    """

    host: str
    room: str
    failed: int
    reached: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class SlowHost:
    """A host on which a probe takes long.

    Args:
        host: inventory name.
        room: where it is.
        probe: the probe's name.
        runs: ok attempts.
        mean_s: of these, in seconds.
        slowest_s: of these, in seconds.
        pool_s: the probe's mean over all hosts.
    """

    host: str
    room: str
    probe: str
    runs: int
    mean_s: float
    slowest_s: float
    pool_s: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which the coordinator did not collect.

    Args:
        from_at: UTC Unix second at which the last iteration before it began.
        to_at: UTC Unix second at which the next one began.
        missed: slots of the schedule in it.
    """

    from_at: float
    to_at: float
    missed: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All a report says that does not need samples."""

    experiment: str
    play: str
    since: float
    until: float
    timezone: str
    iterations: int
    coverage: Coverage
    tasks: tuple[Task, ...]
    probes: tuple[ProbeLine, ...]
    reasons: tuple[ReasonLine, ...]
    offenders: tuple[Offender, ...]
    slowest: tuple[SlowHost, ...]
    alerts: tuple[AlertUpdate, ...]
    gaps: tuple[Gap, ...]
    presence: tuple[HostPresence, ...] = ()
    rooms: Mapping[str, str] = field(default_factory=dict)
