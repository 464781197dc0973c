"""Host names as inventories write them: ports and ranges.

`pc[01:20]`, `rack[a:f]`, `pc[0:100:10]`, `host:5986`, `[fe80::1]:5986`. The rules are Ansible's, with its
leniency: text that is no address is taken as it stands, and only then looked through for ranges.
"""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Iterator, Sequence

MAX_HOSTS = 100_000
"""Most names one range may give: a mistyped bound must not fill the memory."""

_RANGE = r"\[(?:[0-9]*:[0-9]+|[A-Za-z]:[A-Za-z])(?::[0-9]+)?\]"
_LABEL = rf"(?:(?:\w|{_RANGE})(?:[\w-]|{_RANGE})*)?(?:[^\W_]|{_RANGE})"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]+)")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")
_ANY_RANGE = re.compile(r"\[[^\]]*\]")


class RangeError(ValueError):
    """A range cannot be expanded; the text says why."""


def split_port(text: str) -> tuple[str, int | None]:
    """Split `host:5986` or `[fe80::1]:5986` into name and port; other text comes back whole.

    Args:
        text: one host as the inventory writes it, ranges included.
    """
    for form in (_BRACKETED, _WITH_PORT):
        match = form.fullmatch(text)
        if match and _is_address(match[1]):
            return match[1], int(match[2])
    return text, None


def expand_range(text: str) -> list[str]:
    """Return every name a host with ranges stands for, the last range running fastest.

    Raises:
        RangeError: a range is malformed or gives more than `MAX_HOSTS` names.
    """
    names = [text]
    while "[" in names[0]:
        names = [expanded for name in names for expanded in _expand_first(name)]
        if len(names) > MAX_HOSTS:
            raise RangeError(f"{text!r} stands for more than {MAX_HOSTS} hosts")
    return names


def _is_address(text: str) -> bool:
    if _HOSTNAME.fullmatch(text):
        return True
    try:
        # A range stands for a number in an address too: fe80::[1:9].
        ipaddress.ip_address(_ANY_RANGE.sub("1", text))
    except ValueError:
        return False
    return True


def _expand_first(text: str) -> Iterator[str]:
    head, bracket, rest = text.partition("[")
    inner, closing, tail = rest.partition("]")
    if not closing or "]" in head or not bracket:
        raise RangeError(f"{text!r} has a bracket that is not closed")
    for value in _values(inner):
        yield f"{head}{value}{tail}"


def _values(inner: str) -> Sequence[str]:
    bounds = inner.split(":")
    if len(bounds) not in (2, 3):
        raise RangeError(f"[{inner}] is no range")
    first, last = bounds[0] or "0", bounds[1]
    if not last:
        raise RangeError(f"range [{inner}] has no end")
    step = _number(bounds[2], inner) if len(bounds) == 3 else 1
    if step < 1:
        raise RangeError(f"range [{inner}] has a step below 1")
    if len(first) == 1 and first in string.ascii_letters and len(last) == 1 and last in string.ascii_letters:
        return _letters(first, last, step, inner)
    return _numbers(first, last, step, inner)


def _letters(first: str, last: str, step: int, inner: str) -> Sequence[str]:
    # Ansible's alphabet is a-z then A-Z: [a:C] is legal and passes z.
    start, end = string.ascii_letters.index(first), string.ascii_letters.index(last)
    if start > end:
        raise RangeError(f"range [{inner}] runs backwards")
    return string.ascii_letters[start : end + 1 : step]


def _numbers(first: str, last: str, step: int, inner: str) -> Sequence[str]:
    padded = len(first) > 1 and first[0] == "0"
    if padded and len(first) != len(last):
        raise RangeError(f"range [{inner}] must write both ends with the same number of digits")
    start, end = _number(first, inner), _number(last, inner)
    if start > end:
        raise RangeError(f"range [{inner}] runs backwards")
    if (end - start) // step >= MAX_HOSTS:
        raise RangeError(f"range [{inner}] gives more than {MAX_HOSTS} hosts")
    width = len(first) if padded else 0
    return [str(number).zfill(width) for number in range(start, end + 1, step)]


def _number(text: str, inner: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RangeError(f"range [{inner}] holds {text!r}, which is no number and no single letter")
    return int(text)
