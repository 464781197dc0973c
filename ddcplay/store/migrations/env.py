"""What Alembic runs: in the caller's transaction when a store opens, on a scratch database for developers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context

from ddcplay.store.schema import metadata


def _by_code_point(table: sa.Table, *_more: object, **_options: object) -> None:
    """Let PostgreSQL sort names as SQLite and Python do; an index then survives new locales of the system."""
    for column in table.columns:
        if isinstance(column.type, sa.Text):
            column.type = sa.Text(collation="C")


def _run(connection: sa.Connection) -> None:
    # SQLite can roll back DDL; Alembic assumes it cannot, because the driver's own transactions could not.
    context.configure(
        connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True
    )
    if connection.dialect.name == "postgresql":
        sa.event.listen(sa.Table, "before_create", _by_code_point)
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        if sa.event.contains(sa.Table, "before_create", _by_code_point):
            sa.event.remove(sa.Table, "before_create", _by_code_point)


_given = context.config.attributes.get("connection")
if _given is not None:
    _run(_given)
else:
    with sa.create_engine("sqlite://").begin() as _scratch:
        _run(_scratch)
