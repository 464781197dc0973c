"""What Alembic runs: in the caller's transaction when a store opens, on a scratch database for developers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from ddcplay.store.schema import metadata


def _run(connection: sa.Connection) -> None:
    # SQLite can roll back DDL; Alembic assumes it cannot, because the driver's own transactions could not.
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
    )
    with context.begin_transaction():
        context.run_migrations()


_given = context.config.attributes.get("connection")
if _given is not None:
    _run(_given)
else:
    with sa.create_engine("sqlite://").begin() as _scratch:
        _run(_scratch)
