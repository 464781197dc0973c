"""What a report is made of: figures the store counts, so that a report never sees SQL or single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ddcplay.model.alert import AlertUpdate
from ddcplay.model.result import Outcome, Reason


@dataclass(frozen=True, slots=True)
class IterationSpan:
    """One pass over the pool, without its attempts.

    Args:
        id: UTC Unix second of its start.
        started_at: UTC Unix seconds.
        closed_at: UTC Unix seconds, None while open.
        state: `open`, `closed` or `interrupted`.
        pairs: (host, probe) pairs that were due.
        remote_s: seconds from its start to its last attempt, None while open.
        missed: slots of the schedule that passed before it without an iteration.
    """

    id: int
    started_at: float
    closed_at: float | None = None
    state: str = "closed"
    pairs: int = 0
    remote_s: float | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """All attempts of one probe on one host that ended alike.

    Args:
        host: inventory name.
        probe: the probe's name.
        outcome: ok, failed, unavailable or skipped.
        reason: None exactly when ok.
        count: attempts.
        elapsed_s: seconds of all of them together.
        slowest_s: seconds of the longest.
        last_at: UTC Unix second at which the newest began.
        last_id: number of the newest, growing within the experiment.
        on: the newest saw the machine switched on; None when nobody looked.
        detail: of the newest, one line; may hold text of a target.
        hint: of the newest: what an admin can do.
    """

    host: str
    probe: str
    outcome: Outcome
    reason: Reason | None
    count: int
    elapsed_s: float = 0.0
    slowest_s: float = 0.0
    last_at: float = 0.0
    last_id: int = 0
    on: bool | None = None
    detail: str = field(default="", repr=False)
    hint: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HostPresence:
    """How often a host was there, counted in iterations.

    Args:
        host: inventory name.
        asked: iterations in which at least one probe was tried (not all skipped).
        on: iterations in which it was seen switched on.
        collected: iterations in which at least one probe was ok.
        last_on: UTC Unix second of the last attempt that saw it on, None for never.
    """

    host: str
    asked: int
    on: int
    collected: int
    last_on: float | None = None


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report of a period needs, counted.

    Args:
        experiment: the experiment's name.
        play: the play's name.
        began_at: UTC Unix second at which the experiment began.
        since: iteration id from which on (included).
        until: iteration id up to which (included).
        iterations: of the period, oldest first.
        counts: attempts by host, probe, outcome and reason.
        presence: by host, in inventory order of the newest iteration.
        alerts: those that fire now.
        timezone: IANA name for times that people read.
        rooms: host → room; empty when nobody knows rooms.
    """

    experiment: str
    play: str
    began_at: float
    since: int
    until: int
    iterations: tuple[IterationSpan, ...] = ()
    counts: tuple[AttemptCount, ...] = ()
    presence: tuple[HostPresence, ...] = ()
    alerts: tuple[AlertUpdate, ...] = ()
    timezone: str = "UTC"
    rooms: tuple[tuple[str, str], ...] = ()


class Visit(NamedTuple):
    """One host in one iteration, as a report counts it; a tuple, because there are half a million of them.

    Args:
        iteration: its id.
        host: inventory name.
        on: it was seen switched on.
        collected: at least one probe was ok.
    """

    iteration: int
    host: str
    on: bool
    collected: bool


class UsageSample(NamedTuple):
    """What `w32probe` told of one host in one iteration.

    Args:
        host: inventory name.
        iteration: its id.
        at: UTC Unix second at which the attempt began.
        data: fields of the codebook; values of a target, so of any type.
    """

    host: str
    iteration: int
    at: float
    data: Mapping[str, object]
