"""What senders promise the outbox: one Protocol, and the fate of one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ddcplay.model.effects import Outgoing


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message.

    Args:
        message: which one.
        error: why it did not go, empty when it did.
        hint: what an admin can do about it.
        refused_for_good: the server does not want this very message; others may pass.
        refused_recipients: who did not get a message that went, with the server's words.
    """

    message: Outgoing
    error: str = ""
    hint: str = ""
    refused_for_good: bool = False
    refused_recipients: tuple[tuple[str, str], ...] = ()

    @property
    def done(self) -> bool:
        """Say whether the server has it."""
        return not self.error


class MessageSender(Protocol):
    """Sends messages of one kind."""

    def send(self, messages: Sequence[Outgoing]) -> Iterator[Delivery]:
        """Send messages in order, and yield each one's fate before the next is begun.

        May end early; the rest is tried again later. Raises nothing for trouble with a server.
        """
