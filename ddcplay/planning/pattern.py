"""Chooses hosts by Ansible's patterns: which hosts a play or a command line means.

Pure: no file is read here (`@FILE` of `--limit` is read by `config`). The order of evaluation is Ansible's:
plain patterns first, then `&`, then `!`, whatever their order in the text.
"""

from __future__ import annotations

import difflib
import fnmatch
import ipaddress
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from ddcplay.errors import PatternError
from ddcplay.model.inventory import Host, Inventory

_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]{1,9})|([0-9]{1,9}):([0-9]{0,9}))\]")
_BETWEEN_COLONS = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_GLOB_MARKS = frozenset("*?[")
_NO_HOST_HINT = "`ddcplay inventory graph` shows all groups and hosts"


@dataclass(frozen=True, slots=True)
class Selection:
    """The hosts a pattern chose.

    Args:
        hosts: in inventory order, at least one.
        warnings: excluded or intersected names that nothing is called by, and globs without a match.
    """

    hosts: tuple[Host, ...]
    warnings: tuple[str, ...] = ()


def select_hosts(inventory: Inventory, pattern: str, limit: str | None = None) -> Selection:
    r"""Return the hosts a pattern means, narrowed by a limit.

    Args:
        inventory: where names are looked up.
        pattern: Ansible's form: `labs:!maintenance`, `pc*`, `~pc\d+`, `labs[0:9]`, `pc1,pc2`, `all`.
        limit: a further pattern (`--limit`), `@FILE` already replaced.

    Raises:
        PatternError: an unknown name, a broken pattern, or no host is left.
    """
    matcher = _Matcher(inventory)
    chosen = matcher.evaluate(pattern)
    if not chosen:
        raise _nothing(f"pattern {pattern!r} matches no host", matcher.warnings)
    if limit is not None and limit.strip():
        chosen &= matcher.evaluate(limit)
        if not chosen:
            message = f"pattern {pattern!r} with limit {limit!r} matches no host"
            raise _nothing(message, matcher.warnings)
    hosts = tuple(host for name, host in inventory.hosts.items() if name in chosen)
    return Selection(hosts, tuple(matcher.warnings))


def split_pattern(text: str) -> list[str]:
    """Split a pattern at commas and at colons, but not inside brackets and IPv6 addresses."""
    parts: list[str] = []
    for piece in (each.strip() for each in text.split(",")):
        if _is_whole(piece):
            parts.append(piece)
        else:
            parts.extend(_BETWEEN_COLONS.findall(piece))
    return [part for part in parts if part]


def _is_whole(piece: str) -> bool:
    try:
        ipaddress.ip_address(piece.lstrip("!&").strip("[]"))
    except ValueError:
        return ":" not in piece
    return True


def _nothing(message: str, warnings: list[str]) -> PatternError:
    return PatternError(message, "; ".join([*warnings, _NO_HOST_HINT]))


@dataclass(slots=True)
class _Matcher:
    """Evaluates patterns against one inventory and keeps the warnings."""

    inventory: Inventory
    warnings: list[str] = field(default_factory=list)

    def evaluate(self, text: str) -> set[str]:
        """Return the names of the hosts a whole pattern means."""
        parts = split_pattern(text)
        wanted = [part for part in parts if part[0] not in "&!"]
        chosen: set[str] = set()
        for part in wanted or ["all"]:
            chosen.update(self._matches(part, required=True))
        for part in parts:
            if part[0] == "&":
                chosen.intersection_update(self._matches(part[1:], required=False))
        for part in parts:
            if part[0] == "!":
                chosen.difference_update(self._matches(part[1:], required=False))
        return chosen

    def _matches(self, part: str, *, required: bool) -> list[str]:
        if part in self.inventory.hosts:
            return [part]
        subscript = None if part.startswith("~") else _SUBSCRIPT.fullmatch(part)
        if subscript is None:
            return self._named(part, required=required)
        found = self._named(subscript[1], required=required)
        return self._picked(found, subscript, part) if found else []

    def _named(self, part: str, *, required: bool) -> list[str]:
        """Return hosts of all matching groups, then matching hosts, in Ansible's order."""
        is_glob = part.startswith("~") or not _GLOB_MARKS.isdisjoint(part)
        matches = _test_of(part)
        groups = [name for name in self.inventory.groups if matches(name)]
        found = dict.fromkeys(host for group in groups for host in self._members(group))
        if is_glob or not groups:
            found.update(dict.fromkeys(name for name in self.inventory.hosts if matches(name)))
        if not found and not groups and part != "all":
            self._tell_unknown(part, required=required and not is_glob)
        return list(found)

    def _members(self, group: str) -> Iterator[str]:
        # Breadth first, as Ansible counts for subscripts: a group's own hosts before those of its children.
        seen = [group]
        for name in seen:
            yield from self.inventory.groups[name].hosts
            children = self.inventory.groups[name].children
            seen.extend(child for child in dict.fromkeys(children) if child not in seen)

    def _picked(self, found: list[str], subscript: re.Match[str], part: str) -> list[str]:
        single, start, end = subscript[2], subscript[3], subscript[4]
        if single is not None:
            position = int(single)
            if not -len(found) <= position < len(found):
                message = f"pattern {part!r} counts past the {len(found)} hosts of {subscript[1]!r}"
                raise PatternError(message, "the first host is [0], the last one [-1]")
            return [found[position]]
        last = int(end) if end else len(found) - 1
        picked = found[int(start) : last + 1]
        if not picked:
            message = f"pattern {part!r} picks none of the {len(found)} hosts of {subscript[1]!r}"
            raise PatternError(message, "both ends count from 0 and belong to the range")
        return picked

    def _tell_unknown(self, part: str, *, required: bool) -> None:
        names = [*self.inventory.groups, *self.inventory.hosts]
        near = difflib.get_close_matches(part, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else _NO_HOST_HINT
        message = f"no host or group is called {part!r}"
        if required:
            raise PatternError(message, hint)
        warning = f"{message}; {hint}"
        if warning not in self.warnings:
            self.warnings.append(warning)


def _test_of(part: str) -> _Test:
    if part.startswith("~"):
        try:
            with warnings.catch_warnings():
                # "[[" makes Python warn of set operations it may have one day.
                warnings.simplefilter("ignore", FutureWarning)
                return _Test(re.compile(part[1:]))
        except re.error as error:
            message = f"{part!r} is no regular expression: {error}"
            raise PatternError(message, "write ~ and a Python regular expression") from None
    return _Test(re.compile(fnmatch.translate(part)))


@dataclass(frozen=True, slots=True)
class _Test:
    """Says whether a name matches; regular expressions match from the name's start, as in Ansible."""

    expression: re.Pattern[str]

    def __call__(self, name: str) -> bool:
        return self.expression.match(name) is not None
