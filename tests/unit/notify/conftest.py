"""An outbox table in memory and in a file, a clock that jumps, and mails to send."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ddcplay.model.effects import Outgoing
from ddcplay.notify.message import Sender, compose, message_id

START = 1_795_372_500.0


@dataclass
class JumpingClock:
    time: float = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        return event.wait(timeout_s)

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class MemoryTable:
    """What `OutboxTable` asks for, as a list."""

    rows: list[Outgoing] = field(default_factory=list)
    sent_at: dict[int, float] = field(default_factory=dict)
    given_up: dict[int, str] = field(default_factory=dict)
    broken: bool = False

    def add(self, message: Outgoing) -> None:
        self.rows.append(replace(message, id=len(self.rows) + 1))

    def _waiting(self) -> list[Outgoing]:
        if self.broken:
            raise RuntimeError("disk full")
        return [row for row in self.rows if row.id not in self.sent_at and row.id not in self.given_up]

    def due(self, now: float, limit: int = 100) -> list[Outgoing]:
        found, held = [], False
        for row in self._waiting():
            if row.next_try_at > now:
                held = held or row.kind == "mail"
            elif row.kind != "mail" or not held:
                found.append(row)
        return found[:limit]

    def next_at(self) -> float | None:
        return min((row.next_try_at for row in self._waiting()), default=None)

    def sent(self, number: int, at: float) -> None:
        self.sent_at[number] = at

    def failed(self, number: int, error: str, next_try_at: float | None) -> None:
        if next_try_at is None:
            self.given_up[number] = error
            return
        row = self.rows[number - 1]
        self.rows[number - 1] = replace(row, tries=row.tries + 1, next_try_at=next_try_at, last_error=error)

    def waiting(self) -> int:
        return len(self._waiting())


@pytest.fixture
def clock() -> JumpingClock:
    return JumpingClock()


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable()


MailMaker = Callable[..., Outgoing]


@pytest.fixture
def mail() -> MailMaker:
    def make(number: int, *to: str, text: str = "hello") -> Outgoing:
        sender = Sender.of("ddcplay@example.edu")
        return compose(
            sender,
            to or ("it@example.edu",),
            f"Mail {number}",
            text,
            "",
            message_id=message_id(sender, "test", number),
            at=START + number,
        )

    return make


@pytest.fixture
def outbox_file(tmp_path: Path) -> Path:
    """Return an SQLite file with an outbox table, for a process that is killed."""
    path = tmp_path / "outbox.db"
    with sqlite3.connect(path) as database:
        database.execute("create table box (id integer primary key, mid text, body blob, at real)")
    database.close()
    return path
