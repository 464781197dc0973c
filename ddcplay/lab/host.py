"""The state of one simulated host: its machine, account, shells, planted faults and counters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ddcplay.lab.blueprint import LabHost
from ddcplay.lab.faults import PlantedFaults
from ddcplay.lab.machine import Machine
from ddcplay.lab.shells import ShellTable


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


class SimulatedHost:
    """One PC of the running lab.

    Args:
        blueprint: how it was described.
        machine: what it is.
        now: the lab's clock, Unix seconds.
    """

    def __init__(self, blueprint: LabHost, machine: Machine, now: Callable[[], float]) -> None:
        self.blueprint = blueprint
        self.machine = machine
        self.now = now
        self.password = blueprint.password
        self.faults = PlantedFaults(blueprint.faults)
        self.counters = Counters()
        self.shells = ShellTable()
        self.files: dict[str, bytes] = {}
        self.endpoint = ("127.0.0.1", 0)

    @property
    def owner_name(self) -> str:
        """The account with its domain, as Windows writes it."""
        return f"{self.blueprint.domain}\\{self.blueprint.user}"

    def stats(self) -> dict[str, Any]:
        """Return the counters and the number of shells open now."""
        return {**self.counters.to_json(), "open_shells": len(self.shells.by_id)}

    def reset_stats(self) -> None:
        """Start counting anew."""
        self.counters = Counters()
