"""JSON as filters need it: whole integers, no NaN, one text for equal values, nothing a database refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from ddcplay.filtering.trouble import DataError, kind_of

MAX_DEPTH = 100
"""Levels of lists and mappings; what is nested deeper is no data of a program that means well."""

MAX_VALUES = 5_000_000
MAX_LETTERS = 64 * 1024 * 1024
"""Of all of data; parts that stand in it several times count each time, as they do once it is written."""


def read_json(text: str) -> object:
    """Read one JSON document; numbers that are none (NaN, Infinity, 1e999) are null, integers stay whole.

    Raises:
        DataError: it is none, with line and column.
    """
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except json.JSONDecodeError as error:
        line = (text.splitlines() or [""])[min(error.lineno, text.count("\n") + 1) - 1 :][:1]
        shown = ascii(line[0].strip()[:60]) if line else "''"
        raise DataError(
            f"the output is no JSON: {error.msg} in line {error.lineno}, column {error.colno}: {shown}",
            "let the program print one JSON document and nothing else (ConvertTo-Json -Compress -Depth 5)",
        ) from None
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits"
        raise DataError(f"the output is no usable JSON: {what}", "let the program print less") from None
    check_json(value)
    return _valid(value) if "\\u" in text else value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _valid(value: object) -> object:
    r"""Replace lone surrogates, which `\ud800` makes and UTF-8 cannot carry."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_valid(part) for part in value]
    if isinstance(value, dict):
        return {str(_valid(key)): _valid(part) for key, part in value.items()}
    return value


def check_json(value: object) -> None:
    """Refuse what JSON cannot hold, what is nested too deep and what is too much.

    Raises:
        DataError: naming the kind of what was found.
    """
    level: list[object] = [value]
    values = letters = 0
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for part in level:
            if type(part) is str:
                letters += len(part)
            elif type(part) not in _PLAIN:
                letters += _opened(part, below)
            if values + len(below) > MAX_VALUES or letters > MAX_LETTERS:
                raise DataError(
                    f"data holds more than {MAX_VALUES} values or {MAX_LETTERS >> 20} Mi letters",
                    "keep less of it; a field that holds the whole output in each row grows with its square",
                )
        values += len(below)
        if not below:
            return
        level = below
    raise DataError(f"data is nested more than {MAX_DEPTH} levels deep", "let the program print less")


_PLAIN = frozenset({int, bool, type(None)})
"""Types that are always JSON, told at a glance."""


def _opened(part: object, below: list[object]) -> int:
    """Add what a value holds to `below`; returns its letters.

    Raises:
        DataError: JSON does not have it.
    """
    if isinstance(part, Mapping):
        _check_keys(part)
        below.extend(part.values())
    elif isinstance(part, list | tuple):
        below.extend(part)
    elif isinstance(part, str):
        return len(part)
    elif isinstance(part, float) and not math.isfinite(part):
        raise DataError(f"data holds {part}, which JSON does not have", "make it null")
    elif not isinstance(part, int | float):
        raise DataError(f"data holds {kind_of(part)}, which JSON does not have", "make it text")
    return 0


def _check_keys(mapping: Mapping[object, object]) -> None:
    for key in mapping:
        if not isinstance(key, str):
            raise DataError(f"data has the key {key!r:.40}; JSON takes text as keys", "make it text")


def same_text(value: object) -> str:
    """Return a text that is the same for equal JSON values, whatever the order of their fields."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
