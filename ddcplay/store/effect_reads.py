"""The statements that read what filters and alerts keep; the coordinator and the command line share them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import sqlalchemy as sa

from ddcplay.model.alert import AlertIdentity, AlertUpdate, Silence
from ddcplay.store import alert_rows, schema
from ddcplay.store.base import StoredEvent, StoredSample
from ddcplay.store.documents import load_document


def snapshots(connection: sa.Connection, experiment_id: int, experiment: str) -> tuple[AlertUpdate, ...]:
    """Return every alert that has a state, by name, host and key."""
    table = schema.alert
    query = (
        sa.select(table)
        .where(table.c.experiment_id == experiment_id)
        .order_by(table.c.name, table.c.host, table.c.key)
    )
    rows = connection.execute(query).mappings()
    return tuple(alert_rows.update_from(dict(row), experiment) for row in rows)


def untold(connection: sa.Connection, experiment_id: int, experiment: str) -> tuple[StoredEvent, ...]:
    """Return events and items that no digest has told, in their order."""
    table = schema.event
    query = (
        sa.select(table)
        .where(table.c.experiment_id == experiment_id, table.c.told_by.is_(None))
        .order_by(table.c.id)
    )
    rows = connection.execute(query).mappings()
    return tuple(alert_rows.event_from(dict(row), experiment) for row in rows)


def history(
    connection: sa.Connection, experiment_id: int, experiment: str, limit: int
) -> tuple[StoredEvent, ...]:
    """Return the newest events of alerts, told or not, oldest first."""
    table = schema.event
    query = (
        sa.select(table)
        .where(table.c.experiment_id == experiment_id, table.c.kind == "alert")
        .order_by(table.c.id.desc())
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    return tuple(alert_rows.event_from(dict(row), experiment) for row in reversed(rows))


def silences(connection: sa.Connection, experiment_id: int, now: float) -> tuple[Silence, ...]:
    """Return silences that are not over, also those that have not begun."""
    table = schema.silence
    query = (
        sa.select(table)
        .where(table.c.experiment_id == experiment_id, table.c.ends_at > now)
        .order_by(table.c.id)
    )
    return tuple(alert_rows.silence_from(dict(row)) for row in connection.execute(query).mappings())


def acknowledged(
    connection: sa.Connection, experiment_id: int, experiment: str
) -> dict[AlertIdentity, float]:
    """Return when alerts were last acknowledged, UTC Unix seconds."""
    table = schema.acknowledgement
    rows = connection.execute(sa.select(table).where(table.c.experiment_id == experiment_id))
    return {AlertIdentity(experiment, row.name, row.host, row.key): row.at for row in rows}


def states(connection: sa.Connection, experiment_id: int) -> dict[tuple[str, str, str], object]:
    """Return filter states by (host, probe, label)."""
    table = schema.filter_state
    rows = connection.execute(sa.select(table).where(table.c.experiment_id == experiment_id))
    return {(row.host, row.probe, row.label): load_document(row.value) for row in rows}


def statics(connection: sa.Connection, experiment_id: int) -> dict[str, dict[str, object]]:
    """Return the facts that hold now: host → field → value."""
    table = schema.static
    query = (
        sa.select(table.c.host, table.c.field, table.c.value)
        .where(table.c.experiment_id == experiment_id, table.c.valid_to.is_(None))
        .order_by(table.c.host, table.c.field)
    )
    found: dict[str, dict[str, object]] = {}
    for row in connection.execute(query):
        found.setdefault(row.host, {})[row.field] = load_document(row.value)
    return found


def last_told(connection: sa.Connection, experiment_id: int) -> int:
    """Return the iteration of the newest event that a digest has told, 0 when there is none."""
    table = schema.event
    query = (
        sa.select(table.c.iteration)
        .where(table.c.experiment_id == experiment_id, table.c.told_by.is_not(None))
        .order_by(table.c.id.desc())
        .limit(1)
    )
    return int(connection.execute(query).scalar() or 0)


def last_report(connection: sa.Connection, experiment_id: int) -> tuple[int, float] | None:
    """Return up to which iteration the last report reaches, and when it was made."""
    table = schema.report
    query = (
        sa.select(table.c.iteration, table.c.made_at)
        .where(table.c.experiment_id == experiment_id)
        .order_by(table.c.iteration.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else (row.iteration, row.made_at)


def samples(
    connection: sa.Connection, experiment_id: int, where: dict[str, str | None], span: tuple[float, float]
) -> Iterator[StoredSample]:
    """Return samples in attempt order, streamed.

    Args:
        connection: for reading.
        experiment_id: whose.
        where: column → value; None for any.
        span: UTC Unix seconds, from and until (not included).
    """
    table = schema.sample
    query = sa.select(table).where(
        table.c.experiment_id == experiment_id, table.c.at >= span[0], table.c.at < span[1]
    )
    for name, value in where.items():
        if value is not None:
            query = query.where(table.c[name] == value)
    query = query.order_by(table.c.attempt, table.c.label)
    for row in connection.execution_options(yield_per=500).execute(query):
        yield StoredSample(
            attempt=row.attempt,
            probe=row.probe,
            label=row.label,
            host=row.host,
            iteration=row.iteration,
            at=row.at,
            data=load_document(row.data),
            key=json.loads(row.key),
        )
