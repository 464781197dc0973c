"""YAML 1.2 text to plain values, with the place of every key and value kept beside them.

Messages must point at line and column, so the values cannot come from a plain loader. Scalars follow the core
schema of YAML 1.2 (§10.3): `yes`, `no`, `on`, `off`, dates and `22:00` are text. Merge keys (`<<`) are read
because Ansible's users write them, although YAML 1.2 has none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ddcplay.config.yaml_nodes import STANDARD_TAG, Node, build_tree
from ddcplay.errors import ConfigError, Place, Problem
from ddcplay.model.playbook import Unsafe

MAX_BYTES = 4 * 1024 * 1024

Loc: TypeAlias = tuple[Any, ...]
"""A way into the document: keys and list positions, as Pydantic writes them."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_MAX_DIGITS = 300
_SYNTAX_HINTS = (
    ("'\\t'", "indent with spaces; YAML does not allow tabs there"),
    ("mapping values are not allowed", "quote text that holds ': ', and check the indentation"),
    ("could not find expected ':'", "a key needs a colon and a blank after it"),
    ("expected <block end>", "check the indentation: this does not line up with the lines above"),
    ("unexpected end of stream", "a quote or bracket is never closed"),
    ("stream end", "a quote or bracket is never closed"),
    ("cannot start any token", "quote text that starts with a special character such as @ ` or %"),
    ("escape", "inside double quotes write \\\\ for one backslash, or use single quotes"),
)


@dataclass(frozen=True, slots=True)
class Marked:
    """A document and where each part of it stands.

    Args:
        file: as the user would type it.
        text: the file's text.
        data: mappings, lists, text, numbers, booleans and None; `!unsafe` text is `Unsafe`.
        values: way → where the value stands.
        keys: way → where the key stands.
        problems: what is wrong but did not stop the reading (duplicate keys, unknown tags …).
    """

    file: str
    text: str = field(repr=False)
    data: Any
    values: Mapping[Loc, Place] = field(default_factory=dict, repr=False)
    keys: Mapping[Loc, Place] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()

    def place(self, loc: Loc) -> Place:
        """Return where the value at `loc` stands, or the nearest one around it that is known."""
        for length in range(len(loc), -1, -1):
            if loc[:length] in self.values:
                return self.values[loc[:length]]
        return Place(self.file, 1, 1)

    def key_place(self, loc: Loc) -> Place:
        """Return where the key at `loc` stands, else its value."""
        return self.keys.get(loc) or self.place(loc)


def is_file(path: Path) -> bool:
    """Say whether a file is there; a name no file can have is none."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for names that are too long


def read_yaml(path: Path) -> Marked:
    """Read one YAML file.

    Args:
        path: UTF-8, with or without a byte order mark; at most 4 MiB.

    Raises:
        ConfigError: the file cannot be read or is not one YAML 1.2 document.
    """
    file = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _stopped(
            Place(file), f"cannot be read: {reason}", "check the path and its permissions"
        ) from error
    if len(raw) > MAX_BYTES:
        raise _stopped(Place(file), f"is larger than {MAX_BYTES >> 20} MiB", "move data out of this file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(
            file, raw.count(b"\n", 0, error.start) + 1, error.start - raw.rfind(b"\n", 0, error.start)
        )
        raise _stopped(place, "the file is not UTF-8", "save it as UTF-8") from error
    return parse_yaml(text, file)


def parse_yaml(text: str, file: str) -> Marked:
    """Read one YAML document from text.

    Args:
        text: the document; empty text is None.
        file: its name in messages.

    Raises:
        ConfigError: not YAML, more than one document, nested or repeated beyond the limits.
    """
    problems: list[Problem] = []
    try:
        root = build_tree(text, file, problems)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = " ".join(str(error.problem or error.context or "cannot be read").split())
        hint = next((hint for part, hint in _SYNTAX_HINTS if part in what), "")
        raise _stopped(place, f"not valid YAML: {what}", hint) from error
    except (YAMLError, ValueError, OverflowError) as error:
        raise _without_mark(text, file, error) from error
    if root is None:
        return Marked(file, text, None, problems=tuple(problems))
    unfolding = _Unfolding(problems)
    data = unfolding.value(root, (), unsafe=False)
    return Marked(file, text, data, unfolding.values, unfolding.keys, tuple(problems))


def _stopped(place: Place, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(place, message, hint)])


def _without_mark(text: str, file: str, error: Exception) -> ConfigError:
    """Find the place for an error that has none: ruamel's reader gives an offset at best."""
    position = getattr(error, "position", None)
    if not isinstance(position, int) or position >= len(text):
        return _stopped(Place(file), f"not valid YAML: {' '.join(str(error).split())}", "")
    place = Place(file, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))
    code = f"U+{ord(text[position]):04X}"
    return _stopped(place, f"not valid YAML: character {code} may not stand in a file", "remove it")


class _Unfolding:
    """Turns the tree into plain values; depth and size were bounded when the tree was built."""

    def __init__(self, problems: list[Problem]) -> None:
        self.values: dict[Loc, Place] = {}
        self.keys: dict[Loc, Place] = {}
        self._problems = problems

    def value(self, node: Node, loc: Loc, *, unsafe: bool) -> object:
        self.values[loc] = node.place
        unsafe = unsafe or node.tag == "!unsafe"
        if node.kind == "mapping":
            return self._mapping(node, loc, unsafe=unsafe)
        if node.kind == "list":
            return [self.value(item, (*loc, index), unsafe=unsafe) for index, item in enumerate(node.items)]
        value = self._scalar(node)
        return Unsafe(value) if unsafe and isinstance(value, str) else value

    def _mapping(self, node: Node, loc: Loc, *, unsafe: bool) -> dict[Any, object]:
        result: dict[Any, object] = {}
        pairs = list(_pairs(node))
        # Merged keys come first, so that the places of the mapping's own keys win as their values do.
        for value_node in (value for key, value in pairs if _is_merge(key)):
            self._merge(value_node, result, loc, unsafe=unsafe)
        own: set[Any] = set()
        for key_node, value_node in pairs:
            if _is_merge(key_node):
                continue
            if key_node.kind != "scalar":
                hint = "write text as the key; quote it if it begins with { or ["
                self._problem(key_node.place, f"a key is a {key_node.kind} here", hint)
                continue
            key: Any = self._scalar(key_node)
            here = (*loc, key)
            if key in own:
                first = self.keys[here].line
                self._problem(key_node.place, f"duplicate key {key!r}", f"it stands in line {first} already")
                continue
            own.add(key)
            self.keys[here] = key_node.place
            result[key] = self.value(value_node, here, unsafe=unsafe)
        return result

    def _merge(self, node: Node, result: dict[Any, object], loc: Loc, *, unsafe: bool) -> None:
        sources = node.items if node.kind == "list" else [node]
        for source in sources:
            if source.kind != "mapping":
                self._problem(source.place, "<< takes a mapping or a list of mappings", "write <<: *anchor")
                continue
            for key, value in self._mapping(source, loc, unsafe=unsafe).items():
                result.setdefault(key, value)

    def _scalar(self, node: Node) -> object:
        tag = (node.tag or "").removeprefix(STANDARD_TAG)
        if tag in {"str", "!"} or (not node.plain and tag not in {"int", "float", "bool", "null"}):
            return node.text
        value = _resolved(node.text)
        if tag in {"", "!unsafe"}:
            return value
        if tag == "float" and type(value) is int:
            return float(value)
        if tag != {type(None): "null", bool: "bool", int: "int", float: "float"}.get(type(value), "str"):
            self._problem(
                node.place, f"{node.text!r} is not a !!{tag}", "remove the tag or correct the value"
            )
        return value

    def _problem(self, place: Place, message: str, hint: str) -> None:
        self._problems.append(Problem(place, message, hint))


def _is_merge(key: Node) -> bool:
    return key.plain and key.text == "<<"


def _pairs(node: Node) -> Iterator[tuple[Node, Node]]:
    return zip(node.items[::2], node.items[1::2], strict=True)


def _resolved(text: str) -> object:
    """Give a plain scalar its type by the core schema of YAML 1.2 (§10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    # Python refuses to read very long numbers (CVE-2020-10735); nobody means one as a number.
    if len(text) > _MAX_DIGITS:
        return text
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text
