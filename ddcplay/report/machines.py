"""What the samples say of single machines: how long they run, which disks fill up, which are about to die."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ddcplay.model.report import UsageSample
from ddcplay.report.words import percent_of

NEARLY_FULL_PCT = 5.0
SOON_S = 30 * 86400.0
"""A disk that will be full within this time is a task."""
TREND_S = 3 * 86400.0
"""A trend needs so much time, and `TREND_SAMPLES`."""
TREND_SAMPLES = 24
TREND_FIT = 0.5
"""Least share of the variance (R²) that a straight line must explain to be called a trend."""
SAME_BOOT_S = 300.0
"""Times of the boot that differ by less are one boot: clocks are set, and requests take time."""
ROWS = 64
"""So many rows of a sample's lists are looked at: a target can send any number."""
VOLUMES = 50_000

UPTIME_EDGES_S = tuple(hours * 3600.0 for hours in (1, 2, 4, 8, 12, 24, 48, 96, 168))
UPTIME_NAMES = (
    "under 1 h", "1-2 h", "2-4 h", "4-8 h", "8-12 h", "12-24 h", "1-2 d", "2-4 d", "4-7 d", "over 7 d",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DiskTrouble:
    """A volume that is nearly full, or will be.

    Args:
        host: inventory name.
        device: as Windows names it; text of a target.
        free_pct: at the last sample, None when it did not tell.
        full_in_s: seconds until it is full if it goes on like this, None for no trend.
    """

    host: str
    device: str
    free_pct: float | None
    full_in_s: float | None


@dataclass(frozen=True, slots=True)
class Uptimes:
    """Lengths of uptime sessions: from a boot to the last sample before the next one.

    Args:
        numbers: sessions by length, one per name of `UPTIME_NAMES`.
        total: sessions.
        mean_s: seconds, None for no session.
    """

    numbers: tuple[int, ...]
    total: int
    mean_s: float | None


class Machines:
    """Takes one sample after the other; remembers a few numbers per host and volume."""

    def __init__(self) -> None:
        self._boots: dict[str, tuple[float, float]] = {}
        self._lengths: Counter[int] = Counter()
        self._seconds = 0.0
        self._volumes: dict[tuple[str, str], _Volume] = {}
        self._dying: dict[str, tuple[str, ...]] = {}

    def add(self, sample: UsageSample) -> None:
        """Take the next sample of a host; times of a host must grow."""
        data = sample.data
        uptime = data.get("uptime_s")
        if isinstance(uptime, int | float):
            self._boot(sample.host, sample.at - uptime, uptime)
        disks = data.get("disks")
        for row in disks[:ROWS] if isinstance(disks, list) else ():
            if isinstance(row, dict):
                self._disk(sample, row)
        smart = data.get("smart")
        if isinstance(smart, list):
            rows = [row for row in smart[:ROWS] if isinstance(row, dict)]
            self._dying[sample.host] = tuple(
                str(row.get("disk")) for row in rows if row.get("predicted_failure") is True
            )

    def uptimes(self) -> Uptimes:
        """Return the sessions seen; those that still run are as long as they were when last seen."""
        lengths, seconds = Counter(self._lengths), self._seconds
        for _booted, uptime in self._boots.values():
            lengths[bisect_right(UPTIME_EDGES_S, uptime)] += 1
            seconds += uptime
        total = lengths.total()
        numbers = tuple(lengths[index] for index in range(len(UPTIME_NAMES)))
        return Uptimes(numbers, total, seconds / total if total else None)

    def full_soon(self) -> tuple[DiskTrouble, ...]:
        """Return volumes that are nearly full or will be soon, the most urgent first."""
        found = []
        for (host, device), volume in self._volumes.items():
            full_in = volume.full_in_s()
            nearly = volume.free_pct is not None and volume.free_pct < NEARLY_FULL_PCT
            if nearly or (full_in is not None and full_in <= SOON_S):
                found.append(DiskTrouble(host, device, volume.free_pct, full_in))
        return tuple(sorted(found, key=lambda disk: (disk.full_in_s or 0.0, disk.free_pct or 0.0, disk.host)))

    def dying(self) -> Mapping[str, tuple[str, ...]]:
        """Return host → numbers of the disks that predicted their failure in the newest sample."""
        return {host: disks for host, disks in self._dying.items() if disks}

    def _boot(self, host: str, booted: float, uptime: float) -> None:
        known = self._boots.get(host)
        if known is not None and abs(known[0] - booted) > SAME_BOOT_S:
            self._lengths[bisect_right(UPTIME_EDGES_S, known[1])] += 1
            self._seconds += known[1]
            known = None
        # Held against the sample before: a slow drift of the clock must not look like a boot.
        self._boots[host] = (booted, uptime)

    def _disk(self, sample: UsageSample, row: Mapping[str, object]) -> None:
        free, device, size = row.get("free_bytes"), row.get("device"), row.get("size_bytes")
        if not isinstance(free, int | float) or not isinstance(device, str):
            return
        volume = self._volumes.get((sample.host, device))
        if volume is None:
            if len(self._volumes) >= VOLUMES:
                return
            volume = self._volumes[sample.host, device] = _Volume(sample.at, float(free))
        volume.add(sample.at, float(free))
        volume.free_pct = percent_of(free, size) if isinstance(size, int | float) else None


class _Volume:
    """Running sums of a straight line through the free bytes, counted from the first sample."""

    __slots__ = ("_at", "_first", "_free", "_last", "_n", "_now", "_t", "_tt", "_x", "_xt", "_xx", "free_pct")

    def __init__(self, at: float, free: float) -> None:
        self._at, self._free = at, free
        self._first = self._last = at
        self._now = free
        self._n = 0
        self._t = self._tt = self._x = self._xx = self._xt = 0.0
        self.free_pct: float | None = None

    def add(self, at: float, free: float) -> None:
        t, x = at - self._at, free - self._free
        self._n += 1
        self._t += t
        self._tt += t * t
        self._x += x
        self._xx += x * x
        self._xt += x * t
        self._last, self._now = at, free

    def full_in_s(self) -> float | None:
        """Return seconds until the line meets zero, None without a trend downwards."""
        if self._n < TREND_SAMPLES or self._last - self._first < TREND_S:
            return None
        times = self._tt - self._t * self._t / self._n
        both = self._xt - self._x * self._t / self._n
        values = self._xx - self._x * self._x / self._n
        if times <= 0 or values <= 0 or both >= 0 or both * both < TREND_FIT * times * values:
            return None
        return -self._now * times / both
