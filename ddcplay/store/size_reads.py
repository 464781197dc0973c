"""How large attempts and samples were lately, by probe."""

from __future__ import annotations

import sqlalchemy as sa

from ddcplay.model.result import Outcome
from ddcplay.store import schema

_LOOKED_AT = 5000


def recent_sizes(connection: sa.Connection, experiment_id: int) -> dict[str, tuple[float, float, float]]:
    """Return probe → (bytes of outputs, bytes of samples, share that ran), as means over the newest attempts.

    The first two are per attempt that ran on its host; a probe none of whose newest attempts ran is left out.
    """
    a, s = schema.attempt.c, schema.sample.c
    ran = a.outcome.in_((Outcome.OK.value, Outcome.FAILED.value))
    newest = (
        sa.select(
            a.id,
            a.probe,
            (a.stdout_bytes + a.stderr_bytes).label("size"),
            sa.case((ran, 1), else_=0).label("ran"),
        )
        .where(a.experiment_id == experiment_id)
        .order_by(a.id.desc())
        .limit(_LOOKED_AT)
        .subquery()
    )
    query = sa.select(
        newest.c.probe,
        sa.func.count(),
        sa.func.sum(newest.c.ran),
        sa.func.sum(newest.c.size * newest.c.ran),
        sa.func.min(newest.c.id),
    ).group_by(newest.c.probe)
    rows = connection.execute(query).all()
    if not rows:
        return {}
    stored = (
        sa.select(s.probe, sa.func.sum(sa.func.length(s.data)))
        .where(s.experiment_id == experiment_id, s.attempt >= min(row[4] for row in rows))
        .group_by(s.probe)
    )
    kept = {row[0]: float(row[1] or 0) for row in connection.execute(stored)}
    return {
        probe: (float(size) / int(times), kept.get(probe, 0.0) / int(times), int(times) / int(count))
        for probe, count, times, size, _first in rows
        if times
    }
