"""Pages that removed rows left in an SQLite file go back to the disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_WORTH_IT = 0.1  # of the file is free; below, new rows use it soon


def give_back(file: Path) -> tuple[str, ...]:
    """Rewrite a database without its free pages, when they are many.

    Args:
        file: SQLite's; nobody else should write it.

    Returns:
        A warning when it could not be done now; the space is then used by new rows.
    """
    try:
        with closing(sqlite3.connect(file, timeout=1.0)) as connection:
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if pages and free >= _WORTH_IT * pages:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        return (f"{file} keeps its size for now ({error}); new rows use the space",)
    return ()
