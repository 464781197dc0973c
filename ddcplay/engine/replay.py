"""`ddcplay replay`: the chains again over the archive, into a database of its own; no host is contacted.

Attempts come in the order in which they were acknowledged, and time is theirs, so unchanged filters give
equal samples and alerts. Nothing leaves the house (no outbox, push or text file), nothing is archived anew.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ddcplay.engine.chains import Chains
from ddcplay.engine.events import AlertChanged, FilterFailed, Observers
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.reporting import Reporting
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.telling import Telling
from ddcplay.errors import UsageError
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.model.result import AttemptResult
from ddcplay.probing.restore import restored
from ddcplay.store import reads
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
        interrupted: the user stopped it; what is there is good, but not all.
    """

    directory: Path
    attempts: int = 0
    failed: int = 0
    events: int = 0
    left_out: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    interrupted: bool = False


def replay(
    reader: ExperimentReader,
    source: Path,
    target: Path,
    what: tuple[Play, Plan],
    means: FilterMeans,
    observers: Observers,
    stop: StopRequest | None = None,
) -> Replayed:
    """Run the chains of a play over everything that was archived.

    Args:
        reader: of the experiment.
        source: its directory.
        target: directory of the new database; must not hold one.
        what: the play whose chains run, and its hosts.
        means: what filters are made with.
        observers: told of alerts and of filters that fail.
        stop: the first request ends it after the attempt that is on its way, the second cuts that short.

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
        this = _Replay(play, plan, store, (source, target), clock, means, observers)
        if stop is not None:
            stop.listen(lambda: means.abort() if stop.leave.is_set() else None)
        return this.run(reader, iterations, stop or StopRequest())
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
        self._hosts: tuple[str, ...] = ()
        self._current: IterationRecord | None = None
        self._counts: Counter[str] = Counter()
        self._left_out: dict[str, tuple[int, str]] = {}

    def run(
        self, reader: ExperimentReader, iterations: Mapping[int, IterationRecord], stop: StopRequest
    ) -> Replayed:
        self._hosts = _every_host(self._plan, reader)
        self._telling.begin()
        self._chains.open()
        restore = {probe.name: partial(_restored, probe) for probe in self._play.probes}
        ahead = deque(sorted(iterations))
        batch: list[PendingAttempt | Missing] = []
        for found in archived_attempts(reader, self._source, restore=restore):
            if self._current is None or found.result.iteration != self._current.id:
                self._record(batch, stop)
                batch = []
                # Iterations in which nothing was due had an end, too.
                while not stop.finish.is_set() and ahead and ahead[0] <= found.result.iteration:
                    self._begin(iterations[ahead.popleft()])
            batch.append(found)
            if len(batch) >= _BATCH:
                self._record(batch, stop)
                batch = []
            if stop.finish.is_set():
                break
        self._record(batch, stop)
        while ahead and not stop.finish.is_set():
            self._begin(iterations[ahead.popleft()])
        if not stop.finish.is_set():
            self._close()
        self._chains.close(at_once=stop.leave.is_set())
        self._telling.close()
        return Replayed(
            self._target,
            self._counts["attempts"],
            self._counts["failed"],
            self._counts["events"],
            self._left_out,
            interrupted=stop.finish.is_set(),
        )

    def _begin(self, record: IterationRecord) -> None:
        """Close the iteration that is open and open another one."""
        self._close()
        self._current = record
        self._clock.time = record.started_at
        begun = replace(record, closed_at=None, state="open", remote_s=None)
        self._store.open_iteration(begun, Provenance(), self._hosts, self._plan.probe_names)

    def _record(self, batch: list[PendingAttempt | Missing], stop: StopRequest) -> None:
        if not batch or stop.finish.is_set():
            return
        ids = self._store.commit_attempts([found.result for found in batch])
        done = []
        for number, found in zip(ids, batch, strict=True):
            if stop.finish.is_set():
                break
            chain = self._chain(number, found)
            if stop.leave.is_set():
                break  # maybe it was cut short
            done.append(chain)
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

    def _close(self) -> None:
        record = self._current
        if record is None or record.state == "open":
            return
        at = record.closed_at or self._clock.now()
        self._clock.time = max(self._clock.time, at)
        states = self._chains.iteration_end(record.id)
        effects = self._telling.iteration_end(record.id, at, states)
        self._counts["events"] += len(effects.events)
        self._store.close_iteration(record.id, at, record.remote_s or 0.0, record.state, effects=effects)


def _every_host(plan: Plan, reader: ExperimentReader) -> tuple[str, ...]:
    """Return the hosts of the plan, then those that have left it since they were visited."""
    return tuple(dict.fromkeys([*(host.host for host in plan.hosts), *reader.read(reads.directories)]))


def _restored(probe: ProbeEntry, result: AttemptResult) -> AttemptResult:
    return restored(probe.kind, probe.options, result)
