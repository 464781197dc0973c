"""What an alert is: its identity, its rule, its state, and what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

POOL_RULES = frozenset({"absent", "vanish", "coordinator_offline"})
"""Names of rules about the pool; no filter can have them."""


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
        told_since: UTC Unix second at which the firing that humans were told of began, None when they
            believe it is fine; `fired_at` may be over or newer while changes are held back.
        note: what a kind of rule has to remember besides (`vanish`: who was on), opaque to everyone else.
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
    told_since: float | None = None
    note: str = field(default="", repr=False)


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


@dataclass(frozen=True, slots=True)
class Share:
    """A rule that counts: it is bad when more of a group are bad than `over_pct` percent.

    Args:
        of: group or pattern of hosts; empty for all hosts of the play.
        over_pct: percent of those of the group that brought data in this iteration.
    """

    of: str = ""
    over_pct: float = 0.0


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One row of an attempt, held against a rule.

    Args:
        key: the row's value of the rule's `key:`; empty for the record as a whole.
        bad: whether the condition holds; None when it could not be told.
        message: rendered for humans, plain fallback included; may hold text of a target.
    """

    key: str
    bad: bool | None
    message: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AlertCheck:
    """What one rule found on one host in one attempt that reached it.

    Args:
        name: the rule's name.
        rows: what was found.
        rule: how much it takes.
        severity: of the rule.
        runbook: address of what to do, may be empty.
        share: the rule is about a group and not about each host.
        complete: `rows` are all there are: a key that is not among them is gone.
        own_repeat: the rule's `repeat_s` was written; else the play's `repeat_interval` holds.
    """

    name: str
    rows: tuple[CheckRow, ...]
    rule: AlertRule = field(default_factory=AlertRule)
    severity: Severity = Severity.WARNING
    runbook: str = ""
    share: Share | None = None
    complete: bool = False
    own_repeat: bool = False


@dataclass(frozen=True, slots=True)
class AlertUpdate:
    """An alert as it stands after something happened: what table `alert` holds of it.

    Args:
        identity: which alert.
        state: of the machine; a fresh `AlertState` means that its row can go.
        severity: of the rule.
        message: the last one that was rendered.
        runbook: of the rule.
        at: UTC Unix second of the last observation.
        probe: whose filter it is, empty for rules about the pool.
    """

    identity: AlertIdentity
    state: AlertState
    severity: Severity = Severity.WARNING
    message: str = field(default="", repr=False)
    runbook: str = ""
    at: float = 0.0
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts nobody wants to hear of for a while; words are Alertmanager's.

    Args:
        id: its number in the experiment.
        matchers: `name`, `host`, `key`, `severity` or `group` → a glob; all must match.
        starts_at: UTC Unix seconds.
        ends_at: UTC Unix seconds.
        comment: why.
        created_by: who.
    """

    id: int
    matchers: tuple[tuple[str, str], ...]
    starts_at: float
    ends_at: float
    comment: str = ""
    created_by: str = ""
