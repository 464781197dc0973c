"""What happens to an attempt after the visit: commit 1, filter chain, commit 2, files, trace (design §6).

Two threads per experiment: the first acknowledges attempts, so that slow filters delay neither a visit nor
what is safe on the disk; the second runs the chains and everything after them. Both go in order of arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ddcplay.engine.chains import Chains
from ddcplay.engine.events import AttemptRecorded, FilterFailed, IterationClosed, Notice, Observers
from ddcplay.engine.stage import BATCH, Stage
from ddcplay.engine.tallies import Tallies
from ddcplay.engine.telling import Telling
from ddcplay.model.result import AttemptResult
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, IterationState, PendingAttempt
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.trace import TraceFiles
from ddcplay.units import Clock

COMMIT_S = 0.5
"""Seconds of filtering after which what is done is committed, however little it is."""
HELD_BYTES = 64 * 1024 * 1024
"""Outputs kept in memory for the chains; what comes on top is read from the database when its turn comes."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The last thing the pipeline hears of an iteration."""

    iteration: int
    started_at: float
    remote_s: float
    state: IterationState


@dataclass(frozen=True, slots=True)
class Places:
    """Where results go.

    Args:
        store: the experiment's database.
        archive: its cumulative files.
        trace: its trace files.
        keep: probe → `always on_failure on_change never`.
    """

    store: ExperimentStore
    archive: Archive
    trace: TraceFiles
    keep: Mapping[str, str]


class Pipeline:
    """Takes attempts and brings them, durably and in order, where they belong.

    Args:
        experiment: its name.
        places: where results go.
        chains: the filters of its probes.
        telling: alerts, digests, reports.
        observers: told of each attempt once it is acknowledged.
        clock: for closing times.
        threaded: False handles everything in the caller's thread (virtual time).
        pays_debts: attempts pay the debts of a single shot.
        leaving: says that the process must end at once; chains not yet run wait for the next start.
    """

    def __init__(  # noqa: PLR0913 - one per thing the road passes
        self,
        experiment: str,
        places: Places,
        chains: Chains,
        telling: Telling,
        *,
        observers: Observers,
        clock: Clock,
        threaded: bool = True,
        pays_debts: bool = False,
        leaving: Callable[[], bool] = bool,
    ) -> None:
        self._experiment = experiment
        self._store = places.store
        self._places = places
        self._chains = chains
        self._telling = telling
        self._observers = observers
        self._clock = clock
        self._pays_debts = pays_debts
        self._leaving = leaving
        self._tallies = Tallies()
        self._held = 0
        self.last_closed: IterationClosed | None = None
        self._chaining: Stage[PendingAttempt | int | Closing] = Stage(
            f"filters {experiment}", self._chain_batch, _is_closing, threaded=threaded
        )
        self._recording: Stage[AttemptResult | Closing] = Stage(
            f"pipeline {experiment}", self._record_batch, _is_closing, threaded=threaded
        )

    @property
    def failure(self) -> BaseException | None:
        """Return why results cannot be stored any more; the run must stop."""
        return self._recording.failure or self._chaining.failure

    def put(self, item: AttemptResult | Closing) -> None:
        """Hand over an attempt or the end of an iteration; returns at once (unless not threaded)."""
        self._recording.put(item)

    def backlog(self) -> int:
        """Count the attempts that wait to be stored or for their filters."""
        return self._recording.waiting() + self._chaining.waiting()

    def recover(self) -> None:
        """Finish what a crash left undone: pending chains, then files and traces (design §6)."""
        self._telling.begin()
        self._chains.open()
        after = 0
        while pending := self._store.pending(after, BATCH):
            self._chain(pending)
            after = pending[-1].attempt_id
        repaired = (*self._places.archive.repair(), *self._places.trace.repair(self._store))
        self._tallies.clear()
        for warning in repaired:
            self._observers.handle(Notice("warning", warning, self._experiment))
        self._telling.catch_up(self._clock.now())

    def drain(self) -> None:
        """Wait until everything handed over is stored.

        Raises:
            DdcplayError: it could not be stored.
        """
        self._recording.drain()
        self._chaining.drain()
        self.check()

    def check(self) -> None:
        """Raise what stopped the pipeline, if anything did."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Store what is left and end the threads."""
        self._recording.close()
        if self._leaving():
            self._chaining.drop()
        self._chaining.close()
        self._chains.close()
        self._telling.close()

    # --- first thread

    def _record_batch(self, batch: Sequence[AttemptResult | Closing]) -> None:
        results = [item for item in batch if isinstance(item, AttemptResult)]
        if results:
            self._record(results)
        for item in batch:
            if isinstance(item, Closing):
                self._chaining.put(item)

    def _record(self, results: Sequence[AttemptResult]) -> None:
        keep = self._places.keep
        ids = self._store.commit_attempts(results, keep, pays_debts=self._pays_debts)
        for number, result in zip(ids, results, strict=True):
            self._observers.handle(AttemptRecorded(result))
            size = len(result.stdout) + len(result.stderr)
            if self._held + size > HELD_BYTES:
                self._chaining.put(number)
            else:
                self._held += size
                self._chaining.put(PendingAttempt(number, result, keep.get(result.probe, "always")))

    # --- second thread

    def _chain_batch(self, batch: Sequence[PendingAttempt | int | Closing]) -> None:
        pending = [item for item in batch if not isinstance(item, Closing)]
        if pending:
            self._chain(pending)
        for item in batch:
            if isinstance(item, Closing) and not self._leaving():
                self._close_iteration(item)

    def _chain(self, pending: Sequence[PendingAttempt | int]) -> None:
        """Run the chains of attempts and commit them, at least every half second."""
        done: list[tuple[PendingAttempt, ChainDone]] = []
        since = self._clock.monotonic()
        for item in pending:
            if self._leaving():
                break  # they stay pending in the database; the next start goes on with them
            attempt = self._loaded(item)
            done.append((attempt, self._chains.run(attempt)))
            if self._clock.monotonic() - since > COMMIT_S:
                self._commit(done)
                done, since = [], self._clock.monotonic()
        self._commit(done)

    def _loaded(self, item: PendingAttempt | int) -> PendingAttempt:
        if isinstance(item, int):
            return self._store.pending(item - 1, 1)[0]
        self._held = max(0, self._held - len(item.result.stdout) - len(item.result.stderr))
        return item

    def _commit(self, done: Sequence[tuple[PendingAttempt, ChainDone]]) -> None:
        if not done:
            return
        self._store.commit_chains([chain for _, chain in done])
        applied = [chain.applied_to(attempt) for attempt, chain in done]
        for (_, chain), attempt in zip(done, applied, strict=True):
            self._tallies.count(attempt.result)
            if chain.outcome_override is not None:
                self._observers.handle(FilterFailed(attempt.result))
        self._telling.committed([chain for _, chain in done])
        for warning in self._places.archive.append(applied, self._places.keep):
            self._observers.handle(Notice("warning", warning, self._experiment))

    def _close_iteration(self, closing: Closing) -> None:
        tallies = self._store.tally(closing.iteration)
        states = self._chains.iteration_end(closing.iteration)
        now = self._clock.now()
        effects = self._telling.iteration_end(closing.iteration, now, states)
        self._store.close_iteration(
            closing.iteration, closed_at=now, remote_s=closing.remote_s, state=closing.state, effects=effects
        )
        self._places.trace.write(closing.iteration, tallies)
        self._telling.tell(closing.iteration, now)
        self.last_closed = IterationClosed(
            self._experiment,
            closing.iteration,
            closing.remote_s,
            tuple(self._tallies.summary(tally) for tally in tallies),
            closing.state,
            self._tallies.on_not_collected(tallies),
            self._telling.firing(),
        )
        self._tallies.clear()
        self._observers.handle(self.last_closed)


def _is_closing(item: object) -> bool:
    return isinstance(item, Closing)
