"""The statements that write; each function runs inside one savepoint of the writer's transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.model.result import AttemptResult, outcome_of
from ddcplay.store import leftovers, schema
from ddcplay.store.base import (
    ArchivedAttempt,
    ChainDone,
    FileEnd,
    IterationEffects,
    IterationRecord,
    Provenance,
)
from ddcplay.store.dialect import insert_missing, insert_or_replace
from ddcplay.store.effect_commits import write_chains, write_iteration
from ddcplay.store.rows import attempt_row, output_row, storable
from ddcplay.store.sightings import note_asked, note_seen

_OF_ATTEMPT = sa.and_(
    schema.attempt.c.experiment_id == sa.bindparam("of_experiment"),
    schema.attempt.c.id == sa.bindparam("of_id"),
)
_PENDING = sa.and_(_OF_ATTEMPT, schema.attempt.c.chain == "pending")  # a chain is committed once
_CHAIN_DONE = sa.update(schema.attempt).where(_PENDING).values(chain="done")
_VERDICT = ("outcome", "reason", "detail", "hint")
_VERDICT_KEPT = sa.insert(schema.overridden).from_select(
    ("experiment_id", "attempt_id", *_VERDICT),
    sa.select(
        schema.attempt.c.experiment_id, schema.attempt.c.id, *(schema.attempt.c[name] for name in _VERDICT)
    ).where(_PENDING),
)
_CHAIN_CHANGED = (
    sa.update(schema.attempt)
    .where(_PENDING)
    .values(
        chain="done",
        outcome=sa.bindparam("new_outcome"),
        reason=sa.bindparam("new_reason"),
        detail=sa.bindparam("new_detail"),
        hint=sa.bindparam("new_hint"),
    )
)
_ARCHIVED = (
    sa.update(schema.attempt)
    .where(_OF_ATTEMPT)
    .values(
        archived=True, stdout_end=sa.bindparam("new_stdout_end"), stderr_end=sa.bindparam("new_stderr_end")
    )
)
_OUTPUT_GONE = sa.delete(schema.output).where(
    schema.output.c.experiment_id == sa.bindparam("of_experiment"),
    schema.output.c.attempt_id == sa.bindparam("of_id"),
)


def enter_experiment(connection: sa.Connection, name: str, play: str, now: float) -> tuple[int, float]:
    """Return id and beginning of an experiment, which begins now when it is new."""
    connection.execute(
        insert_missing(connection, schema.experiment), {"name": name, "play": storable(play), "began_at": now}
    )
    table = schema.experiment
    row = connection.execute(sa.select(table.c.id, table.c.began_at).where(table.c.name == name)).one()
    return row.id, row.began_at


def open_iteration(
    connection: sa.Connection,
    experiment_id: int,
    record: IterationRecord,
    provenance: Provenance,
    orders: tuple[Sequence[str], Sequence[str]],
    fresh: Mapping[str, str],
) -> None:
    """Write an iteration's row, with its roster and playbook unless they are known."""
    newest = connection.execute(
        sa.select(sa.func.max(schema.iteration.c.id)).where(schema.iteration.c.experiment_id == experiment_id)
    ).scalar()
    if newest is not None and record.id <= newest:
        raise StoreError(
            f"iteration {record.id} is not above the last one, {newest}", "check the coordinator's clock"
        )
    hosts, probes = (json.dumps(list(order)) for order in orders)
    roster = {"digest": _digest(hosts + "\n" + probes), "hosts": hosts, "probes": probes}
    text = storable(provenance.playbook_text)
    playbook = {"digest": _digest(text), "text": text}
    connection.execute(insert_missing(connection, schema.roster), roster)
    connection.execute(insert_missing(connection, schema.playbook), playbook)
    add_hosts(connection, experiment_id, fresh)
    note_asked(connection, experiment_id, fresh, record.started_at)
    connection.execute(
        sa.insert(schema.iteration),
        {
            "experiment_id": experiment_id,
            "id": record.id,
            "started_at": record.started_at,
            "closed_at": record.closed_at,
            "state": record.state,
            "pairs": record.pairs,
            "remote_s": record.remote_s,
            "missed": record.missed,
            "trace_written": False,
            "roster_digest": roster["digest"],
            "playbook_digest": playbook["digest"],
            "playbook_path": storable(provenance.playbook_path),
            "git_commit": provenance.git_commit,
            "git_dirty": provenance.git_dirty,
            "versions": json.dumps(dict(provenance.versions)),
        },
    )


def add_hosts(connection: sa.Connection, experiment_id: int, fresh: Mapping[str, str]) -> None:
    """Fix the directory names of hosts seen for the first time."""
    if fresh:
        rows = [{"experiment_id": experiment_id, "name": n, "directory": d} for n, d in fresh.items()]
        connection.execute(insert_missing(connection, schema.host), rows)


def close_iteration(
    connection: sa.Connection,
    key: tuple[int, int],
    closed_at: float,
    remote_s: float,
    state: str,
    missed: int,
    effects: IterationEffects,
) -> None:
    """Write an iteration's end and what comes with it; `key` is (experiment id, iteration id)."""
    table = schema.iteration
    changed = connection.execute(
        sa.update(table)
        .where(table.c.experiment_id == key[0], table.c.id == key[1])
        .values(closed_at=closed_at, remote_s=remote_s, state=state, missed=table.c.missed + missed)
    )
    _expect(changed.rowcount, 1, f"iteration {key[1]}")
    write_iteration(connection, key[0], key[1], closed_at, effects)


def note_trace_written(connection: sa.Connection, experiment_id: int, iteration: int) -> None:
    """Remember that an iteration's trace lines are on the disk."""
    table = schema.iteration
    changed = connection.execute(
        sa.update(table)
        .where(table.c.experiment_id == experiment_id, table.c.id == iteration)
        .values(trace_written=True)
    )
    _expect(changed.rowcount, 1, f"iteration {iteration}")


def add_attempts(
    connection: sa.Connection,
    experiment_id: int,
    numbers: Sequence[int],
    results: Sequence[AttemptResult],
    keep: Mapping[str, str],
    fresh: Mapping[str, str],
) -> None:
    """Commit 1: attempts with `chain = pending`, and their outputs."""
    add_hosts(connection, experiment_id, fresh)
    pairs = list(zip(numbers, results, strict=True))
    rows = [attempt_row(experiment_id, n, r, keep.get(r.probe, "always")) for n, r in pairs]
    outputs = [row for n, r in pairs if (row := output_row(experiment_id, n, r)) is not None]
    connection.execute(sa.insert(schema.attempt), rows)
    if outputs:
        connection.execute(sa.insert(schema.output), outputs)
    leftovers.record(connection, experiment_id, numbers, results)
    note_seen(connection, experiment_id, results, fresh)


def finish_chains(connection: sa.Connection, experiment_id: int, done: Sequence[ChainDone]) -> None:
    """Commit 2: `chain = done`, and what the chain made of the attempt; a chain that is done is refused."""
    plain = [
        {"of_experiment": experiment_id, "of_id": item.attempt_id}
        for item in done
        if item.outcome_override is None
    ]
    changed = [
        {
            "of_experiment": experiment_id,
            "of_id": item.attempt_id,
            "new_outcome": outcome_of(item.outcome_override).value,
            "new_reason": item.outcome_override.value,
            "new_detail": storable(item.detail),
            "new_hint": storable(item.hint),
        }
        for item in done
        if item.outcome_override is not None
    ]
    if changed:
        connection.execute(_VERDICT_KEPT, changed)
    for statement, rows in ((_CHAIN_DONE, plain), (_CHAIN_CHANGED, changed)):
        if rows:
            _expect(connection.execute(statement, rows).rowcount, len(rows), "attempts with a finished chain")
    write_chains(connection, experiment_id, done)


def mark_archived(
    connection: sa.Connection,
    experiment_id: int,
    archived: Sequence[ArchivedAttempt],
    ends: Mapping[tuple[str, str], FileEnd],
) -> None:
    """Outputs leave the database in the same transaction in which their place in the files is recorded."""
    rows = [
        {
            "of_experiment": experiment_id,
            "of_id": item.attempt_id,
            "new_stdout_end": item.stdout_end,
            "new_stderr_end": item.stderr_end,
        }
        for item in archived
    ]
    if rows:
        _expect(connection.execute(_ARCHIVED, rows).rowcount, len(rows), "archived attempts")
        connection.execute(_OUTPUT_GONE, rows)
    files = [
        {
            "experiment_id": experiment_id,
            "host": host,
            "probe": probe,
            "stdout_end": end.stdout_end,
            "stderr_end": end.stderr_end,
            "digest": end.digest,
        }
        for (host, probe), end in ends.items()
    ]
    if files:
        connection.execute(insert_or_replace(connection, schema.archive_file), files)


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise StoreError(
            f"{what}: {wanted} rows were to change, {found} did",
            "the database was changed from outside, or a bug",
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
