"""What happens to an attempt after the visit: commit 1, filter chain, commit 2, files, trace (design §6).

One pipeline per experiment, on its own thread, in order of arrival; slow work here never delays a visit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ddcplay.engine.events import AttemptRecorded, IterationClosed, Notice, Observers, ProbeSummary
from ddcplay.errors import DdcplayError
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.archive import Archive
from ddcplay.store.base import ChainDone, IterationState, PendingAttempt, ProbeTally
from ddcplay.store.experiment_store import ExperimentStore
from ddcplay.store.trace import TraceFiles
from ddcplay.units import Clock

BATCH = 500
"""Attempts per commit at most; a batch takes what has arrived, so it stays small while little happens."""


@dataclass(frozen=True, slots=True)
class Closing:
    """The last thing the pipeline hears of an iteration."""

    iteration: int
    started_at: float
    remote_s: float
    state: IterationState


class Pipeline:
    """Takes attempts and brings them, durably and in order, where they belong.

    Args:
        experiment: its name.
        store: the experiment's database.
        archive: its cumulative files.
        trace: its trace files.
        keep: probe → `always on_failure on_change never`.
        observers: told of each attempt once it is acknowledged.
        clock: for closing times.
        threaded: False handles everything in the caller's thread (virtual time).
        pays_debts: attempts pay the debts of a single shot.
    """

    def __init__(  # noqa: PLR0913 - one per place results go to
        self,
        experiment: str,
        store: ExperimentStore,
        archive: Archive,
        trace: TraceFiles,
        *,
        keep: Mapping[str, str],
        observers: Observers,
        clock: Clock,
        threaded: bool = True,
        pays_debts: bool = False,
    ) -> None:
        self._pays_debts = pays_debts
        self._experiment = experiment
        self._store = store
        self._archive = archive
        self._trace = trace
        self._keep = keep
        self._observers = observers
        self._clock = clock
        self._queue: deque[AttemptResult | Closing] = deque()
        self._room = threading.Condition()
        self._busy = False
        self._ending = False
        self._tallies: dict[str, _Reasons] = {}
        self.failure: BaseException | None = None
        """Set when results cannot be stored any more; the run must stop."""
        self.last_closed: IterationClosed | None = None
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._loop, name=f"pipeline {experiment}", daemon=True)
            self._thread.start()

    def put(self, item: AttemptResult | Closing) -> None:
        """Hand over an attempt or the end of an iteration; returns at once (unless not threaded)."""
        with self._room:
            self._queue.append(item)
            self._room.notify_all()
        if self._thread is None:
            self._work(self._take())

    def backlog(self) -> int:
        """Count what waits to be stored."""
        return len(self._queue)

    def recover(self) -> None:
        """Finish what a crash left undone: pending chains, then files and traces (design §6)."""
        pending = self._store.pending_chains()
        if pending:
            self._chain(pending)
        for warning in (*self._archive.repair(), *self._trace.repair(self._store)):
            self._observers.handle(Notice("warning", warning, self._experiment))

    def drain(self) -> None:
        """Wait until everything handed over is stored.

        Raises:
            DdcplayError: it could not be stored.
        """
        with self._room:
            self._room.wait_for(lambda: self.failure is not None or not (self._queue or self._busy))
        self.check()

    def check(self) -> None:
        """Raise what stopped the pipeline, if anything did."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Store what is left and end the thread."""
        with self._room:
            self._ending = True
            self._room.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._room:
                self._room.wait_for(lambda: bool(self._queue) or self._ending)
                if not self._queue:
                    return
                batch = self._take()
                self._busy = True
            try:
                self._work(batch)
            except DdcplayError as error:
                self.failure = error
            except Exception as error:  # noqa: BLE001 - carried to the run's thread, which raises it
                self.failure = error
            finally:
                with self._room:
                    self._busy = False
                    self._room.notify_all()
            if self.failure is not None:
                return

    def _take(self) -> Sequence[AttemptResult | Closing]:
        """Take attempts up to a batch; a closing comes alone, after all that arrived before it."""
        batch: list[AttemptResult | Closing] = []
        while self._queue and len(batch) < BATCH:
            if isinstance(self._queue[0], Closing) and batch:
                break
            batch.append(self._queue.popleft())
            if isinstance(batch[-1], Closing):
                break
        return batch

    def _work(self, batch: Sequence[AttemptResult | Closing]) -> None:
        results = [item for item in batch if isinstance(item, AttemptResult)]
        if results:
            self._record(results)
        for item in batch:
            if isinstance(item, Closing):
                self._close_iteration(item)

    def _record(self, results: Sequence[AttemptResult]) -> None:
        ids = self._store.commit_attempts(results, self._keep, pays_debts=self._pays_debts)
        for result in results:
            self._tallies.setdefault(result.probe, _Reasons()).count(result)
            self._observers.handle(AttemptRecorded(result))
        self._chain([PendingAttempt(each, result) for each, result in zip(ids, results, strict=True)])

    def _chain(self, pending: Sequence[PendingAttempt]) -> None:
        self._store.commit_chains([ChainDone(each.attempt_id) for each in pending])
        for warning in self._archive.append(pending, self._keep):
            self._observers.handle(Notice("warning", warning, self._experiment))

    def _close_iteration(self, closing: Closing) -> None:
        tallies = self._store.tally(closing.iteration)
        self._store.close_iteration(
            closing.iteration,
            closed_at=self._clock.now(),
            remote_s=closing.remote_s,
            state=closing.state,
        )
        self._trace.write(closing.iteration, tallies)
        self.last_closed = IterationClosed(
            self._experiment,
            closing.iteration,
            closing.remote_s,
            tuple(self._summary(tally) for tally in tallies),
            closing.state,
            self._on_not_collected(tallies),
        )
        self._tallies = {}
        self._observers.handle(self.last_closed)

    def _on_not_collected(self, tallies: Sequence[ProbeTally]) -> tuple[str, ...]:
        found = {host for each in self._tallies.values() for host in each.on_not_collected}
        ordered = (host for tally in tallies for host in tally.unavailable if host in found)
        return tuple(dict.fromkeys(ordered))

    def _summary(self, tally: ProbeTally) -> ProbeSummary:
        reasons = self._tallies.get(tally.probe, _Reasons())
        ordered = (*tally.failed, *tally.unavailable, *tally.skipped)  # each in inventory order
        place = {host: index for index, host in enumerate(ordered)}
        return ProbeSummary(
            probe=tally.probe,
            ok=len(tally.ok),
            failed=len(tally.failed),
            unavailable=len(tally.unavailable),
            skipped=len(tally.skipped),
            elapsed_s=tally.elapsed_s,
            reasons={
                reason: tuple(sorted(hosts, key=lambda host: place.get(host, len(place))))
                for reason, hosts in reasons.hosts.items()
            },
            hints=reasons.hints,
            on=reasons.on,
        )


class _Reasons:
    """Why attempts of one probe were not ok, for the summary at an iteration's end."""

    def __init__(self) -> None:
        self.hosts: dict[Reason, list[str]] = {}
        self.hints: dict[Reason, str] = {}
        self.on_not_collected: list[str] = []
        self.on = 0

    def count(self, result: AttemptResult) -> None:
        self.on += bool(result.on)
        if result.reason is None:
            return
        self.hosts.setdefault(result.reason, []).append(result.host)
        if result.hint:
            self.hints.setdefault(result.reason, result.hint)
        if result.on and result.outcome is Outcome.UNAVAILABLE:
            self.on_not_collected.append(result.host)
