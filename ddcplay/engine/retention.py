"""Old data goes: by the run itself once a day, and by `ddcplay prune` (settings `retention`).

Work is done in short steps, each within a moment, so that no iteration waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ddcplay.store.archive import Archive
from ddcplay.store.archive_cut import Cut, old_blocks
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.retention import Rows
from ddcplay.units import Clock, Deadline

DAY_S = 86400.0
_WORTH_A_CUT = 0.25  # of a file: below, the run leaves it for another day rather than copy the rest


@dataclass(frozen=True, slots=True)
class Kept:
    """How long data is kept, in seconds; as the settings have it, or one age for all."""

    archive_s: float
    attempts_s: float
    samples_s: float


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went.

    Args:
        rows: of the database.
        cut: of the cumulative files.
    """

    rows: Rows = field(default_factory=Rows)
    cut: Cut = field(default_factory=Cut)

    def __add__(self, other: Pruned) -> Pruned:
        return Pruned(self.rows + other.rows, self.cut + other.cut)

    @property
    def anything(self) -> bool:
        """Say whether something went."""
        return bool(self.rows.total or self.cut.blocks)


class Housekeeping:
    """Removes what is too old, a little at each call; one per running experiment.

    Args:
        store: of the experiment.
        archive: of the experiment.
        kept: how long.
        clock: whose time decides, and bounds each step.
    """

    def __init__(self, store: ExperimentStore, archive: Archive, kept: Kept, clock: Clock) -> None:
        self._store = store
        self._archive = archive
        self._kept = kept
        self._clock = clock
        self._begun_at: float | None = None
        self._work: Iterator[Pruned] | None = None

    def step(self, budget_s: float = 0.5) -> Pruned:
        """Go on for a moment; once a pass over everything is done, the next begins a day later.

        Args:
            budget_s: seconds after which it stops, in the middle of a pass if need be.

        Returns:
            What went in this step.

        Raises:
            StoreError: a file or the database refuses; nothing that counts is lost, the next day tries again.
        """
        now = self._clock.now()
        if self._work is None:
            if self._begun_at is not None and now - self._begun_at < DAY_S:
                return Pruned()
            self._begun_at = now
            self._work = prune(self._store, self._archive, self._kept, now, least_share=_WORTH_A_CUT)
        deadline = Deadline.after(self._clock, budget_s)
        done = Pruned()
        try:
            for part in self._work:
                done += part
                if deadline.expired():
                    return done
        except BaseException:
            self._work = None
            raise
        self._work = None
        return done


def prune(
    store: ExperimentStore, archive: Archive, kept: Kept, now: float, *, least_share: float = 0.0
) -> Iterator[Pruned]:
    """Remove what is too old, one small part per round.

    Args:
        store: of the experiment.
        archive: of the experiment.
        kept: how long data is kept.
        now: UTC Unix seconds.
        least_share: how much of a cumulative file must be old for it to be shortened, 0 to 1.

    Yields:
        What went; also parts in which nothing did.
    """
    archive_before, attempts_before, samples_before = _limits(store, kept, now)
    # Files first: rows tell `on_change` blocks that are still current.
    for pair in store.retained.pairs():
        yield Pruned(cut=archive.cut_front(pair, archive_before, least_share))
    while (rows := store.retained.drop(attempts_before, samples_before)).total:
        yield Pruned(rows)


def prospect(store: ExperimentStore, archive: Archive, kept: Kept, now: float) -> Pruned:
    """Count what `prune` would remove now; nothing is changed. Cumulative files are read, not measured."""
    archive_before, attempts_before, samples_before = _limits(store, kept, now)
    cut = Cut()
    for stdout, stderr, end in archive.files():
        for path, recorded in ((stdout, end.stdout_end), (stderr, end.stderr_end)):
            front = old_blocks(path, recorded, archive_before)
            cut += Cut(front.blocks, int(front.end == recorded > 0), front.end)
    return Pruned(store.retained.count(attempts_before, samples_before), cut)


def _limits(store: ExperimentStore, kept: Kept, now: float) -> tuple[int, int, int]:
    """Return the iteration ids below which blocks, attempts and samples go."""
    horizon = store.retained.horizon()
    ages = (kept.archive_s, kept.attempts_s, kept.samples_s)
    first, second, third = (min(horizon, int(now - age)) for age in ages)
    return first, second, third
