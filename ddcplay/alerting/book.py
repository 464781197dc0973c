"""The alerts of one experiment as they stand, and what is held back: silences and inhibitions.

`machine` knows one alert; this knows all of them and whether people may hear of each. What is held back goes
on in its state and is told once nothing holds it and it is still so (design §5).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ddcplay.alerting.machine import close, observe
from ddcplay.alerting.silence import covering
from ddcplay.model.alert import (
    AlertCheck,
    AlertEvent,
    AlertIdentity,
    AlertRule,
    AlertState,
    AlertUpdate,
    Happening,
    Severity,
    Share,
    Silence,
    Status,
)

NOTE_GONE = "gone"
"""Note of an alert that has ended while it was held back: people still have to hear of it."""
NOTE_MEMBER = "share"
"""Note of one host's part in a rule that counts: it is never told by itself."""

_HEALTHY = AlertState(history=".")


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of something that was taken in: to be written in the same transaction.

    Args:
        updates: alerts that changed; a fresh state means that the row can go.
        events: what is to be told, in order.
    """

    updates: tuple[AlertUpdate, ...] = ()
    events: tuple[AlertEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation of one alert.

    Args:
        identity: which alert.
        bad: whether its condition holds, None when it cannot be told.
        rule: how much it takes.
        severity: of the rule.
        message: rendered for humans.
        runbook: address of what to do.
        probe: whose filter it is, empty for rules about the pool.
    """

    identity: AlertIdentity
    bad: bool | None
    rule: AlertRule = field(default_factory=AlertRule)
    severity: Severity = Severity.WARNING
    message: str = field(default="", repr=False)
    runbook: str = ""
    probe: str = ""


class Book:
    """All alerts of one experiment.

    Args:
        experiment: its name.
        alerts: as the database has them.
        silences: as people have asked for.
    """

    def __init__(
        self, experiment: str, alerts: Iterable[AlertUpdate], silences: Sequence[Silence] = ()
    ) -> None:
        self.experiment = experiment
        self.silences = tuple(silences)
        self.groups: Mapping[str, Sequence[str]] = {}
        """Host → its groups."""
        self.pool: frozenset[str] = frozenset()
        """Every host of the play, those too that this run leaves alone."""
        self.inhibited: frozenset[str] = frozenset()
        """Hosts whose alerts a greater one stands for."""
        self._alerts: dict[AlertIdentity, AlertUpdate] = {}
        self._of: dict[tuple[str, str], dict[AlertIdentity, None]] = {}
        """Rule and host → alerts, in the order in which they came up: a check looks at its own only."""
        for alert in alerts:
            if alert.state != AlertState():
                self._enter(alert)
        self._changed: dict[AlertIdentity, AlertUpdate] = {}
        self._events: list[AlertEvent] = []

    def identity(self, name: str, host: str = "", key: str = "") -> AlertIdentity:
        """Return the identity of an alert of this experiment."""
        return AlertIdentity(self.experiment, name, host, key)

    def get(self, identity: AlertIdentity) -> AlertUpdate | None:
        """Return an alert as it stands, None when nothing is known of it."""
        return self._alerts.get(identity)

    def all(self, name: str | None = None) -> tuple[AlertUpdate, ...]:
        """Return all alerts, or those of one rule."""
        return tuple(each for each in self._alerts.values() if name is None or each.identity.name == name)

    def of(self, name: str, host: str) -> tuple[AlertUpdate, ...]:
        """Return the alerts of one rule on one host."""
        return tuple(self._alerts[identity] for identity in self._of.get((name, host), ()))

    def put(self, alert: AlertUpdate) -> None:
        """Set an alert as it stands; nothing is told."""
        old = self._alerts.get(alert.identity)
        if old is not None and replace(old, at=alert.at) == alert and not _counts_time(alert):
            return
        self._changed[alert.identity] = alert
        if alert.state == AlertState():
            self._remove(alert.identity)
        else:
            self._enter(alert)

    def observe(self, finding: Finding, at: float) -> None:
        """Take one observation of one alert, and tell what is to be told."""
        if finding.bad is None:
            return
        known = self._alerts.get(finding.identity)
        if known is not None and not finding.bad and known.state == _HEALTHY:
            return  # as nearly all observations are
        old = known.state if known else AlertState()
        if old.note in {NOTE_GONE, NOTE_MEMBER}:
            old = replace(old, note="")
        new, happenings = observe(finding.rule, old, finding.bad, at)
        alert = AlertUpdate(
            finding.identity, new, finding.severity, finding.message, finding.runbook, at, finding.probe
        )
        last_message = known.message if known else ""
        if not finding.message:
            alert = replace(alert, message=last_message)
        kept_back = _untold(old, new)
        if kept_back != new and self.held(alert, at):
            alert, happenings = replace(alert, state=kept_back), ()
        self._tell(alert, old, happenings)
        if not finding.bad:
            # Reminders and late news say what was wrong, not what a good observation says.
            alert = replace(alert, message=last_message if _matters(alert.state) else "")
        self.put(replace(alert, state=_settled(alert.state)))

    def close(self, identity: AlertIdentity, at: float, message: str = "") -> None:
        """End an alert whose rule, host or row is no longer there.

        Args:
            identity: which; one that is unknown is left alone.
            at: UTC Unix seconds.
            message: why, for people; empty for the last message.
        """
        known = self._alerts.get(identity)
        if known is None:
            return
        known = replace(known, message=message or known.message, at=at)
        state, happenings = close(known.state)
        if happenings and self.held(known, at):
            told = AlertState(told_firing=True, told_since=known.state.told_since, note=NOTE_GONE)
            self.put(replace(known, state=told))
            return
        closed = replace(known, state=state)
        self._tell(closed, known.state, happenings)
        self.put(closed)

    def settle(self, at: float) -> None:
        """Tell what was held back and is still so, now that nothing holds it any more."""
        for alert in self.all():
            state = alert.state
            fires = state.status is Status.FIRING
            believed = fires == state.told_firing or state.status is Status.PENDING
            if believed or state.flapping or state.note == NOTE_MEMBER or self.held(alert, at):
                continue
            if state.note == NOTE_GONE:
                self.close(alert.identity, at)
            elif fires:
                told = replace(state, told_firing=True, notified_at=at, told_since=state.fired_at)
                self._retell(replace(alert, state=told, at=at), state, Happening.FIRED)
            else:
                told = _settled(replace(state, told_firing=False, notified_at=None, told_since=None))
                self._retell(replace(alert, state=told, at=at), state, Happening.RESOLVED)

    def held(self, alert: AlertUpdate, at: float) -> bool:
        """Say whether people are not to hear of an alert now."""
        identity = alert.identity
        if identity.host and identity.host in self.inhibited:
            return True
        groups = groups_of(alert, self.groups)
        return covering(self.silences, identity, alert.severity, groups, at) is not None

    def take(self) -> Taken:
        """Return what has changed and is to be told since the last call."""
        taken = Taken(tuple(self._changed.values()), tuple(self._events))
        self._changed, self._events = {}, []
        return taken

    def _enter(self, alert: AlertUpdate) -> None:
        identity = alert.identity
        self._alerts[identity] = alert
        self._of.setdefault((identity.name, identity.host), {})[identity] = None

    def _remove(self, identity: AlertIdentity) -> None:
        if self._alerts.pop(identity, None) is not None:
            self._of[identity.name, identity.host].pop(identity)

    def _retell(self, alert: AlertUpdate, old: AlertState, what: Happening) -> None:
        self._tell(alert, old, (what,))
        self.put(alert)

    def _tell(self, alert: AlertUpdate, old: AlertState, happenings: Iterable[Happening]) -> None:
        for what in happenings:
            ended = what in {Happening.RESOLVED, Happening.GONE}
            since = old.told_since if ended else alert.state.fired_at
            self._events.append(
                AlertEvent(
                    alert.identity, what, alert.at, alert.severity, alert.message, alert.runbook, since
                )
            )


def groups_of(alert: AlertUpdate, groups: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the groups an alert is about, for silences: its host's, or the one a rule about the pool names.

    Args:
        alert: any.
        groups: host → its groups.
    """
    if alert.identity.host:
        return groups.get(alert.identity.host, ())
    of = read_share(alert.state.note)[0].of if alert.probe and alert.state.note else ""
    return tuple(each for each in (alert.identity.key, of) if each)


def share_note(check: AlertCheck) -> str:
    """Write a rule that counts as the note of its alert: it is judged when no check is at hand."""
    share, rule = check.share or Share(), check.rule
    values = [share.of, share.over_pct, rule.after, rule.for_s, rule.clear_after, rule.repeat_s]
    return json.dumps(values, separators=(",", ":"))


def read_share(note: str) -> tuple[Share, AlertRule]:
    """Read what `share_note` wrote; anything else counts nothing."""
    try:
        of, over_pct, after, for_s, clear_after, repeat_s = json.loads(note)
        return Share(of, over_pct), AlertRule(after, for_s, clear_after, repeat_s)
    except (ValueError, TypeError):
        return Share("", 100.0), AlertRule()


def _untold(old: AlertState, new: AlertState) -> AlertState:
    """Return the new state with what people believe left as it was.

    Flapping may end meanwhile but not begin, so that its beginning is told once nothing holds it back.
    """
    return replace(
        new,
        told_firing=old.told_firing,
        notified_at=old.notified_at,
        told_since=old.told_since,
        flapping=old.flapping and new.flapping,
    )


def _settled(state: AlertState) -> AlertState:
    """Leave out what an alert that is fine does not need, so that a healthy fleet writes nothing.

    Good observations in a row count only while it fires, and good ones before the first bad one weigh nothing
    in flapping but the change itself.
    """
    if state.status is not Status.OK:
        return state
    history = state.history if "x" in state.history else state.history[-1:]
    return replace(state, good_in_a_row=0, history=history)


def _matters(state: AlertState) -> bool:
    return state.status is not Status.OK or state.told_firing


def _counts_time(alert: AlertUpdate) -> bool:
    """Say whether the time of the last observation matters: of a host's part in a rule that counts."""
    return alert.state.note == NOTE_MEMBER
