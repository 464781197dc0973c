"""How much a play will write per day, before it runs (`ddcplay check`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddcplay.model.playbook import Play, ProbeEntry, Schedule
from ddcplay.planning.timetable import next_slot

DAY_S = 86400.0
ASSUMED_OUTPUT_BYTES: Mapping[str, int] = {"w32probe": 3500, "wmi": 4000}
"""What a probe of a kind prints where nobody has seen it run; others: `ASSUMED_OTHER_BYTES`."""
ASSUMED_OTHER_BYTES = 2000
ATTEMPT_BYTES = 300
"""A row of table `attempt` with its places in the indexes (measured in SQLite)."""
_SAMPLE_OVERHEAD = 1.1  # page ends, columns and index of a sample of some KB (measured in SQLite)
_BLOCK_BYTES = 80


@dataclass(frozen=True, slots=True)
class ProbeSize:
    """What attempts of a probe brought lately.

    Args:
        output_bytes: stdout and stderr of an attempt that ran, on average.
        sample_bytes: of what it stored per attempt that ran, on average.
        ran_share: share of attempts that ran on their host, 0 to 1.
    """

    output_bytes: float
    sample_bytes: float
    ran_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Volume:
    """Bytes per day.

    Args:
        iterations: per day.
        archive: of cumulative files.
        attempts: of rows of attempts.
        samples: of rows of samples.
        assumed: probes whose sizes nobody has seen.
    """

    iterations: float
    archive: float = 0.0
    attempts: float = 0.0
    samples: float = 0.0
    assumed: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Return bytes per day."""
        return self.archive + self.attempts + self.samples

    def kept(self, archive_s: float, attempts_s: float, samples_s: float) -> float:
        """Return the bytes that lie on the disk once the oldest data goes."""
        parts = ((self.archive, archive_s), (self.attempts, attempts_s), (self.samples, samples_s))
        return sum(rate * seconds / DAY_S for rate, seconds in parts)


def predict(play: Play, hosts: int, seen: Mapping[str, ProbeSize], now: float) -> Volume | None:
    """Return what a play writes per day; None for one that has no period.

    Args:
        play: with a schedule.
        hosts: of its pool.
        seen: probe → what its last attempts brought; others are assumed, with every host switched on.
        now: UTC Unix seconds; the day from then on counts.
    """
    iterations = iterations_per_day(play.schedule, play.timezone, now)
    if iterations is None:
        return None
    archive = attempts = samples = 0.0
    for probe in play.probes:
        size = seen.get(probe.name) or assumed_size(probe)
        times = hosts * (iterations if probe.every_s is None else min(iterations, DAY_S / probe.every_s))
        ran = times * size.ran_share
        attempts += times * ATTEMPT_BYTES
        samples += ran * size.sample_bytes * _SAMPLE_OVERHEAD
        if probe.options.get("keep") != "never":
            archive += ran * (size.output_bytes + _BLOCK_BYTES)
    assumed = tuple(probe.name for probe in play.probes if probe.name not in seen)
    return Volume(iterations, archive, attempts, samples, assumed)


def assumed_size(probe: ProbeEntry) -> ProbeSize:
    """Return what is assumed of a probe that never ran."""
    output = float(ASSUMED_OUTPUT_BYTES.get(probe.kind, ASSUMED_OTHER_BYTES))
    stores: Sequence[str] = [entry.name for entry in probe.filters if entry.name == "store"]
    return ProbeSize(output, output * len(stores))


def iterations_per_day(schedule: Schedule, timezone: str, now: float) -> float | None:
    """Count the iterations of the day to come; None for one pass and for a single shot."""
    if schedule.every_s is not None and not schedule.blackout:
        return DAY_S / schedule.every_s
    if schedule.every_s is None and schedule.cron is None:
        return None
    count, at = 0, now
    last: float | None = None
    while at < now + DAY_S:
        slot = next_slot(schedule, timezone, at, began_at=now, last_started_at=last, last_ended_at=last)
        if slot is None or slot.starts_at >= now + DAY_S:
            break
        count += 1
        last = slot.starts_at
        at = slot.starts_at + 1.0
    return float(count)
