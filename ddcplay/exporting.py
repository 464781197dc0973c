"""`ddcplay export`: an experiment as one file per table, for researchers and their programs.

The glue between the store, which streams tables, and the writers of files; memory is bounded by a batch,
whatever the size of the experiment.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.errors import UsageError
from ddcplay.model.codebook import CODEBOOK
from ddcplay.report.pseudonyms import IDENTIFYING, Pseudonyms
from ddcplay.report.table_files import FileColumn, TableFile, check_format, open_table
from ddcplay.store.plain_tables import PLAIN_TABLES, plain_batches
from ddcplay.store.queries import open_reader
from ddcplay.store.sample_reads import SampleBatch, all_shapes, sample_batches, stored_probes
from ddcplay.store.shapes import ROW_COLUMN, Column, TableShape, column_values, named_apart

if TYPE_CHECKING:
    import sqlalchemy as sa

CODEBOOK_FILE = "codebook"
_KEY_BYTES = 32
_UNSAID = ("detail", "hint")  # free text of ours that may name addresses
_NOTES = {
    "host": "inventory name",
    "iteration": "id of the pass: UTC Unix second of its start",
    "started_at": "start of the attempt, UTC",
    ROW_COLUMN: "number of the row in its list, from 0",
}
_UNITS = {"iteration": "s"}


@dataclass(frozen=True, slots=True)
class Exported:
    """One file that was written.

    Args:
        table: its name.
        rows: how many.
        file: where it is.
    """

    table: str
    rows: int
    file: Path


def export(
    source: Path, url: str | None, target: Path, form: str, key: bytes | None = None
) -> tuple[Exported, ...]:
    """Write every table of an experiment, and the codebook, as of one moment.

    Args:
        source: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db`.
        target: directory of the files; new, empty, or of an earlier export, which is replaced.
        form: `csv` or `parquet`.
        key: of pseudonyms for hosts; None: names stay.

    Raises:
        UsageError: the directory holds something else, or a library is missing.
        StoreError: the experiment cannot be read.
    """
    check_format(form)
    _prepare(target)
    with open_reader(source, url) as reader:
        return reader.read(lambda connection, number: _Export(connection, number, target, form, key).run())


def read_key(file: Path, target: Path) -> bytes:
    """Return the key of a key file, which is made when it is not there.

    Args:
        file: for this account alone (0600).
        target: directory of the export; the key must not travel with it.

    Raises:
        UsageError: it is no key file, or stands in the wrong place.
    """
    if file.resolve().is_relative_to(target.resolve()):
        raise UsageError(f"{file} is inside the export", "keep the key where the export does not go")
    if not file.exists():
        key = secrets.token_bytes(_KEY_BYTES)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(key.hex() + "\n")
        return key
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{file} is no key file", "name a file that is not there yet: it is made")
    return key


def new_key() -> bytes:
    """Return a key that nobody keeps."""
    return secrets.token_bytes(_KEY_BYTES)


def _prepare(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is no directory", "name a new one")
    target.mkdir(parents=True, exist_ok=True)
    present = {file.stem: file for file in target.iterdir()}
    if present and CODEBOOK_FILE not in present:
        raise UsageError(f"{target} is not empty and holds no export", "name a new or empty directory")
    for file in present.values():  # tables of an earlier export must not stand beside those of this one
        if file.suffix in (".csv", ".parquet"):
            file.unlink()


class _Export:
    """One run of `export` on one connection."""

    def __init__(
        self, connection: sa.Connection, number: int, target: Path, form: str, key: bytes | None
    ) -> None:
        self._connection = connection
        self._number = number
        self._target = target
        self._form = form
        self._names = None if key is None else Pseudonyms(key, self._hosts())
        self._codebook: list[tuple[object, ...]] = []

    def run(self) -> tuple[Exported, ...]:
        found = [self._plain(name) for name in PLAIN_TABLES]
        taken = {*PLAIN_TABLES, CODEBOOK_FILE}
        for probe in stored_probes(self._connection, self._number):
            shapes = named_apart(all_shapes(self._connection, self._number, probe), taken)
            taken |= {shape.name for shape in shapes}
            found += self._samples(probe, shapes)
        return (*found, self._write_codebook())

    def _hosts(self) -> list[str]:
        batches = plain_batches(self._connection, self._number, "hosts")
        return [str(host) for batch in batches for host in batch["host"]]

    def _plain(self, name: str) -> Exported:
        columns = PLAIN_TABLES[name]
        filled = dict.fromkeys((column.name for column in columns), 0)
        rows = 0
        table = self._open(name, [FileColumn(column.name, column.type) for column in columns])
        for batch in plain_batches(self._connection, self._number, name):
            rows += len(batch[columns[0].name])
            for column, values in batch.items():
                filled[column] += len(values) - list(values).count(None)
            table.write(self._without_names(name, _as_text(batch, name)))
        table.close()
        for each in columns:
            note = "left out: it may name hosts" if self._names and each.name in _UNSAID else each.note
            self._codebook.append((name, each.name, each.type, each.unit, "ddcplay", note, filled[each.name]))
        return Exported(name, rows, self._file(name))

    def _samples(self, probe: str, shapes: Sequence[TableShape]) -> list[Exported]:
        rows = dict.fromkeys((shape.name for shape in shapes), 0)
        with ExitStack() as opened:
            tables: dict[str, TableFile] = {}
            for shape in shapes:
                tables[shape.name] = self._open(shape.name, _columns(shape))
                opened.callback(tables[shape.name].close)
            for batch in sample_batches(self._connection, self._number, probe):
                for shape in shapes:
                    part = _part(batch, shape) if shape.label == batch.label else {}
                    if part:
                        rows[shape.name] += len(part["host"])
                        tables[shape.name].write(self._without_names(shape.name, part))
        known = _is_w32probe(shapes)
        for shape in shapes:
            self._describe(shape, known=known)
        return [Exported(shape.name, rows[shape.name], self._file(shape.name)) for shape in shapes]

    def _without_names(
        self, table: str, batch: Mapping[str, Sequence[object]]
    ) -> Mapping[str, Sequence[object]]:
        """Replace what tells a host, when that is asked for."""
        names = self._names
        if names is None:
            return batch
        found: dict[str, Sequence[object]] = {
            column: names.column(column, values) for column, values in batch.items()
        }
        if "host" in batch:
            found["host"] = [names.host(str(host)) for host in batch["host"]]
        if table == "attempts":
            found |= {column: [None] * len(batch[column]) for column in _UNSAID}
        elif table == "hosts":
            found["directory"] = found["host"]
        elif table == "static":  # the field's name stands in a cell
            pairs = zip(batch["field"], batch["value"], found["value"], strict=True)
            found["value"] = [
                names.identity(str(value)) if value is not None and _tells(str(field)) else plain
                for field, value, plain in pairs
            ]
        return found

    def _describe(self, shape: TableShape, *, known: bool) -> None:
        """Add a table's columns to the codebook."""
        for name in shape.leading:
            kind = "text" if name == "host" else "moment" if name == "started_at" else "integer"
            row = (shape.name, name, kind, _UNITS.get(name, ""), "ddcplay", _NOTES[name], shape.rows)
            self._codebook.append(row)
        place = ".".join(shape.path or ())
        for column in shape.columns:
            way = ".".join(column.path)
            unit, source, note = _meaning(place, way) if known else ("", "", "")
            source = source or f"probe {shape.probe}: {f'{place}[].' if place else ''}{way}"
            if way == shape.key:
                note = f"names the row; {note}".rstrip("; ")
            self._codebook.append((shape.name, column.name, column.type, unit, source, note, column.filled))
        if shape.left_out:
            note = f"{shape.left_out} more fields are left out: a table ends at {len(shape.columns)}"
            self._codebook.append((shape.name, "", "", "", "", note, None))

    def _write_codebook(self) -> Exported:
        names = ("table", "field", "type", "unit", "source", "notes", "filled")
        kinds = ["text"] * (len(names) - 1) + ["integer"]
        columns = [FileColumn(name, kind) for name, kind in zip(names, kinds, strict=True)]
        table = open_table(self._target, CODEBOOK_FILE, "csv", columns)  # people read it
        table.write(dict(zip(names, map(list, zip(*self._codebook, strict=True)), strict=True)))
        table.close()
        return Exported(CODEBOOK_FILE, len(self._codebook), self._target / f"{CODEBOOK_FILE}.csv")

    def _open(self, name: str, columns: Sequence[FileColumn]) -> TableFile:
        return open_table(self._target, name, self._form, columns)

    def _file(self, name: str) -> Path:
        return self._target / f"{name}.{self._form}"


def _columns(shape: TableShape) -> list[FileColumn]:
    kinds = {"host": "text", "started_at": "moment"}
    leading = [FileColumn(name, kinds.get(name, "integer")) for name in shape.leading]
    return leading + [FileColumn(column.name, column.type) for column in shape.columns]


def _part(batch: SampleBatch, shape: TableShape) -> dict[str, Sequence[object]]:
    """Return a table's rows of a batch, column by column; empty when it has none."""
    places, numbers, rows = batch.rows_of(shape)
    if not rows:
        return {}
    found: dict[str, Sequence[object]] = {
        "host": batch.hosts,
        "iteration": batch.iterations,
        "started_at": batch.started_at,
    }
    if places is not None:
        found = {name: [values[place] for place in places] for name, values in found.items()}
    if shape.path is not None:
        found[ROW_COLUMN] = numbers
    return found | {column.name: column_values(rows, column) for column in shape.columns}


def _as_text(batch: Mapping[str, Sequence[object]], name: str) -> Mapping[str, Sequence[object]]:
    """Write the JSON columns of our own tables: text as it is, all else as JSON."""
    found = dict(batch)
    for column in PLAIN_TABLES[name]:
        if column.type == "json":
            rows = [{"value": value} for value in batch[column.name]]
            found[column.name] = column_values(rows, Column(column.name, ("value",), "text"))
    return found


def _is_w32probe(shapes: Sequence[TableShape]) -> bool:
    """Say whether samples are those of `w32probe`: most of their fields are in its codebook."""
    ours = {field.name for field in CODEBOOK if not field.table}
    for shape in shapes:
        names = {column.path[0] for column in shape.columns}
        if shape.path is None and len(names & ours) * 2 > len(names) > 2:
            return True
    return False


def _meaning(table: str, name: str) -> tuple[str, str, str]:
    """Return unit, source and notes of a field of `w32probe`, empty texts for one that it has not."""
    found = next((field for field in CODEBOOK if field.table == table and field.name == name), None)
    return ("", "", "") if found is None else (found.unit, found.source, found.note)


def _tells(field: str) -> bool:
    return field.rpartition(".")[2].casefold() in IDENTIFYING
