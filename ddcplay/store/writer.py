"""One thread owns the only write connection (design §6): SQLite has one writer, a commit costs a disk sync.

Requests that wait anyway share a transaction, each in its own savepoint, so a refused one harms no other.
Whoever asked is told only after the commit: a returned `Future` result is on the disk.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ddcplay.errors import DdcplayError, StoreError
from ddcplay.store.faults import describe

T = TypeVar("T")
_BATCH_S = 0.4  # design: under 0.5 s


class _Request:
    """A closure on the connection, and the future of whoever waits for it."""

    __slots__ = ("action", "future", "outcome", "work")

    def __init__(self, work: Callable[[sa.Connection], object], action: str) -> None:
        self.work = work
        self.action = action
        self.future: Future[object] = Future()
        self.outcome: object = None

    def fail(self, error: BaseException, place: str) -> None:
        told = error if isinstance(error, DdcplayError) else describe(error, self.action, place)
        if told is not error:
            told.__cause__ = error
        self.future.set_exception(told)


class Writer:
    """Runs closures on the write connection, in the order in which they were handed in.

    Args:
        engine: whose first connection becomes the only writer's.
        place: the database's name for messages.
    """

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self._place = place
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        # Daemon: a coordinator that dies without closing must not hang; nothing unacknowledged is promised.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[sa.Connection], T], action: str) -> T:
        """Run `work` in a transaction and wait until it is durable.

        Args:
            work: touches only the connection; may be rolled back.
            action: for messages, such as `record attempts`.

        Raises:
            StoreError: nothing of it was written; the text says what to do.
        """
        request = _Request(work, action)
        with self._gate:
            if self._closed:
                raise StoreError(f"cannot {action}: the store is closed", "open it again")
            self._queue.put(request)
        return cast("T", request.future.result())  # the queue holds closures of every result type

    def close(self) -> None:
        """Finish what was handed in, then let the connection go; further calls do nothing."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection: sa.Connection | None = None
        while (first := self._queue.get()) is not None:
            batch: list[_Request] = []
            try:
                if connection is None or connection.invalidated:
                    connection = self._engine.connect()
                batch.append(first)
                last = self._transact(connection, batch)
            except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
                _abandon(connection)
                for request in batch or [first]:
                    if not request.future.done():
                        request.fail(error, self._place)
                # The end mark may have been taken by the batch that failed; nothing comes after it.
                last = self._closed and self._queue.empty()
            if last:
                break
        if connection is not None:
            connection.close()

    def _transact(self, connection: sa.Connection, batch: list[_Request]) -> bool:
        """Run one batch; return whether the end of the queue was met."""
        started = time.monotonic()
        last = False
        done: list[_Request] = []
        with connection.begin():
            request: _Request | None = batch[0]
            while request is not None:
                if self._run_one(connection, request):
                    done.append(request)
                request = None
                if not self._queue.empty() and time.monotonic() - started < _BATCH_S:
                    request = self._queue.get()
                    last = request is None
                    if request is not None:
                        batch.append(request)
        for finished in done:
            finished.future.set_result(finished.outcome)
        return last

    def _run_one(self, connection: sa.Connection, request: _Request) -> bool:
        savepoint = connection.begin_nested()
        try:
            request.outcome = request.work(connection)
            savepoint.commit()
        except Exception as error:  # noqa: BLE001 - its caller is told; the others of the batch go on
            try:
                savepoint.rollback()
            except (
                SQLAlchemyError
            ) as gone:  # a full disk rolls the whole transaction back, savepoints and all
                raise error from gone
            request.fail(error, self._place)
            return False
        return True


def _abandon(connection: sa.Connection | None) -> None:
    """Leave no transaction open after a failure; a connection beyond repair is replaced."""
    if connection is None:
        return
    try:
        connection.rollback()
    except Exception:  # noqa: BLE001 - the first error is the one that is told
        connection.invalidate()
