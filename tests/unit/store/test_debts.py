"""Debts of a single shot in the database: what pays them, what gives them up, what leaves them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ddcplay.errors import StoreError
from ddcplay.model.result import REASONS, AttemptResult, Outcome, Reason, outcome_of
from ddcplay.store.base import ChainDone, IterationRecord, Provenance
from ddcplay.store.debts import Debt
from ddcplay.store.experiment_store import ExperimentStore, open_store

HOSTS = ("pc1", "pc2")
PAIRS = [(host, "bench") for host in HOSTS]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperimentStore]:
    made = open_store(tmp_path / "exp", "exp", play="P", clock_now=1000.0)
    made.debts.begin(PAIRS, 1000.0)
    yield made
    made.close()


def attempt(
    store: ExperimentStore, iteration: int, reason: Reason | None, host: str = "pc1"
) -> tuple[int, Debt]:
    """Record one attempt in an iteration of its own; return its id and what became of the debt."""
    store.open_iteration(IterationRecord(iteration, float(iteration)), Provenance(), HOSTS, ["bench"])
    outcome = Outcome.OK if reason is None else outcome_of(reason)
    result = AttemptResult("exp", iteration, host, "bench", outcome, reason, started_at=iteration + 1.0)
    (number,) = store.commit_attempts([result], pays_debts=True)
    return number, {debt.host: debt for debt in store.debts.all()}[host]


@pytest.mark.parametrize("reason", [None, *sorted({r for reasons in REASONS.values() for r in reasons})])
def test_ok_exit_code_and_filter_pay_everything_else_stays_owed(
    store: ExperimentStore, reason: Reason | None
) -> None:
    _, debt = attempt(store, 2000, reason)
    pays = reason in {None, Reason.EXIT_CODE, Reason.FILTER}
    assert debt.open is not pays
    assert debt.paid_at == (2001.0 if pays else None)
    assert debt.tries == (1 if reason is Reason.TIMEOUT else 0)
    assert debt.last_reason == (None if reason is None else reason.value)
    other = next(each for each in store.debts.all() if each.host == "pc2")
    assert other == Debt("pc2", "bench", 1000.0)


def test_three_timeouts_give_a_debt_up_whatever_came_between(store: ExperimentStore) -> None:
    reasons = [Reason.TIMEOUT, Reason.TRANSPORT, Reason.TIMEOUT, Reason.BUSY, Reason.TIMEOUT]
    debts = [attempt(store, 2000 + n, reason)[1] for n, reason in enumerate(reasons)]
    assert [debt.open for debt in debts] == [True, True, True, True, False]
    assert (debts[-1].tries, debts[-1].given_up_at) == (3, 2005.0)


def test_an_attempt_that_comes_after_all_pays_what_was_given_up(store: ExperimentStore) -> None:
    store.debts.give_up([("pc1", "bench")], 1500.0)
    _, debt = attempt(store, 2000, None)
    assert (debt.paid_at, debt.given_up_at) == (2001.0, None)


def test_attempt_and_payment_are_written_together_or_not_at_all(store: ExperimentStore) -> None:
    store.open_iteration(IterationRecord(2000, 2000.0), Provenance(), HOSTS, ["bench"])
    good = AttemptResult("exp", 2000, "pc1", "bench", Outcome.OK)
    with pytest.raises(StoreError):
        store.commit_attempts([good, good], pays_debts=True)
    assert all(debt.open for debt in store.debts.all())
    store.commit_attempts([good], pays_debts=True)
    assert [debt.open for debt in store.debts.all()] == [False, True]


def test_a_chain_that_fails_later_changes_no_debt(store: ExperimentStore) -> None:
    number, before = attempt(store, 2000, None)
    store.commit_chains([ChainDone(number, Reason.FILTER, "broken")])
    assert next(debt for debt in store.debts.all() if debt.host == "pc1") == before


def test_debts_that_exist_are_left_as_they_are_and_again_owes_them_anew(store: ExperimentStore) -> None:
    attempt(store, 2000, None)
    store.debts.begin([*PAIRS, ("pc3", "bench")], 3000.0)
    assert [(debt.host, debt.since, debt.open) for debt in store.debts.all()] == [
        ("pc1", 1000.0, False),
        ("pc2", 1000.0, True),
        ("pc3", 3000.0, True),
    ]
    store.debts.owe_again([("pc1", "bench")], 4000.0)
    assert store.debts.all()[0] == Debt("pc1", "bench", 4000.0)


def test_attempts_of_other_schedules_pay_nothing(store: ExperimentStore) -> None:
    store.open_iteration(IterationRecord(2000, 2000.0), Provenance(), HOSTS, ["bench"])
    store.commit_attempts([AttemptResult("exp", 2000, "pc1", "bench", Outcome.OK)])
    assert all(debt.open for debt in store.debts.all())
