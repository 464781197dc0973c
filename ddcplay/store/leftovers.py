"""Files owed to be removed from targets: rows of kind `cleanup` in table `debt`.

They are written and paid in the transaction of commit 1, with the attempt that left or removed them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from ddcplay.model.result import AttemptResult
from ddcplay.store import schema
from ddcplay.store.dialect import insert_missing
from ddcplay.store.rows import storable

T = TypeVar("T")
CLEANUP = "cleanup"

_C = schema.debt.c
_PAIR = sa.and_(
    _C.experiment_id == sa.bindparam("of_experiment"),
    _C.kind == CLEANUP,
    _C.host == sa.bindparam("of_host"),
    _C.probe == sa.bindparam("of_probe"),
)
_OWE = (
    sa.update(schema.debt)
    .where(_PAIR)
    .values(
        payload=sa.bindparam("new_payload"),
        since=sa.case((_C.paid_at.is_(None), _C.since), else_=sa.bindparam("new_at")),
        tries=sa.case((_C.paid_at.is_(None), _C.tries), else_=0),
        last_reason=sa.bindparam("new_reason"),
        paid_at=None,
        paid_by=None,
    )
)
_PAY = (
    sa.update(schema.debt)
    .where(_PAIR, _C.paid_at.is_(None))
    .values(paid_at=sa.bindparam("new_at"), paid_by=sa.bindparam("new_by"), last_reason=None)
)
_NOTE = (
    sa.update(schema.debt)
    .where(_PAIR, _C.paid_at.is_(None))
    .values(tries=_C.tries + 1, last_reason=sa.bindparam("new_reason"))
)


@dataclass(frozen=True, slots=True)
class Leftover:
    """Directories of one probe that are still on one host.

    Args:
        host: inventory name.
        probe: the probe's name.
        directories: on the target.
        since: UTC Unix seconds.
        tries: how often `ddcplay clean` tried in vain.
        last_reason: why it is still owed, None when nobody tried yet.
    """

    host: str
    probe: str
    directories: tuple[str, ...]
    since: float
    tries: int = 0
    last_reason: str | None = None


class _Writes(Protocol):
    def do(self, work: Callable[[sa.Connection], T], action: str) -> T: ...


class Leftovers:
    """What an experiment has left on its targets; `ExperimentStore.leftovers`.

    Args:
        writer: of the store.
        read: runs a closure on a reading connection.
        experiment_id: whose leftovers.
    """

    def __init__(
        self,
        writer: _Writes,
        read: Callable[[Callable[[sa.Connection], tuple[Leftover, ...]]], tuple[Leftover, ...]],
        experiment_id: int,
    ) -> None:
        self._writer = writer
        self._read = read
        self._id = experiment_id

    def owed(self) -> tuple[Leftover, ...]:
        """Return what is still to be removed, in the order of host and probe."""
        return self._read(lambda c: owed(c, self._id))

    def pay(self, pairs: Sequence[tuple[str, str]], now: float, by: str) -> None:
        """Record that the directories of (host, probe) pairs are gone."""
        rows = [{**self._key(pair), "new_at": now, "new_by": by} for pair in pairs]
        if rows:
            self._writer.do(lambda c: c.execute(_PAY, rows), "record what was cleaned up")

    def note(self, pair: tuple[str, str], reason: str) -> None:
        """Remember why a removal failed."""
        row = {**self._key(pair), "new_reason": storable(reason)}
        self._writer.do(lambda c: c.execute(_NOTE, row), "record what is still owed")

    def _key(self, pair: tuple[str, str]) -> dict[str, object]:
        return {"of_experiment": self._id, "of_host": pair[0], "of_probe": pair[1]}


def owed(connection: sa.Connection, experiment_id: int) -> tuple[Leftover, ...]:
    """Return the unpaid cleanups of an experiment."""
    query = (
        sa.select(_C.host, _C.probe, _C.payload, _C.since, _C.tries, _C.last_reason)
        .where(_C.experiment_id == experiment_id, _C.kind == CLEANUP, _C.paid_at.is_(None))
        .order_by(_C.host, _C.probe)
    )
    return tuple(
        Leftover(
            row.host,
            row.probe,
            tuple(json.loads(row.payload).get("directories", ())),
            row.since,
            row.tries,
            row.last_reason,
        )
        for row in connection.execute(query)
    )


def record(
    connection: sa.Connection, experiment_id: int, numbers: Sequence[int], results: Sequence[AttemptResult]
) -> None:
    """Write what attempts left, and pay what they removed; part of commit 1."""
    owing: list[dict[str, object]] = []
    new: list[dict[str, object]] = []
    paying: list[dict[str, object]] = []
    for number, result in zip(numbers, results, strict=True):
        ended_at = result.started_at + result.elapsed_s
        row: dict[str, object] = {
            "of_experiment": experiment_id,
            "of_host": result.host,
            "of_probe": result.probe,
            "new_at": ended_at,
        }
        if result.left:
            payload = json.dumps({"directories": list(result.left)})
            new.append(
                {
                    "experiment_id": experiment_id,
                    "kind": CLEANUP,
                    "host": result.host,
                    "probe": result.probe,
                    "payload": payload,
                    "since": ended_at,
                    "tries": 0,
                }
            )
            reason = None if result.reason is None else result.reason.value
            owing.append({**row, "new_payload": payload, "new_reason": reason})
        elif result.cleaned:
            paying.append({**row, "new_by": str(number)})
    if new:
        connection.execute(insert_missing(connection, schema.debt), new)
        connection.execute(_OWE, owing)
    if paying:
        connection.execute(_PAY, paying)
