"""Columns of a data frame, built from batches of JSON values; the only module that imports pandas at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import NoneType
from typing import Any

import numpy as np
import orjson
import pandas as pd

from ddcplay.store.shapes import is_moment

_INT64 = 2**63
_PART = 8000  # values per part


class ColumnBuilder:
    """One column, compact from its first batch on.

    Args:
        missing: rows before its first batch, all null.
    """

    def __init__(self, missing: int = 0) -> None:
        self._parts: list[tuple[frozenset[type], Any]] = []
        self._waiting: list[object] = []
        self._types: set[type] = set()
        self._height = 0
        self._moments = True
        self.fill(missing)

    def fill(self, height: int) -> None:
        """Let the column reach a height by nulls."""
        if height > self._height:
            self._settle()
            self._parts.append((frozenset(), height - self._height))
            self._height = height

    def add(self, values: Sequence[object], types: Collection[type] | None = None) -> None:
        """Add a batch of JSON values.

        Args:
            values: of one column.
            types: of these values, when they are known.
        """
        self._waiting += values
        self._types.update(set(map(type, values)) if types is None else types)
        self._height += len(values)
        if len(self._waiting) >= _PART:
            self._settle()

    def _settle(self) -> None:
        """Make the values that wait compact."""
        values, types = self._waiting, self._types
        if not values:
            return
        self._waiting, self._types = [], set()
        kinds = frozenset(types) - {NoneType}
        if not kinds:
            self._parts.append((kinds, len(values)))
        elif kinds <= {int, float}:
            self._parts.append((kinds, _numbers(values, types)))
        elif kinds == {str}:
            if self._moments:
                self._moments = all(is_moment(str(value)) for value in set(values) if value is not None)
            self._parts.append((kinds, pd.array(values, dtype="string")))
        else:
            self._parts.append((kinds, np.fromiter(values, dtype=object, count=len(values))))

    def series(self, wanted: str = "") -> pd.Series[Any]:
        """Return the column with the type that suits all its batches.

        Args:
            wanted: the type to use where nothing tells it: `integer`, `number`, `truth`, else text.
        """
        self._settle()
        kinds = frozenset().union(*(kinds for kinds, _part in self._parts))
        if kinds == {int} or (not kinds and wanted == "integer"):
            return self._integers()
        if (kinds and kinds <= {int, float}) or (not kinds and wanted == "number"):
            return pd.Series(np.concatenate([*map(_floats, self._parts), np.empty(0)]))
        if kinds == {bool} or (not kinds and wanted == "truth"):
            return self._joined("boolean")
        if kinds == {str} and self._moments and wanted != "text":
            return pd.to_datetime(self._joined("string"), utc=True, format="ISO8601")
        if kinds <= {str}:
            return self._joined("string")
        return self._texts()

    def moments(self) -> pd.Series[Any]:
        """Return a column of UTC Unix seconds as UTC-aware times."""
        self._settle()
        seconds = np.concatenate([*map(_floats, self._parts), np.empty(0)])
        # Rounded to what a clock gives: a float holds no nanoseconds of this century.
        return pd.to_datetime(pd.Series(np.round(seconds * 1e6)), unit="us", utc=True)

    def _integers(self) -> pd.Series[Any]:
        parts = [part for kinds, part in self._parts if kinds]
        if any(values.dtype == object for values, _mask in parts):
            whole = [value for values, mask in parts for value in values[~mask]]
            if min(whole) < 0 or max(whole) >= 2 * _INT64:
                return self._objects()
        kind = np.uint64 if any(values.dtype == object for values, _mask in parts) else np.int64
        values = np.zeros(self._height, kind)
        mask = np.ones(self._height, bool)
        place = 0
        for kinds, part in self._parts:
            if not kinds:
                place += part
                continue
            end = place + len(part[0])
            if part[0].dtype != kind and part[0].dtype != object and (part[0] < 0).any():
                return self._objects()
            values[place:end] = part[0].astype(kind)
            mask[place:end] = part[1]
            place = end
        return pd.Series(pd.arrays.IntegerArray(values, mask))

    def _objects(self) -> pd.Series[Any]:
        """Return whole numbers of any size as Python's own."""
        found: list[object] = []
        for kinds, part in self._parts:
            if not kinds:
                found += [None] * part
            else:
                found += [None if gone else int(v) for v, gone in zip(*part, strict=True)]
        return pd.Series(found, dtype=object)

    def _joined(self, dtype: str) -> pd.Series[Any]:
        parts = [pd.array(part if kinds else [None] * part, dtype=dtype) for kinds, part in self._parts]
        joined = [pd.Series(part, dtype=dtype) for part in parts]
        return pd.concat(joined, ignore_index=True) if joined else pd.Series([], dtype=dtype)

    def _texts(self) -> pd.Series[Any]:
        """Return what has several types as text: strings as they are, all else as JSON."""
        found: list[str | None] = []
        part: Any
        for kinds, part in self._parts:
            if not kinds:
                found += [None] * part
            elif kinds <= {int, float}:
                values, mask = part
                found += [None if gone else str(v) for v, gone in zip(values.tolist(), mask, strict=True)]
            elif kinds == {str}:
                found += [None if value is pd.NA else value for value in part]
            else:
                found += [_text(value) for value in part]
        return pd.Series(found, dtype="string")


def _numbers(values: Sequence[object], types: Collection[type]) -> tuple[Any, Any]:
    """Return numbers and where they are null."""
    if float in types:
        numbers = np.array(values, dtype=np.float64)  # None becomes NaN
        return numbers, np.isnan(numbers)
    mask = np.zeros(len(values), bool)
    if NoneType in types:
        mask = np.fromiter((value is None for value in values), bool, len(values))
        values = [0 if value is None else value for value in values]
    try:
        return np.array(values, dtype=np.int64), mask
    except OverflowError:
        return np.array(values, dtype=object), mask


def _floats(part: tuple[frozenset[type], Any]) -> Any:
    kinds, content = part
    if not kinds:
        return np.full(content, np.nan)
    values, mask = content
    found = values.astype(np.float64)
    if mask.any():
        found[mask] = np.nan
    return found


def _text(value: object) -> str | None:
    if value is None or type(value) is str:
        return value
    return orjson.dumps(value, default=str).decode("utf-8", "replace")
