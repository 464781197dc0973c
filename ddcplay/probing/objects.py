r"""What `output: objects` reads: PowerShell's JSON as rows, dates and numbers typed.

Windows PowerShell 5.1 writes a date as `"\/Date(1418045420000)\/"`, one that `Get-Date` made as an object
around that, and an array that was wrapped once as `{"value": […], "Count": n}`; PowerShell 7 writes ISO 8601.
All come out the same. The text is hostile: its size is bounded by the probe's `max_output`, and only
`ValueError` leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

MAX_DEPTH = 32
"""ConvertTo-Json is asked for 4 levels; whoever sends more sends something else."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OLD_DATE = re.compile(r"/Date\((-?\d{1,18})(?:[+-]\d{4})?\)/", re.ASCII)
_ISO_DATE = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)
_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1


def read_objects(stdout: bytes, codec: str) -> list[object]:
    """Read the rows a script's objects were turned into.

    Args:
        stdout: what the target sent; the JSON is its last line, `Write-Host` may have written before it.
        codec: Python's name of the remote console's code page.

    Raises:
        ValueError: the last line is no JSON.
    """
    lines = stdout.decode(codec, "replace").replace("\ufeff", "").rstrip().splitlines()
    text = lines[-1].strip() if lines else ""
    if not text.startswith("["):
        raise ValueError("the last line of its output is no list of objects")
    try:
        found = json.loads(text, parse_int=_integer, parse_constant=_no_number)
        rows = _typed(found, 0)
    except RecursionError:
        raise ValueError("its objects are nested too deeply") from None
    assert isinstance(rows, list), "a text that starts with [ is a list or no JSON"
    return rows


def _integer(digits: str) -> int | str:
    """Take a whole number; beyond 64 bits it stays the text it is, for no store could keep it exactly."""
    if len(digits) > 20:
        return digits
    number = int(digits)
    return number if _INT64_MIN <= number <= _UINT64_MAX else digits


def _no_number(_name: str) -> None:
    """Read NaN and infinities, which 5.1 writes bare, as no value."""


def _typed(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise ValueError("its objects are nested too deeply")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_typed(item, depth + 1) for item in value]
    if isinstance(value, dict):
        inner = _unwrapped(value)
        if inner is not value:
            return _typed(inner, depth + 1)
        return {_valid(key): _typed(item, depth + 1) for key, item in value.items()}
    return value


def _unwrapped(value: dict[str, object]) -> object:
    """Take 5.1's wrapping off: an array with its Count, a date with the properties PowerShell adds."""
    inner = value.get("value")
    if isinstance(inner, list) and value.keys() == {"value", "Count"}:
        return inner
    extra = value.keys() - {"value", "DisplayHint", "DateTime"}
    if isinstance(inner, str) and not extra and "DateTime" in value and date_text(inner) is not None:
        return inner
    return value


def _text(value: str) -> str:
    found = date_text(value)
    return _valid(value) if found is None else found


def _valid(text: str) -> str:
    r"""Replace lone surrogates, which `\ud800` in JSON may make and UTF-8 cannot carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def date_text(text: str) -> str | None:
    """Return a date of PowerShell's JSON as ISO 8601 in UTC, None when the text is none (or has no zone)."""
    for form, read in _FORMS:
        found = form.fullmatch(text)
        if found is not None:
            try:
                moment = read(found).astimezone(UTC).replace(tzinfo=None)
            except (ValueError, OverflowError):
                return None
            text = moment.isoformat()
            return (text.rstrip("0") if "." in text else text) + "Z"
    return None


def _old(found: re.Match[str]) -> datetime:
    # The number counts from 1970 in UTC; an offset beside it only says where it was written.
    return _EPOCH + timedelta(milliseconds=int(found[1]))


def _iso(found: re.Match[str]) -> datetime:
    moment = datetime.fromisoformat(found[1] + found[3])
    return moment.replace(microsecond=int((found[2] or "0")[:6].ljust(6, "0")))


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], datetime]], ...] = (
    (_OLD_DATE, _old),
    (_ISO_DATE, _iso),
)
