"""`ddcplay replay`: the chains again over the archive, into a database of its own; no host is contacted.

Attempts come in the order in which they were acknowledged, and time is theirs, so unchanged filters give
equal samples and alerts. Nothing leaves the house (no outbox, push or text file), nothing is archived anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ddcplay.engine.chains import Chains
from ddcplay.engine.events import AlertChanged, FilterFailed, Observers
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.reporting import Reporting
from ddcplay.engine.telling import Telling
from ddcplay.errors import UsageError
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.model.result import AttemptResult
from ddcplay.probing.restore import restored
from ddcplay.store.base import ArchivedAttempt, ChainDone, IterationRecord, PendingAttempt, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store
from ddcplay.store.queries import ExperimentReader
from ddcplay.store.replay_reads import Missing, archived_attempts

_LEAVES = frozenset({"textfile"})
"""Filters that write for others to read now; a replay is about the past."""
_BATCH = 500


class RecordedClock:
    """A clock that stands where the recorded attempts are."""

    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        """Return UTC Unix seconds of the attempt that is replayed."""
        return self.time

    def monotonic(self) -> float:
        """Return the same: only differences count."""
        return self.time

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait for nothing: whoever would has to wait in the past."""
        self.time += timeout_s or 0.0
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let recorded time pass."""
        self.time += seconds


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did.

    Args:
        directory: of the new database.
        attempts: whose chains ran.
        failed: of these, by a filter.
        events: what happened to alerts.
        left_out: probe → (attempts, why) that could not be replayed.
    """

    directory: Path
    attempts: int = 0
    failed: int = 0
    events: int = 0
    left_out: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def replay(
    reader: ExperimentReader,
    source: Path,
    target: Path,
    what: tuple[Play, Plan],
    means: FilterMeans,
    observers: Observers,
) -> Replayed:
    """Run the chains of a play over everything that was archived.

    Args:
        reader: of the experiment.
        source: its directory.
        target: directory of the new database; must not hold one.
        what: the play whose chains run, and its hosts.
        means: what filters are made with.
        observers: told of alerts and of filters that fail.

    Raises:
        StoreError: the archive was changed, or the new database cannot be written.
        UsageError: no probe can be replayed, or the target is taken.
    """
    play, plan = what
    never = {probe.name for probe in play.probes if probe.options.get("keep") == "never"}
    if all(probe.name in never or not probe.filters for probe in play.probes):
        words = "`keep: never`: their outputs were not archived" if never else "no filters"
        raise UsageError(f"nothing of {plan.experiment!r} can be replayed: its probes have {words}")
    if any(target.glob("*.db")):
        raise UsageError(f"{target} holds a database already", "name another directory with --to")
    iterations = {record.id: record for record in reader.iterations()}
    first = min(iterations.values(), key=lambda record: record.id, default=None)
    clock = RecordedClock(first.started_at if first else 0.0)
    store = open_store(target, plan.experiment, play=play.name, clock_now=clock.now(), durability="batch")
    try:
        return _Replay(play, plan, store, (source, target), clock, means, observers).run(reader, iterations)
    finally:
        store.close()


class _Replay:
    """One replay; the new store takes attempts, their chains run, their outputs are let go."""

    def __init__(
        self,
        play: Play,
        plan: Plan,
        store: ExperimentStore,
        places: tuple[Path, Path],
        clock: RecordedClock,
        means: FilterMeans,
        observers: Observers,
    ) -> None:
        kept = tuple(
            replace(probe, filters=tuple(each for each in probe.filters if each.name not in _LEAVES))
            for probe in play.probes
        )
        self._play = replace(play, probes=kept, report=None)
        self._plan = plan
        self._store = store
        self._source, self._target = places
        self._clock = clock
        self._observers = observers
        reporting = Reporting(self._play, {}, store, self._target, None)
        self._telling = Telling(self._play, plan, store, None, reporting, observers=observers, clock=clock)
        maker = means.begin()
        self._chains = Chains(
            self._play,
            plan,
            self._target,
            store,
            self._telling,
            observers=observers,
            make=maker.make,
            end=maker.close,
        )
        self._counts: Counter[str] = Counter()
        self._left_out: dict[str, tuple[int, str]] = {}

    def run(self, reader: ExperimentReader, iterations: Mapping[int, IterationRecord]) -> Replayed:
        self._telling.begin()
        self._chains.open()
        restore = {probe.name: partial(_restored, probe) for probe in self._play.probes}
        batch: list[PendingAttempt | Missing] = []
        current: int | None = None
        for found in archived_attempts(reader, self._source, restore=restore):
            if found.result.iteration != current:
                self._record(batch)
                self._close(current, iterations)
                batch, current = [], found.result.iteration
                self._open(current, iterations)
            batch.append(found)
            if len(batch) >= _BATCH:
                self._record(batch)
                batch = []
        self._record(batch)
        self._close(current, iterations)
        self._chains.close()
        self._telling.close()
        return Replayed(
            self._target,
            self._counts["attempts"],
            self._counts["failed"],
            self._counts["events"],
            self._left_out,
        )

    def _open(self, iteration: int, iterations: Mapping[int, IterationRecord]) -> None:
        record = iterations[iteration]
        self._clock.time = record.started_at
        hosts = [host.host for host in self._plan.hosts]
        begun = replace(record, closed_at=None, state="open", remote_s=None)
        self._store.open_iteration(begun, Provenance(), hosts, self._plan.probe_names)

    def _record(self, batch: list[PendingAttempt | Missing]) -> None:
        if not batch:
            return
        ids = self._store.commit_attempts([found.result for found in batch])
        done = [self._chain(number, found) for number, found in zip(ids, batch, strict=True)]
        self._store.commit_chains(done)
        self._store.mark_archived([ArchivedAttempt(number) for number in ids], {})

    def _chain(self, number: int, found: PendingAttempt | Missing) -> ChainDone:
        result = found.result
        self._clock.time = max(self._clock.time, result.started_at + result.elapsed_s)
        if isinstance(found, Missing):
            self._telling.note(result)
            count, _ = self._left_out.get(result.probe, (0, ""))
            self._left_out[result.probe] = (count + 1, found.reason)
            return ChainDone(number)
        pending = PendingAttempt(number, result)
        chain = self._chains.run(pending)
        self._counts["attempts"] += 1
        if chain.outcome_override is not None:
            self._counts["failed"] += 1
            self._observers.handle(FilterFailed(chain.applied_to(pending).result))
        self._tell(chain)
        return chain

    def _tell(self, chain: ChainDone) -> None:
        self._counts["events"] += len(chain.events)
        for event in chain.events:
            self._observers.handle(AlertChanged(event))

    def _close(self, iteration: int | None, iterations: Mapping[int, IterationRecord]) -> None:
        if iteration is None:
            return
        record = iterations[iteration]
        at = record.closed_at or self._clock.now()
        self._clock.time = max(self._clock.time, at)
        states = self._chains.iteration_end(iteration)
        effects = self._telling.iteration_end(iteration, at, states)
        self._counts["events"] += len(effects.events)
        self._store.close_iteration(iteration, at, record.remote_s or 0.0, "closed", effects=effects)


def _restored(probe: ProbeEntry, result: AttemptResult) -> AttemptResult:
    return restored(probe.kind, probe.options, result)
