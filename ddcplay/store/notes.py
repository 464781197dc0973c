"""What people tell a running experiment from another process: silences and acknowledgements.

No experiment lock is taken, only a short transaction: the coordinator never writes these two tables, and
either side waits for the other (`busy_timeout`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from ddcplay.errors import StoreError, UsageError
from ddcplay.model.alert import AlertIdentity, Silence
from ddcplay.store import alert_rows, reads, schema
from ddcplay.store.dialect import insert_or_replace, open_engine, place_of
from ddcplay.store.faults import store_faults
from ddcplay.store.migrations import require_head
from ddcplay.store.postgres import take_turn
from ddcplay.store.queries import existing_database
from ddcplay.store.rows import storable

T = TypeVar("T")


def add_silence(directory: Path, url: str | None, silence: Silence) -> int:
    """Record a silence; the coordinator hears of it at the end of its iteration.

    Args:
        directory: `<data>/<experiment>`.
        url: SQLAlchemy URL of setting `database`, None for `experiment.db` in `directory`.
        silence: its `id` does not matter.

    Returns:
        Its number within the experiment.

    Raises:
        StoreError: there is no such experiment, or it cannot be written; the text says what to do.
    """

    def work(connection: sa.Connection, experiment_id: int) -> int:
        table = schema.silence.c
        highest = sa.select(sa.func.max(table.id)).where(table.experiment_id == experiment_id)
        number: int = (connection.execute(highest).scalar() or 0) + 1
        connection.execute(sa.insert(schema.silence), alert_rows.of_silence(experiment_id, silence, number))
        return number

    return _write(directory, url, work)


def end_silence(directory: Path, url: str | None, number: int, at: float) -> Silence:
    """Let a silence end at `at` (UTC Unix seconds); one that is over already stays as it is.

    Returns:
        The silence as it is now.

    Raises:
        UsageError: there is none of that number.
        StoreError: as `add_silence`.
    """
    table = schema.silence.c

    def work(connection: sa.Connection, experiment_id: int) -> Silence:
        this = sa.and_(table.experiment_id == experiment_id, table.id == number)
        connection.execute(sa.update(schema.silence).where(this, table.ends_at > at).values(ends_at=at))
        row = connection.execute(sa.select(schema.silence).where(this)).mappings().first()
        if row is None:
            raise UsageError(f"there is no silence {number}", "see ddcplay alerts silence --list")
        return alert_rows.silence_from(dict(row))

    return _write(directory, url, work)


def acknowledge(directory: Path, url: str | None, identity: AlertIdentity, at: float, by: str) -> None:
    """Record that a human has taken an alert.

    Args:
        directory: `<data>/<experiment>`.
        url: as in `add_silence`.
        identity: which alert; the experiment is the one of the directory.
        at: UTC Unix seconds.
        by: who.

    Raises:
        StoreError: as `add_silence`.
    """

    def work(connection: sa.Connection, experiment_id: int) -> None:
        row = {
            "experiment_id": experiment_id,
            **alert_rows.of_identity(identity),
            "at": at,
            "acknowledged_by": storable(by),
        }
        connection.execute(insert_or_replace(connection, schema.acknowledgement), row)

    _write(directory, url, work)


def _write(directory: Path, url: str | None, work: Callable[[sa.Connection, int], T]) -> T:
    target = existing_database(directory, url)
    place = place_of(target)
    with store_faults("open the database", place):
        engine = open_engine(target)
    try:
        with store_faults("write", place), engine.begin() as connection:
            require_head(connection, place)
            take_turn(connection, "notes")  # two people at once must not get one number
            row = reads.experiment_of(connection, directory.absolute().name, shared=url is not None)
            if row is None:
                raise StoreError(f"{place} does not hold experiment {directory.name!r}", "see ddcplay status")
            return work(connection, row[0])
    finally:
        engine.dispose()
