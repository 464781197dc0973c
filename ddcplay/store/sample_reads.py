"""Samples in batches, for everything that turns many of them into tables: views, exports, data frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.store import schema
from ddcplay.store.shapes import Row, Shapes, TableShape, as_rows, list_rows, values_at

BATCH = 2000
_FETCHED = 2000
_SPREAD = 20  # places in the history that are looked at, where not everything is
_C = schema.sample.c


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Samples of one `store` filter, column by column; all lists are of equal length.

    Args:
        label: of the filter.
        key: as in `Sample.key`.
        hosts: inventory names.
        iterations: ids.
        started_at: of the attempts, UTC Unix seconds.
        data: what was stored.
    """

    label: str
    key: object
    hosts: list[str]
    iterations: list[int]
    started_at: list[float]
    data: list[object]

    def rows_of(self, shape: TableShape) -> tuple[list[int] | None, list[int], list[Row]]:
        """Return the rows that a table has in this batch.

        Returns:
            Each row's place in the batch (None: row by row), its number in its list, its fields.
        """
        if shape.path is None:
            plain = [place for place, value in enumerate(self.data) if type(value) is not list]
            if len(plain) == len(self.data):
                return None, [], as_rows(self.data)
            return plain, [], as_rows([self.data[place] for place in plain])
        lists = values_at(as_rows(self.data), shape.path) if shape.path else self.data
        return list_rows(lists)


def stored_probes(connection: sa.Connection, experiment_id: int) -> tuple[str, ...]:
    """Return the probes that have samples, by name; one seek of an index for each."""
    found: list[str] = []
    while True:
        query = sa.select(sa.func.min(_C.probe)).where(_C.experiment_id == experiment_id)
        probe = connection.execute(query.where(_C.probe > found[-1]) if found else query).scalar()
        if probe is None:
            return tuple(found)
        found.append(probe)


def sample_batches(
    connection: sa.Connection,
    experiment_id: int,
    probe: str,
    *,
    span: tuple[float, float] | None = None,
    size: int = BATCH,
    newest_first: bool = False,
) -> Iterator[SampleBatch]:
    """Stream the samples of a probe in the order of their attempts.

    Args:
        connection: for reading; rows come as they are fetched.
        experiment_id: row of table `experiment`.
        probe: the probe's name.
        span: UTC Unix seconds, from (included) and until (not included), None for all.
        size: samples in memory at once.
        newest_first: in the opposite order.
    """
    query = _selected(experiment_id, probe)
    if span is not None:
        query = query.where(_C.at >= span[0], _C.at < span[1])
    order = (_C.attempt.desc(), _C.label) if newest_first else (_C.attempt, _C.label)
    fetched = connection.execution_options(yield_per=max(size, _FETCHED))
    result = fetched.execute(query.order_by(*order))
    for rows in result.partitions():
        for begin in range(0, len(rows), size):
            yield from _batches(rows[begin : begin + size])


def all_shapes(connection: sa.Connection, experiment_id: int, probe: str) -> tuple[TableShape, ...]:
    """Return the tables of a probe by looking at every sample."""
    shapes = Shapes(probe)
    for batch in sample_batches(connection, experiment_id, probe):
        shapes.add(batch.label, batch.data, batch.key)
    return shapes.tables()


def likely_shapes(
    connection: sa.Connection, experiment_id: int, probe: str, looked_at: int = 2000
) -> tuple[TableShape, ...]:
    """Return the tables of a probe by looking at some samples from all over its history, in no time."""
    ends = sa.select(sa.func.min(_C.attempt), sa.func.max(_C.attempt)).where(
        _C.experiment_id == experiment_id
    )
    low, high = connection.execute(ends).one()
    shapes = Shapes(probe)
    if low is None:
        return ()
    each = max(1, looked_at // (2 * _SPREAD))
    for part in range(_SPREAD):
        begin = low + (high - low) * part // _SPREAD
        query = _selected(experiment_id, probe).where(_C.attempt >= begin).order_by(_C.attempt).limit(each)
        for batch in _batches(connection.execute(query).all()):
            shapes.add(batch.label, batch.data, batch.key)
    newest = _selected(experiment_id, probe).order_by(_C.attempt.desc()).limit(looked_at // 2)
    for batch in _batches(connection.execute(newest).all()[::-1]):
        shapes.add(batch.label, batch.data, batch.key)
    return shapes.tables()


def table_named(tables: Sequence[TableShape], name: str) -> TableShape:
    """Return a table by its name.

    Raises:
        StoreError: there is none; the text names those there are.
    """
    for table in tables:
        if table.name == name:
            return table
    known = ", ".join(table.name for table in tables)
    hint = f"there are: {known}" if known else "samples are kept by the filter `store`"
    raise StoreError(f"there is no stored table {name!r}", hint)


def _selected(experiment_id: int, probe: str) -> sa.Select[*tuple[object, ...]]:
    # Hidden from the planner: by the index of (probe, host) half a million documents would be sorted first.
    its_probe = sa.func.coalesce(_C.probe, "")
    return sa.select(_C.label, _C.key, _C.host, _C.iteration, _C.at, _C.data).where(
        _C.experiment_id == experiment_id, its_probe == probe
    )


def _batches(rows: Sequence[sa.Row[*tuple[object, ...]]]) -> Iterator[SampleBatch]:
    """Sort rows into batches by filter; there is nearly always one."""
    if not rows:
        return
    kinds = {(row[0], row[1]) for row in rows}
    for label, key in sorted(kinds):
        chosen = rows if len(kinds) == 1 else [row for row in rows if (row[0], row[1]) == (label, key)]
        _labels, _keys, hosts, iterations, starts, texts = zip(*chosen, strict=True)
        yield SampleBatch(
            str(label),
            json.loads(str(key)),
            list(hosts),
            list(iterations),
            list(starts),
            list(map(_loaded, texts)),
        )


def _loaded(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # nested deeper, or digits more, than it takes
        return json.loads(text)
