"""Who is told what: alerts of one experiment, its digests, its reports, and what waits in its outbox.

Everything goes through the database: what happened is written with commit 2 or with the end of the
iteration, a digest then tells what nobody was told yet. A crash in between delays a mail, and loses none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ddcplay.alerting.board import Board, HostSeen, IterationView, Taken
from ddcplay.engine.events import AlertChanged, Observers
from ddcplay.engine.post_office import PostOffice
from ddcplay.engine.reporting import Reporting
from ddcplay.model.alert import (
    AlertCheck,
    AlertEvent,
    AlertIdentity,
    AlertUpdate,
    CheckRow,
    Happening,
    Severity,
    Status,
)
from ddcplay.model.effects import MailItem, Outgoing, Push
from ddcplay.model.inventory import Group, Host, Inventory
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.notify.digest import Digest, compose_digest, compose_immediate, digest_push
from ddcplay.notify.message import compose_push
from ddcplay.planning.pattern import select_hosts
from ddcplay.store.base import ChainDone, IterationEffects, StoredEvent
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.units import Clock

IMMEDIATE_MAILS = 20
"""Immediate mails of one iteration; what comes on top joins its digest: 169 PCs must not be 169 mails."""
FLUSH_S = 10.0
"""Seconds at the end of a run for what still waits in the outbox."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an attempt's effects become in commit 2."""

    updates: tuple[AlertUpdate, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    items: tuple[MailItem, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()


class Telling:
    """The alerts of one experiment and what people hear of them; used by one thread at a time.

    Args:
        play: its rules and whom they are told.
        plan: its hosts.
        store: the experiment's database.
        post: what leaves the house; None for nothing (replay, simulation, ad hoc).
        reporting: its periodic reports.
        observers: told of every change of an alert.
        clock: of the process.
        pool: every host of the play, whatever `--limit` left in the plan; None when nothing was left out.
    """

    def __init__(  # noqa: PLR0913 - what the experiment has at hand
        self,
        play: Play,
        plan: Plan,
        store: ExperimentStore,
        post: PostOffice | None,
        reporting: Reporting,
        *,
        observers: Observers,
        clock: Clock,
        pool: Collection[str] | None = None,
    ) -> None:
        self._clock = clock
        self._pool_names = [host.host for host in plan.hosts] if pool is None else pool
        self._blocked = ""
        self._accepted = False
        self._play = play
        self._plan = plan
        self._store = store
        self._post = post
        self._reporting = reporting
        self._observers = observers
        alerts = store.alerts.snapshots()
        self._firing: dict[AlertIdentity, Severity] = {}
        self._keep_count(alerts)
        self._board = Board(plan.experiment, play.alerts, alerts)
        self._seen = dict(store.seen())
        self._on: dict[str, bool | None] = {}
        self._iteration = 0
        self._immediate_mails = 0
        self._loose = Taken()
        self._outbox = None if post is None else post.outbox(store.outbox, play)

    def begin(self) -> None:
        """Close what the playbook or the inventory does not have any more, and begin to send."""
        at = self._clock.now()
        groups = {host.host: host.groups for host in self._plan.hosts}
        taken = self._board.begin(self._rules(), self._pool_names, at, groups)
        self._loose = _joined(self._loose, taken)
        if self._outbox is not None:
            self._outbox.start()

    def note(self, result: AttemptResult) -> None:
        """Take notice of an attempt, whatever its filters say of it."""
        if result.iteration != self._iteration:
            self._iteration = result.iteration
            self._immediate_mails = 0
            self._on = {}
            self._hear(result.started_at)
        if result.reason is Reason.AUTH_BLOCKED:
            self._blocked = self._blocked or result.detail
        self._accepted = self._accepted or result.outcome is Outcome.OK
        if result.on is not None:
            self._on[result.host] = self._on.get(result.host) or result.on

    def attempt(
        self,
        result: AttemptResult,
        checks: Sequence[AlertCheck],
        items: Sequence[MailItem],
        pushes: Sequence[Push],
    ) -> Told:
        """Turn what the filters of one attempt found into what commit 2 writes."""
        taken, self._loose = self._loose, Taken()
        if checks:
            at = result.started_at + result.elapsed_s
            taken = _joined(taken, self._board.check(result.host, result.probe, checks, at))
        self._keep_count(taken.updates)
        urgent = [item for item in items if item.immediate][: IMMEDIATE_MAILS - self._immediate_mails]
        self._immediate_mails += len(urgent)
        outgoing: list[Outgoing] = []
        if self._post is not None:
            outgoing += self._immediate(result, urgent)
            outgoing += [self._pushed(result, number, push) for number, push in enumerate(pushes)]
        later = tuple(item for item in items if item not in urgent)
        return Told(taken.updates, taken.events, later, tuple(outgoing))

    def committed(self, done: Sequence[ChainDone]) -> None:
        """Take note that attempts are through commit 2."""
        for chain in done:
            for event in chain.events:
                self._observers.handle(AlertChanged(event))
        if self._outbox is not None and any(chain.outgoing for chain in done):
            self._outbox.wake()

    def iteration_end(
        self, iteration: int, now: float, states: Mapping[tuple[str, str], object]
    ) -> IterationEffects:
        """Judge the pool as a whole; returns what the end of the iteration writes."""
        self._hear(now)
        seen = {}
        for host in self._plan.hosts:
            last_on, since = self._seen.get(host.host, (None, now))
            on = self._on.get(host.host)
            self._seen[host.host] = (now if on else last_on, since)
            seen[host.host] = HostSeen(on, now if on else last_on, since)
        offline = ""
        if self._post is not None and self._on and not any(self._on.values()):
            offline = self._post.offline([host.target for host in self._plan.hosts])
        rooms: dict[str, list[str]] = {}
        for host in self._plan.hosts:
            rooms.setdefault(host.room, []).append(host.host)
        view = IterationView(
            iteration=iteration,
            at=now,
            hosts=seen,
            rooms=rooms,
            members=self._members,
            groups={host.host: host.groups for host in self._plan.hosts},
            offline=offline,
            timezone=self._play.timezone,
        )
        blocked = self._credential(now)
        taken = _joined(_joined(self._loose, blocked), self._board.iteration_end(view))
        self._loose = Taken()
        self._on = {}
        self._keep_count(taken.updates)
        for event in taken.events:
            self._observers.handle(AlertChanged(event))
        return IterationEffects(states=states, alerts=taken.updates, events=taken.events)

    def _credential(self, now: float) -> Taken:
        """Raise the alert that a credential is blocked, or let it resolve once hosts were collected again."""
        blocked, accepted = self._blocked, self._accepted
        self._blocked, self._accepted = "", False
        if not blocked and not accepted:
            return Taken()
        row = CheckRow("", bool(blocked), blocked)
        check = AlertCheck(Reason.AUTH_BLOCKED.value, (row,), severity=Severity.CRITICAL)
        return self._board.check("", "", [check], now)

    def tell(self, iteration: int, now: float) -> None:
        """Put the digest and the report that are due into the outbox, and give a sign of life.

        Args:
            iteration: that has just ended.
            now: UTC Unix seconds.
        """
        if self._post is None:
            return
        self._tell_waiting(iteration, now)
        reports, until = self._reporting.due(iteration, now)
        if until is not None:
            # On its own and behind the digest: a report takes its time, and may fail.
            self._store.tell(iteration, now, IterationEffects(outgoing=tuple(reports), reported_until=until))
        if self._outbox is not None:
            self._outbox.wake()
        self._post.beat()

    def _tell_waiting(self, iteration: int, now: float, *, last: bool = False) -> None:
        """Put the digest that is due into the outbox; with `last` nothing follows that it could wait for."""
        waiting = self._store.alerts.untold()
        if not waiting or (now - waiting[0].at < self._play.alerts.group_wait_s and not last):
            return
        # While mail is down, reminders would only pile up: what was told stands, and it is reminded of again.
        stale = all(entry.event is not None and entry.event.what is Happening.REPEATED for entry in waiting)
        held = stale and self._store.outbox.waiting() > 0
        outgoing = () if held else tuple(self._digest(iteration, now, waiting))
        told = tuple(entry.id for entry in waiting)
        self._store.tell(iteration, now, IterationEffects(outgoing=outgoing, told=told))
        if self._outbox is not None:
            self._outbox.wake()

    def catch_up(self, now: float) -> None:
        """Tell what a crash kept from being told: the digest that was due then."""
        last = self._store.last_iteration()
        if self._post is not None and last is not None and last.state != "open":
            self._tell_waiting(last.id, now)

    def firing(self) -> Mapping[Severity, int]:
        """Count the alerts that fire now."""
        return dict(Counter(self._firing.values()))

    def close(self, *, at_once: bool = False) -> None:
        """Tell what waited for company, and give the outbox a moment; `at_once` leaves both for next time."""
        if self._outbox is None:
            return
        if at_once:
            self._outbox.close(0.0)
            return
        last = self._store.last_iteration()
        if last is not None and last.state != "open":
            self._tell_waiting(last.id, self._clock.now(), last=True)
        self._outbox.close(FLUSH_S)

    # --- inside

    def _rules(self) -> dict[str, frozenset[str] | None]:
        """Return probe → names of its alert rules, None where code of the user's may raise any."""
        rules: dict[str, frozenset[str] | None] = {}
        for probe in self._play.probes:
            if any(not entry.builtin for entry in probe.filters):
                rules[probe.name] = None
                continue
            options = [entry.options for entry in probe.filters if entry.name == "alert"]
            rules[probe.name] = frozenset(str(each["name"]) for each in options if isinstance(each, Mapping))
        return rules

    def _hear(self, now: float) -> None:
        alerts = self._store.alerts
        taken = self._board.hear(alerts.silences(now), alerts.acknowledged())
        self._loose = _joined(self._loose, taken)

    def _immediate(self, result: AttemptResult, items: Sequence[MailItem]) -> list[Outgoing]:
        assert self._post is not None
        if self._post.sender is None:
            return []
        found = []
        for number, item in enumerate(items):
            recipients = item.to or self._play.alerts.email_to
            entry = StoredEvent(
                number, result.started_at, None, item, result.host, result.probe, result.iteration
            )
            if recipients:
                mail = compose_immediate(
                    result.experiment,
                    self._play.name,
                    self._clean(entry),
                    result,
                    recipients,
                    self._post.sender,
                    timezone=self._play.timezone,
                    max_attachments=self._play.alerts.max_attachments,
                )
                found.append(mail)
        return found

    def _pushed(self, result: AttemptResult, number: int, push: Push) -> Outgoing:
        assert self._post is not None
        where = f"{result.experiment}/{result.iteration}/{result.host}/{push.target}/{number}"
        title, text = self._post.redact(push.title), self._post.redact(push.text)
        return compose_push(push.target, title, text, message_id=where, at=result.started_at)

    def _clean(self, entry: StoredEvent) -> StoredEvent:
        """Take secrets out of what targets printed, before it becomes a mail."""
        assert self._post is not None
        redact = self._post.redact
        if entry.event is not None:
            return replace(entry, event=replace(entry.event, message=redact(entry.event.message)))
        if entry.item is not None:
            item = replace(entry.item, text=redact(entry.item.text), subject=redact(entry.item.subject))
            return replace(entry, item=item)
        return entry

    def _digest(self, iteration: int, now: float, waiting: Sequence[StoredEvent]) -> Sequence[Outgoing]:
        assert self._post is not None
        policy = self._play.alerts
        if not waiting:
            return ()
        digest = Digest(
            experiment=self._plan.experiment,
            play=self._play.name,
            iteration=iteration,
            at=now,
            timezone=self._play.timezone,
            entries=[self._clean(entry) for entry in waiting],
            rooms={host.host: host.room for host in self._plan.hosts},
            recipients=policy.email_to,
            max_hosts=policy.max_hosts,
            attachments=self._reporting.trace_of_digest() if "trace" in policy.attach else (),
            max_attachments=policy.max_attachments,
        )
        mails = compose_digest(digest, self._post.sender) if self._post.sender else ()
        pushes = [digest_push(digest, f"alerts/{number}") for number in range(len(policy.notify))]
        return (*mails, *pushes)

    @cached_property
    def _pool(self) -> Inventory:
        """The play's hosts as an inventory of their own, so that patterns mean what they mean elsewhere."""
        members: dict[str, list[str]] = {}
        for host in self._plan.hosts:
            for name in (*host.groups, "all"):
                members.setdefault(name, []).append(host.host)
        return Inventory(
            {host.host: Host(host.host, host.groups) for host in self._plan.hosts},
            {name: Group(name, tuple(hosts)) for name, hosts in members.items()},
        )

    def _members(self, pattern: str) -> Collection[str]:
        return [host.name for host in select_hosts(self._pool, pattern or "all").hosts]

    def _keep_count(self, updates: Sequence[AlertUpdate]) -> None:
        for update in updates:
            if update.state.status is Status.FIRING:
                self._firing[update.identity] = update.severity
            else:
                self._firing.pop(update.identity, None)


def _joined(one: Taken, other: Taken) -> Taken:
    return Taken((*one.updates, *other.updates), (*one.events, *other.events))
