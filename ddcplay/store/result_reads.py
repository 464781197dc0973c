"""What `ddcplay results` asks for: attempts and samples that fit, newest first when only some are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ddcplay.model.result import AttemptResult
from ddcplay.store import schema
from ddcplay.store.rows import result_from
from ddcplay.store.sample_reads import SampleBatch, sample_batches
from ddcplay.store.shapes import TableShape

_A = schema.attempt.c
_MOST_NAMES = 10_000  # SQLite takes 32,766 values in a statement
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attempts or samples are meant; None and empty: all.

    Args:
        hosts: inventory names.
        probe: the probe's name.
        outcomes: `ok failed unavailable skipped`.
        reasons: such as `timeout`.
        since: UTC Unix seconds; of attempts that started then or later.
        until: UTC Unix seconds; of attempts that started before.
    """

    hosts: frozenset[str] | None = None
    probe: str | None = None
    outcomes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None


def known_hosts(connection: sa.Connection, experiment_id: int) -> tuple[str, ...]:
    """Return every host that was ever asked, by name."""
    table = schema.host.c
    query = sa.select(table.name).where(table.experiment_id == experiment_id).order_by(table.name)
    return tuple(connection.execute(query).scalars())


def attempts(
    connection: sa.Connection, experiment_id: int, experiment: str, wanted: Wanted, *, newest_first: bool
) -> Iterator[AttemptResult]:
    """Stream attempts, outputs left out.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        experiment: its name.
        wanted: which.
        newest_first: else oldest first.
    """
    query = sa.select(schema.attempt).where(_A.experiment_id == experiment_id)
    if wanted.hosts is not None and len(wanted.hosts) <= _MOST_NAMES:
        query = query.where(_A.host.in_(wanted.hosts))
    if wanted.probe is not None:
        query = query.where(_A.probe == wanted.probe)
    if wanted.outcomes:
        query = query.where(_A.outcome.in_(wanted.outcomes))
    if wanted.reasons:
        query = query.where(_A.reason.in_(wanted.reasons))
    if wanted.since is not None:
        query = query.where(_A.started_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(_A.started_at < wanted.until)
    query = query.order_by(_A.id.desc() if newest_first else _A.id)
    for row in connection.execution_options(yield_per=_PAGE).execute(query).mappings():
        if wanted.hosts is None or row["host"] in wanted.hosts:
            yield result_from(dict(row), experiment)


def samples(
    connection: sa.Connection, experiment_id: int, shape: TableShape, wanted: Wanted, *, newest_first: bool
) -> Iterator[dict[str, Any]]:
    """Stream the rows of a stored table: `host`, `iteration`, `started_at` (UTC Unix seconds), its fields.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        shape: of the table.
        wanted: whose samples, and when; the rest is about attempts.
        newest_first: else oldest first.
    """
    span = (wanted.since or 0.0, wanted.until if wanted.until is not None else 2.0**62)
    batches = sample_batches(
        connection, experiment_id, shape.probe, span=span, size=_PAGE, newest_first=newest_first
    )
    for batch in batches:
        if batch.label == shape.label:
            chosen = _of_hosts(batch, wanted.hosts)
            rows = _rows(chosen, shape)
            yield from rows


def _of_hosts(batch: SampleBatch, hosts: frozenset[str] | None) -> SampleBatch:
    if hosts is None:
        return batch
    places = [place for place, host in enumerate(batch.hosts) if host in hosts]

    def picked(values: Sequence[Any]) -> list[Any]:
        return [values[place] for place in places]

    return replace(
        batch,
        hosts=picked(batch.hosts),
        iterations=picked(batch.iterations),
        started_at=picked(batch.started_at),
        data=picked(batch.data),
    )


def _rows(batch: SampleBatch, shape: TableShape) -> Iterator[dict[str, Any]]:
    places, numbers, rows = batch.rows_of(shape)
    for number, row in enumerate(rows):
        place = number if places is None else places[number]
        found: dict[str, Any] = {
            "host": batch.hosts[place],
            "iteration": batch.iterations[place],
            "started_at": batch.started_at[place],
        }
        if numbers:
            found["row"] = numbers[number]
        yield {**found, "data": row}
