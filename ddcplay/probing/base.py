"""What a probe kind promises: how it is written on the wire, and how it is run."""

from __future__ import annotations

from typing import Protocol

from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput
from ddcplay.transport.base import Connection
from ddcplay.units import Deadline


class Probe(Protocol):
    """One kind of probe; stateless, so one object serves all visits."""

    kind: str

    def command_line(self, spec: ProbeSpec) -> str:
        """Return the exact command line (or query) the target will log; shown by `ddcplay plan`."""

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Run the probe once; never raises for trouble of the host."""
