"""Readers of `parse`: csv, kv and regex, from text to rows of texts with the number of their line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence

import regex

from ddcplay.filtering.lines import (
    Line,
    bad_line,
    matches,
    unique_names,
    unix_ends,
)
from ddcplay.filtering.trouble import DataError, shown

_LEFT_OUT = "leave out what is no data with  skip: N  or  ignore: PATTERN"
_UNDERLINE = re.compile(r"[\s=_*-]+")
_DOTS = " .\u00a0\u202f\t"


def csv_rows(
    lines: Sequence[Line],
    delimiter: str = "",
    header: Sequence[str] | bool = True,  # noqa: FBT001, FBT002 - the option of this name
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read CSV.

    Args:
        lines: without empty ones; PowerShell's `#TYPE` is left out.
        delimiter: empty for the one of `, ; tab` that the first line holds.
        header: names of the columns; True when the first line holds them, False for `column_1` ….

    Returns:
        The columns' names, and for each row its line number and cells.

    Raises:
        DataError: a row has another number of cells.
    """
    if lines and lines[0].text.startswith("#TYPE"):
        lines = lines[1:]
    if not lines:
        return list(header) if not isinstance(header, bool) else [], []
    mark = delimiter or next((mark for mark in ",;\t" if mark in lines[0].text), ",")
    records = _records(lines, mark)
    if header is True:
        _, names = next(records)
        names = [name.strip() for name in names]
        while names and not names[-1]:
            names.pop()
    else:
        names = [] if header is False else list(header)
    rows = []
    for number, cells in records:
        if header is False and not names:
            names = [""] * len(cells)
        rows.append((number, _fitting(number, cells, len(names), mark)))
    return unique_names(names), rows


def _records(lines: Sequence[Line], mark: str) -> Iterator[tuple[int, list[str]]]:
    """Read records; one in quotes may go over several lines, its first one counts."""
    reader = csv.reader((line.text + "\n" for line in lines), delimiter=mark, skipinitialspace=True)
    before = 0
    try:
        for cells in reader:
            yield lines[before].number, cells
            before = min(reader.line_num, len(lines) - 1)
    except csv.Error as error:
        raise DataError(f"line {lines[before].number}: {error}", "is the delimiter right?") from None


def _fitting(number: int, cells: list[str], count: int, mark: str) -> list[str]:
    while len(cells) > count and not cells[-1].strip():
        cells.pop()
    if len(cells) != count:
        raise bad_line(
            number,
            mark.join(cells),
            f"{len(cells)} fields, and {count} expected",
            f"{_LEFT_OUT}; the delimiter is taken to be {mark!r}",
        )
    return cells


class KeyValues:
    """Reads `key: value` and `key = value`, ipconfig's dots, wmic's /value and systeminfo's further lines.

    A line that stands alone above indented ones opens a section; a line that begins where the value above
    it began goes on with that value, which becomes a list.

    Args:
        lines: without empty ones.
        delimiter: what stands between; empty for the first of `=` and `:`.
        rows: an empty line, a section or a key that comes again begins a new row.
    """

    def __init__(self, lines: Sequence[Line], delimiter: str, *, rows: bool) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._rows = rows
        self._blocks: list[tuple[str, dict[str, list[tuple[int, str]]]]] = [("", {})]
        self._last: list[tuple[int, str]] | None = None
        self._column = 0

    def read(self) -> list[tuple[str, dict[str, list[tuple[int, str]]]]]:
        """Return blocks: name of the section (empty outside) and key → values with their line numbers.

        Raises:
            DataError: a line is neither.
        """
        for index, line in enumerate(self._lines):
            if not _UNDERLINE.fullmatch(line.text):
                self._take(index, line)
        return [block for block in self._blocks if block[1] or block[0]]

    def _take(self, index: int, line: Line) -> None:
        indent = _indent(line.text)
        if self._last is not None and not line.gap and indent and indent >= self._column > 4:
            self._last.append((line.number, line.text.strip()))
            return
        if not indent and self._opens_section(index, line):
            self._blocks.append((line.text.strip(_DOTS + ":"), {}))
            self._last = None
            return
        at = self._separator(line.text)
        if at is None:
            mark = repr(self._delimiter) if self._delimiter else "':' or '='"
            raise bad_line(line.number, line.text, f"there is no {mark} in it", _LEFT_OUT)
        self._add(line, *at)

    def _add(self, line: Line, start: int, end: int) -> None:
        key, value = line.text[:start].strip(_DOTS), line.text[end:]
        if not key:
            raise bad_line(line.number, line.text, "nothing stands before the separator", _LEFT_OUT)
        section, fields = self._blocks[-1]
        # The heading of a section and its fields may be an empty line apart, as in ipconfig.
        if self._rows and fields and (key in fields or (line.gap and not section)):
            fields = {}
            self._blocks.append((section, fields))
        self._last = fields.setdefault(key, [])
        self._last.append((line.number, value.strip()))
        self._column = end + len(value) - len(value.lstrip()) if value.strip() else 0

    def _opens_section(self, index: int, line: Line) -> bool:
        following = self._lines[index + 1] if index + 1 < len(self._lines) else None
        if following is None or not _indent(following.text):
            return False
        at = self._separator(line.text)
        return at is None or not line.text[at[1] :].strip()

    def _separator(self, text: str) -> tuple[int, int] | None:
        if self._delimiter:
            at = text.find(self._delimiter)
            return None if at < 0 else (at, at + len(self._delimiter))
        places = [place for place in (text.find("="), text.find(":")) if place >= 0]
        return (min(places), min(places) + 1) if places else None


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def regex_rows(pattern: regex.Pattern[str], text: str) -> list[tuple[int, Mapping[str, str | None]]]:
    """Return the named groups of every match, with the number of its line.

    Raises:
        DataError: the pattern takes too long or matches too often.
    """
    return [(line, match.groupdict()) for line, match in matches(pattern, unix_ends(text))]


def first_line(text: str) -> str:
    """Show where an output begins, for messages."""
    return shown(next((line.strip() for line in text.splitlines() if line.strip()), ""))
