"""The database's history: each revision turns the schema before it into the next, when a store is opened."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.store.postgres import take_turn
from ddcplay.store.schema import HEAD

_ALEMBIC = threading.Lock()
"""Alembic keeps the running migration in module globals (`alembic.op`): one at a time per process."""


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision a database is at, None when it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def upgrade(engine: sa.Engine, place: str) -> None:
    """Bring a database to the newest schema, in one transaction that other processes wait for.

    Args:
        engine: of the writer.
        place: the database's name for messages.

    Raises:
        StoreError: it was written by a newer ddcplay.
    """
    with engine.begin() as connection:
        take_turn(connection, "migrations")  # two openers cannot both migrate
        revision = revision_of(connection)
        if revision == HEAD:
            return
        if revision is not None and revision > HEAD:
            raise newer_schema(place, revision)
        _run_alembic(connection)


def require_head(connection: sa.Connection, place: str) -> None:
    """Refuse to read a schema this program does not know.

    Raises:
        StoreError: the database is older or newer than this ddcplay.
    """
    revision = revision_of(connection)
    if revision is not None and revision > HEAD:
        raise newer_schema(place, revision)
    if revision != HEAD:
        raise StoreError(
            f"{place} has schema {revision or 'none'}, this ddcplay reads {HEAD}",
            "run the playbook once with this ddcplay; it migrates the database",
        )


def newer_schema(place: str, revision: str) -> StoreError:
    """Build the error for a database of a newer program."""
    return StoreError(
        f"{place} was written by a newer ddcplay (schema {revision}, this one knows {HEAD})",
        "upgrade ddcplay on this machine",
    )


def _run_alembic(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - heavy, and needed once per database
    from alembic.config import Config  # noqa: PLC0415 - same

    config = Config()
    # A configuration parser reads it: a % in the path of a virtual environment must be doubled.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, "head")
