"""The outbox (table `notification`): messages enter with a commit and wait here to be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa

from ddcplay.model.effects import Outgoing
from ddcplay.store import schema
from ddcplay.store.alert_rows import outgoing_from
from ddcplay.store.rows import storable

T = TypeVar("T")
MAIL = "mail"

_C = schema.notification.c
_WAITING = sa.and_(_C.sent_at.is_(None), _C.given_up_at.is_(None))  # as in the partial index


class _Writes(Protocol):
    def do(self, work: Callable[[sa.Connection], T], action: str) -> T: ...


class _Reads(Protocol):
    def __call__(self, work: Callable[[sa.Connection], T], /) -> T: ...


class StoredOutbox:
    """Messages that wait, of one experiment; `ExperimentStore.outbox`, a `model.ports.OutboxTable`.

    Every change is durable when the call returns; any thread may call.

    Args:
        writer: of the store.
        read: runs a closure on a reading connection.
        experiment_id: whose messages.
    """

    def __init__(self, writer: _Writes, read: _Reads, experiment_id: int) -> None:
        self._writer = writer
        self._read = read
        self._id = experiment_id

    def due(self, now: float, limit: int = 100) -> tuple[Outgoing, ...]:
        """Return the oldest messages whose time has come, in the order in which they were added.

        A mail that waits for a later try holds those behind it back, so that mails leave in order; pushes
        wait for nobody.
        """
        held = (
            sa.select(sa.func.min(_C.id))
            .where(_C.experiment_id == self._id, _WAITING, _C.kind == MAIL, _C.next_try_at > now)
            .scalar_subquery()
        )
        query = (
            sa.select(schema.notification)
            .where(
                _C.experiment_id == self._id,
                _WAITING,
                _C.next_try_at <= now,
                sa.or_(_C.kind != MAIL, held.is_(None), _C.id < held),
            )
            .order_by(_C.id)
            .limit(limit)
        )
        return self._read(lambda c: tuple(outgoing_from(dict(row)) for row in c.execute(query).mappings()))

    def next_at(self) -> float | None:
        """Return when something will be due (UTC Unix seconds), None when nothing waits."""
        first_mail = (
            sa.select(_C.next_try_at)
            .where(_C.experiment_id == self._id, _WAITING, _C.kind == MAIL)
            .order_by(_C.id)
            .limit(1)
        )
        pushes = sa.select(sa.func.min(_C.next_try_at)).where(
            _C.experiment_id == self._id, _WAITING, _C.kind != MAIL
        )
        times = self._read(lambda c: (c.execute(first_mail).scalar(), c.execute(pushes).scalar()))
        return min((at for at in times if at is not None), default=None)

    def sent(self, number: int, at: float) -> None:
        """Note that a message has been taken over by the server; its payload leaves the database."""
        self._change(number, {"sent_at": at, "last_error": "", "payload": b""}, "record a sent message")

    def failed(self, number: int, error: str, next_try_at: float | None) -> None:
        """Note a failed try; None as time of the next one gives the message up.

        The time of giving up is that at which the last try was due: nobody hands in another.
        """
        values: dict[str, object] = {"tries": _C.tries + 1, "last_error": storable(error)}
        if next_try_at is None:
            values["given_up_at"] = sa.case(
                (_C.next_try_at > _C.created_at, _C.next_try_at), else_=_C.created_at
            )
        else:
            values["next_try_at"] = next_try_at
        self._change(number, values, "record a message that failed")

    def waiting(self) -> int:
        """Count the messages that are neither sent nor given up."""
        query = (
            sa.select(sa.func.count())
            .select_from(schema.notification)
            .where(_C.experiment_id == self._id, _WAITING)
        )
        return self._read(lambda c: c.execute(query).scalar_one())

    def _change(self, number: int, values: dict[str, object], action: str) -> None:
        """Change a message that waits; one that left meanwhile stays as it is."""
        statement = (
            sa.update(schema.notification)
            .where(_C.experiment_id == self._id, _C.id == number, _WAITING)
            .values(values)
        )
        self._writer.do(lambda c: c.execute(statement), action)
