"""What samples look like as tables: learnt from the data, the same for SQL views, exports and data frames.

A probe that was stored makes one table (`usage`), and one more for each of its lists of rows (`usage_disks`).
JSON knows no columns and a target may send anything, so types are what was seen, and names are made safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import NoneType
from typing import Literal, cast

import orjson

ColumnType = Literal["truth", "integer", "unsigned", "number", "text", "time", "json"]
"""`unsigned`: whole numbers that need more than 63 bits; `json`: lists and what has no fixed form."""

Path = tuple[str, ...]
Row = dict[str, object]
VISIT_COLUMNS = ("host", "iteration", "started_at")
"""Each table of samples begins with these; together with the row's number they name a row."""
ROW_COLUMN = "row"
MOST_COLUMNS = 1000  # SQLite ends at 2,000; keys may come from a target
_DEEPEST = 4
_LONGEST_NAME = 60  # PostgreSQL's identifiers end at 63 bytes
_INT64 = 2**63
_NOTHING: Row = {}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)", re.ASCII)
_UNSAFE = re.compile(r"\W+")


@dataclass(frozen=True, slots=True)
class Column:
    """One field of a table.

    Args:
        name: safe for SQL and files, unique in its table whatever the case.
        path: keys that lead to it inside the data, or inside a row of a list; empty for the value itself.
        type: what was seen.
        filled: how often it was not null.
    """

    name: str
    path: Path
    type: ColumnType
    filled: int = 0


@dataclass(frozen=True, slots=True)
class TableShape:
    """One table of samples.

    Args:
        name: as people write it, such as `usage_disks`.
        probe: whose samples.
        label: of the `store` filter.
        path: keys that lead to the list inside the data; None when a sample is one row.
        key: the field that names a row, empty when there is none.
        columns: in the order of their names.
        rows: how many were seen.
        left_out: fields beyond the most a table may have.
    """

    name: str
    probe: str
    label: str
    path: Path | None
    key: str
    columns: tuple[Column, ...]
    rows: int = 0
    left_out: int = 0

    @property
    def leading(self) -> tuple[str, ...]:
        """Return the names of the columns in front of its own."""
        return VISIT_COLUMNS if self.path is None else (*VISIT_COLUMNS, ROW_COLUMN)


@dataclass(slots=True)
class _Seen:
    """What is known of one field so far."""

    filled: int = 0
    kinds: set[type] = field(default_factory=set)
    low: int = 0
    high: int = 0
    dates: bool = True

    def add(self, values: Sequence[object], kinds: set[type]) -> None:
        self.kinds |= kinds
        self.filled += len(values) - (sum(value is None for value in values) if NoneType in kinds else 0)
        if int in kinds:
            whole = [value for value in values if type(value) is int]
            self.low, self.high = min(self.low, *whole), max(self.high, *whole)
        if str in kinds and self.dates:
            texts = {value for value in values if type(value) is str}
            self.dates = all(map(_TIME.fullmatch, texts))

    @property
    def type(self) -> ColumnType:
        kinds = self.kinds - {NoneType}
        if kinds & {list, dict}:
            return "json"
        if kinds == {bool}:
            return "truth"
        if kinds == {int}:
            if self.low >= -_INT64 and self.high < _INT64:
                return "integer"
            return "unsigned" if self.low >= 0 else "text"
        if kinds and kinds <= {int, float}:
            return "number"
        return "time" if kinds == {str} and self.dates else "text"


class _Table:
    """Learns the fields of one table."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self.rows = 0
        self.left_out: set[Path] = set()
        self.fields: dict[Path, _Seen] = {}

    def add(self, rows: Sequence[Row], lists: dict[Path, Sequence[object]] | None) -> None:
        """Look at a batch; what is a list of rows goes to `lists` instead, when it is given."""
        self.rows += len(rows)
        for path, values, kinds in spread(rows):
            if lists is not None and list in kinds and holds_rows(values):
                lists[path] = values
            else:
                self._field(path, values, kinds)

    def _field(self, path: Path, values: Sequence[object], kinds: set[type]) -> None:
        known = self.fields.get(path)
        if known is None:
            if len(self.fields) >= MOST_COLUMNS:
                if len(self.left_out) < MOST_COLUMNS:
                    self.left_out.add(path)
                return
            known = self.fields[path] = _Seen()
        known.add(values, kinds)

    def columns(self, leading: Sequence[str], without: Iterable[Path]) -> tuple[Column, ...]:
        hidden = set(without)
        shown = [path for path in self.fields if path not in hidden]
        names = column_names(shown, leading)
        found = [(names[path], path, self.fields[path]) for path in shown]
        return tuple(Column(name, path, seen.type, seen.filled) for name, path, seen in found)


class Shapes:
    """Learns the tables of one probe from its samples, batch by batch.

    Args:
        probe: the probe's name.
    """

    def __init__(self, probe: str) -> None:
        self._probe = probe
        self._tables: dict[tuple[str, Path | None], _Table] = {}

    def add(self, label: str, documents: Sequence[object], key: object) -> None:
        """Look at samples of one `store` filter.

        Args:
            label: of the filter.
            documents: their data.
            key: as in `Sample.key`; what names the rows of lists.
        """
        keys = cast("Mapping[str, str]", key) if isinstance(key, Mapping) else {"": key or ""}
        plain = [value for value in documents if type(value) is not list]
        if plain:
            lists: dict[Path, Sequence[object]] = {}
            self._table(label, None, "").add(as_rows(plain), lists)
            for path, values in lists.items():
                self._list(label, path, values, str(keys.get(".".join(path), "")))
        if len(plain) < len(documents):
            whole: list[object] = [value for value in documents if type(value) is list]
            self._list(label, (), whole, str(keys.get("", "")))

    def _list(self, label: str, path: Path, values: Sequence[object], key: str) -> None:
        _owners, _numbers, rows = list_rows(values)
        self._table(label, path, key).add(rows, None)

    def _table(self, label: str, path: Path | None, key: str) -> _Table:
        table = self._tables.setdefault((label, path), _Table())
        table.key = key or table.key
        return table

    def tables(self) -> tuple[TableShape, ...]:
        """Return what was learnt: the probe's own table first."""
        found = []
        names: set[str] = set()
        for (label, path), table in sorted(self._tables.items(), key=_rank):
            base = self._probe + (f"_{_safe(label)}" if label else "")
            lists = [other for (its, other) in self._tables if its == label and other]
            leading = VISIT_COLUMNS if path is None else (*VISIT_COLUMNS, ROW_COLUMN)
            found.append(
                TableShape(
                    name=_free(_safe("_".join((base, *(path or ())))), names),
                    probe=self._probe,
                    label=label,
                    path=path,
                    key=table.key,
                    columns=table.columns(leading, lists if path is None else ()),
                    rows=table.rows,
                    left_out=len(table.left_out),
                )
            )
        return tuple(found)


def spread(rows: Sequence[Row], prefix: Path = ()) -> Iterator[tuple[Path, Sequence[object], set[type]]]:
    """Yield the columns of rows: the way to each field, its values, their types; mappings are laid open."""
    for name, column in _columns(rows):
        path, values = (*prefix, name), column
        kinds = set(map(type, values))
        if dict in kinds and len(path) < _DEEPEST:
            yield from spread([value if type(value) is dict else _NOTHING for value in values], path)
            kinds.discard(dict)
            if kinds <= {NoneType}:
                continue
            values = [None if type(value) is dict else value for value in values]
            kinds.add(NoneType)
        yield path, values, kinds


def _columns(rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[object]]]:
    """Yield the fields of rows; at the speed of `zip` when all rows have the same ones, as they mostly do."""
    if not rows:
        return
    names = tuple(rows[0])
    if all(tuple(row) == names for row in rows):
        yield from zip(names, zip(*[row.values() for row in rows], strict=True), strict=True)
        return
    for name in dict.fromkeys(chain.from_iterable(rows)):
        yield name, [row.get(name) for row in rows]


def holds_rows(values: Sequence[object]) -> bool:
    """Say whether a column is a list of rows; empty lists tell nothing."""
    return any(type(value) is list and any(type(item) is dict for item in value) for value in values)


def named_apart(tables: Iterable[TableShape], taken: Iterable[str] = ()) -> tuple[TableShape, ...]:
    """Give each table a name of its own, whatever its probe is called."""
    names = {name.casefold() for name in taken}
    found = []
    for table in tables:
        name = table.name if table.name.casefold() not in names else f"probe_{table.name}"
        found.append(replace(table, name=_free(name, names)))
    return tuple(found)


def is_moment(text: str) -> bool:
    """Say whether a text is an ISO 8601 time with its zone."""
    return _TIME.fullmatch(text) is not None


def column_names(paths: Iterable[Path], leading: Sequence[str]) -> dict[Path, str]:
    """Name fields so that SQL and files can hold them; unique whatever the case."""
    taken = {name.casefold() for name in leading}
    return {path: _free(_safe("_".join(path)) or "value", taken) for path in paths}


def as_rows(documents: Sequence[object]) -> list[Row]:
    """Take each value as a row of fields; one that is no mapping becomes the field `value`."""
    return [
        cast("Row", value) if type(value) is dict else (_NOTHING if value is None else {"value": value})
        for value in documents
    ]


def list_rows(values: Sequence[object]) -> tuple[list[int], list[int], list[Row]]:
    """Lay lists out one below the other.

    Returns:
        For each row of a list: the place of its list in `values`, its number in the list, its fields.
    """
    owners: list[int] = []
    numbers: list[int] = []
    found: list[object] = []
    for place, value in enumerate(values):
        if type(value) is list and value:
            owners += [place] * len(value)
            numbers += range(len(value))
            found += value
    return owners, numbers, as_rows(found)


def values_at(rows: Sequence[Row], path: Path) -> list[object]:
    """Return the value at a path of each row, None where there is none."""
    name, *more = path
    found = [row.get(name) for row in rows]
    for key in more:
        found = [value.get(key) if type(value) is dict else None for value in found]
    return found


def column_values(rows: Sequence[Row], column: Column) -> list[object]:
    """Return a column of rows, each value of the column's type or None."""
    values = values_at(rows, column.path)
    if len(column.path) < _DEEPEST:  # a mapping has columns of its own
        values = [None if type(value) is dict else value for value in values]
    if column.type == "number":
        return [float(value) if type(value) is int else value for value in values]
    if column.type == "json":
        return [None if value is None else _json(value) for value in values]
    if column.type == "text":
        return [value if value is None or type(value) is str else _json(value) for value in values]
    return values


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode("utf-8", "replace")


def _rank(item: tuple[tuple[str, Path | None], _Table]) -> tuple[object, ...]:
    (label, path), _table = item
    return label, path is not None, path or ()


def _safe(text: str) -> str:
    name = _UNSAFE.sub("_", text).strip("_")
    return name.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken, whatever the case, and take it."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free.casefold())
    return free
