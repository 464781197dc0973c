"""What PostgreSQL needs: how a connection is set up, when it counts as lost, and locks by name."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from ddcplay.errors import StoreError, UsageError

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")
PATIENCE_S = 30.0
"""How long a server that went away may take to come back: a restart takes seconds."""

_DRIVERS = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
# A peer that vanished without a word must not hold this side, or the server's locks, for two hours.
_CONNECT: dict[str, str | int] = {
    "connect_timeout": 10,
    "application_name": "ddcplay",
    "client_encoding": "utf8",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# Plans made while tables are empty, and kept, scan them: 2 ms a row some thousand rows later.
_WRITER = {"plan_cache_mode": "force_custom_plan"}
_SESSION = {
    "TimeZone": "UTC",  # whatever the server's is
    "statement_timeout": "0",  # an administrator's limit for web requests would end reports and migrations
    "lock_timeout": "60s",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def postgres_url(url: URL) -> URL:
    """Return a URL with the driver that is used here.

    Raises:
        UsageError: another driver, or no database is named.
    """
    if url.drivername not in _DRIVERS:
        raise UsageError(
            f"setting database: driver {url.drivername} is not supported", "write postgresql://…"
        )
    if not url.database:
        raise UsageError("setting database names no database", "write postgresql://USER@HOST/NAME")
    return url.set(drivername="postgresql+psycopg")


def postgres_place(url: URL) -> str:
    """Name a database in a message: without password, without options (one may be a password)."""
    return URL.create(
        "postgresql", url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string(hide_password=False)


def postgres_engine(url: URL, *, durability: str, read_only: bool) -> sa.Engine:
    """Prepare connections to PostgreSQL.

    Args:
        url: from `postgres_url`; what its query says of the connection wins.
        durability: `batch` lets a crash of the server take the last moments.
        read_only: connections that cannot write; each transaction sees one moment.

    Raises:
        StoreError: the driver is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - an extra: most projects stay with SQLite
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL needs the package psycopg ({error})", "pip install 'ddcplay[postgres]'"
        ) from None
    given = {name: value for name, value in _CONNECT.items() if name not in url.query}
    # hide_parameters: outputs of targets must not come back in an exception's text.
    engine = sa.create_engine(url, hide_parameters=True, pool_size=4, max_overflow=20, connect_args=given)
    wanted = _SESSION if read_only else {**_SESSION, **_WRITER}
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in wanted.items())
    # `remote_apply` and other stricter levels of the server stay; only `off` is no promise.
    synced = "'off'" if durability == "batch" else "CASE v WHEN 'off' THEN 'on' ELSE v END"
    commit = (
        f"set_config('synchronous_commit', {synced}, false) FROM current_setting('synchronous_commit') AS v"
    )

    @sa.event.listens_for(engine, "connect")
    def _setup(connection: psycopg.Connection, _record: object) -> None:
        connection.execute(f"SELECT {settings}, {commit}")
        connection.commit()
        connection.read_only = read_only
        level = psycopg.IsolationLevel
        connection.isolation_level = level.REPEATABLE_READ if read_only else level.READ_COMMITTED

    return engine


def is_lost(error: BaseException) -> bool:
    """Say whether the connection failed rather than the statement; never true of SQLite."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", "")  # None: the server could not be reached at all
    return error.connection_invalidated or (isinstance(error, OperationalError) and state is None)


def patiently(work: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Do again what failed because the database could not be reached, until it can or patience ends.

    Args:
        work: harmless to repeat: it only reads, or its transaction was not yet committed.
        patience_s: counted from the first failure.
    """
    give_up_at, pause_s = 0.0, 0.02
    while True:
        try:
            return work()
        except DBAPIError as error:
            give_up_at = give_up_at or time.monotonic() + patience_s
            if not is_lost(error) or time.monotonic() >= give_up_at:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


def lock_key(connection: sa.Connection, what: str) -> int:
    """Return the number of an advisory lock; schemas of one database do not share it."""
    schema = connection.execute(sa.select(sa.func.current_schema())).scalar()
    digest = hashlib.blake2b(f"ddcplay\0{schema}\0{what}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)


def take_turn(connection: sa.Connection, what: str) -> None:
    """Wait until no other transaction has taken this turn; it ends with this one.

    SQLite needs nothing: a transaction that writes is alone from its beginning.
    """
    if connection.dialect.name == "postgresql":
        key = sa.literal(lock_key(connection, what), sa.BigInteger)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
