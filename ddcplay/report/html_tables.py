"""Tables of the HTML report; every cell is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape


def data_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, text: Iterable[int]) -> str:
    """Write a table that opens on demand; columns not in `text` hold numbers."""
    words = set(text)
    kinds = ["" if index in words else ' class="number"' for index in range(len(headers))]
    return f"<details><summary>Numbers</summary>{cells(headers, rows, kinds)}</details>"


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: int | None = None,
    kind: str = "",
    head: bool = False,
) -> str:
    """Write a table; columns from `numbers` on stand right, with `head` the first column is headers."""
    first = len(headers) if numbers is None else numbers
    kinds = ["" if index < first else ' class="number"' for index in range(len(headers))]
    return cells(headers, rows, kinds, kind=kind, head=head)


def scrolled(head: str, rows: Iterable[str], kind: str = "") -> str:
    """Wrap finished rows into a table that scrolls where the screen is narrow."""
    named = f' class="{kind}"' if kind else ""
    body = "".join(rows)
    return (
        f'<div class="scroll"><table{named}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def cells(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    kinds: Sequence[str],
    *,
    kind: str = "",
    head: bool = False,
) -> str:
    """Write a table; `kinds` holds the attributes of each column."""
    top = "".join(f'<th scope="col"{k}>{escape(text)}</th>' for k, text in zip(kinds, headers, strict=True))
    lines = []
    for row in rows:
        cells = [f"<td{k}>{escape(text)}</td>" for k, text in zip(kinds, row, strict=True)]
        if head:
            cells[0] = f'<th scope="row">{escape(row[0])}</th>'
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return scrolled(top, lines, kind)


def decimals(value: float | None, number: int) -> str:
    """Write a number with so many decimals, `-` for none."""
    return "-" if value is None else f"{value:,.{number}f}"


def advice_html(text: str) -> str:
    """Write a sentence of advice: what stands between backticks is to be typed."""
    whole = escape(text[:1].upper() + text[1:])
    return re.sub(r"`([^`]{1,120})`", r"<code>\1</code>", whole)
