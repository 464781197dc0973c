"""What is kept no longer leaves the database: attempts, samples, what was told (settings `retention`).

Never touched: what is pending, open, untold or owed, the newest attempt of each (host, probe) that reached
its host (`every:` counts from it), and the newest number of each kind: no number is ever used twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from ddcplay.model.result import Outcome
from ddcplay.store import schema
from ddcplay.store.base import FileEnd

T = TypeVar("T")
CHUNK = 2000  # rows per transaction, so that commits of a running iteration hardly wait
_KEPT_ITERATIONS = 3  # the newest ones are still being told of
_A = schema.attempt.c
_S = schema.sample.c
_I = schema.iteration.c
_REACHED = (Outcome.OK.value, Outcome.FAILED.value)


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows went.

    Args:
        attempts: rows of table `attempt`.
        samples: rows of table `sample`.
        facts: static facts that held before.
        events: of alerts and mails, told long ago.
        iterations: of which nothing else is left.
    """

    attempts: int = 0
    samples: int = 0
    facts: int = 0
    events: int = 0
    iterations: int = 0

    def __add__(self, other: Rows) -> Rows:
        return Rows(
            self.attempts + other.attempts,
            self.samples + other.samples,
            self.facts + other.facts,
            self.events + other.events,
            self.iterations + other.iterations,
        )

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.attempts + self.samples + self.facts + self.events + self.iterations


class _Writes(Protocol):
    def do(self, work: Callable[[sa.Connection], T], action: str) -> T: ...


class _Reads(Protocol):
    def __call__(self, work: Callable[[sa.Connection], T]) -> T: ...


class Retained:
    """Removes rows of one experiment; `ExperimentStore.retained`.

    Args:
        writer: of the store.
        read: runs a closure on a reading connection.
        experiment_id: whose rows.
    """

    def __init__(self, writer: _Writes, read: _Reads, experiment_id: int) -> None:
        self._writer = writer
        self._read = read
        self._id = experiment_id

    def horizon(self) -> int:
        """Return the iteration id from which on nothing may go yet, whatever its age."""
        return self._read(lambda c: _horizon(c, self._id))

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Return every (host, probe) that has cumulative files."""
        table = schema.archive_file.c
        query = sa.select(table.host, table.probe).where(
            table.experiment_id == self._id, sa.or_(table.stdout_end > 0, table.stderr_end > 0)
        )
        return self._read(lambda c: tuple((row.host, row.probe) for row in c.execute(query)))

    def still_current(self, pair: tuple[str, str], since: int) -> bool:
        """Say whether attempts from an iteration on left no block because nothing had changed."""
        query = sa.select(sa.literal(1)).where(
            *self._of_pair(pair), _A.iteration >= since, _A.keep == "on_change", _A.outcome.in_(_REACHED)
        )
        return self._read(lambda c: c.execute(query.limit(1)).first() is not None)

    def move_ends(self, pair: tuple[str, str], before: int, cut: tuple[int, int], end: FileEnd) -> None:
        """Record that the files of a pair lost their first bytes.

        Args:
            pair: (host, probe).
            before: iteration id; earlier attempts have no block any more.
            cut: bytes dropped from stdout and stderr.
            end: where the files end now.
        """
        kept = {
            name: sa.case((sa.and_(_A.iteration >= before, column > size), column - size), else_=None)
            for name, column, size in (
                ("stdout_end", _A.stdout_end, cut[0]),
                ("stderr_end", _A.stderr_end, cut[1]),
            )
        }
        blocks = (
            sa.update(schema.attempt).where(*self._of_pair(pair), _A.stdout_end.is_not(None)).values(**kept)
        )
        table = schema.archive_file.c
        file = (
            sa.update(schema.archive_file)
            .where(table.experiment_id == self._id, table.host == pair[0], table.probe == pair[1])
            .values(stdout_end=end.stdout_end, stderr_end=end.stderr_end, digest=end.digest)
        )

        def work(connection: sa.Connection) -> None:
            connection.execute(blocks)
            connection.execute(file)

        self._writer.do(work, "record the archive's ends")

    def count(self, attempts_before: int, samples_before: int) -> Rows:
        """Count what `drop` would remove, all chunks of it."""
        work = _Removal(self._id, attempts_before, samples_before)
        return self._read(work.count)

    def drop(self, attempts_before: int, samples_before: int) -> Rows:
        """Remove a chunk of old rows in one short transaction.

        Args:
            attempts_before: iteration id; attempts of earlier ones go, and what was told then.
            samples_before: iteration id; samples of earlier ones go, and facts that held before.

        Returns:
            What went; nothing when nothing is left to remove.
        """
        work = _Removal(self._id, attempts_before, samples_before)
        if not self._read(work.anything):  # most of the time; the writer is not bothered
            return Rows()
        return self._writer.do(work.run, "remove old rows")

    def _of_pair(self, pair: tuple[str, str]) -> Sequence[sa.ColumnElement[bool]]:
        return _A.experiment_id == self._id, _A.host == pair[0], _A.probe == pair[1]


def _horizon(connection: sa.Connection, experiment_id: int) -> int:
    newest = connection.execute(
        sa.select(_I.id)
        .where(_I.experiment_id == experiment_id)
        .order_by(_I.id.desc())
        .limit(_KEPT_ITERATIONS)
    ).scalars()
    limits = [min(newest, default=0)]
    event = schema.event.c
    for query in (
        sa.select(sa.func.min(_I.id)).where(_I.experiment_id == experiment_id, _I.state == "open"),
        sa.select(sa.func.min(_A.iteration)).where(
            _A.experiment_id == experiment_id, _A.archived == sa.false()
        ),
        sa.select(sa.func.min(event.iteration)).where(
            event.experiment_id == experiment_id, event.told_by.is_(None)
        ),
    ):
        found = connection.execute(query).scalar()
        if found is not None:
            limits.append(found)
    return min(limits)


class _Removal:
    """Which rows are old enough, and their removal."""

    def __init__(self, experiment_id: int, attempts_before: int, samples_before: int) -> None:
        self._id = experiment_id
        self._attempts_before = attempts_before
        self._samples_before = samples_before

    def anything(self, connection: sa.Connection) -> bool:
        queries = (self._old_attempts(), self._old_samples(), self._old_facts(), *self._told())
        if any(connection.execute(query.limit(1)).first() is not None for query in queries):
            return True
        return connection.execute(self._bare_iterations().limit(1)).first() is not None

    def count(self, connection: sa.Connection) -> Rows:
        def size(query: sa.Select[*tuple[object, ...]]) -> int:
            return connection.execute(sa.select(sa.func.count()).select_from(query.subquery())).scalar_one()

        events, _notes = (size(query) for query in self._told())
        return Rows(size(self._old_attempts()), size(self._old_samples()), size(self._old_facts()), events)

    def run(self, connection: sa.Connection) -> Rows:
        attempts = [row[0] for row in connection.execute(self._old_attempts().limit(CHUNK))]
        if attempts:
            for table, column in ((schema.attempt, "id"), (schema.overridden, "attempt_id")):
                this = sa.and_(
                    table.c.experiment_id == self._id, table.c[column] == sa.bindparam("of_number")
                )
                connection.execute(sa.delete(table).where(this), [{"of_number": n} for n in attempts])
        samples = connection.execute(self._old_samples().limit(CHUNK)).all()
        if samples:
            this = sa.and_(
                _S.experiment_id == self._id,
                _S.attempt == sa.bindparam("of_attempt"),
                _S.label == sa.bindparam("of_label"),
            )
            rows = [{"of_attempt": row[0], "of_label": row[1]} for row in samples]
            connection.execute(sa.delete(schema.sample).where(this), rows)
        static = schema.static
        facts = connection.execute(
            sa.delete(static).where(
                static.c.experiment_id == self._id, static.c.valid_to < float(self._samples_before)
            )
        ).rowcount
        events = 0
        for query, table in zip(self._told(), (schema.event, schema.notification), strict=True):
            gone = sa.delete(table).where(table.c.experiment_id == self._id, table.c.id.in_(query))
            removed = connection.execute(gone).rowcount
            events += removed if table is schema.event else 0
        return Rows(len(attempts), len(samples), facts, events, self._drop_iterations(connection))

    def _drop_iterations(self, connection: sa.Connection) -> int:
        gone = sa.delete(schema.iteration).where(
            _I.experiment_id == self._id, _I.id.in_(self._bare_iterations().limit(CHUNK))
        )
        removed = connection.execute(gone).rowcount
        if removed:  # texts that no iteration of any experiment was run with
            for table, column in ((schema.roster, _I.roster_digest), (schema.playbook, _I.playbook_digest)):
                used = sa.select(column)
                connection.execute(sa.delete(table).where(table.c.digest.not_in(used)))
        return removed

    def _old_attempts(self) -> sa.Select[*tuple[object, ...]]:
        newer, debt = schema.attempt.alias(), schema.debt.c
        reached_later = (
            sa.select(sa.literal(1))
            .where(
                newer.c.experiment_id == self._id,
                newer.c.host == _A.host,
                newer.c.probe == _A.probe,
                newer.c.iteration > _A.iteration,
                newer.c.outcome.in_(_REACHED),
            )
            .correlate(schema.attempt)
            .exists()
        )
        owed = (
            sa.select(sa.literal(1))
            .where(
                debt.experiment_id == self._id,
                debt.host == _A.host,
                debt.probe == _A.probe,
                debt.paid_at.is_(None),
                debt.given_up_at.is_(None),
            )
            .correlate(schema.attempt)
            .exists()
        )
        newest = sa.select(sa.func.max(newer.c.id)).where(newer.c.experiment_id == self._id).scalar_subquery()
        return (
            sa.select(_A.id)
            .where(
                _A.experiment_id == self._id,
                _A.iteration < self._attempts_before,
                _A.chain == "done",
                _A.archived == sa.true(),
                _A.id < newest,
                sa.or_(_A.outcome.not_in(_REACHED), reached_later),
                ~owed,
            )
            .order_by(_A.iteration)
        )

    def _old_samples(self) -> sa.Select[*tuple[object, ...]]:
        # Attempts are numbered in order of time: up to the first that stays there is nothing to look at.
        stays = (
            sa.select(_S.attempt)
            .where(_S.experiment_id == self._id, _S.iteration >= self._samples_before)
            .order_by(_S.attempt)
            .limit(1)
            .scalar_subquery()
        )
        return (
            sa.select(_S.attempt, _S.label)
            .where(
                _S.experiment_id == self._id,
                _S.attempt < sa.func.coalesce(stays, 2**62),
                _S.iteration < self._samples_before,
            )
            .order_by(_S.attempt)
        )

    def _old_facts(self) -> sa.Select[*tuple[object, ...]]:
        static = schema.static.c
        return sa.select(static.host, static.field, static.valid_from).where(
            static.experiment_id == self._id, static.valid_to < float(self._samples_before)
        )

    def _told(self) -> tuple[sa.Select[*tuple[object, ...]], sa.Select[*tuple[object, ...]]]:
        """Select events that were told and messages that left; the newest of each stays for its number."""
        event, note = schema.event.c, schema.notification.c
        last_event = sa.select(sa.func.max(event.id)).where(event.experiment_id == self._id).scalar_subquery()
        last_note = sa.select(sa.func.max(note.id)).where(note.experiment_id == self._id).scalar_subquery()
        return (
            sa.select(event.id).where(
                event.experiment_id == self._id,
                event.told_by.is_not(None),
                event.iteration < self._attempts_before,
                event.id < last_event,
            ),
            sa.select(note.id).where(
                note.experiment_id == self._id,
                sa.or_(note.sent_at.is_not(None), note.given_up_at.is_not(None)),
                note.created_at < float(self._attempts_before),
                note.id < last_note,
            ),
        )

    def _bare_iterations(self) -> sa.Select[*tuple[object, ...]]:
        used = (
            sa.select(sa.literal(1))
            .where(_A.experiment_id == self._id, _A.iteration == _I.id)
            .correlate(schema.iteration)
            .exists()
        )
        return sa.select(_I.id).where(
            _I.experiment_id == self._id,
            _I.id < min(self._attempts_before, self._samples_before),
            _I.state != "open",
            ~used,
        )
