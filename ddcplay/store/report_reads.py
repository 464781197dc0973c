"""The statements behind reports: the database counts, so a month of attempts never becomes Python rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import sqlalchemy as sa

from ddcplay.model.alert import Status
from ddcplay.model.report import AttemptCount, HostPresence, IterationSpan, ReportData, UsageSample, Visit
from ddcplay.model.result import Outcome, Reason
from ddcplay.store import schema
from ddcplay.store.effect_reads import snapshots

_ATTEMPT = schema.attempt.c
_LAST = 2**62  # above every iteration id
_PAGE = 2000  # rows fetched at once
_USAGE_FIELDS = frozenset({"occupied", "uptime_s"})  # nobody else's samples have both


def report_data(
    connection: sa.Connection,
    experiment_id: int,
    since: int | None = None,
    until: int | None = None,
) -> ReportData:
    """Count a period of an experiment; alerts are those that fire now, whatever the period.

    Args:
        connection: for reading.
        experiment_id: row of table `experiment`.
        since: iteration id from which on (included), None for the first.
        until: iteration id up to which (included), None for the newest.
    """
    experiment = connection.execute(
        sa.select(schema.experiment).where(schema.experiment.c.id == experiment_id)
    ).one()
    period = (since or 0, _LAST if until is None else until)
    alerts = snapshots(connection, experiment_id, experiment.name)
    spans = _iterations(connection, experiment_id, period)
    return ReportData(
        experiment=experiment.name,
        play=experiment.play,
        began_at=experiment.began_at,
        since=spans[0].id if spans else period[0],
        until=spans[-1].id if spans else period[0],
        iterations=spans,
        counts=_counts(connection, experiment_id, period),
        presence=_presence(connection, experiment_id, period),
        alerts=tuple(alert for alert in alerts if alert.state.status is Status.FIRING),
    )


def visits(connection: sa.Connection, experiment_id: int, since: int, until: int) -> Iterator[Visit]:
    """Stream every host that was asked, iteration by iteration.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        since: iteration id from which on (included).
        until: iteration id up to which (included).
    """
    query = _by_visit(experiment_id, (since, until)).order_by(_ATTEMPT.iteration)
    rows = connection.execution_options(yield_per=_PAGE).execute(query)
    for iteration, host, asked, on, collected, _on_at in rows:  # by place: there are half a million
        if asked:
            yield Visit(iteration, host, bool(on), bool(collected))


def usage_probe(connection: sa.Connection, experiment_id: int) -> str | None:
    """Return the probe whose samples are those of `w32probe`, None when there is none."""
    c = schema.sample.c
    probes = connection.execute(sa.select(c.probe).where(c.experiment_id == experiment_id).distinct())
    for probe in sorted(probes.scalars()):
        newest = sa.select(c.data).where(c.experiment_id == experiment_id, c.probe == probe)
        text = connection.execute(newest.order_by(c.attempt.desc()).limit(1)).scalar()
        data = orjson.loads(text or "null")
        if isinstance(data, dict) and data.keys() >= _USAGE_FIELDS:
            return str(probe)
    return None


def usage_samples(
    connection: sa.Connection, experiment_id: int, probe: str, since: int, until: int
) -> Iterator[UsageSample]:
    """Stream what `w32probe` told, in order of time.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        probe: as `usage_probe` found it.
        since: iteration id from which on (included).
        until: iteration id up to which (included).
    """
    c = schema.sample.c
    query = (
        sa.select(c.host, c.iteration, c.at, c.data)
        .where(c.experiment_id == experiment_id, c.probe == probe, c.iteration.between(since, until))
        .order_by(c.attempt)
    )
    for host, iteration, at, text in connection.execution_options(yield_per=_PAGE).execute(query):
        data = orjson.loads(text)
        if isinstance(data, dict):
            yield UsageSample(host, iteration, at, data)


def last_playbook(connection: sa.Connection, experiment_id: int) -> str:
    """Return the path of the playbook of the newest iteration, as it was named; empty before the first."""
    c = schema.iteration.c
    query = sa.select(c.playbook_path).where(c.experiment_id == experiment_id).order_by(c.id.desc()).limit(1)
    return connection.execute(query).scalar() or ""


def _iterations(
    connection: sa.Connection, experiment_id: int, period: tuple[int, int]
) -> tuple[IterationSpan, ...]:
    c = schema.iteration.c
    query = (
        sa.select(c.id, c.started_at, c.closed_at, c.state, c.pairs, c.remote_s, c.missed)
        .where(c.experiment_id == experiment_id, c.id.between(*period))
        .order_by(c.id)
    )
    return tuple(IterationSpan(**row) for row in connection.execute(query).mappings())


def _counts(
    connection: sa.Connection, experiment_id: int, period: tuple[int, int]
) -> tuple[AttemptCount, ...]:
    alike = (
        sa.select(
            sa.func.count().label("count"),
            sa.func.sum(_ATTEMPT.elapsed_s).label("elapsed_s"),
            sa.func.max(_ATTEMPT.elapsed_s).label("slowest_s"),
            sa.func.max(_ATTEMPT.id).label("last_id"),
        )
        .where(_ATTEMPT.experiment_id == experiment_id, _ATTEMPT.iteration.between(*period))
        .group_by(_ATTEMPT.host, _ATTEMPT.probe, _ATTEMPT.outcome, _ATTEMPT.reason)
        .subquery()
    )
    # The newest of each kind brings host, probe, outcome and reason itself: only its number is carried.
    query = (
        sa.select(
            alike,
            _ATTEMPT.host,
            _ATTEMPT.probe,
            _ATTEMPT.outcome,
            _ATTEMPT.reason,
            _ATTEMPT.started_at,
            _ATTEMPT.was_on,
            _ATTEMPT.detail,
            _ATTEMPT.hint,
        )
        .join(
            schema.attempt, sa.and_(_ATTEMPT.experiment_id == experiment_id, _ATTEMPT.id == alike.c.last_id)
        )
        .order_by(_ATTEMPT.probe, _ATTEMPT.host, _ATTEMPT.outcome, _ATTEMPT.reason)
    )
    return tuple(_count_from(row) for row in connection.execute(query).mappings())


def _count_from(row: sa.RowMapping) -> AttemptCount:
    return AttemptCount(
        host=row["host"],
        probe=row["probe"],
        outcome=Outcome(row["outcome"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        count=row["count"],
        elapsed_s=row["elapsed_s"],
        slowest_s=row["slowest_s"],
        last_at=row["started_at"],
        last_id=row["last_id"],
        on=row["was_on"],
        detail=row["detail"],
        hint=row["hint"],
    )


def _by_visit(experiment_id: int, period: tuple[int, int]) -> sa.Select[*tuple[Any, ...]]:
    """One row per host and iteration: whether it was asked, seen on, collected."""
    on = _ATTEMPT.was_on == sa.true()
    return (
        sa.select(
            _ATTEMPT.iteration,
            _ATTEMPT.host,
            _any(_ATTEMPT.outcome != Outcome.SKIPPED.value).label("asked"),
            _any(on).label("seen_on"),
            _any(_ATTEMPT.outcome == Outcome.OK.value).label("collected"),
            sa.func.max(sa.case((on, _ATTEMPT.started_at))).label("on_at"),
        )
        .where(_ATTEMPT.experiment_id == experiment_id, _ATTEMPT.iteration.between(*period))
        .group_by(_ATTEMPT.iteration, _ATTEMPT.host)
    )


def _any(condition: sa.ColumnElement[bool]) -> sa.Function[int]:
    return sa.func.max(sa.case((condition, 1), else_=0))


def _presence(
    connection: sa.Connection, experiment_id: int, period: tuple[int, int]
) -> tuple[HostPresence, ...]:
    visit = _by_visit(experiment_id, period).subquery()
    query = (
        sa.select(
            visit.c.host,
            sa.func.sum(visit.c.asked).label("asked"),
            sa.func.sum(visit.c.asked * visit.c.seen_on).label("on"),
            sa.func.sum(visit.c.collected).label("collected"),
            sa.func.max(visit.c.on_at).label("last_on"),
        )
        .group_by(visit.c.host)
        .order_by(visit.c.host)
    )
    rank = _host_order(connection, experiment_id, period[1])
    found = [HostPresence(**row) for row in connection.execute(query).mappings()]
    return tuple(sorted(found, key=lambda host: rank.get(host.host, len(rank))))


def _host_order(connection: sa.Connection, experiment_id: int, until: int) -> Mapping[str, int]:
    """Return host → its place in the inventory of the newest iteration; others come last, by name."""
    c = schema.iteration.c
    hosts = connection.execute(
        sa.select(schema.roster.c.hosts)
        .join(schema.iteration, c.roster_digest == schema.roster.c.digest)
        .where(c.experiment_id == experiment_id, c.id <= until)
        .order_by(c.id.desc())
        .limit(1)
    ).scalar()
    return {name: rank for rank, name in enumerate(json.loads(hosts or "[]"))}
