"""What an alert is: its identity, its rule, its state, and what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad, in Prometheus' usual words."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Status(StrEnum):
    """Where an alert stands between two observations."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"


class Happening(StrEnum):
    """What a human may have to hear of."""

    FIRED = "fired"
    REPEATED = "repeated"
    RESOLVED = "resolved"
    GONE = "gone"
    FLAPPING = "flapping"


@dataclass(frozen=True, slots=True)
class AlertIdentity:
    """Which alert: one rule on one host, and one row of it.

    Args:
        experiment: the experiment's name.
        name: the rule's name.
        host: inventory name, empty for a rule about the whole pool.
        key: the row's value of the rule's `key:`, empty without `each:`.
    """

    experiment: str
    name: str
    host: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """How much it takes to fire and to resolve (design §5).

    Args:
        after: observations in a row that must be bad, at least 1; only those that reached the host count.
        for_s: seconds the condition must have been bad, besides.
        clear_after: observations in a row that must be good before it resolves, at least 1.
        repeat_s: seconds between reminders while it fires, None for no reminders.
    """

    after: int = 1
    for_s: float = 0.0
    clear_after: int = 1
    repeat_s: float | None = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class AlertState:
    """All that must survive a restart.

    Args:
        status: ok, pending or firing.
        bad_in_a_row: bad observations since the last good one.
        good_in_a_row: good observations since the last bad one.
        bad_since: UTC Unix second of the first bad one of the row, None while good.
        fired_at: UTC Unix second at which it fired, None while it does not.
        notified_at: UTC Unix second of the last fired, repeated or flapping that was told.
        told_firing: whether humans were last told that it fires.
        acknowledged: a human has taken it; no reminders until it resolves.
        history: the last 21 observations, `x` bad, `.` good, oldest first.
        flapping: it changes so often that single changes are not told.
    """

    status: Status = Status.OK
    bad_in_a_row: int = 0
    good_in_a_row: int = 0
    bad_since: float | None = None
    fired_at: float | None = None
    notified_at: float | None = None
    told_firing: bool = False
    acknowledged: bool = False
    history: str = ""
    flapping: bool = False


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened to an alert and is to be told.

    Args:
        identity: which alert.
        what: fired, repeated, resolved, gone or flapping.
        at: UTC Unix seconds.
        severity: of the rule.
        message: rendered for humans; may hold text of a target.
        runbook: address of what to do, may be empty.
        since: UTC Unix second at which it began to fire, None for one that never did.
    """

    identity: AlertIdentity
    what: Happening
    at: float
    severity: Severity = Severity.WARNING
    message: str = field(default="", repr=False)
    runbook: str = ""
    since: float | None = None
