"""Text → typed values, by rule: numbers by themselves, everything else only where `types:` asks for it.

What looks like a number and is more likely a name stays text: leading zeros (`007`), a leading plus, more
than 20 digits, `1E5` without point or sign (serial numbers look so).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from ddcplay.filtering.trouble import DataError, shown

TypeName = Literal["int", "float", "str", "bool", "datetime"]
"""Types that `types:` knows."""

_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,19})")
_FLOAT = re.compile(r"-?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?|-?[0-9]+[eE][+-][0-9]{1,3}")
_ANY_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_ANY_INT = re.compile(r"[+-]?[0-9]{1,40}")
_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_DMTF = re.compile(r"([0-9]{14})\.([0-9]{6})([+-])([0-9]{3})")
_PS_DATE = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FINE = {"'": "'\u2019", " ": " \u00a0\u202f"}  # what Windows prints for a thousands mark of a language


@dataclass(frozen=True, slots=True)
class Typing:
    """How texts become values.

    Args:
        types: field → type; other fields are numbers where they look like one, else text.
        decimal: `.` or `,`.
        thousands: mark between groups of digits, empty for none.
        datetime_format: `strptime` form, tried before the usual ones; empty for none.
    """

    types: Mapping[str, TypeName] = field(default_factory=dict)
    decimal: str = "."
    thousands: str = ""
    datetime_format: str = ""

    def value(self, name: str, text: str | None, line: int = 0) -> object:
        """Return the value of one field; an empty text is null, save where the field is `str`.

        Args:
            name: of the field.
            text: as printed, None for a field that is not there.
            line: of the output, for the message; 0 when unknown.

        Raises:
            DataError: it is not of the type that `types:` demands.
        """
        kind = self.types.get(name)
        if text is None or (not text.strip() and kind != "str"):
            return None
        if kind is None:
            return self._number(text.strip())
        try:
            return _READERS[kind](self, text)
        except (ValueError, OverflowError):
            at = f"line {line}: " if line else ""
            raise DataError(
                f"{at}the field {name!r} must be {kind}, and is {shown(text)}", _HINTS.get(kind, "")
            ) from None

    def retyped(self, row: object) -> object:
        """Apply `types:` to the texts of a row that a parser has typed by itself."""
        if not isinstance(row, dict) or not self.types:
            return row
        return {
            name: self._again(name, value) if name in self.types else value for name, value in row.items()
        }

    def _again(self, name: str, value: object) -> object:
        if isinstance(value, str):
            return self.value(name, value)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return self.value(name, str(value)) if number else value

    def _number(self, text: str) -> object:
        plain = self._plain_digits(text)
        if _INT.fullmatch(plain) and plain != "-0":
            return int(plain)
        if _FLOAT.fullmatch(plain) and len(plain) <= 40:
            number = float(plain)
            return number if math.isfinite(number) else text
        return text

    def _plain_digits(self, text: str) -> str:
        """Return a number with a point and without marks; text that is none comes back as it is."""
        for mark in _FINE.get(self.thousands, self.thousands):
            if mark in text and re.fullmatch(
                rf"[+-]?[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+(?:{re.escape(self.decimal)}[0-9]*)?",
                text,
            ):
                text = text.replace(mark, "")
        if self.decimal == "." or "." in text:
            return text if self.decimal == "." else ""
        return text.replace(",", ".")

    def _int(self, text: str) -> int:
        plain = self._plain_digits(text.strip())
        if not _ANY_INT.fullmatch(plain):
            raise ValueError(plain)
        return int(plain)

    def _float(self, text: str) -> float | None:
        plain = self._plain_digits(text.strip())
        if plain.lower().lstrip("+-") in {"nan", "inf", "infinity", "\u221e"}:
            return None  # JSON has no such number
        if not _ANY_FLOAT.fullmatch(plain):
            raise ValueError(plain)
        number = float(plain)
        return number if math.isfinite(number) else None

    def _datetime(self, text: str) -> str:
        moment = self._moment(text.strip())
        if moment.tzinfo is None:
            return moment.isoformat()
        return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"

    def _moment(self, text: str) -> datetime:
        if self.datetime_format:
            return datetime.strptime(text, self.datetime_format)  # noqa: DTZ007 - the form tells of a zone or not
        if found := _DMTF.fullmatch(text):
            minutes = int(found[4]) * (1 if found[3] == "+" else -1)
            moment = datetime.strptime(found[1], "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone follows
            zone = timezone(timedelta(minutes=minutes))
            return moment.replace(microsecond=int(found[2]), tzinfo=zone)
        if found := _PS_DATE.fullmatch(text):
            return _EPOCH + timedelta(milliseconds=int(found[1]))
        if "-" not in text[1:]:
            raise ValueError(text)  # 20240102 and such: a number as likely as a date
        return datetime.fromisoformat(text)


def _bool(_typing: Typing, text: str) -> bool:
    return _lookup(text.strip().lower())


def _lookup(word: str) -> bool:
    if word not in _WORDS:
        raise ValueError(word)
    return _WORDS[word]


_READERS: Mapping[str, Callable[[Typing, str], object]] = {
    "int": Typing._int,  # noqa: SLF001 - the class's own table
    "float": Typing._float,  # noqa: SLF001 - the class's own table
    "str": lambda _typing, text: text,
    "bool": _bool,
    "datetime": Typing._datetime,  # noqa: SLF001 - the class's own table
}
_HINTS = {
    "int": 'a thousands mark is told with  thousands: "."',
    "float": 'a decimal comma is told with  decimal: ","',
    "bool": "true, false, yes, no, on, off, 1 and 0 are read",
    "datetime": "ISO 8601, WMI's and PowerShell's forms are read; others with  datetime_format: \"%d/%m/%Y\"",
}
