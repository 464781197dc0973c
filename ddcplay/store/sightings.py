"""When hosts were first asked and last seen switched on: kept with commit 1, so nobody reads the history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store import schema
from ddcplay.store.dialect import Upsert, upsert

_SEEN = schema.seen.c


def note_asked(connection: sa.Connection, experiment_id: int, hosts: Iterable[str], at: float) -> None:
    """Write that hosts are asked for the first time; those known keep what they have."""
    rows = [{"experiment_id": experiment_id, "host": host, "since": at, "last_on": None} for host in hosts]
    if rows:
        connection.execute(_later(connection), rows)


def note_seen(
    connection: sa.Connection, experiment_id: int, results: Sequence[AttemptResult], fresh: Iterable[str]
) -> None:
    """Move `last_on` of the hosts that were on; part of commit 1.

    Args:
        connection: of the writer.
        experiment_id: whose hosts.
        results: of the batch; an attempt that is ok shows that its host is on, even if nobody looked.
        fresh: hosts that were never asked before this batch.
    """
    new = set(fresh)
    rows: dict[str, dict[str, object]] = {}
    newest: dict[str, float] = {}
    for result in results:
        host, at = result.host, result.started_at
        on = result.on or result.outcome is Outcome.OK
        if not on and (host not in new or host in rows):
            continue
        row = rows.setdefault(
            host, {"experiment_id": experiment_id, "host": host, "since": at, "last_on": None}
        )
        if on and at >= newest.get(host, at):
            row["last_on"] = newest[host] = at
    if rows:
        connection.execute(_later(connection), list(rows.values()))


def sightings(connection: sa.Connection, experiment_id: int) -> dict[str, tuple[float | None, float]]:
    """Return host → (last seen on, first asked), UTC Unix seconds."""
    rows = connection.execute(
        sa.select(_SEEN.host, _SEEN.last_on, _SEEN.since).where(_SEEN.experiment_id == experiment_id)
    )
    return {row.host: (row.last_on, row.since) for row in rows}


def _later(connection: sa.Connection) -> Upsert:
    """Return the INSERT that leaves `since` of a known host alone and never moves `last_on` back."""
    statement = upsert(connection, schema.seen)
    new = statement.excluded.last_on
    later = sa.and_(new.is_not(None), sa.or_(_SEEN.last_on.is_(None), new > _SEEN.last_on))
    return statement.on_conflict_do_update(
        index_elements=["experiment_id", "host"],
        set_={"last_on": sa.case((later, new), else_=_SEEN.last_on)},
    )
