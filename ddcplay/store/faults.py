"""Turn what SQLAlchemy, the driver and the file system raise into a `StoreError` that says what to do.

Only the driver's own text is used: SQLAlchemy's would repeat statement and parameters, and outputs of targets
with them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ddcplay.errors import DdcplayError, StoreError
from ddcplay.model.result import AttemptResult

_NO_SERVER = "check that PostgreSQL runs there and that this machine reaches its port"
_CAME_AND_WENT = "see to the server, then start again; nothing that was acknowledged is lost"
# Part of the driver's text, lower case → what to do. The first that fits wins.
_HINTS = (
    ("connection refused", _NO_SERVER),
    ("failed to resolve", "check the host name in setting database"),
    ("could not translate host name", "check the host name in setting database"),
    ("timeout expired", _NO_SERVER),
    ("authentication failed", "check user and password of setting database, and the server's pg_hba.conf"),
    ("no password supplied", "give setting database a password by a reference (env:, file:, …) or ~/.pgpass"),
    ("no pg_hba.conf entry", "let this machine in: add it to the server's pg_hba.conf"),
    ("permission denied", "make the role the owner of the database: ALTER DATABASE … OWNER TO …"),
    ("connection slots", "raise max_connections of the server; a coordinator uses a handful per experiment"),
    ("too many connections", "raise the connection limit; a coordinator uses a handful per experiment"),
    ("terminating connection", _CAME_AND_WENT),
    ("server closed the connection", _CAME_AND_WENT),
    ("connection to server was lost", _CAME_AND_WENT),
    ("starting up", _CAME_AND_WENT),
    ("shutting down", _CAME_AND_WENT),
    ("read-only transaction", "that server is a standby: name the primary in setting database"),
    ("lock timeout", "another program holds a lock in that database; see pg_stat_activity"),
    ("could not extend file", "free space on the server's disk; nothing that was acknowledged is lost"),
    ("no space left", "free space on the server's disk; nothing that was acknowledged is lost"),
    ("disk is full", "free space on that disk; nothing that was acknowledged is lost"),
    ("database is locked", "another program holds the database; close it (a database browser, a backup)"),
    (
        "malformed",
        "the file is damaged: stop ddcplay, keep a copy, then restore a backup or try sqlite3's .recover",
    ),
    ("not a database", "the file is no SQLite database: move it away or restore a backup"),
    ("readonly", "make the file and its directory writable for the account that runs ddcplay"),
    ("unable to open", "check that the directory exists and that this account may write there"),
    ("disk i/o error", "the disk or its file system reports errors; see the system's log"),
    ("unique", "it is already recorded; nothing was written"),
    (
        "foreign key",
        "it belongs to an iteration that is not in the database; this is a bug, please report it",
    ),
    (
        "does not exist",
        "create it on the server (CREATE ROLE …, CREATE DATABASE … OWNER …); see docs/database.md",
    ),
    (
        "no such table",
        "the database was made by something else, or only half; move it away or restore a backup",
    ),
)
_OS_HINTS = {
    errno.ENOSPC: "free space on that disk; nothing that was acknowledged is lost",
    errno.EDQUOT: "the disk quota of this account is used up; free space or raise it",
    errno.EACCES: "another program holds it, or this account may not write there",
    errno.EPERM: "this account may not write there",
    errno.EROFS: "the file system is mounted read-only",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n) or lower concurrency",
}


def describe(error: BaseException, action: str, place: str) -> StoreError:
    """Build the error a user reads.

    Args:
        error: of the library.
        action: what was tried, such as `record attempts`.
        place: file or database, without secrets.
    """
    if isinstance(error, OSError):
        what = error.strerror or type(error).__name__
        return StoreError(
            f"cannot {action} in {place}: {what}",
            _OS_HINTS.get(error.errno or 0, "check that path and its disk"),
        )
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    # psycopg lists what each address of a server said below a heading.
    text = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else type(cause).__name__
    hint = next(
        (hint for part, hint in _HINTS if part in text.lower()), "see the text above; ddcplay doctor may help"
    )
    return StoreError(f"cannot {action} in {place}: {text}", hint)


def already_recorded(attempt: AttemptResult, place: str) -> StoreError:
    """Build the error for an attempt whose pair has a row in its iteration."""
    return StoreError(
        f"attempt {attempt.probe!r} on {attempt.host!r} in iteration {attempt.iteration} is already recorded"
        f" in {place}",
        "nothing was written; leave out the pairs of recorded_pairs()",
    )


@contextmanager
def store_faults(action: str, place: str) -> Iterator[None]:
    """Translate every foreign error inside the block; ours pass."""
    try:
        yield
    except DdcplayError:
        raise
    except (SQLAlchemyError, OSError) as error:
        raise describe(error, action, place) from error
