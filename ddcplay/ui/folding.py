"""Many host names in one line: `lab01-pc[01:12],lab02-pc03` (Ansible's range form)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TEXT_AND_NUMBER = re.compile(r"([^0-9]*)([0-9]{0,18})")
_LAST_NUMBER = re.compile(r"([0-9]{1,9})[^0-9]*$")


@dataclass(slots=True)
class _Run:
    """Neighbouring names that differ in one number only."""

    prefix: str
    suffix: str
    first: str
    last: str
    count: int = 1

    def takes(self, prefix: str, number: str, suffix: str) -> bool:
        """Say whether a name is the next one of this run."""
        if not self.last or (prefix, suffix) != (self.prefix, self.suffix):
            return False
        same_form = len(number) == len(self.last) or "0" not in (self.first[0], number[0])
        return same_form and int(number) == int(self.last) + 1

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.prefix}{self.first}{self.suffix}"
        return f"{self.prefix}[{self.first}:{self.last}]{self.suffix}"


def fold_hosts(names: Sequence[str], limit: int | None = None) -> str:
    """Write host names as ranges, in the order given.

    Args:
        names: inventory names.
        limit: at most so many names or ranges; the rest becomes `… 37 more`. None for no limit.
    """
    runs: list[_Run] = []
    for name in names:
        prefix, number, suffix = _split(name)
        if runs and number and runs[-1].takes(prefix, number, suffix):
            runs[-1].last = number
            runs[-1].count += 1
        else:
            runs.append(_Run(prefix, suffix, number, number))
    if limit is None or len(runs) <= limit:
        return ",".join(map(str, runs))
    hidden = sum(run.count for run in runs[limit:])
    return ",".join(map(str, runs[:limit])) + f" … {hidden} more"


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Return a sort key by which `pc2` comes before `pc10`."""
    pieces = _TEXT_AND_NUMBER.findall(name)
    return tuple((text, int(number) if number else -1) for text, number in pieces)


def _split(name: str) -> tuple[str, str, str]:
    """Split at the number that counts machines: the last one of the first label, or of an address."""
    label, dot, domain = name.partition(".")
    if label.isdecimal():  # an IPv4 address counts in its last part
        label, dot, domain = name, "", ""
    match = _LAST_NUMBER.search(label)
    if match is None:
        return name, "", ""
    return label[: match.start(1)], match[1], label[match.end(1) :] + dot + domain
