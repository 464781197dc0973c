"""Fixed-width tables, as Format-Table, wmic, tasklist, diskpart and quser print them.

Columns are found by the header (or the dashes below it) and by what is blank in every row: between two
columns there is a place where no row has a character, however its cells are aligned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from ddcplay.filtering.lines import Line, bad_line, columns_ok, unique_names
from ddcplay.filtering.trouble import DataError

_RULE = re.compile(r"\s*[-=\u2500]{2,}(?:\s+[-=\u2500]{1,})*\s*|\s*[-=]\s*")
_DASHES = re.compile(r"[-=\u2500]+")
_WORDS = re.compile(r"\S+(?: \S+)*")  # words of one heading are one blank apart
_SEEK_RULE = 20
_HINT = "leave out what is no table with  skip: N  or  ignore: PATTERN"
Span = tuple[int, int]


def table_rows(
    lines: Sequence[Line], header: Sequence[str] = ()
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a table.

    Args:
        lines: heading first; a line of dashes below it is used when there is one.
        header: names of the columns, where the printed ones are not wanted or run into each other.

    Returns:
        The columns' names, and for each row its line number and cells.

    Raises:
        DataError: no columns can be told apart.
    """
    lines = [Line(line.number, line.text.expandtabs(8), line.gap) for line in lines]
    rule = next((i for i, line in enumerate(lines[:_SEEK_RULE]) if i and _RULE.fullmatch(line.text)), None)
    if rule is None:
        heading, body = lines[0], lines[1:]
        spans = _heading_spans(heading, header)
        measured = [heading.text, *(line.text for line in body)]
    else:
        heading, body = lines[rule - 1], lines[rule + 1 :]
        spans = [match.span() for match in _DASHES.finditer(lines[rule].text)]
        measured = [lines[rule].text, heading.text, *(line.text for line in body)]
    columns_ok(len(spans))
    body = [line for line in body if not _RULE.fullmatch(line.text)]
    cuts = _cuts(spans, measured, body)
    names = [heading.text[start:end].strip() for start, end in cuts] if rule is not None or not header else []
    if header:
        if len(header) != len(cuts):
            raise bad_line(
                heading.number, heading.text, f"{len(cuts)} columns, and header: names {len(header)}", _HINT
            )
        names = list(header)
    rows = [(line.number, [line.text[start:end].strip() for start, end in cuts]) for line in body]
    return unique_names(names), rows


def _heading_spans(heading: Line, header: Sequence[str]) -> list[Span]:
    """Find where the headings stand: words of one heading are one blank apart, headings two or more."""
    if not header:
        return [match.span() for match in _WORDS.finditer(heading.text)]
    spans: list[Span] = []
    start = 0
    for name in header:
        at = heading.text.find(name, start)
        if at < 0:
            raise bad_line(heading.number, heading.text, f"the heading {name!r} is not there", _HINT)
        spans.append((at, at + len(name)))
        start = at + len(name)
    return spans


def _cuts(
    spans: Sequence[Span], measured: Sequence[str], body: Sequence[Line]
) -> list[tuple[int, int | None]]:
    """Return from where to where each column goes."""
    width = max(map(len, measured))
    used = [False] * (width + 1)
    for text in measured:
        for match in re.finditer(r"\S+", text):
            for place in range(match.start(), match.end()):
                used[place] = True
    edges = [0]
    for (_, end), (start, _) in pairwise(spans):
        edges.append(_gap(used, end, start, body))
    return [
        (start, end) for start, end in zip(edges, [*edges[1:], None], strict=True) if start != end or not end
    ]


def _gap(used: Sequence[bool], end: int, start: int, body: Sequence[Line]) -> int:
    """Return where between two headings no row has a character: the widest such place, else refuse."""
    best, length = -1, 0
    place = end
    while place < start:
        if used[place]:
            place += 1
            continue
        run = place
        while run < start and not used[run]:
            run += 1
        if run - place >= length:
            best, length = place, run - place
        place = run
    if best >= 0:
        return best + length
    for line in body:
        if line.text[end:start].strip() and not re.search(r"\s", line.text[end:start]):
            raise bad_line(line.number, line.text, f"no blank between columns at {end + 1}", _HINT)
    raise DataError(f"columns run into each other at place {end + 1} of the lines", _HINT)
