from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ddcplay.errors import StoreError
from ddcplay.store.dialect import database_url, open_engine
from ddcplay.store.faults import describe
from ddcplay.store.writer import Writer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    made = open_engine(database_url(tmp_path / "w.db", None))
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n INTEGER PRIMARY KEY, b BLOB)")
    yield made
    made.dispose()


def _insert(number: int, size: int = 0) -> Callable[[sa.Connection], int]:
    return lambda c: c.exec_driver_sql("INSERT INTO t VALUES (?, zeroblob(?))", (number, size)).rowcount


def _numbers(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql("SELECT n FROM t ORDER BY n").scalars())


def test_requests_that_wait_share_one_commit(engine: sa.Engine) -> None:
    commits: list[int] = []
    sa.event.listen(engine, "commit", lambda _connection: commits.append(1))
    writer = Writer(engine, "w.db")
    started, go = threading.Event(), threading.Event()

    def slow(connection: sa.Connection) -> int:
        started.set()
        go.wait(5)
        return _insert(0)(connection)

    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(writer.do, slow, "write")
        started.wait(5)
        others = [pool.submit(writer.do, _insert(number), "write") for number in range(1, 11)]
        while writer._queue.qsize() < 10:
            threading.Event().wait(0.001)
        go.set()
        assert [future.result() for future in (first, *others)] == [1] * 11
    writer.close()
    assert len(commits) == 1
    assert _numbers(engine) == list(range(11))


def test_a_full_database_is_told_and_what_was_acknowledged_stays(engine: sa.Engine) -> None:
    with engine.connect() as connection:  # the pool hands this very connection to the writer
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")
    writer = Writer(engine, "w.db")
    writer.do(_insert(1), "record attempts")
    with pytest.raises(
        StoreError, match=r"cannot record attempts in w\.db: database or disk is full"
    ) as caught:
        writer.do(_insert(2, 1_000_000), "record attempts")
    assert "free space" in caught.value.hint
    writer.do(_insert(3), "record attempts")
    writer.close()
    assert _numbers(engine) == [1, 3]


def test_a_bug_in_one_request_reaches_its_caller_alone(engine: sa.Engine) -> None:
    writer = Writer(engine, "w.db")

    def wrong(connection: sa.Connection) -> int:
        _insert(1)(connection)
        return 1 // 0

    with pytest.raises(StoreError, match=r"cannot try in w\.db: integer division"):
        writer.do(wrong, "try")
    writer.do(_insert(2), "write")
    writer.close()
    assert _numbers(engine) == [2]


def test_a_database_that_somebody_locks_is_told(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
        connection.rollback()
        writer = Writer(engine, "w.db")
        other = engine.connect()
        other.exec_driver_sql("PRAGMA busy_timeout=1")
        other.close()
        connection.begin()
        with pytest.raises(StoreError, match="locked") as caught:
            writer.do(_insert(1), "write")
        assert "database browser" in caught.value.hint
        connection.rollback()
        assert writer.do(_insert(1), "write") == 1
        writer.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            sa.exc.DatabaseError("SELECT 'hunter2'", {}, Exception("database disk image is malformed")),
            ".recover",
        ),
        (sa.exc.OperationalError("x", {}, Exception("attempt to write a readonly database")), "writable"),
        (sa.exc.DatabaseError("x", {}, Exception("file is not a database")), "restore a backup"),
        (OSError(errno.ENOSPC, "No space left on device"), "free space"),
        (PermissionError(errno.EACCES, "Permission denied"), "another program"),
        (OSError(errno.EIO, "Input/output error"), "disk"),
        (sa.exc.InvalidRequestError("odd"), "doctor"),
    ],
)
def test_every_trouble_says_what_to_do(error: Exception, said: str) -> None:
    told = describe(error, "write", "x.db")
    assert said in told.hint
    assert "x.db" in str(told)
    assert "hunter2" not in str(told)
