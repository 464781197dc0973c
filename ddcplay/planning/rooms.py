"""Which room a host is shown under, and which hosts have a password of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ddcplay.model.inventory import Host, Inventory, SecretRef
from ddcplay.model.playbook import Play
from ddcplay.planning.pattern import select_hosts


def rooms_of(play: Play, inventory: Inventory) -> Callable[[str], str]:
    """Tell each host's room: the first of the play's `rooms` that holds it, else its deepest group."""
    named: dict[str, str] = {}
    for room in play.rooms:
        for host in select_hosts(inventory, room).hosts:
            named.setdefault(host.name, room)
    return lambda host: named.get(host) or inventory.room(host)


def owners_of_secrets(inventory: Inventory) -> Callable[[str], bool]:
    """Tell which hosts have a password of their own: written for the host, and no other has the same."""
    names = ("ansible_password", "ansible_winrm_password", "ansible_ssh_pass", "ansible_psrp_password")
    uses = Counter(
        (reference.scheme, reference.value)
        for host in inventory.hosts.values()
        for reference in [_first_secret(host, names)]
        if reference is not None
    )
    shared = {
        (value.scheme, value.value)
        for group in inventory.groups.values()
        for name in names
        if isinstance(value := group.vars.get(name), SecretRef)
    }

    def own(host: str) -> bool:
        reference = _first_secret(inventory.hosts[host], names)
        if reference is None:
            return False
        key = (reference.scheme, reference.value)
        return key not in shared and uses[key] == 1 and len(uses) > 1

    return own


def _first_secret(host: Host, names: Sequence[str]) -> SecretRef | None:
    return next((found for name in names if isinstance(found := host.vars.get(name), SecretRef)), None)
