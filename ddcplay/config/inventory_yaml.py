"""Reads YAML files of inventories as Ansible does: YAML 1.1 by PyYAML, with its C parser where there is one.

Files are composed to nodes first, so that each problem can be told with its line and column; values are built
from the nodes afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from ddcplay.config.inventory_draft import InventoryDraft
from ddcplay.config.inventory_text import static_copy_hint
from ddcplay.errors import ConfigError, Place, Problem
from ddcplay.model.playbook import Unsafe

_MAX_DEPTH = 200
_MAX_VALUES = 1_000_000
_MAX_GROWTH = 20
_DEEP_BLOCK = re.compile(rf"^[ ?:-]{{{_MAX_DEPTH * 4},}}", re.MULTILINE)
_BRACKETS = re.compile(r"[\[\]{}]")
_BACKSLASH_HINT = r"a backslash in double quotes starts an escape: write 'CORP\user' in single quotes"


class _NotYetError(yaml.constructor.ConstructorError):
    """A tag of Ansible's that we cannot honour."""


class _Construction(yaml.constructor.SafeConstructor):
    """Builds values as Ansible does, and remembers keys that were written twice."""

    repeated: list[yaml.Node]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        if isinstance(node, yaml.MappingNode):
            self.note_repeated(node)
        return super().construct_mapping(node, deep)

    def note_repeated(self, node: yaml.MappingNode) -> None:
        """Remember keys that stand twice in one mapping; only scalars are looked at."""
        if len(node.value) < 2:
            return
        seen: set[str] = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    self.repeated.append(key)
                seen.add(key.value)


def _refuse_vault(_loader: Any, node: yaml.Node) -> object:
    raise _NotYetError(None, None, "vault values cannot be read, not yet", node.start_mark)


def _literal(loader: Any, node: yaml.Node) -> object:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(
            None, None, "!unsafe stands before text only", node.start_mark
        )
    return Unsafe(loader.construct_scalar(node))


class _PythonLoader(_Construction, yaml.SafeLoader):
    """The pure reader: slow, but deep nesting ends it in an error and not in a crash."""

    def __init__(self, stream: str) -> None:
        yaml.SafeLoader.__init__(self, stream)
        self.repeated = []


_FastBase: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _FastLoader(_Construction, _FastBase):  # type: ignore[misc]  # the C reader is missing on some machines
    """The C reader, seven times as fast."""

    def __init__(self, stream: str) -> None:
        _FastBase.__init__(self, stream)
        self.repeated = []


for _loader in (_PythonLoader, _FastLoader):
    for _tag in ("!vault", "!vault-encrypted"):
        _loader.add_constructor(_tag, _refuse_vault)
    _loader.add_constructor("!unsafe", _literal)


class YamlDocument:
    """One YAML file as nodes, able to build values from them.

    Args:
        text: the file's text.
        file: its path, for messages.

    Raises:
        ConfigError: the text is no YAML.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._text = text
        try:
            self._loader: Any = _PythonLoader(text) if _is_deep(text) else _FastLoader(text)
            self.root: yaml.Node | None = self._loader.get_single_node()
            if self.root is not None and "&" in text and "*" in text:
                _refuse_bomb(self.root)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._refusal(error, None) from None

    def place(self, node: yaml.Node) -> Place:
        """Return where a node stands."""
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def value(self, node: yaml.Node) -> object:
        """Build a node's value.

        Raises:
            ConfigError: the value cannot be built (a date that does not exist, an unknown tag, …).
        """
        try:
            return self._loader.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise self._refusal(error, node) from None
        except RecursionError as error:
            raise self._refusal(error, node) from None

    def pairs(self, node: yaml.MappingNode) -> dict[object, tuple[yaml.Node, yaml.Node]]:
        """Return a mapping's keys with key and value nodes; merge keys resolved, the last of equals wins."""
        self._loader.note_repeated(node)
        try:
            self._loader.flatten_mapping(node)
        except (yaml.YAMLError, RecursionError) as error:
            raise self._refusal(error, node) from None
        found: dict[object, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node)
            try:
                found[key] = (key_node, value_node)
            except TypeError:
                raise ConfigError([Problem(self.place(key_node), "this key is no text")]) from None
        return found

    def is_null(self, node: yaml.Node) -> bool:
        """Say whether a node is empty or `null`."""
        return node.tag == "tag:yaml.org,2002:null"

    def tell_repeated(self, draft: InventoryDraft) -> None:
        """Hand the keys that were written twice to the draft as warnings; Ansible takes the last one."""
        for node in self._loader.repeated:
            draft.warn(
                self.place(node),
                f"key {node.value!r} is written twice; the last one counts",
                "remove one of the two",
            )
        self._loader.repeated.clear()

    def _refusal(self, error: Exception, node: yaml.Node | None) -> ConfigError:
        mark = getattr(error, "problem_mark", None) or (node.start_mark if node is not None else None)
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        if isinstance(error, RecursionError):
            return ConfigError([Problem(place, "the file is nested too deeply", "no inventory needs that")])
        problem = getattr(error, "problem", None) or getattr(error, "reason", None)
        # Only a YAML error's own words: a ValueError would quote the value, which may be a secret.
        message = str(problem or "the value cannot be read as what it looks like")
        return ConfigError([Problem(place, message, self._hint(error, message, place))])

    def _hint(self, error: Exception, message: str, place: Place) -> str:
        if isinstance(error, _NotYetError):
            return "refer to secrets as env:NAME, file:PATH, keyring:SERVICE/USER or cmd:COMMAND"
        lines = self._text.splitlines()
        line = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
        if "\t" in line[: place.column]:
            return "YAML indents with blanks: replace the tab"
        if ("escape" in message or "hexdecimal" in message) and "\\" in line:
            return _BACKSLASH_HINT
        if "mapping values are not allowed" in message:
            return "check the indentation; text with a colon and a blank needs quotes"
        if "single document" in message:
            return "one file holds one document: remove the second ---"
        return "put text that begins with a special character in quotes"


def _refuse_bomb(root: yaml.Node) -> None:
    """Refuse a small text that aliases blow up into millions of values, which templates then walk.

    Raises:
        yaml.constructor.ConstructorError: it holds more values than any inventory needs.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 0  # an alias inside its own anchor, which the construction refuses
            below = (each for pair in node.value for each in (pair if isinstance(pair, tuple) else (pair,)))
            sizes[id(node)] = 1 + sum(size(each) for each in below)
        return sizes[id(node)]

    if size(root) > _MAX_VALUES and size(root) > _MAX_GROWTH * len(sizes):
        raise yaml.constructor.ConstructorError(
            None, None, "aliases make millions of values of it", root.start_mark
        )


def _is_deep(text: str) -> bool:
    # The C parser crashes the process on thousands of levels; brackets in strings may only make us slower.
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > _MAX_DEPTH:
            return True
    return _DEEP_BLOCK.search(text) is not None


def read_variables(text: str, file: str, draft: InventoryDraft) -> Mapping[str, object]:
    """Return the variables of a `group_vars` or `host_vars` file, secrets wrapped.

    Raises:
        ConfigError: no YAML, or not a mapping.
    """
    document = YamlDocument(text, file)
    root = document.root
    if root is None or document.is_null(root):
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            [Problem(document.place(root), "variables are a mapping", "write name: value lines")]
        )
    found: dict[str, object] = {}
    for key, (key_node, value_node) in document.pairs(root).items():
        found[str(key)] = draft.guarded(str(key), document.value(value_node), document.place(key_node))
    document.tell_repeated(draft)
    return found


def refuse_dynamic(
    document: YamlDocument, keys: Mapping[object, tuple[yaml.Node, yaml.Node]], path: Any
) -> None:
    """Refuse what only Ansible can resolve: `plugin:` files and the JSON an inventory script prints.

    Raises:
        ConfigError: the file is one of these.
    """
    for key, what in (("plugin", "inventory plug-ins"), ("_meta", "the JSON of inventory scripts")):
        if key in keys and (key == "_meta" or isinstance(keys[key][1], yaml.ScalarNode)):
            place = document.place(keys[key][0])
            raise ConfigError([Problem(place, f"{what} cannot be read, not yet", static_copy_hint(path))])
