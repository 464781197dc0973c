"""Tables as files that other programs read: CSV and Parquet, written batch by batch (design §7).

What targets sent is hostile: a cell that a spreadsheet would take for a formula is disarmed as OWASP advises
(an apostrophe in front), control characters are written as escapes. Numbers are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from ddcplay.errors import UsageError

FORMATS = ("csv", "parquet")
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # full-width forms count in some spreadsheets
_MUST_QUOTE = re.compile(r'[",;\t\r\n]|^$')  # the semicolon separates cells where the comma is decimal
_CACHED = 20_000
_ROW_GROUP = 50_000


@dataclass(frozen=True, slots=True)
class FileColumn:
    """One column of a file.

    Args:
        name: heads it.
        type: `truth integer unsigned number text time json moment`; `moment` is UTC Unix seconds, `time` ISO
            8601 text.
    """

    name: str
    type: str


class TableFile(Protocol):
    """A table that is being written."""

    def write(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Add rows: column → values, all of the same length."""

    def close(self) -> None:
        """Finish the file; before, nobody sees it under its name."""


def open_table(directory: Path, name: str, form: str, columns: Sequence[FileColumn]) -> TableFile:
    """Begin a table's file.

    Args:
        directory: where it goes.
        name: of the table, safe for a file.
        form: one of `FORMATS`.
        columns: in order.

    Raises:
        UsageError: the library for the form is missing.
        OSError: it cannot be written.
    """
    path = directory / f"{name}.{form}"
    return CsvTable(path, columns) if form == "csv" else ParquetTable(path, columns)


class CsvTable:
    r"""CSV by RFC 4180: UTF-8, CR LF, a header line; null is an empty cell, empty text is `""`.

    Args:
        path: of the file; replaced when it is complete.
        columns: in order.
    """

    def __init__(self, path: Path, columns: Sequence[FileColumn]) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.new")
        self._columns = [(column.name, _cells_of(column.type)) for column in columns]
        self._file = self._draft.open("w", encoding="utf-8", errors="replace", newline="")
        self._file.write(",".join(csv_text(column.name) for column in columns) + "\r\n")

    def write(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Add rows: column → values, all of the same length."""
        cells = [cell(columns[name]) for name, cell in self._columns]
        self._file.writelines(",".join(row) + "\r\n" for row in zip(*cells, strict=True))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._draft.replace(self._path)


class ParquetTable:
    """Parquet with the types the columns have; times are UTC-aware, to the microsecond.

    Args:
        path: of the file; replaced when it is complete.
        columns: in order.

    Raises:
        UsageError: pyarrow is missing.
    """

    def __init__(self, path: Path, columns: Sequence[FileColumn]) -> None:
        self._pa, parquet = _pyarrow()
        self._path = path
        self._draft = path.with_name(f".{path.name}.new")
        self._columns = columns
        self._schema = self._pa.schema([(column.name, self._type(column.type)) for column in columns])
        self._file = parquet.ParquetWriter(self._draft, self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def write(self, columns: Mapping[str, Sequence[object]]) -> None:
        """Add rows: column → values, all of the same length."""
        arrays = [
            self._pa.array(_arrow_values(columns[column.name], column.type), kind.type)
            for column, kind in zip(self._columns, self._schema, strict=True)
        ]
        self._waiting.append(self._pa.Table.from_arrays(arrays, schema=self._schema))
        if sum(table.num_rows for table in self._waiting) >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        self._flush()
        self._file.close()
        self._draft.replace(self._path)

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(self._pa.concat_tables(self._waiting))
            self._waiting.clear()

    def _type(self, name: str) -> Any:
        pa = self._pa
        if name in ("moment", "time"):
            return pa.timestamp("us", tz="UTC")
        kinds = {"truth": pa.bool_, "integer": pa.int64, "unsigned": pa.uint64, "number": pa.float64}
        return kinds.get(name, pa.string)()


def csv_text(text: str) -> str:
    """Write text as one CSV cell that no spreadsheet takes for a formula."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char in "\t\r\n" else _escape(char) for char in text)
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _MUST_QUOTE.search(text) else text


def csv_number(value: object) -> str:
    """Write a number, a truth or null as one CSV cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def iso_moment(unix_s: float) -> str:
    """Write UTC Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_format(form: str) -> None:
    """Refuse a form of which the library is missing, before anything is written.

    Raises:
        UsageError: with what to install.
    """
    if form == "parquet":
        _pyarrow()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and slow to import
        from pyarrow import parquet  # noqa: PLC0415 - same
    except ImportError as error:
        raise UsageError(
            f"Parquet needs pyarrow, which cannot be imported ({error})",
            "pip install 'ddcplay[report]', or export --to csv",
        ) from error
    return pa, parquet


def _cells_of(kind: str) -> Callable[[Sequence[object]], list[str]]:
    if kind in ("integer", "unsigned", "number", "truth"):
        return lambda values: [csv_number(value) for value in values]
    if kind == "moment":
        return lambda values: ["" if value is None else iso_moment(float(str(value))) for value in values]
    known: dict[object, str] = {}

    def cells(values: Sequence[object]) -> list[str]:
        if len(known) > _CACHED:
            known.clear()
        found = []
        for value in values:
            cell = known.get(value)
            if cell is None:
                cell = known[value] = "" if value is None else csv_text(str(value))
            found.append(cell)
        return found

    return cells


def _arrow_values(values: Sequence[object], kind: str) -> Sequence[object]:
    if kind == "moment":
        return [None if value is None else round(float(str(value)) * 1e6) for value in values]
    if kind == "time":
        return [None if value is None else _moment(str(value)) for value in values]
    return values


def _moment(text: str) -> datetime | None:
    """Read ISO 8601; a text that only looks like it is null here (CSV has it as it is)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
