"""One step of the pipeline: a thread that takes what has arrived, in order, in batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

BATCH = 500
"""Items taken at once at most; a batch takes what has arrived, so it stays small while little happens."""


class Stage(Generic[T]):
    """Works on items one batch after another, on its own thread or in the caller's.

    In the caller's thread items may be gathered until one that stands alone arrives (the end of an
    iteration), or somebody waits for them: so the number of commits does not depend on that of items.

    Args:
        name: of the thread.
        work: does one batch; what it raises ends the stage and is kept in `failure`.
        alone: says which items come in a batch of their own, after all that arrived before them.
        threaded: False handles everything in the caller's thread.
        gathers: the caller's thread does so in one batch per iteration (virtual time).
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[T]], None],
        alone: Callable[[T], bool],
        *,
        threaded: bool,
        gathers: bool = False,
    ) -> None:
        self._work = work
        self._alone = alone
        self._gathers = gathers
        self._queue: deque[T] = deque()
        self._room = threading.Condition()
        self._busy = False
        self._ending = False
        self.failure: BaseException | None = None
        """Why nothing is done any more; the run must stop."""
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
            self._thread.start()

    def put(self, item: T) -> None:
        """Hand over an item; returns at once (unless not threaded)."""
        if self._thread is None:
            self._queue.append(item)
            if not self._gathers or self._alone(item):
                self._work_off()
            return
        with self._room:
            self._queue.append(item)
            self._room.notify_all()

    def waiting(self) -> int:
        """Count what has not been taken yet."""
        return len(self._queue)

    def drop(self) -> None:
        """Forget what has not been taken yet; the database knows it."""
        with self._room:
            self._queue.clear()
            self._room.notify_all()

    def drain(self) -> None:
        """Wait until everything handed over is done, or the stage has failed."""
        if self._thread is None:
            self._work_off()
            return
        with self._room:
            self._room.wait_for(lambda: self.failure is not None or not (self._queue or self._busy))

    def close(self, timeout_s: float | None = None) -> bool:
        """Do what is left and end the thread; may be called again.

        Args:
            timeout_s: longest wait, by the machine's clock; None for as long as it takes.

        Returns:
            Whether it has ended.
        """
        with self._room:
            self._ending = True
            self._room.notify_all()
        if self._thread is None:
            self._work_off()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work_off(self) -> None:
        while self._queue and self.failure is None:
            try:
                self._work(self._take())
            except Exception as error:
                self.failure = error
                raise

    def _loop(self) -> None:
        while True:
            with self._room:
                self._room.wait_for(lambda: bool(self._queue) or self._ending)
                if not self._queue:
                    return
                batch = self._take()
                self._busy = True
            try:
                self._work(batch)
            except Exception as error:  # noqa: BLE001 - carried to the run's thread, which raises it
                self.failure = error
            finally:
                with self._room:
                    self._busy = False
                    self._room.notify_all()
            if self.failure is not None:
                return

    def _take(self) -> Sequence[T]:
        batch: list[T] = []
        while self._queue and (len(batch) < BATCH or self._gathers):
            if batch and self._alone(self._queue[0]):
                break
            batch.append(self._queue.popleft())
            if self._alone(batch[-1]):
                break
        return batch
