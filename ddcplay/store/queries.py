"""Read-only access for the command line: no lock, no waiting, also while a coordinator writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.model.alert import AlertIdentity, AlertUpdate, Silence
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store import effect_reads, reads, schema
from ddcplay.store.base import IterationRecord, ProbeTally, StoredEvent, StoredSample
from ddcplay.store.claim import owner_in_database
from ddcplay.store.debts import VOID, probe_debts
from ddcplay.store.dialect import database_url, is_file, open_engine, place_of
from ddcplay.store.experiment_store import DATABASE_FILE
from ddcplay.store.faults import store_faults
from ddcplay.store.lock import Owner, owner_of
from ddcplay.store.migrations import require_head
from ddcplay.store.rows import result_from

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ExperimentInfo:
    """What `status` shows of an experiment.

    Args:
        name: the experiment's name.
        play: the play's name.
        began_at: UTC Unix seconds.
        directory: where its files are.
        iterations: how many there are.
        last: the newest one, None before the first.
        attempts: rows recorded.
        pending: acknowledged attempts whose filter chain has not ended.
        owner: the coordinator that runs it now, None when nobody does.
        owed: probe debts still to pay (single shot); those that are void do not count.
        owed_since: UTC Unix seconds of the oldest of them, None when nothing is owed.
        given_up: probe debts that were given up.
    """

    name: str
    play: str
    began_at: float
    directory: Path
    iterations: int
    last: IterationRecord | None
    attempts: int
    pending: int
    owner: Owner | None
    owed: int = 0
    owed_since: float | None = None
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt as it is recorded; outputs are in the cumulative files.

    Args:
        attempt_id: number within the experiment.
        result: everything but the outputs.
        chain: `pending` or `done`.
        stdout_bytes: length of what came.
        stderr_bytes: length of what came.
        stdout_end: where its block ends in the cumulative file, None when there is none.
        stderr_end: same.
    """

    attempt_id: int
    result: AttemptResult
    chain: str
    stdout_bytes: int
    stderr_bytes: int
    stdout_end: int | None
    stderr_end: int | None


def open_reader(directory: Path, url: str | None = None) -> ExperimentReader:
    """Open an experiment for reading.

    Args:
        directory: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db` in `directory`.

    Raises:
        StoreError: there is none, or this ddcplay cannot read it; the text says what to do.
    """
    target = existing_database(directory, url)
    with store_faults("open the database", place_of(target)):
        engine = open_engine(target, read_only=True)
    return ExperimentReader(directory, engine, shared=url is not None)


def existing_database(directory: Path, url: str | None) -> sa.URL:
    """Return where an experiment's rows are.

    Raises:
        StoreError: there is none; the text says what to do.
    """
    target = database_url(directory / DATABASE_FILE, url)
    if is_file(target) and not Path(target.database or "").is_file():  # opening it would create it
        raise StoreError(f"there is no experiment in {directory}", "see ddcplay status, or give --data-dir")
    return target


def list_experiments(data_dir: Path) -> tuple[ExperimentInfo | StoreError, ...]:
    """Return every experiment under a data directory, by name; its error where one cannot be read."""
    found: list[ExperimentInfo | StoreError] = []
    for file in sorted(data_dir.glob(f"*/{DATABASE_FILE}")):
        try:
            with open_reader(file.parent) as reader:
                found.append(reader.info())
        except StoreError as error:
            found.append(error)
    return tuple(found)


class ExperimentReader:
    """One experiment, read-only; a context manager. Made by `open_reader`.

    Args:
        directory: of the experiment; its name is the experiment's.
        engine: that cannot write.
        shared: the database is not the directory's own file.

    Raises:
        StoreError: the experiment is not in the database, or its schema is not ours.
    """

    def __init__(self, directory: Path, engine: sa.Engine, *, shared: bool = False) -> None:
        self._directory = directory
        self._engine = engine
        self._place = place_of(engine.url)
        try:
            with store_faults("read", self._place), engine.begin() as connection:
                require_head(connection, self._place)
                row = reads.experiment_of(connection, directory.absolute().name, shared=shared)
        except BaseException:
            engine.dispose()
            raise
        if row is None:
            engine.dispose()
            raise StoreError(
                f"{self._place} does not hold experiment {directory.name!r}", "see ddcplay status"
            )
        self._id, self.experiment, self._play, self._began_at = row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def info(self) -> ExperimentInfo:
        """Return what `status` shows, as of one moment."""
        attempt, iteration = schema.attempt.c, schema.iteration.c
        with store_faults("read", self._place), self._engine.begin() as connection:
            last = reads.iterations(connection, self._id, newest=1)
            begun = self._count(connection, schema.iteration, iteration.experiment_id == self._id)
            rows = self._count(connection, schema.attempt, attempt.experiment_id == self._id)
            pending = self._count(
                connection,
                schema.attempt,
                attempt.experiment_id == self._id,
                attempt.archived == sa.false(),
                attempt.chain == "pending",
            )
            debts = [debt for debt in probe_debts(connection, self._id) if debt.paid_at is None]
            elsewhere = owner_in_database(connection, self.experiment)
        owed = [debt for debt in debts if debt.open and debt.last_reason != VOID]
        owner = elsewhere or owner_of(self._directory)
        return ExperimentInfo(
            name=self.experiment,
            play=self._play,
            began_at=self._began_at,
            directory=self._directory,
            iterations=begun,
            last=last[0] if last else None,
            attempts=rows,
            pending=pending,
            owner=owner if owner is not None and owner.alive() else None,
            owed=len(owed),
            owed_since=min((debt.since for debt in owed), default=None),
            given_up=sum(debt.given_up_at is not None for debt in debts),
        )

    def iterations(self, *, newest: int | None = None) -> tuple[IterationRecord, ...]:
        """Return iterations, oldest first; `newest` keeps only so many of the last."""
        with store_faults("read", self._place), self._engine.begin() as connection:
            return reads.iterations(connection, self._id, newest=newest)

    def tally(self, iteration: int) -> tuple[ProbeTally, ...]:
        """Count an iteration as its trace line does."""
        with store_faults("read", self._place), self._engine.begin() as connection:
            return reads.tally(connection, self._id, iteration)

    def attempts(
        self,
        *,
        host: str | None = None,
        probe: str | None = None,
        iteration: int | None = None,
        outcome: Outcome | None = None,
        newest: int | None = None,
    ) -> Iterator[AttemptRow]:
        """Return the attempts that fit every filter given, oldest first.

        Args:
            host: inventory name.
            probe: the probe's name.
            iteration: id.
            outcome: ok, failed, unavailable or skipped.
            newest: only so many of the last.
        """
        table = schema.attempt
        query = sa.select(table).where(table.c.experiment_id == self._id)
        wanted = {"host": host, "probe": probe, "iteration": iteration, "outcome": outcome}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(table.c[name] == value)
        if newest is not None:
            latest = query.order_by(table.c.id.desc()).limit(newest).subquery()
            query = sa.select(latest).order_by(latest.c.id)
        else:
            query = query.order_by(table.c.id)
        with store_faults("read", self._place), self._engine.begin() as connection:
            # Rows stream: an experiment may have millions, and the caller may stop early.
            for row in connection.execution_options(yield_per=500).execute(query).mappings():
                yield self._row(row)

    def alerts(self) -> tuple[AlertUpdate, ...]:
        """Return every alert that has a state, by name, host and key."""
        return self.read(lambda c, number: effect_reads.snapshots(c, number, self.experiment))

    def alert_history(self, limit: int) -> tuple[StoredEvent, ...]:
        """Return the newest events of alerts, told or not, oldest first."""
        return self.read(lambda c, number: effect_reads.history(c, number, self.experiment, limit))

    def silences(self, now: float) -> tuple[Silence, ...]:
        """Return silences that are not over at `now` (UTC Unix seconds), also those that have not begun."""
        return self.read(lambda c, number: effect_reads.silences(c, number, now))

    def acknowledged(self) -> Mapping[AlertIdentity, float]:
        """Return when alerts were last acknowledged, UTC Unix seconds."""
        return self.read(lambda c, number: effect_reads.acknowledged(c, number, self.experiment))

    def statics(self) -> Mapping[str, Mapping[str, object]]:
        """Return the static facts that hold now: host → field → value."""
        return self.read(effect_reads.statics)

    def samples(
        self,
        probe: str,
        *,
        host: str | None = None,
        label: str | None = None,
        since: float = 0.0,
        until: float = math.inf,
    ) -> Iterator[StoredSample]:
        """Return what `store` kept of a probe, in attempt order, streamed.

        Args:
            probe: the probe's name.
            host: inventory name, None for all.
            label: of one `store` filter, None for all.
            since: UTC Unix seconds; attempts that started then or later.
            until: UTC Unix seconds; attempts that started before.
        """
        where = {"probe": probe, "host": host, "label": label}
        with store_faults("read", self._place), self._engine.begin() as connection:
            yield from effect_reads.samples(connection, self._id, where, (since, until))

    def read(self, work: Callable[[sa.Connection, int], T]) -> T:
        """Run a reading function of the store on (connection, experiment id), as of one moment."""
        with store_faults("read", self._place), self._engine.begin() as connection:
            return work(connection, self._id)

    def stream(self, work: Callable[[sa.Connection, int], Iterator[T]]) -> Iterator[T]:
        """Run a reading function that yields, as of one moment; the caller may stop early."""
        with store_faults("read", self._place), self._engine.begin() as connection:
            yield from work(connection, self._id)

    def last_error(self) -> AttemptRow | None:
        """Return the newest failed attempt, None when none ever failed."""
        return next(self.attempts(outcome=Outcome.FAILED, newest=1), None)

    def directory_of(self, host: str) -> Path | None:
        """Return where a host's cumulative files are, None for a host that was never asked."""
        with store_faults("read", self._place), self._engine.begin() as connection:
            name = reads.directories(connection, self._id).get(host)
        return None if name is None else self._directory / name

    def _row(self, row: sa.RowMapping) -> AttemptRow:
        return AttemptRow(
            attempt_id=row["id"],
            result=result_from(dict(row), self.experiment),
            chain=row["chain"],
            stdout_bytes=row["stdout_bytes"],
            stderr_bytes=row["stderr_bytes"],
            stdout_end=row["stdout_end"],
            stderr_end=row["stderr_end"],
        )

    @staticmethod
    def _count(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()
