"""Finds `group_vars/` and `host_vars/` files and merges all variables by Ansible's precedence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ddcplay.config.inventory_draft import GroupDraft, InventoryDraft
from ddcplay.config.inventory_text import read_text
from ddcplay.config.inventory_yaml import read_variables
from ddcplay.errors import ConfigError, Place
from ddcplay.model.inventory import Group, Host, Inventory

_SUFFIXES = ("", ".yml", ".yaml", ".json")


@dataclass(slots=True)
class VariableFiles:
    """The variable files beside some inventories and beside one playbook, each read once.

    Args:
        draft: where warnings and problems go.
        inventory_dirs: directories of the sources, in their order.
        playbook_dirs: the playbook's directory, or none.
    """

    draft: InventoryDraft
    inventory_dirs: Sequence[Path]
    playbook_dirs: Sequence[Path] = ()
    _names: dict[Path, frozenset[str]] = field(default_factory=dict)
    _read: dict[tuple[Path, str], Mapping[str, object]] = field(default_factory=dict)

    def variables(self, base: Path, kind: str, name: str) -> Mapping[str, object]:
        """Return what `base/kind/name` (a file or a directory of files) says.

        Args:
            base: an inventory's or a playbook's directory.
            kind: `group_vars` or `host_vars`.
            name: the group or host.
        """
        folder = base / kind
        listed = self._listing(folder)
        if not listed or "/" in name or os.sep in name:
            return {}
        first = next((name + suffix for suffix in _SUFFIXES if name + suffix in listed), None)
        if first is None:
            return {}
        key = (folder, first)
        if key not in self._read:
            self._read[key] = self._load(folder / first)
        return self._read[key]

    def group_layers(self, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
        """Yield the file variables of some groups, weakest first."""
        for base in (*self.inventory_dirs, *self.playbook_dirs):
            for name in names:
                yield self.variables(base, "group_vars", name)

    def host_layers(self, name: str) -> Iterator[Mapping[str, object]]:
        """Yield the file variables of a host, weakest first."""
        for base in (*self.inventory_dirs, *self.playbook_dirs):
            yield self.variables(base, "host_vars", name)

    def _listing(self, folder: Path) -> frozenset[str]:
        # Thousands of hosts ask here: one listing instead of four questions to the disk per host.
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(entry.name for entry in folder.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                self._names[folder] = frozenset()
            except OSError as error:
                self._names[folder] = frozenset()
                reason = error.strerror or type(error).__name__
                self.draft.fail(Place(str(folder)), f"cannot be listed: {reason}", "check its permissions")
        return self._names[folder]

    def _load(self, path: Path) -> Mapping[str, object]:
        merged: dict[str, object] = {}
        for file in _files(path):
            try:
                merged.update(read_variables(read_text(file), str(file), self.draft))
            except ConfigError as error:
                self.draft.problems.extend(error.problems)
        return merged


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name.endswith("~"):
            continue
        if entry.is_dir():
            if not entry.suffix:
                yield from _files(entry)
        elif entry.suffix in _SUFFIXES:
            yield entry


def merge_variables(draft: InventoryDraft, files: VariableFiles, sources: Sequence[str]) -> Inventory:
    """Turn a settled draft into the inventory, every host with its effective variables.

    Low to high, as Ansible orders them: `all` in inventory files, groups in inventory files (parents before
    children, then `ansible_group_priority`, then by name), `group_vars/all`, `group_vars/GROUP`, the host's
    own line, `host_vars`. Files beside the playbook win over files beside the inventory.

    Args:
        draft: what all sources said.
        files: where variable files are looked for.
        sources: what the inventory was read from.
    """
    depths = draft.depths()
    shared = _SharedVariables(draft, files, depths)
    hosts = {}
    for name, host in draft.hosts.items():
        groups, base = shared.of(tuple(host.groups))
        variables = {**base, **host.vars}
        for layer in files.host_layers(name):
            variables.update(layer)
        hosts[name] = Host(name, groups, variables)
    groups_found = {name: _finished_group(group, files, depths[name]) for name, group in draft.groups.items()}
    return Inventory(hosts, groups_found, tuple(sources))


def _finished_group(group: GroupDraft, files: VariableFiles, depth: int) -> Group:
    variables = dict(group.vars)
    for layer in files.group_layers([group.name]):
        variables.update(layer)
    return Group(group.name, tuple(group.hosts), tuple(group.children), variables, depth)


@dataclass(slots=True)
class _SharedVariables:
    """What hosts of the same groups have in common, worked out once per set of groups."""

    draft: InventoryDraft
    files: VariableFiles
    depths: Mapping[str, int]
    _known: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, object]]] = field(default_factory=dict)

    def of(self, direct: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, object]]:
        """Return all groups (parents first, without `all`) and the variables they give."""
        if direct not in self._known:
            groups = self._ordered(direct)
            variables = dict(self.draft.groups["all"].vars)
            for name in groups:
                variables.update(self.draft.groups[name].vars)
            for layer in self.files.group_layers(["all"]):
                variables.update(layer)
            for layer in self.files.group_layers(groups):
                variables.update(layer)
            self._known[direct] = (groups, variables)
        return self._known[direct]

    def _ordered(self, direct: tuple[str, ...]) -> tuple[str, ...]:
        names = set(direct)
        for name in direct:
            names |= self.draft.ancestors(name)
        names.discard("all")
        groups = self.draft.groups
        return tuple(sorted(names, key=lambda name: (self.depths[name], groups[name].priority, name)))
