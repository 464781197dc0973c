"""What an inventory says: hosts, groups and their variables, already merged by Ansible's precedence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret that has not been looked up; safe to print, compare, pickle and store in a plan.

    Args:
        scheme: `env file keyring cmd plain`.
        value: the variable, path, service/user or command; for `plain` the secret itself.
    """

    scheme: str
    value: str = field(repr=False)

    def __repr__(self) -> str:
        shown = "********" if self.scheme == "plain" else self.value
        return f"SecretRef({self.scheme}:{shown})"

    def __str__(self) -> str:
        return "********" if self.scheme == "plain" else f"{self.scheme}:{self.value}"


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the inventory.

    Args:
        name: the inventory name (not necessarily an address).
        groups: every group it belongs to, parents before children, `all` left out.
        vars: effective variables (group `all` → parents → children → host); secret ones are `SecretRef`,
            strings may hold templates that planning renders.
    """

    name: str
    groups: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """A named set of hosts.

    Args:
        name: the group's name.
        hosts: names of its own hosts, in inventory order (children's are not repeated here).
        children: names of its direct child groups.
        vars: the group's own variables.
        depth: distance from `all` by the longest way; the deepest group of a host names its room.
    """

    name: str
    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict)
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Inventory:
    """All hosts and groups, in the order in which the inventory names them.

    Args:
        hosts: name → Host.
        groups: name → Group, with `all` and `ungrouped`.
        sources: the paths or the comma list it was read from.
    """

    hosts: Mapping[str, Host]
    groups: Mapping[str, Group]
    sources: tuple[str, ...] = ()

    def members(self, group: str) -> tuple[str, ...]:
        """Return the names of all hosts of a group and of its descendants, in inventory order."""
        wanted = set(self._walk(group, set()))
        return tuple(name for name in self.hosts if name in wanted)

    def _walk(self, group: str, seen: set[str]) -> Iterator[str]:
        if group in seen or group not in self.groups:
            return
        seen.add(group)
        yield from self.groups[group].hosts
        for child in self.groups[group].children:
            yield from self._walk(child, seen)

    def room(self, host: str) -> str:
        """Return the host's deepest group (the last one at equal depth), or `ungrouped`."""
        groups = [name for name in self.hosts[host].groups if name in self.groups]
        if not groups:
            return "ungrouped"
        return max(enumerate(groups), key=lambda item: (self.groups[item[1]].depth, item[0]))[1]
