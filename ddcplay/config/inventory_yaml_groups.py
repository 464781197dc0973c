"""Walks a YAML inventory: groups with `hosts`, `children` and `vars`, nested as Ansible allows."""

from __future__ import annotations

import difflib
from pathlib import Path

import yaml

from ddcplay.config.inventory_draft import InventoryDraft
from ddcplay.config.inventory_ranges import RangeError, expand_range, split_port
from ddcplay.config.inventory_yaml import YamlDocument, refuse_dynamic
from ddcplay.errors import ConfigError, Place, Problem

_SECTIONS = ("hosts", "children", "vars")


def read_yaml(text: str, path: Path, draft: InventoryDraft) -> None:
    """Add a YAML inventory to the draft; what is wrong inside a group becomes problems of the draft.

    Raises:
        ConfigError: the text is no YAML, no mapping, or something only Ansible can resolve.
    """
    document = YamlDocument(text, str(path))
    root = document.root
    if not isinstance(root, yaml.MappingNode):
        place = Place(str(path)) if root is None else document.place(root)
        raise ConfigError([Problem(place, "a YAML inventory is a mapping of groups", "begin with `all:`")])
    groups = document.pairs(root)
    refuse_dynamic(document, groups, path)
    walker = _Walker(document, draft)
    try:
        for name, (key_node, value_node) in groups.items():
            walker.group(name, key_node, value_node)
    except RecursionError:
        raise ConfigError(
            [Problem(document.place(root), "groups are nested too deeply", "flatten them")]
        ) from None
    document.tell_repeated(draft)


class _Walker:
    """Adds the groups of one document to the draft."""

    def __init__(self, document: YamlDocument, draft: InventoryDraft) -> None:
        self._document = document
        self._draft = draft

    def group(self, name: object, key: yaml.Node, node: yaml.Node) -> bool:
        """Add one group; return whether there is one now."""
        place = self._document.place(key)
        if not isinstance(name, str) or not name:
            self._draft.fail(place, f"group name {name!r} is no text", f'write it in quotes: "{name}"')
            return False
        if self._document.is_null(node):
            self._draft.add_group(name, place)
            return True
        if not isinstance(node, yaml.MappingNode):
            self._draft.warn(
                place,
                f"{name!r} is no group: it holds neither hosts nor children nor vars",
                "it is passed over; groups are mappings",
            )
            return False
        self._draft.add_group(name, place)
        for section, (section_key, section_node) in self._document.pairs(node).items():
            self._section(name, section, section_key, section_node)
        return True

    def _section(self, group: str, section: object, key: yaml.Node, node: yaml.Node) -> None:
        if section not in _SECTIONS:
            self._unknown_section(group, section, key)
        elif self._document.is_null(node):
            return
        elif isinstance(node, yaml.MappingNode):
            for name, (name_node, value_node) in self._document.pairs(node).items():
                self._member(group, str(section), name, name_node, value_node)
        elif isinstance(node, yaml.ScalarNode) and isinstance(name := self._document.value(node), str):
            # Ansible takes one bare name for a mapping with that key: `hosts: pc1`.
            empty = yaml.ScalarNode("tag:yaml.org,2002:null", "", node.start_mark, node.end_mark)
            self._member(group, str(section), name, node, empty)
        else:
            self._draft.fail(
                self._document.place(node),
                f"`{section}` of group {group!r} must be a mapping",
                "write one `name:` per line, with a colon and without a dash",
            )

    def _member(self, group: str, section: str, name: object, key: yaml.Node, node: yaml.Node) -> None:
        place = self._document.place(key)
        if section == "vars":
            self._draft.set_group_variable(group, str(name), self._document.value(node), place)
        elif section == "hosts":
            self._hosts(group, name, key, node)
        elif self.group(name, key, node):
            self._draft.add_child(group, str(name), place)
        elif isinstance(name, str) and name in self._draft.groups:
            self._draft.add_child(group, name, place)

    def _hosts(self, group: str, name: object, key: yaml.Node, node: yaml.Node) -> None:
        place = self._document.place(key)
        if not isinstance(name, str):
            self._draft.fail(place, f"host name {name!r} is no text", f'write it in quotes: "{name}"')
            return
        pattern, port = split_port(name)
        try:
            names = expand_range(pattern)
        except RangeError as error:
            self._draft.fail(place, str(error), "ranges are [01:20], [a:f] and [0:100:10]")
            return
        variables = self._host_variables(name, node)
        for each in names:
            host = self._draft.add_host(each, group, port, place)
            if host is not None:
                host.vars.update(variables)

    def _host_variables(self, host: str, node: yaml.Node) -> dict[str, object]:
        if not isinstance(node, yaml.MappingNode):
            if self._document.value(node):
                self._draft.fail(
                    self._document.place(node),
                    f"variables of host {host!r} must be a mapping",
                    "write name: value lines below the host",
                )
            return {}
        found: dict[str, object] = {}
        for key, (key_node, value_node) in self._document.pairs(node).items():
            value = self._document.value(value_node)
            found[str(key)] = self._draft.guarded(str(key), value, self._document.place(key_node))
        return found

    def _unknown_section(self, group: str, section: object, key: yaml.Node) -> None:
        near = difflib.get_close_matches(str(section), _SECTIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else "it is passed over; known are hosts, children and vars"
        self._draft.warn(self._document.place(key), f"unexpected key {section!r} in group {group!r}", hint)
