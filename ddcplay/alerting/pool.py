"""Rules about the pool, judged when an iteration is over: share, absent, vanish, coordinator offline."""

from __future__ import annotations

from dataclasses import replace

from ddcplay.alerting.book import NOTE_MEMBER, Book, Finding, read_share, share_note
from ddcplay.alerting.vanish import LONGEST_FIRING_S, Watch, is_active, look
from ddcplay.alerting.view import IterationView
from ddcplay.model.alert import AlertCheck, AlertRule, AlertState, AlertUpdate, Severity, Status
from ddcplay.model.playbook import Absent, AlertPolicy, Vanish
from ddcplay.units import format_duration

ABSENT, VANISH, OFFLINE = "absent", "vanish", "coordinator_offline"


def remember_share(book: Book, host: str, probe: str, check: AlertCheck, at: float) -> None:
    """Note one host's part in a rule that counts, and the rule; both are needed after a restart.

    Args:
        book: the alerts.
        host: that brought data.
        probe: whose filter it is.
        check: what the rule found, with its share.
        at: UTC Unix seconds.
    """
    told = [row for row in check.rows if row.bad is not None]
    identity = book.identity(check.name, host)
    for other in book.of(check.name, host):  # the rule was about each host until now
        if other.state.note != NOTE_MEMBER:
            book.close(other.identity, at)
    bad = [row for row in told if row.bad]
    if told:
        status = Status.PENDING if bad else Status.OK
        state = AlertState(status=status, bad_in_a_row=len(bad), note=NOTE_MEMBER)
        message = bad[0].message if bad else ""
        book.put(AlertUpdate(identity, state, check.severity, message, check.runbook, at, probe))
    pool = book.identity(check.name)
    known = book.get(pool) or AlertUpdate(pool, AlertState())
    state = replace(known.state, note=share_note(check))
    book.put(replace(known, state=state, severity=check.severity, runbook=check.runbook, at=at, probe=probe))


def judge_shares(book: Book, view: IterationView) -> None:
    """Count the hosts of each rule that counts, of those that brought data in this iteration."""
    for alert in book.all():
        if alert.identity.host or not alert.probe:
            continue
        share, rule = read_share(alert.state.note)
        members = view.hosts if not share.of else set(view.members(share.of))
        parts = [
            part
            for part in book.all(alert.identity.name)
            if part.state.note == NOTE_MEMBER and part.at >= view.iteration and part.identity.host in members
        ]
        if not parts:
            continue
        bad = [part for part in parts if part.state.bad_in_a_row]
        pct = 100.0 * len(bad) / len(parts)
        message = f"{len(bad)} of {len(parts)} hosts of {share.of or 'the play'} ({pct:.0f} %)"
        if bad:
            # By name: the order in which they came is another one after a restart.
            example = min(bad, key=lambda part: part.identity.host)
            message += f", such as {example.identity.host}"
            message += f": {example.message}" if example.message else ""
        book.observe(
            Finding(
                alert.identity,
                pct > share.over_pct,
                rule,
                alert.severity,
                message,
                alert.runbook,
                alert.probe,
            ),
            view.at,
        )


def judge_absent(book: Book, view: IterationView, absent: Absent, repeat_s: float | None) -> None:
    """Find hosts that were not seen on for too long; being off for less is nothing.

    They are reminded of once per `for` at most: a closed school has no news every few hours.
    """
    if repeat_s is not None:
        repeat_s = max(repeat_s, absent.for_s)
    members = view.hosts if not absent.of else set(view.members(absent.of))
    for alert in book.all(ABSENT):
        # One that this run leaves alone (`--limit`) stays; one that left the inventory is gone by now.
        if alert.identity.host not in members and alert.identity.host not in book.pool - view.hosts.keys():
            book.close(alert.identity, view.at)
    for host, seen in view.hosts.items():
        if host not in members or seen.on is None:
            continue
        identity = book.identity(ABSENT, host)
        off_s = view.at - (seen.since if seen.last_on is None else seen.last_on)
        bad = not seen.on and off_s >= absent.for_s
        if not bad and book.get(identity) is None:
            continue  # nothing is written of hosts that are simply off
        never = "never seen on, first asked for" if seen.last_on is None else "not seen on for"
        ago = " ago" if seen.last_on is None else ""
        message = "on again" if seen.on else f"{never} {format_duration(max(0.0, off_s))}{ago}"
        rule = AlertRule(repeat_s=repeat_s)
        book.observe(Finding(identity, bad, rule, absent.severity, f"{host}: {message}"), view.at)


def judge_vanish(book: Book, view: IterationView, vanish: Vanish, repeat_s: float | None) -> None:
    """Compare each room with how it was, and let a room's alert stand for those of its hosts."""
    rooms = view.rooms if not vanish.of else {vanish.of: view.members(vanish.of)}
    for alert in book.all(VANISH):
        if alert.identity.key not in rooms:
            book.close(alert.identity, view.at)
    active = is_active(vanish.active, view.timezone, view.at)
    for room, hosts in rooms.items():
        identity = book.identity(VANISH, "", room)
        known = book.get(identity) or AlertUpdate(identity, AlertState(), vanish.severity)
        watch = Watch.read(known.state.note)
        # Hosts outside the play are nobody's business here.
        seen = {host: view.hosts[host].on for host in hosts if host in view.hosts}
        found = look(watch, seen, view.at, vanish.over_pct, room=room, active=active)
        fired_at = known.state.fired_at
        old = fired_at is not None and found.bad is True and view.at - fired_at >= LONGEST_FIRING_S
        if found.closed or old:
            book.close(identity, view.at, found.message)
            known, found = AlertUpdate(identity, AlertState(), vanish.severity), replace(found, bad=None)
            found = replace(found, watch=replace(found.watch, lost=(), off=(), rested=False))
        rule = AlertRule(repeat_s=repeat_s)
        book.observe(Finding(identity, found.bad, rule, vanish.severity, found.message), view.at)
        known = book.get(identity) or known
        book.put(replace(known, state=replace(known.state, note=found.watch.note()), at=view.at))
    book.inhibited = inhibited(book)


def inhibited(book: Book) -> frozenset[str]:
    """Return the hosts that are off with their room, whose own alerts are held back."""
    return frozenset(host for alert in book.all(VANISH) for host in Watch.read(alert.state.note).off)


def judge_offline(book: Book, view: IterationView, policy: AlertPolicy) -> bool:
    """Say whether the coordinator is offline by its own evidence; then nothing about the pool is judged."""
    identity = book.identity(OFFLINE)
    if not view.offline:
        if book.get(identity) is not None:
            _observe_offline(book, view, policy, "the coordinator is online again", bad=False)
        return False
    _observe_offline(book, view, policy, f"the coordinator is offline: {view.offline}", bad=True)
    for alert in book.all(VANISH):  # hosts that look off now are not: nothing to compare the next look with
        watch = replace(Watch.read(alert.state.note), on=None)
        book.put(replace(alert, state=replace(alert.state, note=watch.note())))
    return True


def _observe_offline(
    book: Book, view: IterationView, policy: AlertPolicy, message: str, *, bad: bool
) -> None:
    rule = AlertRule(repeat_s=policy.repeat_s)
    book.observe(Finding(book.identity(OFFLINE), bad, rule, Severity.CRITICAL, message), view.at)
