"""Reading connections of a store: work sees one moment, and a server's restart is waited out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from ddcplay.store.dialect import place_of
from ddcplay.store.faults import store_faults
from ddcplay.store.postgres import patiently

T = TypeVar("T")


class Readers:
    """Connections that cannot write; any thread may read.

    Args:
        engine: made for reading.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._place = place_of(engine.url)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work that only reads, in a transaction of its own.

        Raises:
            StoreError: the database cannot be read; the text says what to do.
        """

        def once() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        with store_faults("read", self._place):
            return patiently(once)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()
