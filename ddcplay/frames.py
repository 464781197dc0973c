"""`from ddcplay import load`: what an experiment collected, as pandas data frames (design §7).

One frame per table: `iterations`, `attempts`, `hosts`, `static`, one per stored probe and one per list of
rows inside it. Columns are built batch by batch, so half a million attempts cost seconds and no second copy.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.errors import UsageError
from ddcplay.store.plain_tables import PLAIN_TABLES, plain_batches
from ddcplay.store.queries import ExperimentReader, open_reader
from ddcplay.store.sample_reads import (
    SampleBatch,
    all_shapes,
    likely_shapes,
    sample_batches,
    stored_probes,
    table_named,
)
from ddcplay.store.shapes import TableShape, column_names, holds_rows, named_apart, spread

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy as sa

    from ddcplay.frame_columns import ColumnBuilder

Moment = datetime | str | None
_MAPPED_BYTES = 2**31 - 65536  # the most SQLite takes
_BATCH = 100  # as many documents as a processor's cache holds: with thousands, reading takes thrice the time


def load(
    experiment: str | os.PathLike[str] | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Results:
    """Open what an experiment collected; also while it runs.

    Args:
        experiment: its name, or the path of its directory; None for the only one there is.
        data_dir: where experiments are kept (default: setting `data_dir` of the project).
        directory: of the project (default: the nearest with a `ddcplay.yml`, upwards from here).

    Raises:
        UsageError: there is no such experiment; the text says which there are.
    """
    from ddcplay import app  # noqa: PLC0415 - reading results needs nothing of it but the settings
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.model.options import Options  # noqa: PLC0415 - same
    from ddcplay.store.experiment_store import DATABASE_FILE  # noqa: PLC0415 - same

    if experiment is not None and (Path(experiment) / DATABASE_FILE).is_file():
        return Results(Path(experiment))
    settings = app.read_settings(Options(directory=Path(directory) if directory is not None else None))
    root = Path(data_dir) if data_dir is not None else settings.data_dir
    url = database_url(settings)
    found = [path for path in sorted(root.glob("*")) if url or (path / DATABASE_FILE).is_file()]
    known = [path.name for path in found if path.is_dir()]
    if experiment is None:
        if len(known) == 1:
            return Results(root / known[0], url)
        listed = ", ".join(known)
        raise UsageError(f"{root} holds {len(known)} experiments", f"name one: {listed or 'there is none'}")
    name = os.fspath(experiment)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        near = f"did you mean {close[0]!r}? " if close else ""
        hint = f"{near}known: {', '.join(known) or 'none'}; give data_dir= for another place"
        raise UsageError(f"there is no experiment {name!r} in {root}", hint)
    return Results(root / name, url)


class Results:
    """What one experiment collected; made by `load`.

    Args:
        directory: of the experiment.
        url: SQLAlchemy URL of setting `database`, None for its own file.
    """

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self._directory = directory
        self._url = url
        with self._reader() as reader:
            self.experiment = reader.experiment

    def __repr__(self) -> str:
        return f"<ddcplay results of {self.experiment!r} in {self._directory}>"

    def frames(self) -> tuple[str, ...]:
        """Return the names `frame` takes."""
        with self._reader() as reader:
            return tuple(PLAIN_TABLES) + tuple(table.name for table in reader.read(_tables))

    def frame(self, name: str, *, since: Moment = None, until: Moment = None) -> pd.DataFrame:
        """Return a table as a data frame.

        Times are UTC-aware, whole numbers `Int64` (`UInt64` where they need it), truths `boolean`, so that
        null stays null; a list that is no table is its JSON text.

        Args:
            name: one of `frames()`.
            since: samples from then on: a datetime, or ISO text (UTC unless it says otherwise).
            until: samples before then.

        Raises:
            UsageError: pandas is not installed.
            StoreError: there is no such table; the text says which there are.
        """
        builder = _builder()
        with self._reader() as reader:
            if name in PLAIN_TABLES:
                return reader.read(lambda connection, number: _plain_frame(connection, number, name, builder))
            shape = reader.read(lambda connection, number: shape_of(connection, number, name))
            span = (_seconds(since, 0.0), _seconds(until, 2.0**62))
            with _collector_off():
                return reader.read(
                    lambda connection, number: _frame(connection, number, shape, span, builder)
                )

    def rows(self, name: str) -> Iterator[dict[str, object]]:
        """Yield the rows of a stored table as mappings; needs no pandas.

        Raises:
            StoreError: there is no such table; the text says which there are.
        """
        with self._reader() as reader:
            shape = reader.read(lambda connection, number: shape_of(connection, number, name))
            for batch in reader.stream(lambda c, number: sample_batches(c, number, shape.probe)):
                if batch.label == shape.label:
                    yield from _mappings(batch, shape)

    def _reader(self) -> ExperimentReader:
        return open_reader(self._directory, self._url)


@contextmanager
def _collector_off() -> Iterator[None]:
    """Let nobody search millions of fresh JSON values for cycles, which they cannot have."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _builder() -> type[ColumnBuilder]:
    try:
        from ddcplay.frame_columns import ColumnBuilder  # noqa: PLC0415 - pandas takes its time
    except ImportError as error:
        raise UsageError(
            f"data frames need pandas, which cannot be imported ({error})",
            "pip install 'ddcplay[report]'; load(…).rows(NAME) needs nothing",
        ) from error
    return ColumnBuilder


def _tables(connection: sa.Connection, number: int) -> tuple[TableShape, ...]:
    probes = stored_probes(connection, number)
    return named_apart(
        (table for probe in probes for table in likely_shapes(connection, number, probe)), PLAIN_TABLES
    )


def shape_of(connection: sa.Connection, number: int, name: str) -> TableShape:
    """Find a table by name, in a part of the samples, and when it is not there in all of them."""
    tables = _tables(connection, number)
    if all(table.name != name for table in tables):
        probes = [probe for probe in stored_probes(connection, number) if name.startswith(probe)]
        tables += tuple(table for probe in probes for table in all_shapes(connection, number, probe))
    return table_named(tables, name)


def _plain_frame(
    connection: sa.Connection, number: int, name: str, builder: type[ColumnBuilder]
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - as above

    columns = {column.name: builder() for column in PLAIN_TABLES[name]}
    for batch in plain_batches(connection, number, name):
        for column, values in batch.items():
            columns[column].add(values)
    made = {}
    for each in PLAIN_TABLES[name]:
        parts = columns[each.name]
        made[each.name] = parts.moments() if each.type == "moment" else parts.series(each.type)
    return pd.DataFrame(made)


def _frame(
    connection: sa.Connection,
    number: int,
    shape: TableShape,
    span: tuple[float, float],
    builder: type[ColumnBuilder],
) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - as above

    if connection.dialect.name == "sqlite":  # pages are read where they lie: a third of the time is copying
        connection.exec_driver_sql(f"PRAGMA mmap_size={_MAPPED_BYTES}")
    leading = {name: builder() for name in shape.leading}
    columns: dict[tuple[str, ...], ColumnBuilder] = {}
    lists: set[tuple[str, ...]] = set()
    height = 0
    for batch in sample_batches(connection, number, shape.probe, span=span, size=_BATCH):
        if batch.label != shape.label:
            continue
        places, numbers, rows = batch.rows_of(shape)
        if not rows:
            continue
        for name, values in _leading(batch, places, numbers).items():
            leading[name].add(values)
        for path, values, kinds in spread(rows):
            if path in lists or (shape.path is None and list in kinds and holds_rows(values)):
                lists.add(path)
                continue
            if path not in columns:
                columns[path] = builder(height)
            columns[path].add(values, kinds)
        height += len(rows)
        for column in columns.values():
            column.fill(height)
    made = {name: each.moments() if name == "started_at" else each.series() for name, each in leading.items()}
    shown = [path for path in columns if path not in lists]
    names = column_names(shown, shape.leading)
    made |= {names[path]: columns.pop(path).series() for path in shown}
    return pd.DataFrame(made)


def _leading(batch: SampleBatch, places: list[int] | None, numbers: list[int]) -> dict[str, Sequence[object]]:
    found: dict[str, Sequence[object]] = {
        "host": batch.hosts,
        "iteration": batch.iterations,
        "started_at": batch.started_at,
    }
    if places is not None:
        found = {name: [values[place] for place in places] for name, values in found.items()}
    if numbers:
        found["row"] = numbers
    return found


def _mappings(batch: SampleBatch, shape: TableShape) -> Iterator[dict[str, object]]:
    places, numbers, rows = batch.rows_of(shape)
    leading = _leading(batch, places, numbers)
    for place, row in enumerate(rows):
        first = {name: values[place] for name, values in leading.items()}
        first["started_at"] = datetime.fromtimestamp(float(str(first["started_at"])), UTC)
        yield first | {name if name not in first else f"{name}_2": value for name, value in row.items()}


def _seconds(moment: Moment, default: float) -> float:
    if moment is None:
        return default
    try:
        read = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        raise UsageError(f"{moment!r} is no time", "write 2026-11-01 or 2026-11-01T08:00+00:00") from None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
