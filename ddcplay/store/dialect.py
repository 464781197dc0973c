"""The one place where databases differ: how to open SQLite or PostgreSQL, and what must hold before.

Everything else is SQLAlchemy Core that both understand.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ddcplay.errors import StoreError, UsageError
from ddcplay.store.files import make_private_directory, open_private
from ddcplay.store.postgres import postgres_engine, postgres_place, postgres_url

Upsert = sqlite.Insert | postgresql.Insert
_BUSY_TIMEOUT_MS = 10_000
# SQLite's WAL needs memory shared by all who open the file: these have none, or locks that lie.
_NETWORK_FILE_SYSTEMS = re.compile(
    r"nfs\d*|cifs|smb\w*|9p|afs|ncpfs|ceph|glusterfs|lustre|beegfs\w*|gpfs|davfs\d*|ocfs2|vboxsf|vmhgfs"
    r"|fuse\.(sshfs|glusterfs|s3fs|rclone|davfs2?|cifs|smbnetfs|vmhgfs-fuse|ceph\w*|gcsfuse|goofys)"
)


def database_url(path: Path, url: str | None) -> URL:
    """Return where rows go: the configured database, else the SQLite file at `path`.

    Raises:
        UsageError: not a URL of a supported database.
    """
    if url is None:
        return URL.create("sqlite", database=str(path))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # its text would repeat the URL, and a password with it
        raise UsageError(
            "setting database is not a database URL", "write postgresql://USER@HOST/NAME or sqlite:///PATH"
        ) from None
    if parsed.get_backend_name() in {"postgresql", "postgres"}:
        return postgres_url(parsed)
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite"}:
        raise UsageError(
            f"setting database: {parsed.drivername} is not supported",
            "use PostgreSQL, or leave the setting out: each experiment then has its own SQLite file",
        )
    if parsed.database in (None, "", ":memory:"):
        raise UsageError("setting database names no file", "write sqlite:///path/to/file.db")
    return parsed


def place_of(url: URL) -> str:
    """Name a database in a message, its password left out."""
    return url.database or "memory" if is_file(url) else postgres_place(url)


def is_file(url: URL) -> bool:
    """Say whether a database is a file (SQLite) rather than a server."""
    return url.get_backend_name() == "sqlite"


def open_engine(url: URL, *, durability: str = "full", read_only: bool = False) -> sa.Engine:
    """Prepare connections to a database; SQLite's file is created private (0600) when it is to be written.

    Args:
        url: from `database_url`.
        durability: `full` survives a power loss, `batch` may lose the last commits to one (not to a crash).
        read_only: connections that cannot write.

    Raises:
        StoreError: the file lies on a network file system, or the server's driver is missing.
    """
    if not is_file(url):
        return postgres_engine(url, durability=durability, read_only=read_only)
    path = Path(url.database or "")
    if not read_only:
        refuse_network_file_system(path.parent)
        make_private_directory(path.parent)
        os.close(open_private(path, os.O_RDWR | os.O_CREAT))
    # hide_parameters: outputs of targets must not come back in an exception's text.
    engine = sa.create_engine(url, hide_parameters=True, pool_size=4, max_overflow=20)
    sa.event.listen(engine, "connect", _sqlite_setup(durability=durability, read_only=read_only))
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"  # a writer that upgrades later may meet SQLITE_BUSY

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _sqlite_setup(*, durability: str, read_only: bool) -> Callable[[sqlite3.Connection, object], None]:
    synchronous = "NORMAL" if durability == "batch" else "FULL"

    def setup(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for savepoints and reads
        statements = [
            f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}",
            "PRAGMA foreign_keys=ON",
            "PRAGMA trusted_schema=OFF",
        ]
        if read_only:
            statements.append("PRAGMA query_only=ON")
        else:
            statements += [
                "PRAGMA journal_mode=WAL",
                f"PRAGMA synchronous={synchronous}",
                "PRAGMA fullfsync=ON",  # macOS: a plain fsync leaves data in the drive's cache
                "PRAGMA journal_size_limit=67108864",
            ]
        for statement in statements:
            connection.execute(statement)

    return setup


def insert_missing(connection: sa.Connection, table: sa.Table) -> Upsert:
    """Return an INSERT that leaves rows alone whose key is already there."""
    return upsert(connection, table).on_conflict_do_nothing()


def insert_or_replace(connection: sa.Connection, table: sa.Table) -> Upsert:
    """Return an INSERT that overwrites the other columns of rows whose key is already there."""
    statement = upsert(connection, table)
    keys = [column.name for column in table.primary_key]
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def upsert(connection: sa.Connection, table: sa.Table) -> Upsert:
    """Return an INSERT that can be told what to do about rows whose key is already there."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def refuse_network_file_system(directory: Path) -> None:
    """Stop before SQLite is damaged by a file system whose locks or shared memory do not work.

    Raises:
        StoreError: with the fix.
    """
    kind = network_file_system(directory)
    if kind is not None:
        raise StoreError(
            f"{directory} is on a network file system ({kind}), where SQLite loses data",
            "set data_dir to a directory on a local disk",
        )


def network_file_system(directory: Path) -> str | None:
    """Return the kind of network file system a path is on, None for a local or unknown one."""
    absolute = directory.absolute()
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415 - windll exists there alone

        if str(absolute).startswith("\\\\"):
            return "UNC path"
        remote = 4  # DRIVE_REMOTE of GetDriveTypeW
        return "network drive" if ctypes.windll.kernel32.GetDriveTypeW(absolute.anchor) == remote else None
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # macOS and the BSDs: no mount table to read without starting a program
        return None
    while not absolute.exists():
        absolute = absolute.parent
    kind = file_system_of(absolute.resolve(), mounts)
    return kind if _NETWORK_FILE_SYSTEMS.fullmatch(kind) else None


def file_system_of(path: Path, mountinfo: str) -> str:
    """Return the type of the mount a path lies on, by the text of /proc/self/mountinfo (proc(5))."""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields = left.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
        # Later lines hide earlier ones at the same place.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ", 1)[0]
    return kind
