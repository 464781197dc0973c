"""Alerts of one experiment as its coordinator reads them; they are written with the commits of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import sqlalchemy as sa

from ddcplay.model.alert import AlertIdentity, AlertUpdate, Silence
from ddcplay.store import effect_reads
from ddcplay.store.base import StoredEvent

T = TypeVar("T")


class _Reads(Protocol):
    def __call__(self, work: Callable[[sa.Connection], T], /) -> T: ...


class Alerts:
    """What is known of alerts; `ExperimentStore.alerts`.

    Args:
        read: runs a closure on a reading connection.
        experiment_id: whose alerts.
        experiment: its name.
    """

    def __init__(self, read: _Reads, experiment_id: int, experiment: str) -> None:
        self._read = read
        self._id = experiment_id
        self._experiment = experiment

    def snapshots(self) -> tuple[AlertUpdate, ...]:
        """Return every alert that has a state, by name, host and key."""
        return self._read(lambda c: effect_reads.snapshots(c, self._id, self._experiment))

    def untold(self) -> tuple[StoredEvent, ...]:
        """Return events and items that no digest has told, in their order."""
        return self._read(lambda c: effect_reads.untold(c, self._id, self._experiment))

    def last_told(self) -> int:
        """Return the iteration of the newest event that a digest has told, 0 when there is none."""
        return self._read(lambda c: effect_reads.last_told(c, self._id))

    def silences(self, now: float) -> tuple[Silence, ...]:
        """Return silences that are not over at `now` (UTC Unix seconds), also those that have not begun."""
        return self._read(lambda c: effect_reads.silences(c, self._id, now))

    def acknowledged(self) -> Mapping[AlertIdentity, float]:
        """Return when alerts were last acknowledged, UTC Unix seconds; old ones stay."""
        return self._read(lambda c: effect_reads.acknowledged(c, self._id, self._experiment))

    def history(self, limit: int) -> tuple[StoredEvent, ...]:
        """Return the newest events of alerts, told or not, oldest first."""
        return self._read(lambda c: effect_reads.history(c, self._id, self._experiment, limit))
