"""Shows an inventory in the shapes of `ansible-inventory --list` and `--graph`; secrets stay references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from ddcplay.model.inventory import Inventory, SecretRef


def inventory_list(inventory: Inventory) -> dict[str, object]:
    """Return the inventory as `ansible-inventory --list` prints it, ready for JSON.

    Returns:
        `_meta.hostvars` by host, and per group `hosts` and `children`; secrets as their reference text.
    """
    hostvars = {
        name: {key: _shown(value) for key, value in host.vars.items()}
        for name, host in inventory.hosts.items()
        if host.vars
    }
    shown: dict[str, object] = {"_meta": {"hostvars": hostvars}}
    for name, group in inventory.groups.items():
        parts: dict[str, object] = {}
        if group.hosts and name != "all":
            parts["hosts"] = list(group.hosts)
        if group.children:
            parts["children"] = list(group.children)
        if parts:
            shown[name] = parts
    return shown


def inventory_graph(inventory: Inventory) -> str:
    """Return the tree of groups and hosts as `ansible-inventory --graph` draws it."""
    return "\n".join(_branch(inventory, "all", 0))


def _branch(inventory: Inventory, name: str, depth: int) -> Iterator[str]:
    group = inventory.groups[name]
    yield _leaf(f"@{name}:", depth)
    for child in group.children:
        yield from _branch(inventory, child, depth + 1)
    if name != "all":
        for host in group.hosts:
            yield _leaf(host, depth + 1)


def _leaf(text: str, depth: int) -> str:
    return f"{'  |' * depth}--{text}" if depth else text


def _shown(value: object) -> object:
    if isinstance(value, SecretRef):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, complex):
        return str(value)
    return value
