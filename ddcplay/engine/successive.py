"""Figures that need the sample before: means between two samples of one host (probe kind `w32probe`).

Probes have no memory and run on workers, so what the next sample needs of this one is kept with the filters'
states, and the means are made before the chain sees the record. The archive keeps the raw counters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from ddcplay.filtering.base import Record
from ddcplay.model.playbook import Play
from ddcplay.model.result import Outcome
from ddcplay.plugins import load

LABEL = "probe"
"""Under which the state is kept; no filter has this label, for it is no filter's name."""


class _Successive(Protocol):
    def carried(self, data: object) -> dict[str, object]: ...
    def since_last(self, before: Mapping[str, object] | None, data: object) -> object: ...


class Successive:
    """Knows which probes of a play have such figures.

    Args:
        play: its probes; those without filters are left out, for nobody reads their data.
    """

    def __init__(self, play: Play) -> None:
        self._probes: dict[str, _Successive] = {}
        for probe in play.probes:
            kind = load("ddcplay.probes", probe.kind) if probe.filters else None
            if kind is not None and hasattr(kind, "since_last"):
                self._probes[probe.name] = cast("_Successive", kind())

    def derive(self, record: Record, before: object) -> tuple[Record, dict[str, object]]:
        """Complete a record.

        Args:
            record: as it came.
            before: what was kept of the host's last sample, None for none.

        Returns:
            The record with its means, and the states to keep: label → state, empty where nothing changes.
        """
        probe = self._probes.get(record.probe)
        if probe is None or record.outcome is not Outcome.OK or record.data is None:
            return record, {}
        kept = before if isinstance(before, Mapping) else None
        return record.with_data(probe.since_last(kept, record.data)), {LABEL: probe.carried(record.data)}
