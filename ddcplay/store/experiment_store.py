"""The door of the store: one experiment, opened by its only coordinator.

Order of calls for a crash-safe run: `open_store`; run the chains of `pending()` again and commit them;
`Archive.repair()`; `TraceFiles.repair()`. Then per iteration: `open_iteration`, `commit_attempts` (now it is
acknowledged), filters, `commit_chains`, `Archive.append`, `close_iteration`, `tally`, `TraceFiles.write`,
`note_trace_written`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.model.report import ReportData
from ddcplay.model.result import AttemptResult
from ddcplay.store import commits, effect_reads, reads
from ddcplay.store.alerts import Alerts
from ddcplay.store.base import (
    ArchivedAttempt,
    ChainDone,
    FileEnd,
    IterationEffects,
    IterationRecord,
    IterationState,
    PendingAttempt,
    ProbeTally,
    Provenance,
)
from ddcplay.store.claim import Claim
from ddcplay.store.debts import Debts, settle
from ddcplay.store.dialect import database_url, is_file, open_engine, place_of
from ddcplay.store.effect_commits import write_iteration
from ddcplay.store.faults import already_recorded, store_faults
from ddcplay.store.leftovers import Leftovers
from ddcplay.store.lock import ExperimentLock
from ddcplay.store.migrations import upgrade
from ddcplay.store.names import HostNames
from ddcplay.store.outbox import StoredOutbox
from ddcplay.store.readers import Readers
from ddcplay.store.report_reads import report_data
from ddcplay.store.retention import Retained
from ddcplay.store.sightings import sightings
from ddcplay.store.writer import Writer

DATABASE_FILE = "experiment.db"


def open_store(
    directory: Path,
    experiment: str,
    *,
    play: str,
    clock_now: float,
    url: str | None = None,
    durability: str = "full",
) -> ExperimentStore:
    """Lock an experiment, bring its database to the newest schema, and open it.

    Args:
        directory: `<data>/<experiment>`; created (0700) when missing.
        experiment: its name.
        play: the play's name, kept when the experiment begins.
        clock_now: UTC Unix seconds.
        url: SQLAlchemy URL of setting `database`; None for `experiment.db` in `directory`.
        durability: `full` syncs every commit and file, `batch` leaves that to the system: a power loss may
            take the last moments, a crash of the program takes nothing.

    Raises:
        ExperimentBusyError: another coordinator has it.
        StoreError: the database cannot be opened; the text says what to do.
    """
    target = database_url(directory / DATABASE_FILE, url)
    place = place_of(target)
    with store_faults("open the experiment", str(directory)):
        lock = ExperimentLock(directory, experiment, clock_now)
    try:
        with store_faults("open the database", place):
            engine = open_engine(target, durability=durability)
            try:
                upgrade(engine, place)
                readers = Readers(open_engine(target, read_only=True))
                return ExperimentStore(
                    lock, engine, readers, identity=(experiment, play, clock_now), durability=durability
                )
            except BaseException:
                engine.dispose()
                raise
    except BaseException:
        lock.release()
        raise


class ExperimentStore:
    """One experiment's truth; every method may be called from any thread. Made by `open_store`.

    Args:
        lock: held until `close`.
        engine: for the writer.
        readers: for everything that only reads.
        identity: experiment name, play name, UTC Unix seconds of now.
        durability: `full` or `batch`.
    """

    def __init__(
        self,
        lock: ExperimentLock,
        engine: sa.Engine,
        readers: Readers,
        *,
        identity: tuple[str, str, float],
        durability: str,
    ) -> None:
        self._lock = lock
        self._engine = engine
        self._readers = readers
        self._read = readers.read
        self._place = place_of(engine.url)
        self.experiment, play, now = identity
        self.durability = durability
        claim = None if is_file(engine.url) else Claim(self.experiment, now).take
        self._writer = Writer(engine, self._place, claim)
        self._numbers = threading.Lock()
        try:
            self._id, self.began_at = self._writer.do(
                lambda c: commits.enter_experiment(c, self.experiment, play, now), "open the experiment"
            )
            self._names = HostNames(self._read(lambda c: reads.directories(c, self._id)))
            self._last_attempt = self._read(lambda c: reads.last_attempt_id(c, self._id))
            self._pending = self._read(lambda c: reads.pending_count(c, self._id))
        except BaseException:
            self._writer.close()
            readers.close()
            raise
        self.debts = Debts(self._writer, self._read, self._id)
        self.leftovers = Leftovers(self._writer, self._read, self._id)
        self.alerts = Alerts(self._read, self._id, self.experiment)
        self.outbox = StoredOutbox(self._writer, self._read, self._id)
        self.retained = Retained(self._writer, self._read, self._id)

    # --- iterations

    def open_iteration(
        self,
        record: IterationRecord,
        provenance: Provenance,
        host_order: Sequence[str],
        probe_order: Sequence[str],
    ) -> None:
        """Record that an iteration begins, with what it is run and whom it asks.

        Args:
            record: state `open`; its id must be above every earlier one.
            provenance: stored with the row; the playbook's text once per digest.
            host_order: inventory order; tallies and trace lines follow it.
            probe_order: the play's order.

        Raises:
            StoreError: that id is recorded already, or the database refuses.
        """
        fresh = self._names.fresh(host_order)
        self._writer.do(
            lambda c: commits.open_iteration(
                c, self._id, record, provenance, (host_order, probe_order), fresh
            ),
            f"open iteration {record.id}",
        )

    def last_iteration(self) -> IterationRecord | None:
        """Return the newest iteration, None before the first."""
        found = self._read(lambda c: reads.iterations(c, self._id, newest=1))
        return found[0] if found else None

    def iterations(self, *, above: int = -1) -> tuple[IterationRecord, ...]:
        """Return the iterations with an id above `above`, oldest first."""
        return self._read(lambda c: reads.iterations(c, self._id, above=above))

    def recorded_pairs(self, iteration: int) -> frozenset[tuple[str, str]]:
        """Return the (host, probe) pairs that have a row in an iteration; a restart leaves these out."""
        return self._read(lambda c: reads.recorded_pairs(c, self._id, iteration))

    def close_iteration(
        self,
        iteration: int,
        closed_at: float,
        remote_s: float,
        state: IterationState,
        missed: int = 0,
        effects: IterationEffects | None = None,
    ) -> None:
        """Record that an iteration is over, and in the same transaction what its end changes.

        Args:
            iteration: its id.
            closed_at: UTC Unix seconds.
            remote_s: seconds from its start to its last attempt.
            state: `closed` or `interrupted`.
            missed: slots that passed meanwhile without an iteration; added to those recorded.
            effects: states, alerts, the digest and whom it tells.
        """
        key, changes = (self._id, iteration), effects or IterationEffects()
        self._writer.do(
            lambda c: commits.close_iteration(c, key, closed_at, remote_s, state, missed, changes),
            f"close iteration {iteration}",
        )

    def tally(self, iteration: int) -> tuple[ProbeTally, ...]:
        """Count an iteration: one tally per probe with at least one row, in the iteration's own orders."""
        return self._read(lambda c: reads.tally(c, self._id, iteration))

    def note_trace_written(self, iteration: int) -> None:
        """Record that the trace lines of an iteration are synced."""
        self._writer.do(
            lambda c: commits.note_trace_written(c, self._id, iteration), f"note the trace of {iteration}"
        )

    def first_pending_iteration(self) -> int | None:
        """Return the oldest iteration with a chain still to run, None when there is none."""
        return self._read(lambda c: reads.first_pending_iteration(c, self._id))

    def ended_with_rows(self, probe: str, above: int) -> tuple[int, ...]:
        """Return the ended iterations above an id in which a probe has rows, oldest first."""
        return self._read(lambda c: reads.closed_with_rows(c, self._id, probe, above))

    def last_reached(self, probes: Mapping[str, float], before: int) -> dict[tuple[str, str], float]:
        """Return when hosts were last reached by probes, UTC Unix seconds by (host, probe).

        Args:
            probes: name → iteration id from which on attempts matter; older ones are not looked for.
            before: an iteration id; attempts of it and later ones do not count.
        """
        return self._read(lambda c: reads.last_reached(c, self._id, probes, before)) if probes else {}

    def probe_names(self) -> tuple[str, ...]:
        """Return every probe the experiment ever had."""
        return self._read(lambda c: reads.probes(c, self._id))

    # --- attempts

    def commit_attempts(
        self,
        results: Sequence[AttemptResult],
        keep: Mapping[str, str] | None = None,
        *,
        pays_debts: bool = False,
    ) -> tuple[int, ...]:
        """Commit 1: once this returns, the attempts and their outputs survive SIGKILL and power loss.

        Args:
            results: of iterations that are open in this store.
            keep: probe → archive rule (`always on_failure on_change never`); `always` where missing.
            pays_debts: the debts of a single shot are paid, or stay owed, in the same transaction.

        Returns:
            One attempt id per result, in the same order.

        Raises:
            StoreError: nothing of this call was written (a pair recorded twice, a full disk, …); what was
                recorded before is untouched.
        """
        if not results:
            return ()
        strange = next((r for r in results if r.experiment != self.experiment), None)
        if strange is not None:
            raise StoreError(
                f"an attempt of experiment {strange.experiment!r} was handed to {self.experiment!r}",
                "this is a bug, please report it",
            )
        with self._numbers:
            first = self._last_attempt + 1
            self._last_attempt += len(results)
        numbers = range(first, first + len(results))
        rules = keep or {}
        fresh = self._names.fresh([result.host for result in results])

        def work(connection: sa.Connection) -> None:
            commits.add_attempts(connection, self._id, numbers, results, rules, fresh)
            if pays_debts:
                settle(connection, self._id, numbers, results)

        try:
            self._writer.do(work, "record attempts")
        except StoreError as error:
            twice = self._read(lambda c: reads.duplicate_in(c, self._id, results))
            if twice is None:
                raise
            raise already_recorded(twice, self._place) from error
        self._count_pending(len(results))
        return tuple(numbers)

    def pending(self, after: int, limit: int) -> tuple[PendingAttempt, ...]:
        """Return the next acknowledged attempts whose chain has not ended, with outputs, in attempt order."""
        return self._read(
            lambda c: reads.pending_chains(c, self._id, self.experiment, after=after, limit=limit)
        )

    def pending_count(self) -> int:
        """Count the attempts whose chain has not ended; costs nothing."""
        return self._pending

    def commit_chains(self, done: Sequence[ChainDone]) -> None:
        """Commit 2: the attempts are through their filters; what these changed is written with it.

        Raises:
            StoreError: nothing of this call was written; among others, a chain was committed before.
        """
        if not done:
            return
        if any(item.of is None and item.needs_of for item in done):
            raise StoreError("a chain left something but not its attempt", "this is a bug, please report it")
        self._writer.do(lambda c: commits.finish_chains(c, self._id, done), "record filter chains")
        self._count_pending(-len(done))

    # --- what filters and alerts keep

    def states(self) -> dict[tuple[str, str, str], object]:
        """Return filter states by (host, probe, label); the host is empty for those of `iteration_end`."""
        return self._read(lambda c: effect_reads.states(c, self._id))

    def statics(self) -> dict[str, dict[str, object]]:
        """Return the static facts that hold now: host → field → value."""
        return self._read(lambda c: effect_reads.statics(c, self._id))

    def seen(self) -> dict[str, tuple[float | None, float]]:
        """Return host → (when it was last seen on, when it was first asked), UTC Unix seconds."""
        return self._read(lambda c: sightings(c, self._id))

    def last_report(self) -> tuple[int, float] | None:
        """Return the iteration the last report reached to and when it was made, None before the first."""
        return self._read(lambda c: effect_reads.last_report(c, self._id))

    def tell(self, iteration: int, at: float, effects: IterationEffects) -> None:
        """Put messages into the outbox after an iteration has ended, and mark what they tell.

        Args:
            iteration: that has ended.
            at: UTC Unix seconds.
            effects: `outgoing`, `told` and `reported_until`.
        """
        self._writer.do(lambda c: write_iteration(c, self._id, iteration, at, effects), "fill the outbox")

    def report_data(self, since: int, until: int) -> ReportData:
        """Count the iterations from one to another, both included, with the alerts that fire now."""
        return self._read(lambda c: report_data(c, self._id, since, until))

    # --- archive

    def directory_name(self, host: str) -> str:
        """Return the directory name of a host, which was fixed when it was first seen."""
        name = self._names.of(host)
        if name is None:
            raise StoreError(f"host {host!r} is unknown to {self._place}", "this is a bug, please report it")
        return name

    def archive_ends(self) -> dict[tuple[str, str], FileEnd]:
        """Return the recorded ends of all cumulative files, by (host, probe)."""
        return self._read(lambda c: reads.archive_ends(c, self._id))

    def unarchived(
        self, *, after: int = 0, limit: int = 200, pair: tuple[str, str] | None = None
    ) -> tuple[PendingAttempt, ...]:
        """Return attempts with `chain = done` whose outputs are still in the database, in attempt order.

        Args:
            after: attempt id to go on from.
            limit: at most so many; outputs may be large.
            pair: only those of one (host, probe).
        """
        return self._read(
            lambda c: reads.unarchived(c, self._id, self.experiment, after=after, limit=limit, pair=pair)
        )

    def mark_archived(
        self, archived: Sequence[ArchivedAttempt], ends: Mapping[tuple[str, str], FileEnd]
    ) -> None:
        """Record new ends and let the outputs leave the database, in one transaction.

        Args:
            archived: attempts whose outputs are synced, or not to be kept.
            ends: (host, probe) → where its files end now; pairs whose files did not change are left out.
        """
        if archived or ends:
            self._writer.do(
                lambda c: commits.mark_archived(c, self._id, archived, ends), "record the archive's ends"
            )

    def close(self) -> None:
        """Finish what was handed in, close all connections, release the experiment; may be called again."""
        self._writer.close()
        self._readers.close()
        self._engine.dispose()
        self._lock.release()

    def _count_pending(self, more: int) -> None:
        with self._numbers:
            self._pending += more
