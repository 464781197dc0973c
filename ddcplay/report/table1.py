"""The paper's Table 1: what machines do with somebody logged on, with nobody, and on the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddcplay.report.words import percent_of

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table.

    Args:
        field: of the sample, a number.
        title: with the unit.
        scale: what the field is divided by.
        decimals: how many are shown.
    """

    field: str
    title: str
    scale: float = 1.0
    decimals: int = 2


METRICS = (
    Metric("cpu_idle_pct", "CPU idle (%)"),
    Metric("ram_load_pct", "RAM load (%)"),
    Metric("swap_load_pct", "Swap load (%)"),
    Metric("disk_free_pct", "Disk free (%)"),
    Metric("disk_free_bytes", "Disk free (GiB)", GIB),
    Metric("bytes_sent_per_s", "Sent (bytes/s)"),
    Metric("bytes_received_per_s", "Received (bytes/s)"),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: samples of machines with users, without, or both.

    Args:
        title: `no users`, `with users` or `both`.
        samples: how many.
        share_pct: of all attempts of the probe, None without attempts.
        means: by field, in the unit of its `Metric`; None where no sample had a number.
    """

    title: str
    samples: int
    share_pct: float | None
    means: Mapping[str, float | None]


class Table1:
    """Sums that become the table; takes one sample after the other, so a month needs no memory."""

    def __init__(self) -> None:
        # [0] nobody logged on, [1] somebody; a sample that cannot tell counts in `both` alone.
        self._groups = (_Sums(), _Sums(), _Sums())

    def add(self, data: Mapping[str, object]) -> None:
        """Count one sample."""
        occupied = data.get("occupied")
        self._groups[occupied if isinstance(occupied, bool) else 2].add(data)

    def columns(self, attempts: int) -> tuple[Column, ...]:
        """Return the three columns; `attempts` are those of the probe that were not skipped."""
        free, used, unknown = self._groups
        named = (("no users", (free,)), ("with users", (used,)), ("both", (free, used, unknown)))
        return tuple(_column(title, groups, attempts) for title, groups in named)


class _Sums:
    """Number of samples, and sum and number of each metric."""

    def __init__(self) -> None:
        self.samples = 0
        self.sums = [0.0] * len(METRICS)
        self.numbers = [0] * len(METRICS)

    def add(self, data: Mapping[str, object]) -> None:
        self.samples += 1
        for index, field in enumerate(_FIELDS):
            value = data.get(field)
            if isinstance(value, int | float):
                self.sums[index] += value
                self.numbers[index] += 1


_FIELDS = tuple(metric.field for metric in METRICS)


def _column(title: str, groups: tuple[_Sums, ...], attempts: int) -> Column:
    samples = sum(group.samples for group in groups)
    means: dict[str, float | None] = {}
    for index, metric in enumerate(METRICS):
        number = sum(group.numbers[index] for group in groups)
        total = sum(group.sums[index] for group in groups)
        means[metric.field] = total / number / metric.scale if number else None
    return Column(title, samples, percent_of(samples, attempts), means)
