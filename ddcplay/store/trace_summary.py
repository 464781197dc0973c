"""A trace in a few figures: attempts, seconds per iteration, and when the coordinator was off.

Needs nothing but trace lines, so it works for DDC's own traces, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

from ddcplay.store.trace import TraceLine

_GAP = 2.0  # times the usual step; a late iteration is none


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without an iteration.

    Args:
        after: id of the last iteration before it.
        until: id of the first one after it.
        missed: how many would have begun in between, at the usual step.
    """

    after: int
    until: int
    missed: int

    @property
    def seconds(self) -> int:
        """Return its length from start to start, in seconds."""
        return self.until - self.after


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """What a trace says.

    Args:
        iterations: lines.
        first: id of the first iteration, UTC Unix seconds.
        last: id of the last one.
        hosts: different names, 0 where lines have none.
        ok: attempts.
        failed: attempts.
        unavailable: attempts.
        median_s: seconds per iteration.
        p95_s: 95 % of the iterations took no longer.
        longest_s: seconds.
        step_s: usual seconds from start to start, 0 for one iteration.
        gaps: times in which the coordinator was off, in order.
    """

    iterations: int
    first: int
    last: int
    hosts: int
    ok: int
    failed: int
    unavailable: int
    median_s: float
    p95_s: float
    longest_s: float
    step_s: float
    gaps: tuple[Gap, ...]

    @property
    def attempts(self) -> int:
        """Return how many there were; what was skipped is none."""
        return self.ok + self.failed + self.unavailable

    def percent(self, count: int) -> float | None:
        """Return a share of all attempts in percent, None for 0/0."""
        return 100 * count / self.attempts if self.attempts else None


def summarise_trace(lines: Iterable[TraceLine]) -> TraceSummary | None:
    """Return the figures of a trace, None when it has no line.

    Args:
        lines: of one probe, in any order.
    """
    kept = sorted(lines, key=lambda line: line.iteration)
    if not kept:
        return None
    hosts = {
        name
        for line in kept
        for names in (line.ok_names, line.failed_names, line.unavailable_names, line.skipped_names)
        for name in names
    }
    seconds = [line.elapsed_s for line in kept]
    ids = [line.iteration for line in kept]
    step_s = float(median(b - a for a, b in pairwise(ids))) if len(ids) > 1 else 0.0
    return TraceSummary(
        iterations=len(kept),
        first=ids[0],
        last=ids[-1],
        hosts=len(hosts),
        ok=sum(line.ok for line in kept),
        failed=sum(line.failed for line in kept),
        unavailable=sum(line.unavailable for line in kept),
        median_s=median(seconds),
        p95_s=quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0],
        longest_s=max(seconds),
        step_s=step_s,
        gaps=tuple(_gaps(ids, step_s)),
    )


def _gaps(ids: Sequence[int], step_s: float) -> Iterable[Gap]:
    for a, b in pairwise(ids):
        if step_s and b - a > _GAP * step_s:
            yield Gap(a, b, round((b - a) / step_s) - 1)
