"""The board of one experiment's alerts: observations and views in, changed alerts and events out.

Pure: no clock, no store, no mail. Everything it must know after a restart is in the `AlertUpdate`s it gave,
so a board made of them goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from ddcplay.alerting import pool
from ddcplay.alerting.book import NOTE_MEMBER, Book, Finding, Taken
from ddcplay.alerting.machine import acknowledge
from ddcplay.alerting.view import HostSeen, IterationView
from ddcplay.model.alert import (
    POOL_RULES,
    AlertCheck,
    AlertIdentity,
    AlertUpdate,
    CheckRow,
    Silence,
    Status,
)
from ddcplay.model.playbook import AlertPolicy

__all__ = ["Board", "HostSeen", "IterationView", "Taken"]

MAX_KEY = 200
MAX_MESSAGE = 2000
"""Characters; both may come from a target."""


class Board:
    """All alerts of one experiment.

    Args:
        experiment: its name.
        policy: the play's `alerts:`.
        alerts: as the database has them.
        silences: as people have asked for.
    """

    def __init__(
        self,
        experiment: str,
        policy: AlertPolicy,
        alerts: Iterable[AlertUpdate] = (),
        silences: Sequence[Silence] = (),
    ) -> None:
        self._policy = policy
        self._book = Book(experiment, alerts, silences)
        self._book.inhibited = pool.inhibited(self._book)

    def begin(
        self,
        rules: Mapping[str, frozenset[str] | None],
        hosts: Collection[str],
        at: float,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> Taken:
        """Begin a run: alerts of what is not there any more close as `gone`.

        Args:
            rules: probe → names of its `alert` filters, None where user code may raise any.
            hosts: of the play.
            at: UTC Unix seconds.
            groups: host → its groups, for silences, until the first iteration ends.
        """
        if groups is not None:
            self._book.groups = groups
        known = frozenset(hosts)
        self._book.pool = known
        homes = {name: probe for probe, names in rules.items() for name in names or ()}
        for alert in self._book.all():
            new_home = homes.get(alert.identity.name)
            if alert.probe and alert.probe not in rules and new_home:  # the probe has another name now
                self._book.put(replace(alert, probe=new_home))
            elif not self._is_there(alert, rules, known):
                self._book.close(alert.identity, at)
        return self._book.take()

    def check(self, host: str, probe: str, checks: Sequence[AlertCheck], at: float) -> Taken:
        """Take what one attempt found that reached the host.

        Args:
            host: inventory name; empty for what the engine itself finds about the pool.
            probe: the attempt's; empty as `host`.
            checks: of its filters, in order; rows of one name and key are one observation, the worst counts.
            at: UTC Unix seconds.
        """
        merged: dict[str, tuple[AlertCheck, dict[str, CheckRow]]] = {}
        for check in checks:
            name = _name(probe, check.name)
            first, rows = merged.setdefault(name, (replace(check, name=name), {}))
            merged[name] = (replace(first, complete=first.complete or check.complete), rows)
            for row in check.rows:
                key = _clean(row.key, MAX_KEY)
                kept = rows.get(key)
                if kept is None or _rank(row.bad) > _rank(kept.bad):
                    rows[key] = CheckRow(key, row.bad, _clean(row.message.strip(), MAX_MESSAGE))
        for check, rows in merged.values():
            self._check(host, probe, self._with_repeat(check, rows), at)
        return self._book.take()

    def iteration_end(self, view: IterationView) -> Taken:
        """Judge the rules about the pool, and tell what nothing holds back any more.

        Raises:
            UsageError: `vanish`'s `active` is no cron expression.
        """
        book, policy = self._book, self._policy
        book.groups = view.groups
        if not pool.judge_offline(book, view, policy):
            whole = book.pool <= view.hosts.keys()
            if policy.vanish is not None and whole:
                pool.judge_vanish(book, view, policy.vanish, policy.repeat_s)
            if whole:  # what a run with --limit sees says nothing about a room or a share
                pool.judge_shares(book, view)
            if policy.absent is not None:
                pool.judge_absent(book, view, policy.absent, policy.repeat_s)
            book.settle(view.at)
        return book.take()

    def hear(self, silences: Sequence[Silence], acknowledged: Mapping[AlertIdentity, float]) -> Taken:
        """Take note of what people have asked for since.

        Args:
            silences: all of them; the end of one is told when an iteration ends or its alert is observed.
            acknowledged: alert → UTC Unix second; one older than the firing is of an earlier one.
        """
        self._book.silences = tuple(silences)
        for identity, at in acknowledged.items():
            alert = self._book.get(identity)
            if alert is not None and at >= (alert.state.fired_at or at):
                self._book.put(replace(alert, state=acknowledge(alert.state)))
        return self._book.take()

    def firing(self) -> tuple[AlertUpdate, ...]:
        """Return the alerts that fire now, told or not."""
        return tuple(each for each in self._book.all() if each.state.status is Status.FIRING)

    def _check(self, host: str, probe: str, check: AlertCheck, at: float) -> None:
        book = self._book
        if check.share is not None:
            pool.remember_share(book, host, probe, check, at)
            return
        about_all = book.get(book.identity(check.name))
        if host and about_all is not None and about_all.probe == probe:  # the rule counted until now
            self._close_rule(check.name, probe, at)
        for row in check.rows:
            identity = book.identity(check.name, host, row.key)
            finding = Finding(
                identity, row.bad, check.rule, check.severity, row.message, check.runbook, probe
            )
            book.observe(finding, at)
        if check.complete:
            keys = {row.key for row in check.rows}
            for alert in book.of(check.name, host):
                if alert.identity.key not in keys and alert.probe == probe:
                    book.close(alert.identity, at)

    def _close_rule(self, name: str, probe: str, at: float) -> None:
        for alert in self._book.all(name):
            if alert.probe == probe and (not alert.identity.host or alert.state.note == NOTE_MEMBER):
                self._book.close(alert.identity, at)

    def _with_repeat(self, check: AlertCheck, rows: Mapping[str, CheckRow]) -> AlertCheck:
        rule = check.rule if check.own_repeat else replace(check.rule, repeat_s=self._policy.repeat_s)
        return replace(check, rows=tuple(rows.values()), rule=rule)

    def _is_there(
        self, alert: AlertUpdate, rules: Mapping[str, frozenset[str] | None], hosts: frozenset[str]
    ) -> bool:
        identity = alert.identity
        if identity.host and identity.host not in hosts:
            return False
        if alert.probe:
            names = rules.get(alert.probe, frozenset())
            return names is None or identity.name in names
        if identity.name == pool.ABSENT:
            return self._policy.absent is not None
        return identity.name != pool.VANISH or self._policy.vanish is not None


def _name(probe: str, name: str) -> str:
    """Return a rule's name; the names of rules about the pool are taken."""
    name = _clean(name, MAX_KEY)
    return f"{probe}/{name}" if name in POOL_RULES else name


def _rank(bad: bool | None) -> int:  # noqa: FBT001 - the observation itself
    return {None: 0, False: 1, True: 2}[bad]


def _clean(text: str, limit: int) -> str:
    """Return text that every database takes: no NUL, no lone surrogates, bounded."""
    return text[:limit].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
