"""Where on the clock an experiment stands, by its rows alone: a run on virtual time goes on from there."""

from __future__ import annotations

import sqlalchemy as sa

from ddcplay.store import schema


def last_moment(connection: sa.Connection, experiment_id: int, iteration: int) -> float | None:
    """Return when the last attempt of an iteration ended, UTC Unix seconds; None when it has no rows."""
    table = schema.attempt.c
    ended = sa.select(sa.func.max(table.started_at + table.elapsed_s)).where(
        table.experiment_id == experiment_id, table.iteration == iteration
    )
    found: float | None = connection.execute(ended).scalar()
    return found
