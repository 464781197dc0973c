"""Hosts by time: who was off, on but not collected, or collected; counted while visits stream by."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import pairwise
from statistics import median

from ddcplay.model.report import IterationSpan, Visit

COLUMNS = 750
"""At most so many columns: an hour each over a month; more would neither be seen nor fit into 3 MB."""
NOTHING, OFF, MISSED, COLLECTED = range(4)
"""What a cell says: nobody asked, off, on but not collected, collected."""
_STEPS = (1, 10, 60, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True, slots=True)
class Grid:
    """How time is cut into columns.

    Args:
        start: UTC Unix second at which column 0 begins.
        step_s: width of a column in seconds.
        columns: how many.
        iterations: how many of them fell into each column.
        column_of: iteration id → column.
    """

    start: float
    step_s: float
    columns: int
    iterations: Sequence[int]
    column_of: dict[int, int]


def make_grid(iterations: Sequence[IterationSpan]) -> Grid:
    """Choose columns not narrower than an iteration, at most `COLUMNS` of them."""
    if not iterations:
        return Grid(0.0, 1.0, 0, (), {})
    starts = [span.started_at for span in iterations]
    rhythm = median(after - before for before, after in pairwise(starts)) if len(starts) > 1 else 1.0
    least = max(0.98 * rhythm, (starts[-1] - starts[0]) / (COLUMNS - 2), 0.5)
    step = next((step for step in _STEPS if step >= least), float(_STEPS[-1] * -(-least // _STEPS[-1])))
    # Half a step earlier: an iteration that starts a second late stays in its own column.
    start = starts[0] - step / 2
    column_of = {span.id: int((span.started_at - start) // step) for span in iterations}
    counts = [0] * (max(column_of.values()) + 1)
    for column in column_of.values():
        counts[column] += 1
    return Grid(start, step, len(counts), counts, column_of)


class Timeline:
    """Counts of every host in every column.

    Args:
        grid: the columns.
        hosts: in the order of the report.
    """

    def __init__(self, grid: Grid, hosts: Iterable[str]) -> None:
        self.grid = grid
        self._cells = {
            host: tuple(array("H", bytes(2 * grid.columns)) for _state in range(4)) for host in hosts
        }
        self.on = [0] * grid.columns
        self.collected = [0] * grid.columns
        self.occupied = [0] * grid.columns

    def add_visits(self, visits: Iterable[Visit]) -> Iterable[Visit]:
        """Count visits and hand them on."""
        column_of, cells, on, collected = self.grid.column_of, self._cells, self.on, self.collected
        for visit in visits:
            column = column_of.get(visit.iteration)
            mine = cells.get(visit.host)
            if column is None or mine is None:
                continue
            if visit.collected:
                mine[COLLECTED][column] += 1
                collected[column] += 1
                on[column] += 1
            elif visit.on:
                mine[MISSED][column] += 1
                on[column] += 1
            else:
                mine[OFF][column] += 1
            yield visit

    def add_occupied(self, iteration: int) -> None:
        """Count a machine with somebody logged on."""
        column = self.grid.column_of.get(iteration)
        if column is not None:
            self.occupied[column] += 1

    def states(self, host: str) -> list[int]:
        """Return what each column says of a host: what it mostly was; a tie goes to the greater news."""
        _, off, missed, collected = self._cells[host]
        return [_mostly(*counts) for counts in zip(off, missed, collected, strict=True)]

    def means(self, counts: Sequence[int]) -> list[float | None]:
        """Return machines per iteration in each column, None where there was no iteration."""
        return [
            count / number if number else None
            for count, number in zip(counts, self.grid.iterations, strict=True)
        ]

    def by_day(self, where: tzinfo) -> list[tuple[str, int, float, float, float]]:
        """Return day, iterations, and machines on, collected and occupied per iteration, day by day."""
        days: dict[str, list[int]] = {}
        columns = zip(self.grid.iterations, self.on, self.collected, self.occupied, strict=True)
        for column, numbers in enumerate(columns):
            middle = self.grid.start + (column + 0.5) * self.grid.step_s
            day = datetime.fromtimestamp(middle, where).strftime("%Y-%m-%d")
            sums = days.setdefault(day, [0, 0, 0, 0])
            for index, number in enumerate(numbers):
                sums[index] += number
        return [(day, n, on / n, ok / n, used / n) for day, (n, on, ok, used) in days.items() if n]


def _mostly(off: int, missed: int, collected: int) -> int:
    if not (off or missed or collected):
        return NOTHING
    most = max(off, missed, collected)
    if missed == most:
        return MISSED
    return COLLECTED if collected == most else OFF


class Week:
    """Machines by hour of the week in a time zone.

    Args:
        where: the play's time zone.
        iterations: of the period; each is one look at the pool.
    """

    def __init__(self, where: tzinfo, iterations: Iterable[IterationSpan]) -> None:
        self._hour_of = {span.id: _hour_of_week(span.started_at, where) for span in iterations}
        self.looks = [0] * 168
        for hour in self._hour_of.values():
            self.looks[hour] += 1
        self._on = [0] * 168
        self._occupied = [0] * 168

    def add_on(self, iteration: int) -> None:
        """Count a machine that was on."""
        hour = self._hour_of.get(iteration)
        if hour is not None:
            self._on[hour] += 1

    def add_occupied(self, iteration: int) -> None:
        """Count a machine with somebody logged on."""
        hour = self._hour_of.get(iteration)
        if hour is not None:
            self._occupied[hour] += 1

    @property
    def on(self) -> list[float | None]:
        """Machines on per iteration, Monday 00:00 first; None for hours without an iteration."""
        return [n / looks if looks else None for n, looks in zip(self._on, self.looks, strict=True)]

    @property
    def occupied(self) -> list[float | None]:
        """Same, machines with somebody logged on."""
        return [n / looks if looks else None for n, looks in zip(self._occupied, self.looks, strict=True)]


def _hour_of_week(at: float, where: tzinfo) -> int:
    local = datetime.fromtimestamp(at, where)
    return local.weekday() * 24 + local.hour
