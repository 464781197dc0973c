"""Filters that remember: `static` tells facts once and when they change, `rate` makes rates of counters."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

from pydantic import ConfigDict

from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.json_values import same_text
from ddcplay.filtering.options import Duration, Names, Path, short_form
from ddcplay.filtering.paths import FieldPath
from ddcplay.filtering.trouble import DataError, kind_of, shown
from ddcplay.model.effects import StaticFact

_LONG = 128
_KNOWN = "known"


class Static(Filter):
    """Passes fields once and when they change: facts that stay, such as names, sizes and serial numbers.

    ::

        - static: [hostname, os_version, memory_bytes]

    A new or changed field is stored as a static fact, valid from the attempt on, and stays in data; one that
    is as it was is taken out of data. Null is no news: nothing is stored, the field is taken out. Templates
    and `when` see the facts as `static`.
    """

    class Options(Filter.Options):
        """Which fields."""

        fields: Names

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take a field or a list of fields as `fields`."""
        return short_form(written, "fields", str, list)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Return the record without the fields that are as they were.

        Raises:
            DataError: data is no mapping.
        """
        if not isinstance(record.data, Mapping):
            raise DataError(
                f"static needs data with fields, data is {kind_of(record.data)}",
                'make it one mapping, e.g. with `pick: "[0]"`',
            )
        before = context.state.get(_KNOWN)
        known = dict(before) if isinstance(before, Mapping) else {}
        data = dict(record.data)
        for name in self.options.fields:
            if name not in data:
                continue
            value = data[name]
            mark = _mark(value)
            if value is None or known.get(name) == mark:
                del data[name]
                continue
            known[name] = mark
            context.emit(StaticFact(name, value))
        context.state[_KNOWN] = known
        return record.with_data(data)


def _mark(value: object) -> str:
    """Return what is remembered of a value: long ones by their digest, the state stays small."""
    text = same_text(value)
    return text if len(text) <= _LONG else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


class Rate(Filter):
    """Adds `<field>_per_s`, the growth of a counter per second since the host's last record.

    ::

        - rate: [bytes_received, bytes_sent]
        - rate:
            fields: [bytes_received, bytes_sent]
            each: data.nics          # rows; left out, data itself (a mapping or a list of rows)
            key: device              # names a row
            uptime: uptime_s         # field of data that tells a restart (this is the default)
            max_gap: 2h              # no rate over a longer pause

    The rate is null for the first record, for a counter that is smaller than before (it was reset or has
    wrapped), when the uptime tells that the machine restarted in between, when the clock went back, and for
    rows that were not there before or whose key is there twice. Rows that vanish are forgotten.
    """

    class Options(Filter.Options):
        """Which counters, where."""

        model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)
        fields: Names
        each: Path | None = None
        key: str = ""
        uptime: str = "uptime_s"
        max_gap: Duration | None = None

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take a field or a list of fields as `fields`."""
        return short_form(written, "fields", str, list)

    @classmethod
    def check_options(cls, options: Options) -> Sequence[tuple[tuple[object, ...], str, str]]:
        """Refuse rows that nothing names."""
        if options.each is not None and not options.key:
            hint = "add  key:  with the field that names a row"
            return [(("each",), "rate over rows needs a key, else the rows cannot be told apart", hint)]
        return []

    def process(self, record: Record, context: FilterContext) -> Record:
        """Return the record with the rates added; a field that a row does not have is null.

        Raises:
            DataError: a counter is no number, or data has no such rows.
        """
        work = _Rates(self.options, context.state, record)
        where = self.options.each or FieldPath(())
        # `each: data` is how `alert` calls rows that are all there is.
        whole = not where.parts or (where.parts == ("data",) and isinstance(record.data, list))
        data = work.applied(record.data) if whole else where.at(record.data, work.applied)
        context.state.clear()
        context.state.update(at=record.started_at, values=work.values)
        return record.with_data(data)


class _Rates:
    """One record's counters beside those of the record before."""

    def __init__(self, options: Rate.Options, state: Mapping[str, object], record: Record) -> None:
        self.values: dict[str, dict[str, object]] = {}
        self._options = options
        before = state.get("values")
        at = state.get("at")
        self._before = cast("Mapping[str, Mapping[str, object]]", before if isinstance(before, dict) else {})
        self._elapsed_s = record.started_at - at if isinstance(at, int | float) else 0.0
        too_long = options.max_gap is not None and self._elapsed_s > options.max_gap
        if self._elapsed_s <= 0 or too_long or self._restarted(record.data):
            self._before = {}

    def _restarted(self, data: object) -> bool:
        uptime = data.get(self._options.uptime) if isinstance(data, Mapping) else None
        number = isinstance(uptime, int | float) and not isinstance(uptime, bool)
        return number and cast("float", uptime) < self._elapsed_s - 1

    def applied(self, data: object) -> object:
        """Return rows, or one mapping, with the rates added."""
        if isinstance(data, Mapping):
            return self._row(data, "")
        if not isinstance(data, list):
            raise DataError(
                f"rate needs fields or rows, and there is {kind_of(data)}", "put `parse` before it"
            )
        key = self._options.key
        if not key:
            raise DataError("rate over rows needs a key", "add  key:  with the field that names a row")
        for row in data:
            if not isinstance(row, Mapping):
                raise DataError(
                    f"rate needs rows with fields, a row is {kind_of(row)}", "put `pick` before it"
                )
        names = [_name(row.get(key)) for row in data]
        often = Counter(names)
        return [
            self._row(row, name if name and often[name] == 1 else None)
            for row, name in zip(data, names, strict=True)
        ]

    def _row(self, row: Mapping[str, object], name: str | None) -> dict[str, object]:
        before = self._before.get(name, {}) if name is not None else {}
        now = {field: _counter(field, row.get(field)) for field in self._options.fields}
        if name is not None:
            self.values[name] = {field: value for field, value in now.items() if value is not None}
        rates = {f"{field}_per_s": self._rate(before.get(field), value) for field, value in now.items()}
        return {**row, **rates}

    def _rate(self, before: object, now: float | None) -> float | None:
        if now is None or not isinstance(before, int | float) or now < before:
            return None
        try:
            return float((now - before) / self._elapsed_s)
        except OverflowError:
            return None


def _name(value: object) -> str:
    return "" if value is None else value if isinstance(value, str) else same_text(value)


def _counter(field: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(
            f"the counter {field!r} is {kind_of(value)} ({shown(value)}), not a number",
            "type it in `parse` (types: {" + field + ": int})",
        )
    return value
