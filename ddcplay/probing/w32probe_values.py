"""Values out of rows that a target sent: each is what its field promises, or None.

A row may lack a property, hold null, or hold anything at all; nothing here raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

Row = Mapping[str, object]
Rows = Sequence[Row]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UINT64_MAX = 2**64 - 1
_MAX_TEXT = 512
KIB = 1024


def text(value: object) -> str | None:
    """Return text without blanks around it, None for none; digits of an identifier stay its digits."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip()[:_MAX_TEXT] or None


def count(value: object) -> int | None:
    """Return a number of bytes, ticks or things, None for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _UINT64_MAX:
        return None
    return value


def kib(value: object) -> int | None:
    """Return the bytes of a number of KiB."""
    found = count(value)
    return None if found is None else found * KIB


def truth(value: object) -> bool | None:
    """Return a truth value, None for what is none."""
    return value if isinstance(value, bool) else None


def texts(value: object) -> str | None:
    """Return the texts of an array (of one element it cannot be told from a scalar), separated by blanks."""
    items = value if isinstance(value, list) else [value]
    return " ".join(found for item in items if (found := text(item))) or None


def seconds_of(value: object) -> float | None:
    """Return a moment of ISO 8601 as Unix seconds, None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) / timedelta(seconds=1)


def time(value: object) -> str | None:
    """Return a moment as it is written in samples, None for what is none."""
    return value if isinstance(value, str) and seconds_of(value) is not None else None


def span_s(start: object, end: object) -> float | None:
    """Return the seconds between two moments, None when they do not tell or run backwards."""
    first, last = seconds_of(start), seconds_of(end)
    if first is None or last is None or last < first:
        return None
    return round(last - first, 3)


def share_pct(part: float | None, whole: float | None) -> float | None:
    """Return a part in percent of its whole; None when there is no whole or it is no part of it.

    Readings that belong together are taken some milliseconds apart, so an overshoot up to one point is 100.
    """
    if part is None or not whole or part < 0 or part > whole * 1.01:
        return None
    return round(min(100.0, 100.0 * part / whole), 4)


def total(values: Sequence[int | None]) -> int | None:
    """Return the sum of what is known, None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def first(rows: Rows | None) -> Row:
    """Return the only row of a class that has one, an empty one when there is none."""
    return rows[0] if rows else {}
