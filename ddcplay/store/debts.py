"""Debts of a single shot: which probe is still owed to which host (design §9.8), in table `debt`.

Payment happens in the transaction of commit 1 (`settle`), so that an attempt and what it pays are never
apart, whatever kills the coordinator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import sqlalchemy as sa

from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store import schema
from ddcplay.store.dialect import insert_missing

T = TypeVar("T")
Pair = tuple[str, str]

PROBE = "probe"
VOID = "void"
"""`last_reason` of a debt whose host or probe left the playbook; it blocks nothing and may come back."""

TIMEOUTS_AT_MOST = 3
_PAYING = frozenset({None, Reason.EXIT_CODE, Reason.FILTER})

_C = schema.debt.c
_THIS = sa.and_(
    _C.experiment_id == sa.bindparam("of_experiment"),
    _C.kind == PROBE,
    _C.host == sa.bindparam("of_host"),
    _C.probe == sa.bindparam("of_probe"),
    _C.paid_at.is_(None),
)
_OPEN = sa.and_(_THIS, _C.given_up_at.is_(None))
_PAY = (
    sa.update(schema.debt)
    .where(_THIS)
    .values(
        paid_at=sa.bindparam("new_at"),
        paid_by=sa.bindparam("new_by"),
        last_reason=sa.bindparam("new_reason"),
        given_up_at=None,
    )
)
_TIMED_OUT = (
    sa.update(schema.debt)
    .where(_OPEN)
    .values(
        tries=_C.tries + 1,
        last_reason=sa.bindparam("new_reason"),
        given_up_at=sa.case((_C.tries + 1 >= TIMEOUTS_AT_MOST, sa.bindparam("new_at")), else_=None),
    )
)
_NOTE = sa.update(schema.debt).where(_OPEN).values(last_reason=sa.bindparam("new_reason"))
_GIVE_UP = sa.update(schema.debt).where(_OPEN).values(given_up_at=sa.bindparam("new_at"))


@dataclass(frozen=True, slots=True)
class Debt:
    """One probe that was or is owed to one host.

    Args:
        host: inventory name.
        probe: the probe's name.
        since: UTC Unix seconds of its beginning.
        tries: timeouts so far.
        last_reason: why it is still owed, None before the first try.
        paid_at: UTC Unix seconds, None while it is owed.
        given_up_at: UTC Unix seconds, None while it is owed.
    """

    host: str
    probe: str
    since: float
    tries: int = 0
    last_reason: str | None = None
    paid_at: float | None = None
    given_up_at: float | None = None

    @property
    def pair(self) -> Pair:
        """Return (host, probe)."""
        return self.host, self.probe

    @property
    def open(self) -> bool:
        """Say whether it is neither paid nor given up."""
        return self.paid_at is None and self.given_up_at is None


class _Writes(Protocol):
    def do(self, work: Callable[[sa.Connection], T], action: str) -> T: ...


class Debts:
    """The probe debts of one experiment; `ExperimentStore.debts`.

    Args:
        writer: of the store.
        read: runs a closure on a reading connection.
        experiment_id: whose debts.
    """

    def __init__(
        self,
        writer: _Writes,
        read: Callable[[Callable[[sa.Connection], tuple[Debt, ...]]], tuple[Debt, ...]],
        experiment_id: int,
    ) -> None:
        self._writer = writer
        self._read = read
        self._id = experiment_id

    def all(self) -> tuple[Debt, ...]:
        """Return every probe debt, paid ones too."""
        return self._read(lambda c: probe_debts(c, self._id))

    def begin(self, pairs: Collection[Pair], now: float) -> None:
        """Write debts for pairs that never had one; what was paid or given up stays so."""
        rows = [
            {
                "experiment_id": self._id,
                "kind": PROBE,
                "host": host,
                "probe": probe,
                "payload": "{}",
                "since": now,
                "tries": 0,
            }
            for host, probe in pairs
        ]
        if rows:
            self._writer.do(lambda c: c.execute(insert_missing(c, schema.debt), rows), "record debts")

    def note(self, reasons: Mapping[Pair, str | None]) -> None:
        """Remember why pairs are still owed."""
        self._each(_NOTE, [{**self._key(pair), "new_reason": reason} for pair, reason in reasons.items()])

    def give_up(self, pairs: Iterable[Pair], now: float) -> None:
        """Owe pairs no longer, although they were never paid."""
        self._each(_GIVE_UP, [{**self._key(pair), "new_at": now} for pair in pairs])

    def owe_again(self, pairs: Collection[Pair], now: float) -> None:
        """Owe pairs anew, whatever became of them (`run --again`)."""
        self.begin(pairs, now)
        again = (
            sa.update(schema.debt)
            .where(
                _C.experiment_id == sa.bindparam("of_experiment"),
                _C.kind == PROBE,
                _C.host == sa.bindparam("of_host"),
                _C.probe == sa.bindparam("of_probe"),
            )
            .values(since=now, tries=0, last_reason=None, paid_at=None, paid_by=None, given_up_at=None)
        )
        self._each(again, [self._key(pair) for pair in pairs])

    def _key(self, pair: Pair) -> dict[str, object]:
        return {"of_experiment": self._id, "of_host": pair[0], "of_probe": pair[1]}

    def _each(self, statement: sa.Update, rows: list[dict[str, object]]) -> None:
        if rows:
            self._writer.do(lambda c: c.execute(statement, rows), "record debts")


def probe_debts(connection: sa.Connection, experiment_id: int) -> tuple[Debt, ...]:
    """Return every probe debt of an experiment, in the order of host and probe."""
    names = ("host", "probe", "since", "tries", "last_reason", "paid_at", "given_up_at")
    query = (
        sa.select(*(_C[name] for name in names))
        .where(_C.experiment_id == experiment_id, _C.kind == PROBE)
        .order_by(_C.host, _C.probe)
    )
    return tuple(Debt(*row) for row in connection.execute(query))


def settle(
    connection: sa.Connection, experiment_id: int, numbers: Sequence[int], results: Sequence[AttemptResult]
) -> None:
    """Let attempts pay, or count against, the debts of their pairs; part of commit 1.

    `ok`, `exit_code` and `filter` pay; three timeouts give up; everything else stays owed (design §9.8).
    """
    paying: list[dict[str, object]] = []
    late: list[dict[str, object]] = []
    noted: list[dict[str, object]] = []
    for number, result in zip(numbers, results, strict=True):
        row: dict[str, object] = {
            "of_experiment": experiment_id,
            "of_host": result.host,
            "of_probe": result.probe,
            "new_reason": None if result.reason is None else result.reason.value,
        }
        ended_at = result.started_at + result.elapsed_s
        if result.reason in _PAYING:
            paying.append({**row, "new_at": ended_at, "new_by": str(number)})
        elif result.reason is Reason.TIMEOUT:
            late.append({**row, "new_at": ended_at})
        else:
            noted.append(row)
    for statement, rows in ((_PAY, paying), (_TIMED_OUT, late), (_NOTE, noted)):
        if rows:
            connection.execute(statement, rows)
