"""A YAML document as a tree of values with places, built without recursion and under limits.

The scanner and parser are ruamel.yaml's. Its composer is left out: it recurses once per level (a few hundred
brackets end the program) and follows aliases that repeat each other into something no memory holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML

from ddcplay.errors import ConfigError, Place, Problem

MAX_DEPTH = 40
MAX_VALUES = 100_000

STANDARD_TAG = "tag:yaml.org,2002:"
_NO_MEANING = {None, "!", "!unsafe"}
_TAGS = {
    "scalar": _NO_MEANING | {STANDARD_TAG + name for name in ("str", "int", "float", "bool", "null")},
    "list": _NO_MEANING | {STANDARD_TAG + "seq"},
    "mapping": _NO_MEANING | {STANDARD_TAG + "map"},
}


@dataclass(slots=True, eq=False)
class Node:
    """One value and where it stands.

    Args:
        kind: `scalar`, `list` or `mapping`.
        place: where it begins.
        tag: as written, resolved; None when there is none.
        anchor: its name for aliases.
        text: of a scalar.
        plain: the scalar is neither quoted nor a block.
        items: of a list; of a mapping key, value, key, value …
        weight: values below and including this one, aliases counted as often as they repeat.
        height: levels below and including this one.
    """

    kind: str
    place: Place
    tag: str | None = None
    anchor: str | None = None
    text: str = ""
    plain: bool = False
    items: list[Node] = field(default_factory=list)
    weight: int = 1
    height: int = 1


def build_tree(text: str, file: str, problems: list[Problem]) -> Node | None:
    """Turn text into a tree.

    Args:
        text: one YAML document.
        file: its name in messages.
        problems: what is wrong but lets the reading go on is added here.

    Returns:
        The top value; None for an empty document.

    Raises:
        ConfigError: more than one document, or nested or repeated beyond the limits.
        ruamel.yaml.error.YAMLError: not YAML.
    """
    builder = _Builder(file, problems)
    for event, place in _events(text, file):
        builder.take(event, place)
    return builder.root


def _events(text: str, file: str) -> Iterator[tuple[Any, Place]]:
    for event in YAML(typ="safe", pure=True).parse(text):
        mark = event.start_mark
        yield event, Place(file, mark.line + 1, mark.column + 1)


class _Builder:
    """Takes parser events one by one; the open lists and mappings are a stack of its own."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.root: Node | None = None
        self._file = file
        self._problems = problems
        self._open: list[Node] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def take(self, event: Any, place: Place) -> None:
        match type(event).__name__:
            case "DocumentStartEvent":
                self._begin_document(event.version, place)
            case "ScalarEvent":
                node = self._node("scalar", event, place)
                node.text, node.plain = self._whole(event.value, place), event.style is None
                self._finish(node)
            case "SequenceStartEvent":
                self._begin(self._node("list", event, place))
            case "MappingStartEvent":
                self._begin(self._node("mapping", event, place))
            case "SequenceEndEvent" | "MappingEndEvent":
                self._finish(self._open.pop())
            case "AliasEvent":
                self._add(self._aliased(event.anchor, place))
            case _:
                pass

    def _begin_document(self, version: tuple[int, int] | None, place: Place) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _refused(place, "a second YAML document begins here", "keep one document per file")
        if version not in {None, (1, 2)}:
            self._problems.append(Problem(place, "only YAML 1.2 is read here", "remove the %YAML line"))

    def _node(self, kind: str, event: Any, place: Place) -> Node:
        tag = None if event.tag is None else str(event.tag)
        if tag not in _TAGS[kind]:
            self._problems.append(_unknown_tag(tag or "", place))
            tag = None
        return Node(kind, place, tag, event.anchor)

    def _whole(self, text: str, place: Place) -> str:
        r"""Join the halves of characters written as JSON does (`\ud83d\ude00`); a lone half is no text."""
        if text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problems.append(
                Problem(place, "half a character (a lone surrogate)", "write the whole one")
            )
            return ""

    def _begin(self, node: Node) -> None:
        self._check_depth(node)
        self._open.append(node)

    def _finish(self, node: Node) -> None:
        if node.anchor:
            self._anchors[node.anchor] = node
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.items.append(node)
        parent.weight += node.weight
        parent.height = max(parent.height, node.height + 1)
        self._check_depth(node)
        if parent.weight > MAX_VALUES:
            raise _refused(
                node.place,
                f"the document holds more than {MAX_VALUES} values, aliases counted as often as they repeat",
                "split the file, or repeat less through aliases",
            )

    def _check_depth(self, node: Node) -> None:
        if len(self._open) + node.height > MAX_DEPTH:
            raise _refused(
                node.place,
                f"the document is nested deeper than {MAX_DEPTH} levels",
                "flatten it; a playbook needs fewer than ten levels",
            )

    def _aliased(self, name: str, place: Place) -> Node:
        node = self._anchors.get(name)
        if node is not None:
            return node
        within = any(parent.anchor == name for parent in self._open)
        what = (
            f"alias *{name} stands inside its own anchor" if within else f"there is no anchor &{name} above"
        )
        self._problems.append(Problem(place, what, f"define &{name} before it is used"))
        return Node("scalar", place, plain=True)


def _refused(place: Place, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(place, message, hint)])


def _unknown_tag(tag: str, place: Place) -> Problem:
    shown = tag.replace(STANDARD_TAG, "!!")
    if tag.startswith("!vault"):
        return Problem(
            place,
            f"tag {shown} is not yet read here",
            "keep the secret in the inventory, or refer to it by env:NAME or file:PATH",
        )
    return Problem(
        place, f"unknown tag {shown}", "the only tag with a meaning here is !unsafe (text as it is)"
    )
