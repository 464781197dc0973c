"""Words, numbers and times as reports write them; what a target sent is made visible and bounded here."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

TEXT_LIMIT = 300
"""Longest piece of text of a target in a report, in characters."""


def one_line(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return text on one line without a character that could reorder, hide or end it."""
    cut = text[: limit + 1]
    seen = "".join(char if char.isprintable() else _instead(char) for char in cut)
    return seen if len(cut) <= limit else seen[:limit] + "…"


def _instead(char: str) -> str:
    return " " if char in "\r\n\t" or unicodedata.category(char) == "Zs" else "\ufffd"


def plural(count: int, one: str, many: str = "") -> str:
    """Write `1 host`, `2 hosts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def percent_of(part: float, whole: float) -> float | None:
    """Return 100·part/whole, None for 0/0."""
    return 100 * part / whole if whole else None


def percent(value: float | None) -> str:
    """Write a share with one decimal, `-` for 0/0 (as in the trace)."""
    return "-" if value is None else f"{value:.1f}"


def listed(names: Sequence[str], limit: int) -> str:
    """Write names up to a limit, then how many more there are."""
    shown = ", ".join(one_line(name, 80) for name in names[:limit])
    more = len(names) - limit
    return f"{shown} and {more:,} more" if more > 0 else shown


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def moment(at: float, where: tzinfo) -> str:
    """Write UTC Unix seconds as `2026-11-22 18:05` in a time zone."""
    return datetime.fromtimestamp(at, where).strftime("%Y-%m-%d %H:%M")


def span(seconds: float) -> str:
    """Write a round length: `15 min`, `3 h`, `7 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
