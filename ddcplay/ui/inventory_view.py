"""What `ddcplay inventory` shows on a screen; secrets stay references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from ddcplay.model.inventory import Host, Inventory
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import table
from ddcplay.ui.words import plural


def print_hosts(console: Console, inventory: Inventory, hosts: Sequence[Host]) -> None:
    """Print one line per host: name, room, address."""
    shown = table("host", "room", "address", "groups")
    for host in hosts:
        address = host.vars.get("ansible_host", "")
        cells = (host.name, inventory.room(host.name), str(address), " ".join(host.groups))
        shown.add_row(*(Text(safe_text(cell)) for cell in cells))
    console.print(shown)
    console.print(Text(plural(len(hosts), "host"), style="bold"))


def print_host(console: Console, host: Host, values: Mapping[str, object]) -> None:
    """Print one host's groups and variables.

    Args:
        console: where to.
        host: the host.
        values: its variables, secrets already as references.
    """
    head = Text(safe_text(host.name), style="bold")
    head.append(f"  {safe_text(' '.join(host.groups)) or 'ungrouped'}", style="not bold dim")
    console.print(head)
    shown = table("variable", "value")
    for name in sorted(values):
        shown.add_row(Text(safe_text(name)), Text(safe_text(str(values[name]))))
    console.print(shown)
