"""What `ddcplay probe -w` shows: the rows of all hosts as one table, or as CSV for a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

import orjson
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.ui.answers import counts_of, csv_cell, print_groups
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import folded, table
from ddcplay.ui.words import plural

_HEAD = ("host", "outcome", "reason", "detail")
_ROWS_SHOWN = 500


def print_rows(console: Console, results: Sequence[AttemptResult], *, full: bool = False) -> None:
    """Print the rows that came back, then the hosts that sent none, then the counts.

    Args:
        console: where to.
        results: one per host.
        full: every row and host.
    """
    found = list(_rows(results))
    columns = _columns(row for _, row in found)
    if found:
        numeric = [name for name in columns if all(_is_number(row.get(name)) for _, row in found)]
        drawn = table("host", *map(_header, columns), right=[_header(name) for name in numeric])
        shown = found if full else found[:_ROWS_SHOWN]
        for result, row in shown:
            cells = (Text(safe_text(_shown(row.get(name)), limit=300), overflow="fold") for name in columns)
            drawn.add_row(Text(safe_text(result.host), overflow="fold"), *cells)
        console.print(drawn)
        if len(shown) < len(found):
            console.print(Text(f"… {plural(len(found) - len(shown), 'more row')} (-v)", style="dim"))
    with_rows = {result.host for result, _ in found}
    empty = [each.host for each in results if each.outcome is Outcome.OK and each.host not in with_rows]
    if empty:
        console.print(Text(f"no rows: {folded(empty, None if full else 12)}", overflow="fold"))
    print_groups(console, [each for each in results if each.outcome is not Outcome.OK], full=full)
    console.print(counts_of(results))


def write_csv(stream: TextIO, results: Sequence[AttemptResult]) -> None:
    """Write one line per row, and one per host without rows; what became of the host comes first."""
    found = list(_rows(results))
    by_host: dict[str, list[Mapping[str, object]]] = {}
    for result, row in found:
        by_host.setdefault(result.host, []).append(row)
    columns = _columns(row for _, row in found)
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*_HEAD, *map(csv_cell, columns)))
    for result in results:
        about = (
            csv_cell(result.host),
            str(result.outcome),
            str(result.reason or ""),
            csv_cell(result.detail),
        )
        for row in by_host.get(result.host, [{}]):
            writer.writerow((*about, *(csv_cell(_shown(row.get(name))) for name in columns)))


def _rows(results: Sequence[AttemptResult]) -> Iterator[tuple[AttemptResult, Mapping[str, object]]]:
    for result in results:
        if isinstance(result.data, list | tuple):
            yield from ((result, row) for row in result.data if isinstance(row, Mapping))


def _columns(rows: Iterator[Mapping[str, object]]) -> list[str]:
    """Name every property once, in the order in which they came."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _header(name: str) -> str:
    return escape(safe_text(name))  # rich reads markup in a header


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(item, str | int) for item in value):
        return ", ".join(map(str, value))
    if isinstance(value, list | Mapping):
        return orjson.dumps(value, default=str).decode()
    return str(value)
