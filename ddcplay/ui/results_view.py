"""What `ddcplay results` prints: a table for people, CSV and JSON lines for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from itertools import chain, islice
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from ddcplay.model.codebook import CODEBOOK
from ddcplay.model.result import AttemptResult
from ddcplay.report.table_files import csv_number, csv_text, iso_moment
from ddcplay.report.words import moment
from ddcplay.ui.json_lines import dump_line
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import table
from ddcplay.ui.words import plural

_COLUMNS_THAT_FIT = 8
_WIDEST = 60
_LOOKED_AT = 1000  # rows that tell which columns a CSV of samples has; what comes later needs --fields
_STATIC = frozenset(field.name for field in CODEBOOK if field.static)
_SHORT = ("started_at", "host", "probe", "outcome", "reason", "elapsed_s", "exit_code", "detail")
_SAMPLE = ("host", "iteration", "started_at", "row")


def attempt_row(result: AttemptResult) -> dict[str, Any]:
    """Return an attempt as a row: its fields without the outputs."""
    return {
        "iteration": result.iteration,
        "host": result.host,
        "probe": result.probe,
        "outcome": result.outcome.value,
        "reason": result.reason.value if result.reason else None,
        "was_on": result.on,
        "started_at": result.started_at,
        "elapsed_s": round(result.elapsed_s, 3),
        "timeout_s": result.timeout_s,
        "tries": result.tries,
        "exit_code": result.exit_code,
        "round_trips": result.round_trips,
        "detail": result.detail,
        "hint": result.hint,
    }


def json_row(row: Mapping[str, Any], fields: Sequence[str]) -> bytes:
    """Write one row as a JSON line; times are ISO 8601 in UTC."""
    flat = _flat(row)
    flat["started_at"] = iso_moment(float(flat["started_at"]))
    return dump_line({name: flat.get(name) for name in fields} if fields else flat)


def csv_lines(rows: Iterator[dict[str, Any]], fields: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a CSV, its head first; columns are those of the first rows, or those asked for."""
    first = list(islice(rows, 1 if fields else _LOOKED_AT))
    names = list(fields) or list(dict.fromkeys(chain.from_iterable(map(_flat, first))))
    yield ",".join(csv_text(name) for name in names) + "\r\n"
    for row in chain(first, rows):
        flat = _flat(row)
        yield ",".join(_cell(name, flat.get(name)) for name in names) + "\r\n"


def print_rows(console: Console, rows: Sequence[dict[str, Any]], fields: Sequence[str], zone: tzinfo) -> None:
    """Print rows for a person, times in the play's zone; what targets sent is made harmless."""
    if not rows:
        console.print("nothing fits")
        return
    flat = [_flat(row) for row in rows]
    names = list(fields) or _fitting(flat, samples="data" in rows[0])
    numeric = [name for name in names if name != "started_at" and _is_number(flat, name)]
    shown = table(*(safe_text(name) for name in names), right=[safe_text(name) for name in numeric])
    for row in flat:
        shown.add_row(*(Text(_shown(name, row.get(name), zone)) for name in names))
    console.print(shown)
    console.print(Text(f"{plural(len(rows), 'row')}, the newest last", style="dim"))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the fields of a sample beside host and time; those in front keep their names."""
    data = row.get("data")
    if data is None:
        return dict(row)
    leading = {name: value for name, value in row.items() if name != "data"}
    return leading | {name if name not in leading else f"{name}_2": value for name, value in data.items()}


def _fitting(rows: Sequence[Mapping[str, Any]], *, samples: bool) -> list[str]:
    """Choose the columns that a terminal has room for: what changes before what a machine is."""
    if not samples:
        return list(_SHORT)
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    leading = [name for name in ("started_at", "host", "row") if name in names]
    own = [name for name in names if name not in _SAMPLE]
    plain = [name for name in own if not any(isinstance(row.get(name), list | dict) for row in rows)]
    ordered = sorted(plain, key=lambda name: name in _STATIC)
    return leading + sorted(ordered[:_COLUMNS_THAT_FIT], key=own.index)


def _is_number(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return any(value is not None for value in values) and all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values
    )


def _shown(name: str, value: object, zone: tzinfo) -> str:
    if value is None:
        return "-"
    if name == "started_at" and isinstance(value, float):
        return moment(value, zone)
    if isinstance(value, float):
        return f"{value:.6g}"
    return safe_text(value if isinstance(value, str) else _json(value), limit=_WIDEST)


def _cell(name: str, value: object) -> str:
    if name == "started_at" and isinstance(value, float):
        return iso_moment(value)
    if value is None or isinstance(value, bool | int | float):
        return csv_number(value)
    return csv_text(value if isinstance(value, str) else _json(value))


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode("utf-8", "replace")
