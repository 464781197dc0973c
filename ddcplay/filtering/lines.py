"""A program's output as lines: Windows' line ends and marks removed, numbered as a person counts them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from ddcplay.filtering.base import Record
from ddcplay.filtering.trouble import DataError, shown

MATCH_TIMEOUT_S = 2.0
"""Seconds of processor time a pattern may search one output: hostile text can make one run for ever."""

MAX_MATCHES = 200_000
"""Matches of a pattern in one output."""

MAX_COLUMNS = 1000
"""Columns of a table or of CSV."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty.

    Args:
        number: in the output, from 1.
        text: without its end.
        gap: an empty line, or the beginning, stands before it.
    """

    number: int
    text: str
    gap: bool = False


def text_of(record: Record, stream: str) -> str:
    """Return an output as text; a byte order mark wins over the code page, as some programs write UTF-16.

    Args:
        record: whose output.
        stream: `stdout` or `stderr`.
    """
    raw = record.stdout_bytes if stream == "stdout" else record.stderr_bytes
    if stream == "stdout" or record.stderr_text is None:
        for mark, codec in _MARKS:
            if raw.startswith(mark):
                return raw.decode(codec, "replace").removeprefix("\ufeff")
    return (record.stdout if stream == "stdout" else record.stderr).removeprefix("\ufeff")


def unix_ends(text: str) -> str:
    r"""Return text whose lines end with `\n` alone."""
    # wmic ends its lines with two carriage returns; a pattern for this would be slow on a million of them.
    return text.replace("\r\r\n", "\n").replace("\r\n", "\n").replace("\r", "\n")


def lines_of(text: str, skip: int = 0, ignore: regex.Pattern[str] | None = None) -> list[Line]:
    """Return the lines that hold something.

    Args:
        text: with any line ends.
        skip: lines left out at the beginning, empty ones counted.
        ignore: lines in which a match begins are left out.

    Raises:
        DataError: the pattern takes too long.
    """
    found: list[Line] = []
    gap = True
    text = unix_ends(text)
    ignored = frozenset(number for number, _ in matches(ignore, text)) if ignore is not None else frozenset()
    for number, line in enumerate(text.split("\n"), 1):
        if number <= skip or not line.strip():
            gap = True
            continue
        if number in ignored:
            continue
        found.append(Line(number, line.rstrip(), gap))
        gap = False
    return found


def matches(pattern: regex.Pattern[str], text: str) -> Iterator[tuple[int, regex.Match[str]]]:
    """Search hostile text with a bound on the time and number of matches; yields line numbers and matches.

    Raises:
        DataError: it took too long, or there are too many.
    """
    line, seen = 1, 0
    try:
        # One search of all the text, so that the bound is on the whole and not on each line.
        for count, match in enumerate(pattern.finditer(text, timeout=MATCH_TIMEOUT_S, concurrent=True)):
            if count >= MAX_MATCHES:
                raise DataError(
                    f"the pattern matches more than {MAX_MATCHES} times", "anchor it with ^ and $"
                )
            line += text.count("\n", seen, match.start())
            seen = match.start()
            yield line, match
    except TimeoutError:
        raise DataError(
            f"the pattern used more than {MATCH_TIMEOUT_S:g} s of processor time and was stopped",
            "avoid repeats inside repeats such as (a+)+; anchor it with ^ and $",
        ) from None


def unique_names(names: Sequence[str]) -> list[str]:
    """Return column names that differ: an empty one becomes `column_3`, a second `x` becomes `x_2`.

    Raises:
        DataError: more columns than a table of a program that means well has.
    """
    columns_ok(len(names))
    found: dict[str, None] = {}
    for index, name in enumerate(names, 1):
        name = " ".join(name.split()) or f"column_{index}"  # noqa: PLW2901 - the same name, tidied
        other, times = name, 1
        while other in found:
            times += 1
            other = f"{name}_{times}"
        found[other] = None
    return list(found)


def columns_ok(count: int) -> None:
    """Refuse so many columns that rows times columns would take for ever.

    Raises:
        DataError: more than `MAX_COLUMNS`.
    """
    if count > MAX_COLUMNS:
        raise DataError(
            f"the heading has {count} columns, more than {MAX_COLUMNS}", "is the delimiter right?"
        )


def bad_line(line: int, text: str, what: str, hint: str) -> DataError:
    """Return what is told about a line that is not as expected."""
    return DataError(f"line {line}: {what}: {shown(text.strip())}", hint)
