"""The inventory while it is being read: sources add to it, then it is settled once.

Readers (INI, YAML, comma lists) only know this class; what Ansible does after reading, every group under
`all` and lonely hosts under `ungrouped`, happens here and nowhere else. Trouble is collected, not raised, so
that one run shows every mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ddcplay.config.inventory_connection import guard_variable
from ddcplay.errors import Place, Problem

PRIORITY_VARIABLE = "ansible_group_priority"
_DOUBTFUL_GROUP_NAME = re.compile(r"^[\d\W]|\W")


@dataclass(slots=True)
class GroupDraft:
    """A group as far as it has been read.

    Args:
        name: the group's name.
        hosts: its own hosts, in order (the values are not used).
        children: its direct children, in order.
        parents: its direct parents.
        vars: its variables from inventory files.
        priority: `ansible_group_priority`; among groups of one depth the higher one wins.
    """

    name: str
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    vars: dict[str, object] = field(default_factory=dict)
    priority: int = 1


@dataclass(slots=True)
class HostDraft:
    """A host as far as it has been read."""

    name: str
    groups: dict[str, None] = field(default_factory=dict)
    vars: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class InventoryDraft:
    """Everything read so far, with the problems and warnings met on the way.

    Args:
        groups: in the order in which they were first named; `all` and `ungrouped` are always there.
        hosts: in the order in which they were first named.
        problems: what makes the inventory unusable.
        warnings: what Ansible warns of, and what is probably not meant.
    """

    groups: dict[str, GroupDraft] = field(default_factory=dict)
    hosts: dict[str, HostDraft] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.groups:
            self.groups = {"all": GroupDraft("all"), "ungrouped": GroupDraft("ungrouped")}
            self._link("all", "ungrouped")

    def fail(self, place: Place, message: str, hint: str = "") -> None:
        """Note something that makes the inventory unusable."""
        self.problems.append(Problem(place, message, hint))

    def warn(self, place: Place, message: str, hint: str = "") -> None:
        """Note something that is probably not meant, once per file: thousands of lines may share it."""
        if (place.file, message) not in self._told:
            self._told.add((place.file, message))
            self.warnings.append(Problem(place, message, hint))

    def add_group(self, name: str, place: Place) -> GroupDraft:
        """Return the group of this name, made when it is new."""
        group = self.groups.get(name)
        if group is None:
            if _DOUBTFUL_GROUP_NAME.search(name):
                self.warn(
                    place,
                    f"group name {name!r} is not a valid variable name",
                    "it works; Ansible warns of it too: use letters, digits and _ and begin with a letter",
                )
            group = self.groups[name] = GroupDraft(name)
        return group

    def add_child(self, parent: str, child: str, place: Place) -> None:
        """Put one known group under another, unless that would close a circle."""
        if parent == child:
            self.fail(place, f"group {parent!r} is its own child", "remove it from its `children`")
        elif child in self.ancestors(parent):
            self.fail(
                place,
                f"group {child!r} cannot be a child of {parent!r}, which is below it already",
                "a group must not be its own ancestor: remove one of the two `children` entries",
            )
        else:
            self._link(parent, child)

    def add_host(self, name: str, group: str, port: int | None, place: Place) -> HostDraft | None:
        """Put a host into a known group; a port counts only where the host is named first, as in Ansible."""
        if not name:
            self.fail(place, "a host name is empty", "write the machine's name")
            return None
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = HostDraft(name)
            if port:
                host.vars["ansible_port"] = port
        host.groups[group] = None
        self.groups[group].hosts[name] = None
        return host

    def set_group_variable(self, group: str, key: str, value: object, place: Place) -> None:
        """Set a variable of a known group; `ansible_group_priority` orders groups and is no variable."""
        if key == PRIORITY_VARIABLE:
            self._set_priority(group, value, place)
        else:
            self.groups[group].vars[key] = self.guarded(key, value, place)

    def guarded(self, key: str, value: object, place: Place) -> object:
        """Wrap a connection secret and note what looks wrong about a connection variable."""
        guarded = guard_variable(key, value)
        if guarded.problem:
            self.fail(place, guarded.problem, guarded.hint)
        elif guarded.warning:
            self.warn(place, guarded.warning, guarded.hint)
        return guarded.value

    def ancestors(self, group: str) -> set[str]:
        """Return the names of all groups above a known group."""
        found: set[str] = set()
        waiting = list(self.groups[group].parents)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.groups[name].parents)
        return found

    def settle(self, source: Place) -> None:
        """Finish as Ansible does: each group is below `all`, each host has a group, clashes are told."""
        for name, group in self.groups.items():
            if name != "all" and not group.parents:
                self._link("all", name)
        ungrouped = self.groups["ungrouped"]
        for host in self.hosts.values():
            others = host.groups.keys() - {"all", "ungrouped"}
            if others:
                host.groups.pop("ungrouped", None)
                ungrouped.hosts.pop(host.name, None)
            elif "ungrouped" not in host.groups:
                host.groups["ungrouped"] = None
                ungrouped.hosts[host.name] = None
        for name in self.groups:
            if name in self.hosts:
                self.warn(
                    source,
                    f"{name!r} is both a group and a host",
                    "patterns find both; give one of them another name",
                )

    def depths(self) -> dict[str, int]:
        """Return each group's distance from `all` by the longest way (settle first)."""
        depths = dict.fromkeys(self.groups, 0)
        missing = {name: len(group.parents) for name, group in self.groups.items()}
        ready = [name for name, count in missing.items() if not count]
        while ready:
            name = ready.pop()
            for child in self.groups[name].children:
                depths[child] = max(depths[child], depths[name] + 1)
                missing[child] -= 1
                if not missing[child]:
                    ready.append(child)
        return depths

    def _link(self, parent: str, child: str) -> None:
        self.groups[parent].children[child] = None
        self.groups[child].parents[parent] = None

    def _set_priority(self, group: str, value: object, place: Place) -> None:
        try:
            self.groups[group].priority = int(value)  # type: ignore[call-overload]  # whatever the file holds
        except (TypeError, ValueError, OverflowError):
            self.fail(place, f"{PRIORITY_VARIABLE} must be a whole number, not {value!r}", "default is 1")
