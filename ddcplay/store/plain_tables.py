"""The tables of an experiment besides its samples, column by column: for exports and data frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import orjson
import sqlalchemy as sa

from ddcplay.store import schema

PlainType = Literal["truth", "integer", "number", "text", "moment", "json"]
"""`moment`: UTC Unix seconds."""


@dataclass(frozen=True, slots=True)
class PlainColumn:
    """One column.

    Args:
        name: in exports and frames.
        type: of its values.
        unit: empty where there is none.
        note: for the codebook.
        source: column of the database when it has another name there.
    """

    name: str
    type: PlainType
    unit: str = ""
    note: str = ""
    source: str = ""


_ITERATION = PlainColumn("iteration", "integer", "s", "id of the pass: UTC Unix second of its start")
_HOST = PlainColumn("host", "text", note="inventory name")
PLAIN_TABLES: dict[str, tuple[PlainColumn, ...]] = {
    "iterations": (
        PlainColumn("iteration", "integer", "s", _ITERATION.note, "id"),
        PlainColumn("started_at", "moment"),
        PlainColumn("closed_at", "moment", note="null while it runs"),
        PlainColumn("state", "text", note="open, closed, interrupted"),
        PlainColumn("pairs", "integer", note="pairs of host and probe that were due"),
        PlainColumn("remote_s", "number", "s", "from its start to the end of its last attempt"),
        PlainColumn("missed", "integer", note="slots of the schedule that passed without an iteration"),
        PlainColumn("playbook_path", "text"),
        PlainColumn("playbook_digest", "text", note="SHA-256 of the playbook's text"),
        PlainColumn("git_commit", "text", note="empty outside a repository"),
        PlainColumn("git_dirty", "truth", note="there were changes that were not committed"),
        PlainColumn("versions", "json", note="of ddcplay, Python and the libraries that matter"),
    ),
    "attempts": (
        _ITERATION,
        _HOST,
        PlainColumn("probe", "text"),
        PlainColumn("outcome", "text", note="ok, failed, unavailable, skipped"),
        PlainColumn("reason", "text", note="null when it is ok"),
        PlainColumn("was_on", "truth", note="the machine was on, collected or not; null: nobody looked"),
        PlainColumn("started_at", "moment"),
        PlainColumn("elapsed_s", "number", "s", "on the remote side"),
        PlainColumn("timeout_s", "number", "s", "what it was given"),
        PlainColumn("tries", "integer"),
        PlainColumn("exit_code", "integer", note="unsigned 32 bits; null where there is no program"),
        PlainColumn("kill_verified", "truth", note="after a timeout: nothing of it was left running"),
        PlainColumn("round_trips", "integer", note="requests made"),
        PlainColumn("stdout_bytes", "integer", "B"),
        PlainColumn("stderr_bytes", "integer", "B"),
        PlainColumn("detail", "text", note="what happened, for a human"),
        PlainColumn("hint", "text", note="what to do about it"),
    ),
    "hosts": (
        _HOST,
        PlainColumn("directory", "text", note="below the experiment's, where its outputs are"),
        PlainColumn("first_asked_at", "moment", source="since"),
        PlainColumn("last_on_at", "moment", note="null: never seen on", source="last_on"),
    ),
    "static": (
        _HOST,
        PlainColumn("field", "text", note="a fact that a filter `static` kept"),
        PlainColumn("value", "json"),
        PlainColumn("valid_from", "moment", note="first seen so"),
        PlainColumn("valid_to", "moment", note="until another value was seen; null: it holds"),
        PlainColumn("probe", "text", note="which told it"),
    ),
}
"""Name → columns; the names are not free for probes in an export."""


def plain_batches(
    connection: sa.Connection, experiment_id: int, name: str, size: int = 5000
) -> Iterator[dict[str, Sequence[object]]]:
    """Stream a table, oldest rows first.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        name: one of `PLAIN_TABLES`.
        size: rows at once.

    Yields:
        Column → values, all of the same length; there is no batch without rows.
    """
    columns = PLAIN_TABLES[name]
    query = _QUERIES[name](columns, experiment_id)
    result = connection.execution_options(yield_per=size).execute(query)
    for rows in result.partitions():
        values: list[Sequence[object]] = list(zip(*rows, strict=True))
        for place, column in enumerate(columns):
            if column.type == "truth":  # SQLite has no type of its own for them
                values[place] = [None if value is None else bool(value) for value in values[place]]
            elif column.type == "json":
                values[place] = [
                    None if value is None else orjson.loads(str(value)) for value in values[place]
                ]
        yield {column.name: part for column, part in zip(columns, values, strict=True)}


def _selected(columns: Sequence[PlainColumn], *tables: sa.Table) -> list[sa.Column[object]]:
    found: list[sa.Column[object]] = []
    for column in columns:
        name = column.source or column.name
        found.append(next(table.c[name] for table in tables if name in table.c))
    return found


def _iterations(columns: Sequence[PlainColumn], experiment_id: int) -> sa.Select[*tuple[object, ...]]:
    table = schema.iteration
    where = table.c.experiment_id == experiment_id
    return sa.select(*_selected(columns, table)).where(where).order_by(table.c.id)


def _attempts(columns: Sequence[PlainColumn], experiment_id: int) -> sa.Select[*tuple[object, ...]]:
    table = schema.attempt
    where = table.c.experiment_id == experiment_id
    return sa.select(*_selected(columns, table)).where(where).order_by(table.c.id)


def _hosts(columns: Sequence[PlainColumn], experiment_id: int) -> sa.Select[*tuple[object, ...]]:
    table, seen = schema.host, schema.seen
    same = sa.and_(seen.c.experiment_id == table.c.experiment_id, seen.c.host == table.c.name)
    chosen = [table.c.name, *_selected(columns[1:], table, seen)]
    where = table.c.experiment_id == experiment_id
    return sa.select(*chosen).select_from(table.outerjoin(seen, same)).where(where).order_by(table.c.name)


def _static(columns: Sequence[PlainColumn], experiment_id: int) -> sa.Select[*tuple[object, ...]]:
    table = schema.static
    where = table.c.experiment_id == experiment_id
    order = (table.c.host, table.c.field, table.c.valid_from)
    return sa.select(*_selected(columns, table)).where(where).order_by(*order)


_QUERIES = {"iterations": _iterations, "attempts": _attempts, "hosts": _hosts, "static": _static}
