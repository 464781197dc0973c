"""Two coordinators cannot run one experiment of a shared database, wherever they run (design §9.6).

The claim is an advisory lock of the very connection that writes: it cannot outlive the one that holds it,
and nothing is written without it. Table `coordinator` says who that is; its token tells an own connection
that was lost from a successor that has written meanwhile.
"""

from __future__ import annotations

import os
import secrets
import socket
import time

import sqlalchemy as sa

from ddcplay.errors import ExperimentBusyError, StoreError
from ddcplay.store import schema
from ddcplay.store.dialect import insert_or_replace
from ddcplay.store.lock import Owner
from ddcplay.store.postgres import lock_key
from ddcplay.store.rows import storable

GRACE_S = 5.0
"""How long the server may take to notice that a coordinator which was killed is gone."""

_TABLE = schema.coordinator
_HOLDERS = """
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint = :high AND objid::bigint = :low AND pid <> pg_backend_pid()
"""


class Claim:
    """Holds an experiment for the connection that writes; taken anew on each connection.

    Args:
        experiment: its name.
        now: UTC Unix seconds.
    """

    def __init__(self, experiment: str, now: float) -> None:
        self._experiment = experiment
        self._now = now
        self._token = secrets.token_hex(16)
        self._held = False

    def take(self, connection: sa.Connection) -> None:
        """Claim the experiment for this connection.

        Raises:
            ExperimentBusyError: another coordinator has it.
            StoreError: another had it since this one lost its connection.
        """
        give_up_at = time.monotonic() + GRACE_S
        while not self._try(connection, last=time.monotonic() >= give_up_at):
            time.sleep(0.02)
        self._held = True

    def _try(self, connection: sa.Connection, *, last: bool) -> bool:
        with connection.begin():
            key = _key(connection, self._experiment)
            if connection.execute(sa.select(sa.func.pg_try_advisory_lock(_big(key)))).scalar_one():
                if self._held and _noted(connection, self._experiment)[0] != self._token:
                    connection.execute(sa.select(sa.func.pg_advisory_unlock(_big(key))))
                    raise StoreError(
                        f"another coordinator ran {self._experiment!r} while the connection was lost",
                        "start this one again; it goes on with what the database has",
                    )
                self._note(connection)
                return True
            token, owner = _noted(connection, self._experiment)
            if token == self._token and not last:
                # This coordinator's lost connection, which the server still believes in.
                ends = sa.text(f"SELECT pg_terminate_backend(pid) FROM ({_HOLDERS}) AS holder")  # noqa: S608 - constant
                connection.execute(ends, _halves(key)).all()
            elif last or (owner is not None and owner.alive()):
                raise ExperimentBusyError(
                    f"experiment {self._experiment!r} is already run by {owner or 'another coordinator'}",
                    "stop that one first, or give this play another name (experiment:)",
                )
        return False

    def _note(self, connection: sa.Connection) -> None:
        row = {
            "experiment": storable(self._experiment),
            "token": self._token,
            "host": storable(socket.gethostname()),
            "pid": os.getpid(),
            "since": self._now,
        }
        connection.execute(insert_or_replace(connection, _TABLE), row)


def owner_in_database(connection: sa.Connection, experiment: str) -> Owner | None:
    """Return who runs an experiment of a shared database now, None when nobody does."""
    if connection.dialect.name != "postgresql":
        return None
    held = connection.execute(sa.text(_HOLDERS), _halves(_key(connection, experiment))).first()
    return None if held is None else _noted(connection, experiment)[1]


def _key(connection: sa.Connection, experiment: str) -> int:
    return lock_key(connection, f"experiment {experiment}")


def _big(key: int) -> sa.BindParameter[int]:
    return sa.literal(key, sa.BigInteger)


def _halves(key: int) -> dict[str, int]:
    """Split a key as pg_locks shows it: two unsigned halves."""
    return {"high": (key >> 32) & 0xFFFFFFFF, "low": key & 0xFFFFFFFF}


def _noted(connection: sa.Connection, experiment: str) -> tuple[str, Owner | None]:
    row = connection.execute(sa.select(_TABLE).where(_TABLE.c.experiment == storable(experiment))).first()
    return ("", None) if row is None else (row.token, Owner(row.pid, row.host, row.since))
