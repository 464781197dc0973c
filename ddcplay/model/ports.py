"""What the layers below the engine need of each other, as Protocols: siblings never import siblings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ddcplay.model.effects import Outgoing


class OutboxTable(Protocol):
    """Messages that wait in the database; `store` keeps them, `notify` sends them."""

    def due(self, now: float, limit: int = 100) -> Sequence[Outgoing]:
        """Return the oldest messages whose `next_try_at` has come, in the order in which they were added.

        Mails are returned only as far as none before them waits for a later try, so they leave in order.
        """

    def next_at(self) -> float | None:
        """Return when something will be due (UTC Unix seconds), None when nothing waits."""

    def sent(self, number: int, at: float) -> None:
        """Note that a message has been taken over by the server."""

    def failed(self, number: int, error: str, next_try_at: float | None) -> None:
        """Note a failed try; None as time of the next one gives the message up."""

    def waiting(self) -> int:
        """Count the messages that are neither sent nor given up."""
