"""Reads INI inventories, with Ansible's rules for sections, host lines, quotes and the types of values."""

from __future__ import annotations

import ast
import difflib
import re
import shlex
import warnings
from dataclasses import dataclass, field

from ddcplay.config.inventory_draft import InventoryDraft
from ddcplay.config.inventory_ranges import RangeError, expand_range, split_port
from ddcplay.errors import Place

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP_NAME = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_EATEN_COMMENT = re.compile(r"[^\s#]#")
_KINDS = ("hosts", "children", "vars")


def read_ini(text: str, file: str, draft: InventoryDraft) -> None:
    """Add an INI inventory to the draft; what is wrong becomes problems of the draft.

    Args:
        text: the file's text.
        file: its path, for messages.
        draft: where groups, hosts and variables go.
    """
    reader = _IniReader(file, draft)
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line and line[0] not in "#;":
            reader.read_line(line, Place(file, number, len(raw) - len(raw.lstrip()) + 1))
    reader.finish()


def python_value(text: str) -> object:
    """Return what Ansible makes of an INI value: a Python literal where it is one, else the text.

    `1` is a number, `False` a boolean, `false` and `yes` are text, `"[1, 2]"` is a list.
    """
    try:
        with warnings.catch_warnings():
            # Text such as "\d" is no mistake here, but the compiler warns of it.
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


@dataclass(slots=True)
class _IniReader:
    """Where the reading stands: the open section, and groups that are used before they are declared."""

    file: str
    draft: InventoryDraft
    group: str = "ungrouped"
    kind: str = "hosts"
    undeclared: dict[str, Place] = field(default_factory=dict)
    awaited: dict[str, list[tuple[str, Place]]] = field(default_factory=dict)

    def read_line(self, line: str, place: Place) -> None:
        section = _SECTION.fullmatch(line)
        if section:
            self._open_section(section[1], section[2] or "hosts", place)
        elif line.startswith("[") and line.endswith("]"):
            self.draft.fail(
                place,
                f"{line} is no section",
                "sections are [group], [group:children] and [group:vars], without spaces",
            )
        elif self.kind == "vars":
            self._read_variable(line, place)
        elif self.kind == "children":
            self._read_child(line, place)
        elif self.kind == "hosts":
            self._read_host(line, place)

    def finish(self) -> None:
        """Name the groups that are used but were never declared."""
        for child, uses in self.awaited.items():
            for parent, place in uses:
                message = f"[{parent}:children] names the unknown group {child!r}"
                self.draft.fail(place, message, self._near(child))
        for name, place in self.undeclared.items():
            self.draft.fail(place, f"[{name}:vars] belongs to no group", self._near(name))

    def _open_section(self, name: str, kind: str, place: Place) -> None:
        self.group, self.kind = name, kind
        if kind not in _KINDS:
            near = difflib.get_close_matches(kind, _KINDS, n=1)
            hint = (
                f"did you mean [{name}:{near[0]}]?" if near else "known are [group:children] and [group:vars]"
            )
            self.draft.fail(place, f"section [{name}:{kind}] has the unknown kind {kind!r}", hint)
            return
        if kind == "vars":
            if name not in self.draft.groups and name not in self.awaited:
                self.undeclared[name] = place
        else:
            self.undeclared.pop(name, None)
        self.draft.add_group(name, place)
        if kind != "vars":
            for parent, used_at in self.awaited.pop(name, []):
                self.draft.add_child(parent, name, used_at)

    def _read_variable(self, line: str, place: Place) -> None:
        key, equals, value = line.partition("=")
        if not equals:
            self.draft.fail(
                place, f"expected name=value below [{self.group}:vars]", "write one name=value per line"
            )
            return
        self.draft.set_group_variable(self.group, key.strip(), python_value(value.strip()), place)

    def _read_child(self, line: str, place: Place) -> None:
        name = _GROUP_NAME.fullmatch(line)
        if name is None:
            self.draft.fail(
                place,
                f"expected one group name below [{self.group}:children]",
                "write one group per line, without variables",
            )
        elif name[1] in self.draft.groups:
            self.draft.add_child(self.group, name[1], place)
        else:
            self.awaited.setdefault(name[1], []).append((self.group, place))

    def _read_host(self, line: str, place: Place) -> None:
        try:
            first, *assignments = shlex.split(line, comments=True)
        except ValueError as error:
            self.draft.fail(place, f"the host line cannot be split: {error}", "close the quotes")
            return
        pattern, port = split_port(first)
        try:
            names = expand_range(pattern)
        except RangeError as error:
            self.draft.fail(place, str(error), "ranges are [01:20], [a:f] and [0:100:10]")
            return
        if first.endswith(":") or first.strip() == "---":
            self.draft.fail(place, f"{first!r} is no host", "this looks like YAML: name the file .yml")
            return
        variables = self._assignments(assignments, place)
        self._warn_of_eaten_text(line, assignments, place)
        for name in names:
            host = self.draft.add_host(name, self.group, port, place)
            if host is not None:
                host.vars.update(variables)

    def _assignments(self, tokens: list[str], place: Place) -> dict[str, object]:
        variables: dict[str, object] = {}
        for token in tokens:
            key, equals, value = token.partition("=")
            if not equals:
                self.draft.fail(
                    place,
                    "a host line holds a word that is no name=value",
                    "write one host per line; put values with blanks in quotes",
                )
                continue
            variables[key] = self.draft.guarded(key, python_value(value), place)
        return variables

    def _warn_of_eaten_text(self, line: str, tokens: list[str], place: Place) -> None:
        kept = "".join(tokens)
        if "#" in line and "#" not in kept and _EATEN_COMMENT.search(line):
            self.draft.warn(place, "text after # is a comment, even within a word", "put the value in quotes")
        if "\\" in line.partition("#")[0] and "\\" not in kept and "user=" in kept:
            self.draft.warn(
                place,
                "a backslash outside quotes is lost",
                r"write ansible_user='CORP\new' or ansible_user=new@corp.example",
            )

    def _near(self, name: str) -> str:
        declared = [group for group in self.draft.groups if group not in self.undeclared]
        near = difflib.get_close_matches(name, declared, n=1)
        return f"did you mean {near[0]!r}?" if near else f"declare it with [{name}] or [{name}:children]"
