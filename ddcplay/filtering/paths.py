"""Ways into data: plain field paths, which can be cut out and rewritten, and JMESPath, which only reads.

A field path (`os.name`, `disks.device`) goes through lists by itself, so that it means the same in one
mapping and in a list of rows. A path starts at `data`; a leading `data.` may be written and is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from ddcplay.filtering.trouble import DataError, kind_of

_PART = r'(?:"(?:[^"\\]|\\.)+"|[^."\[\]*?@|&`\'(){}]+)(?:\[\*?\])?'
_PATH = re.compile(rf"{_PART}(?:\.{_PART})*")
_ONE = re.compile(_PART)
_LOOK = "look at what the host sent: PROBE.stdout in its directory"


class PathError(ValueError):
    """A text that is no path.

    Args:
        message: what is wrong.
        hint: what to write instead.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class FieldPath:
    """Where a field stands.

    Args:
        parts: names of mappings' keys, from the outside in; at least one.
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """Read `name`, `os.name`, `disks[].device` or `"a.b".c`.

        Raises:
            PathError: it is no plain path.
        """
        text = without_data(text.strip())
        if not _PATH.fullmatch(text):
            raise PathError(
                f"{text[:60]!r} is no field",
                "write a name or a path such as os.name; quote what holds other characters: '\"Free (MB)\"'; "
                "to compute, write a mapping of name to JMESPath",
            )
        return cls(tuple(_part(match[0]) for match in _ONE.finditer(text)))

    def __str__(self) -> str:
        return ".".join(f'"{part}"' if "." in part else part for part in self.parts)

    def at(self, data: object, change: Callable[[object], object]) -> object:
        """Return data with `change` applied to the one value at the path; no list is gone through.

        Raises:
            DataError: there is nothing at the path.
        """
        return _changed(data, self.parts, change, str(self))


def without_data(text: str) -> str:
    """Drop a leading `data.`: paths start there anyway."""
    return text.removeprefix("data.") or text


def _part(text: str) -> str:
    name = text.removesuffix("[*]").removesuffix("[]")
    if name.startswith('"'):
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name.strip()


def _changed(data: object, parts: tuple[str, ...], change: Callable[[object], object], path: str) -> object:
    if not parts:
        return change(data)
    if not isinstance(data, Mapping) or parts[0] not in data:
        what = f"data has no {path!r}" if isinstance(data, Mapping) else f"on the way is {kind_of(data)}"
        raise DataError(f"{what}: the path {path!r} leads nowhere", _LOOK)
    return {**data, parts[0]: _changed(data[parts[0]], parts[1:], change, path)}


Tree = Mapping[str, "Tree | None"]
"""Several paths at once: name → what is below it, None for the whole field."""


def tree_of(paths: tuple[FieldPath, ...]) -> Tree:
    """Join paths into one tree; a whole field wins over a part of it."""
    root: dict[str, Any] = {}
    for path in paths:
        branch = root
        for part in path.parts[:-1]:
            below = branch.setdefault(part, {})
            if below is None:
                break
            branch = below
        else:
            branch[path.parts[-1]] = None
    return root


def picked(data: object, tree: Tree) -> object:
    """Return a copy with the tree's fields alone, in the tree's order; what is missing is null."""
    if isinstance(data, list):
        return [picked(row, tree) for row in data]
    if not isinstance(data, Mapping):
        return None
    return {
        name: data.get(name) if below is None else picked(data.get(name), below)
        for name, below in tree.items()
    }


def omitted(data: object, tree: Tree) -> object:
    """Return a copy without the tree's fields."""
    if isinstance(data, list):
        return [omitted(row, tree) for row in data]
    if not isinstance(data, Mapping):
        return data
    kept = {}
    for name, value in data.items():
        if name not in tree:
            kept[name] = value
            continue
        below = tree[name]
        if below is not None:
            kept[name] = omitted(value, below)
    return kept


class JmesPath:
    """One compiled JMESPath expression over data.

    Args:
        text: as written.

    Raises:
        PathError: it is none.
    """

    __slots__ = ("_compiled", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._compiled = jmespath.compile(without_data(text.strip()))
        except (JMESPathError, ValueError, RecursionError) as error:
            first = str(error).splitlines()[0].rstrip(": ") if str(error) else "it is empty"
            hint = (
                "quote names with other characters inside: '\"Free (MB)\"'; "
                "text to be taken as it is: {value: …}"
            )
            if "{{" in text:
                first, hint = "it stands without braces", "write it bare, as in  data.disks"
            raise PathError(f"{text[:60]!r} is no JMESPath expression: {first[:120]}", hint) from None
        _check_calls(self._compiled.parsed, text)

    def __repr__(self) -> str:
        return f"JmesPath({self.text!r})"

    def search(self, data: object) -> object:
        """Return what the expression finds, null where it finds nothing; data stays as it was.

        Raises:
            DataError: a function of it does not fit the data.
        """
        try:
            return self._compiled.search(data)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            first = (str(error).splitlines() or [""])[0]
            raise DataError(
                f"{self.text[:60]!r} cannot be worked out over data, which is {kind_of(data)}: {first[:200]}",
                f"{_LOOK}, and correct the expression",
            ) from None


def _check_calls(tree: Mapping[str, Any], text: str) -> None:
    """Refuse functions that JMESPath does not have; by itself it finds that out once there is data."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        waiting += [child for child in node.get("children", ()) if isinstance(child, Mapping)]
        if node.get("type") != "function_expression":
            continue
        name, known = str(node["value"]), Functions.FUNCTION_TABLE
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}()?" if close else f"there are {', '.join(sorted(known))}"
            hint = "its length is length()" if name in {"len", "count", "size"} else hint
            raise PathError(f"{text[:60]!r}: JMESPath has no function {name}()", hint)
