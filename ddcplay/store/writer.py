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
from functools import partial
from typing import TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ddcplay.errors import DdcplayError, StoreError
from ddcplay.store.faults import describe
from ddcplay.store.postgres import is_lost, patiently

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

    A server that went away is waited for: what was not yet committed runs again on a new connection.

    Args:
        engine: whose first connection becomes the only writer's.
        place: the database's name for messages.
        claim: runs on each new connection before anything else does, in transactions of its own.
    """

    def __init__(
        self, engine: sa.Engine, place: str, claim: Callable[[sa.Connection], None] | None = None
    ) -> None:
        self._engine = engine
        self._place = place
        self._claim = claim
        self._connection: sa.Connection | None = None
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._ended = False  # the end of the queue was met
        # Daemon: a coordinator that dies without closing must not hang; nothing unacknowledged is promised.
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[sa.Connection], T], action: str) -> T:
        """Run `work` in a transaction and wait until it is durable.

        Args:
            work: touches only the connection; may be rolled back, and run again.
            action: for messages, such as `record attempts`.

        Raises:
            StoreError: nothing of it was written; the text says what to do, and if that is uncertain.
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
        while not self._ended and (first := self._queue.get()) is not None:
            batch = [first]
            try:
                patiently(partial(self._attempt, batch))
            except BaseException as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
                for request in batch:
                    if not request.future.done():
                        request.fail(error, self._place)
        if self._connection is not None:
            self._connection.close()

    def _attempt(self, batch: list[_Request]) -> None:
        try:
            self._transact(batch)
        except BaseException:
            self._abandon()
            raise

    def _transact(self, batch: list[_Request]) -> None:
        """Run a batch, which grows while others wait, in one transaction."""
        started = time.monotonic()
        connection = self._ready()
        done: list[_Request] = []
        for request in batch:  # also those that are added meanwhile
            if not request.future.done() and self._run_one(connection, request):
                done.append(request)
            if request is batch[-1] and time.monotonic() - started < _BATCH_S:
                self._add_waiting(batch)
        try:
            connection.commit()
        except DBAPIError as error:
            if not is_lost(error):
                raise
            raise StoreError(
                f"the connection to {self._place} was lost during a commit, which may or may not be written",
                "see to the server, then start again: ddcplay goes on with what the database has",
            ) from error
        for finished in done:
            finished.future.set_result(finished.outcome)

    def _ready(self) -> sa.Connection:
        """Return the write connection with a transaction begun; a lost one is replaced."""
        if self._connection is not None and self._connection.invalidated:
            self._connection.close()
            self._connection = None
        if self._connection is None:
            connection = self._engine.connect()
            try:
                if self._claim is not None:
                    self._claim(connection)
            except BaseException:
                connection.invalidate()  # a lock may hang on it
                connection.close()
                raise
            self._connection = connection
        self._connection.begin()
        return self._connection

    def _add_waiting(self, batch: list[_Request]) -> None:
        if not self._ended and not self._queue.empty():
            request = self._queue.get()
            if request is None:
                self._ended = True
            else:
                batch.append(request)

    def _run_one(self, connection: sa.Connection, request: _Request) -> bool:
        savepoint = connection.begin_nested()
        try:
            request.outcome = request.work(connection)
            savepoint.commit()
        except Exception as error:
            if connection.invalidated:  # no fault of this request: the whole batch runs again
                raise
            try:
                savepoint.rollback()
            except SQLAlchemyError as gone:
                # A full disk rolls the whole transaction back, savepoints and all.
                raise error from gone
            request.fail(error, self._place)
            return False
        return True

    def _abandon(self) -> None:
        """Leave no transaction open after a failure; a connection beyond repair is replaced."""
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except Exception:  # noqa: BLE001 - the first error is the one that is told
            self._connection.invalidate()
