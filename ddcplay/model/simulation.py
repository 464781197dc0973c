"""What a simulation is asked for, before any file is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SimulationRequest:
    """What `ddcplay simulate` was asked for.

    Args:
        hosts: PCs of the simulated inventory, where no other is named.
        rooms: over which they are spread.
        lasts_s: seconds that are simulated.
        seed: everything follows from it.
        start: UTC Unix seconds.
        fresh: begin anew, whatever was simulated before.
    """

    hosts: int
    rooms: int
    lasts_s: float
    seed: int
    start: float
    fresh: bool = False
