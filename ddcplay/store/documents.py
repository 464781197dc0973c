"""JSON as the tables of filters hold it: plain, whole integers, no NaN; any JSON reader understands it.

Unlike `rows.dump_data`, which carries a probe's typed data to its filters, nothing is tagged here: dates
become ISO 8601 text, so that SQL and other programs can use them.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from collections.abc import Mapping

import orjson

from ddcplay.store.rows import storable

_DEEPEST = 100
_LONGEST_INTEGER_BITS = 14_000  # Python writes at most 4,300 digits (sys.int_info.default_max_str_digits)


def dump_document(value: object) -> str:
    """Write a value as JSON; equal values give equal text, whatever the order of their keys.

    NaN and infinities become null, what is no JSON becomes its text; a value is never refused.
    """
    try:
        # Plain values go the quick way; NaN becomes null there, too.
        text = orjson.dumps(value, option=_QUICK).decode()
        return text if "\\u0000" not in text else _thorough(value)
    except (TypeError, ValueError, RecursionError):
        return _thorough(value)


_QUICK = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


def _thorough(value: object) -> str:
    """Write whatever value as JSON."""
    try:
        text = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(_plain(value, 0), sort_keys=True, separators=(",", ":"))
    # NUL and (lone) surrogates are written as escapes, so only a text that has some is looked through.
    if "\\u0000" in text or "\\ud" in text:
        text = json.dumps(_plain(value, 0), sort_keys=True, separators=(",", ":"))
    return text


def load_document(text: str) -> object:
    """Read what `dump_document` wrote."""
    loaded: object = json.loads(text)
    return loaded


def _plain(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _LONGEST_INTEGER_BITS else hex(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= _DEEPEST:
        return f"not storable: nested deeper than {_DEEPEST}"
    if isinstance(value, Mapping):
        return {_name(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            return None
        return float(value) if decimal.Decimal(float(value)) == value else str(value)
    return value.hex() if isinstance(value, bytes) else storable(str(value))


def _name(key: object) -> str:
    """Name a field as json.dumps would."""
    if isinstance(key, str):
        return storable(key)
    return json.dumps(key) if key is None or isinstance(key, bool | int | float) else storable(str(key))
