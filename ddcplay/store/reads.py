"""The statements that read; the coordinator and the command line's reader share them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store import schema
from ddcplay.store.base import FileEnd, IterationRecord, PendingAttempt, ProbeTally
from ddcplay.store.rows import iteration_from, result_from

_ATTEMPT = schema.attempt
WITH_OUTPUT = sa.outerjoin(
    _ATTEMPT,
    schema.output,
    sa.and_(
        _ATTEMPT.c.experiment_id == schema.output.c.experiment_id, _ATTEMPT.c.id == schema.output.c.attempt_id
    ),
)
OUTPUT_COLUMNS = (
    schema.output.c.stdout,
    schema.output.c.stderr,
    schema.output.c.stderr_text,
    schema.output.c.data,
)
_UNARCHIVED = _ATTEMPT.c.archived == sa.false()  # written as in the partial index, or SQLite will not use it


def experiment_of(
    connection: sa.Connection, directory: str, *, shared: bool = False
) -> tuple[int, str, str, float] | None:
    """Return the experiment a directory is about: id, name, play, beginning; None when it is not there.

    Args:
        connection: for reading.
        directory: its name.
        shared: the database is not the directory's own file.
    """
    table = schema.experiment
    rows = connection.execute(sa.select(table.c.id, table.c.name, table.c.play, table.c.began_at)).all()
    # A directory may have been copied or renamed: then the only experiment of its own file is meant.
    named = [row for row in rows if row.name == directory] or ([] if shared else rows)
    return (named[0].id, named[0].name, named[0].play, named[0].began_at) if len(named) == 1 else None


def directories(connection: sa.Connection, experiment_id: int) -> dict[str, str]:
    """Return host → directory name."""
    table = schema.host
    rows = connection.execute(
        sa.select(table.c.name, table.c.directory).where(table.c.experiment_id == experiment_id)
    )
    return {row.name: row.directory for row in rows}


def last_attempt_id(connection: sa.Connection, experiment_id: int) -> int:
    """Return the highest attempt id in use, 0 before the first."""
    highest = sa.select(sa.func.max(_ATTEMPT.c.id)).where(_ATTEMPT.c.experiment_id == experiment_id)
    return connection.execute(highest).scalar() or 0


def iterations(
    connection: sa.Connection, experiment_id: int, *, above: int = -1, newest: int | None = None
) -> tuple[IterationRecord, ...]:
    """Return iterations, oldest first; `newest` keeps only so many of the last."""
    table = schema.iteration
    query = sa.select(table).where(table.c.experiment_id == experiment_id, table.c.id > above)
    query = query.order_by(table.c.id.desc()).limit(newest)
    found = [iteration_from(dict(row)) for row in connection.execute(query).mappings()]
    return tuple(reversed(found))


def recorded_pairs(
    connection: sa.Connection, experiment_id: int, iteration: int
) -> frozenset[tuple[str, str]]:
    """Return the (host, probe) pairs of an iteration that have a row."""
    query = sa.select(_ATTEMPT.c.host, _ATTEMPT.c.probe).where(
        _ATTEMPT.c.experiment_id == experiment_id, _ATTEMPT.c.iteration == iteration
    )
    return frozenset((row.host, row.probe) for row in connection.execute(query))


def last_reached(
    connection: sa.Connection, experiment_id: int, probes: Mapping[str, float], before: int
) -> dict[tuple[str, str], float]:
    """Return the start of the newest attempt that reached a host, by (host, probe).

    Rows the coordinator wrote itself (no answer, blocked credential, no time left) have spent no time. One
    seek of `ix_attempt_pair` per host and probe, so the size of the history does not matter.
    """
    names = schema.host.c
    parts = []
    for probe, since in probes.items():
        newest = (
            sa.select(_ATTEMPT.c.started_at)
            .where(
                _ATTEMPT.c.experiment_id == experiment_id,
                _ATTEMPT.c.host == names.name,
                _ATTEMPT.c.probe == probe,
                _ATTEMPT.c.iteration >= math.floor(since),
                _ATTEMPT.c.iteration < before,
                sa.or_(
                    _ATTEMPT.c.outcome == Outcome.OK.value,
                    sa.and_(_ATTEMPT.c.outcome == Outcome.FAILED.value, _ATTEMPT.c.elapsed_s > 0),
                ),
            )
            .order_by(_ATTEMPT.c.iteration.desc())
            .limit(1)
            .scalar_subquery()
        )
        parts.append(
            sa.select(names.name, sa.literal(probe).label("probe"), newest.label("at")).where(
                names.experiment_id == experiment_id
            )
        )
    rows = connection.execute(sa.union_all(*parts))
    return {(row.name, row.probe): row.at for row in rows if row.at is not None}


def pending_chains(
    connection: sa.Connection,
    experiment_id: int,
    experiment: str,
    *,
    after: int = 0,
    limit: int | None = None,
) -> tuple[PendingAttempt, ...]:
    """Return attempts between commit 1 and commit 2, with outputs."""
    query = (
        sa.select(_ATTEMPT, *OUTPUT_COLUMNS)
        .select_from(WITH_OUTPUT)
        .where(
            _ATTEMPT.c.experiment_id == experiment_id,
            _UNARCHIVED,
            _ATTEMPT.c.chain == "pending",
            _ATTEMPT.c.id > after,
        )
        .order_by(_ATTEMPT.c.id)
        .limit(limit)
    )
    return _pending(connection.execute(query).mappings(), experiment)


def pending_count(connection: sa.Connection, experiment_id: int) -> int:
    """Count the attempts between commit 1 and commit 2."""
    query = (
        sa.select(sa.func.count())
        .select_from(_ATTEMPT)
        .where(_ATTEMPT.c.experiment_id == experiment_id, _UNARCHIVED, _ATTEMPT.c.chain == "pending")
    )
    return connection.execute(query).scalar_one()


def unarchived(
    connection: sa.Connection,
    experiment_id: int,
    experiment: str,
    *,
    after: int,
    limit: int,
    pair: tuple[str, str] | None,
) -> tuple[PendingAttempt, ...]:
    """Return attempts past commit 2 whose outputs have not left the database, with outputs."""
    query = (
        sa.select(_ATTEMPT, *OUTPUT_COLUMNS)
        .select_from(WITH_OUTPUT)
        .where(
            _ATTEMPT.c.experiment_id == experiment_id,
            _UNARCHIVED,
            _ATTEMPT.c.chain == "done",
            _ATTEMPT.c.id > after,
        )
        .order_by(_ATTEMPT.c.id)
        .limit(limit)
    )
    if pair is not None:
        query = query.where(_ATTEMPT.c.host == pair[0], _ATTEMPT.c.probe == pair[1])
    return _pending(connection.execute(query).mappings(), experiment)


def archive_ends(connection: sa.Connection, experiment_id: int) -> dict[tuple[str, str], FileEnd]:
    """Return how far each (host, probe)'s files are good."""
    table = schema.archive_file
    rows = connection.execute(sa.select(table).where(table.c.experiment_id == experiment_id))
    return {(row.host, row.probe): FileEnd(row.stdout_end, row.stderr_end, row.digest) for row in rows}


def tally(connection: sa.Connection, experiment_id: int, iteration: int) -> tuple[ProbeTally, ...]:
    """Count an iteration in its roster's order; hosts and probes the roster lacks come last, by name."""
    table = schema.iteration
    begun = connection.execute(
        sa.select(table.c.started_at, schema.roster.c.hosts, schema.roster.c.probes)
        .join(schema.roster, table.c.roster_digest == schema.roster.c.digest)
        .where(table.c.experiment_id == experiment_id, table.c.id == iteration)
    ).first()
    if begun is None:
        return ()
    c = _ATTEMPT.c
    rows = connection.execute(
        sa.select(c.probe, c.host, c.outcome, c.started_at, c.elapsed_s).where(
            c.experiment_id == experiment_id, c.iteration == iteration
        )
    )
    hosts: dict[str, dict[Outcome, list[str]]] = {}
    ends: dict[str, float] = {}
    for row in rows:
        outcome = Outcome(row.outcome)
        hosts.setdefault(row.probe, {}).setdefault(outcome, []).append(row.host)
        if outcome is not Outcome.SKIPPED:
            ends[row.probe] = max(ends.get(row.probe, 0.0), row.started_at + row.elapsed_s)
    host_rank = _ranks(json.loads(begun.hosts))
    probe_rank = _ranks(json.loads(begun.probes))
    result = []
    for probe in sorted(hosts, key=lambda name: (probe_rank.get(name, len(probe_rank)), name)):
        lists = {
            outcome.value: tuple(sorted(names, key=lambda name: (host_rank.get(name, len(host_rank)), name)))
            for outcome, names in hosts[probe].items()
        }
        elapsed_s = max(0.0, ends.get(probe, 0.0) - begun.started_at)
        result.append(ProbeTally(probe=probe, elapsed_s=elapsed_s, **lists))
    return tuple(result)


def closed_with_rows(
    connection: sa.Connection, experiment_id: int, probe: str, above: int
) -> tuple[int, ...]:
    """Return ids of ended iterations above an id in which a probe has rows, oldest first."""
    c = _ATTEMPT.c
    query = (
        sa.select(c.iteration)
        .distinct()
        .join(
            schema.iteration,
            sa.and_(
                schema.iteration.c.experiment_id == c.experiment_id, schema.iteration.c.id == c.iteration
            ),
        )
        .where(
            c.experiment_id == experiment_id,
            c.iteration > above,
            c.probe == probe,
            schema.iteration.c.state != "open",
        )
        .order_by(c.iteration)
    )
    return tuple(connection.execute(query).scalars())


def probes(connection: sa.Connection, experiment_id: int) -> tuple[str, ...]:
    """Return every probe name that some iteration of the experiment had."""
    rosters = (
        sa.select(schema.roster.c.probes)
        .distinct()
        .join(schema.iteration, schema.iteration.c.roster_digest == schema.roster.c.digest)
        .where(schema.iteration.c.experiment_id == experiment_id)
    )
    found = connection.execute(rosters).scalars()
    return tuple(dict.fromkeys(name for text in found for name in json.loads(text)))


def duplicate_in(
    connection: sa.Connection, experiment_id: int, results: Iterable[AttemptResult]
) -> AttemptResult | None:
    """Return the first attempt whose pair is recorded in its iteration, or twice in `results`."""
    met: dict[int, set[tuple[str, str]]] = {}
    for result in results:
        if result.iteration not in met:
            met[result.iteration] = set(recorded_pairs(connection, experiment_id, result.iteration))
        pair = result.host, result.probe
        if pair in met[result.iteration]:
            return result
        met[result.iteration].add(pair)
    return None


def first_pending_iteration(connection: sa.Connection, experiment_id: int) -> int | None:
    """Return the oldest iteration that has a chain to run, None when there is none."""
    return connection.execute(
        sa.select(sa.func.min(_ATTEMPT.c.iteration)).where(
            _ATTEMPT.c.experiment_id == experiment_id, _UNARCHIVED, _ATTEMPT.c.chain == "pending"
        )
    ).scalar()


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(names)}


def _pending(rows: Iterable[sa.RowMapping], experiment: str) -> tuple[PendingAttempt, ...]:
    return tuple(PendingAttempt(row["id"], result_from(dict(row), experiment), row["keep"]) for row in rows)
