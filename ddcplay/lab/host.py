"""The state of one simulated host: its machine, account, shells, planted faults and counters."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ddcplay.lab import disk, soap
from ddcplay.lab.blueprint import LabHost
from ddcplay.lab.faults import PlantedFaults
from ddcplay.lab.machine import Machine
from ddcplay.lab.processes import FIRST_PID, ProcessTable
from ddcplay.lab.shells import Shell, ShellTable
from ddcplay.lab.wine import Wine

_BEYOND_WINE = 4_000_000
"""Ids of shells on Wine hosts: what runs below them has Wine's own ids."""


@dataclass(slots=True)
class Counters:
    """What happened on a host since the start or the last reset."""

    connections: int = 0
    requests: int = 0
    identifies: int = 0
    logins_accepted: int = 0
    logins_refused: int = 0
    shells_created: int = 0
    shells_deleted: int = 0
    shells_expired: int = 0
    sends: int = 0
    receives: int = 0
    signals: int = 0
    queries: int = 0
    commands: list[str] = field(default_factory=list)

    def count(self, operation: str) -> None:
        """Count a request of an operation that is counted as it comes, whatever becomes of it."""
        match operation:
            case "send":
                self.sends += 1
            case "receive":
                self.receives += 1
            case "signal":
                self.signals += 1
            case "enumerate":
                self.queries += 1

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: user in lower case without domain, and the address it came from."""

    user: str
    address: str


@dataclass(frozen=True, slots=True)
class Enumeration:
    """What is left of an enumeration: whose it is, and the items not yet fetched."""

    owner: str
    items: list[str]


class SimulatedHost:
    """One PC of the running lab.

    Args:
        blueprint: how it was described.
        machine: what it is.
        now: the lab's clock, Unix seconds.
        wine: where its commands run, None for a scripted PC.
    """

    def __init__(
        self, blueprint: LabHost, machine: Machine, now: Callable[[], float], wine: Wine | None = None
    ) -> None:
        self.blueprint = blueprint
        self.machine = machine
        self.now = now
        self.password = blueprint.password
        self.faults = PlantedFaults(blueprint.faults)
        self.counters = Counters()
        self.shells = ShellTable()
        self.wine = wine
        self.wine_commands: dict[int, int] = {}
        self.processes = ProcessTable(FIRST_PID if wine is None else _BEYOND_WINE)
        self.files: dict[str, bytes] = {disk.TAR: b"MZ"} if blueprint.has_tar else {}
        self.busy: set[str] = set()
        self.enumerations: dict[str, Enumeration] = {}

    @property
    def owner_name(self) -> str:
        """The account with its domain, as Windows writes it."""
        return f"{self.blueprint.domain}\\{self.blueprint.user}"

    def describe_shell(self, shell: Shell, *, full: bool = False) -> str:
        """Return a shell's properties as rsp:Shell (MS-WSMV 2.2.4.37); `full` as Get and Enumerate do."""
        now = asyncio.get_running_loop().time()
        process = f"<rsp:ProcessId>{shell.pid}</rsp:ProcessId>" if full else ""
        return (
            f'<rsp:Shell xmlns:rsp="{soap.RSP}"><rsp:ShellId>{shell.shell_id}</rsp:ShellId>'
            f"<rsp:ResourceUri>{soap.CMD_SHELL}</rsp:ResourceUri>"
            f"<rsp:Owner>{soap.text(self.owner_name)}</rsp:Owner><rsp:ClientIP>{shell.client_ip}</rsp:ClientIP>"
            f"{process}"
            f"<rsp:IdleTimeOut>PT{shell.idle_s:.3f}S</rsp:IdleTimeOut><rsp:InputStreams>stdin</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams>"
            f"<rsp:ShellRunTime>{_since(shell.created, now)}</rsp:ShellRunTime>"
            f"<rsp:ShellInactivity>{_since(shell.touched, now)}</rsp:ShellInactivity></rsp:Shell>"
        )

    def stats(self) -> dict[str, Any]:
        """Return the counters and the number of shells open now."""
        return {**self.counters.to_json(), "open_shells": len(self.shells.by_id)}

    def reset_stats(self) -> None:
        """Start counting anew."""
        self.counters = Counters()


def _since(start: float, now: float) -> str:
    seconds = int(now - start)
    return f"P{seconds // 86400}DT{seconds // 3600 % 24}H{seconds // 60 % 60}M{seconds % 60}S"
