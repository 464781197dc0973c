"""What happens to an attempt after the visit: commit 1, filter chain, commit 2, files, trace (design §6).

Two threads per experiment: the first acknowledges attempts, so that slow filters delay neither a visit nor
what is safe on the disk; the second runs the chains and everything after them. Both go in order of arrival.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ddcplay.engine.chains import Chains
from ddcplay.engine.events import (
    AttemptRecorded,
    Backlog,
    FilterFailed,
    IterationClosed,
    Notice,
    Observers,
)
from ddcplay.engine.retention import Housekeeping
from ddcplay.engine.stage import BATCH, Stage
from ddcplay.engine.tallies import Tallies
from ddcplay.engine.telling import Telling
from ddcplay.errors import StoreError
from ddcplay.model.result import AttemptResult
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, IterationRecord, IterationState, PendingAttempt
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.trace import TraceFiles
from ddcplay.units import Clock

COMMIT_S = 0.5
"""Seconds of filtering after which what is done is committed, however little it is."""
HELD_BYTES = 64 * 1024 * 1024
"""Outputs kept in memory for the chains; what comes on top is read from the database when its turn comes."""
LOOK_S = 0.5
"""How often those who wait at the end are told how many attempts still wait for their filters."""
PATIENCE_S = 2.0
"""Seconds of such waiting after which a line says so, for those who see no live display."""


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
        keeping: removes what is too old, None to keep everything.
    """

    store: ExperimentStore
    archive: Archive
    trace: TraceFiles
    keep: Mapping[str, str]
    keeping: Housekeeping | None = None


class Pipeline:
    """Takes attempts and brings them, durably and in order, where they belong.

    Args:
        experiment: its name.
        places: where results go.
        chains: the filters of its probes.
        telling: alerts, digests, reports.
        observers: told of each attempt once it is acknowledged.
        clock: for closing times.
        threaded: False handles everything in the caller's thread.
        gathers: it does so in one batch per iteration (virtual time).
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
        gathers: bool = False,
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
        self._opened = False
        # Two counters each, because each thread may change its own only.
        self._came, self._through = 0, 0
        self._came_bytes, self._through_bytes = 0, 0
        self.last_closed: IterationClosed | None = None
        self._chaining: Stage[PendingAttempt | int | Closing] = Stage(
            f"filters {experiment}", self._chain_batch, _is_closing, threaded=threaded, gathers=gathers
        )
        self._recording: Stage[AttemptResult | Closing] = Stage(
            f"pipeline {experiment}", self._record_batch, _is_closing, threaded=threaded, gathers=gathers
        )

    @property
    def failure(self) -> BaseException | None:
        """Return why results cannot be stored any more; the run must stop."""
        return self._recording.failure or self._chaining.failure

    def put(self, item: AttemptResult | Closing) -> None:
        """Hand over an attempt or the end of an iteration; returns at once (unless not threaded)."""
        self._recording.put(item)

    def backlog(self) -> int:
        """Count the attempts that wait to be stored or for the end of their filters."""
        return self._recording.waiting() + self._came - self._through

    def recover(self) -> None:
        """Mend files and traces, then go on with the chains that a crash left undone (design §6).

        The chains run beside the first visits: slow filters delay those after a crash as little as ever.
        """
        self._telling.begin()
        repaired = (*self._places.archive.repair(), *self._places.trace.repair(self._store))
        for warning in repaired:
            self._observers.handle(Notice("warning", warning, self._experiment))
        self._telling.catch_up(self._clock.now())
        # All but the last had all their rows, or the next one would not have been opened.
        unclosed = deque([record for record in self._store.iterations() if record.state == "open"][:-1])
        after = 0
        while (pending := self._store.pending(after, BATCH)) and not self._leaving():
            for attempt in pending:
                while unclosed and unclosed[0].id < attempt.result.iteration:
                    self._close_late(unclosed.popleft())
                self._enqueue(attempt)
            after = pending[-1].attempt_id
        for record in unclosed:
            self._close_late(record)

    def acknowledged(self) -> None:
        """Wait until everything handed over is on the disk; filters may still be at work.

        Raises:
            DdcplayError: it could not be stored.
        """
        self._recording.drain()
        self.check()

    def check(self) -> None:
        """Raise what stopped the pipeline, if anything did."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Store what is left, run its chains unless the process must leave at once, and end the threads."""
        self._recording.close()
        if self._leaving():
            self._chaining.drop()
        waited_s = 0.0
        while not self._chaining.close(LOOK_S):
            if self._leaving():
                self._chaining.drop()
            waited_s += LOOK_S
            waiting = self.backlog()
            self._observers.handle(Backlog(self._experiment, waiting))
            if waiting and waited_s == PATIENCE_S:
                text = (
                    f"{waiting} attempts wait for their filters; Ctrl-C twice leaves them to the next start"
                )
                self._observers.handle(Notice("info", text, self._experiment))
        if waited_s:
            self._observers.handle(Backlog(self._experiment, 0))
        self._chains.close(at_once=self._leaving())
        self._telling.close(at_once=self._leaving())

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
            self._enqueue(PendingAttempt(number, result, keep.get(result.probe, "always")))

    def _enqueue(self, attempt: PendingAttempt) -> None:
        """Hand an attempt to the second thread; what is too big to wait in memory is read again later."""
        self._came += 1
        size = _size(attempt)
        if self._came_bytes - self._through_bytes + size > HELD_BYTES:
            self._chaining.put(attempt.attempt_id)
        else:
            self._came_bytes += size
            self._chaining.put(attempt)

    def _close_late(self, record: IterationRecord) -> None:
        """Close an iteration that was over, but for its filters, when the process ended."""
        tallies = self._store.tally(record.id)
        remote_s = max((tally.elapsed_s for tally in tallies), default=0.0)
        self._chaining.put(Closing(record.id, record.started_at, remote_s, "closed"))

    # --- second thread

    def _chain_batch(self, batch: Sequence[PendingAttempt | int | Closing]) -> None:
        if not self._opened and not self._leaving():
            self._opened = True  # here, because a filter that is slow to open must not delay a visit
            self._chains.open()
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
            chain = self._chains.run(attempt)
            if chain.outcome_override is not None and self._leaving():
                break  # maybe it was the leaving that made the filter fail
            done.append((attempt, chain))
            if self._clock.monotonic() - since > COMMIT_S:
                self._commit(done)
                done, since = [], self._clock.monotonic()
        self._commit(done)

    def _loaded(self, item: PendingAttempt | int) -> PendingAttempt:
        if isinstance(item, int):
            return self._store.pending(item - 1, 1)[0]
        self._through_bytes += _size(item)
        return item

    def _commit(self, done: Sequence[tuple[PendingAttempt, ChainDone]]) -> None:
        if not done:
            return
        self._store.commit_chains([chain for _, chain in done])
        self._through += len(done)
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
        if self._leaving():
            return  # a filter may have been cut short; the next start ends the iteration
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
        self._clear_out()

    def _clear_out(self) -> None:
        """Remove a little of what is too old; trouble with that stops nothing."""
        if self._places.keeping is None:
            return
        try:
            self._places.keeping.step()
        except StoreError as error:
            text = f"old data could not be removed, the next day tries again: {error}"
            self._observers.handle(Notice("warning", text, self._experiment))


def _size(attempt: PendingAttempt) -> int:
    return len(attempt.result.stdout) + len(attempt.result.stderr)


def _is_closing(item: object) -> bool:
    return isinstance(item, Closing)
