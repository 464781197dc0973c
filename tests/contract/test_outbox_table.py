"""What every outbox table must keep: order, what is due, and who is held back by whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.model.effects import Outgoing
from ddcplay.model.ports import OutboxTable
from ddcplay.store.base import IterationEffects, IterationRecord, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store

Fill = Callable[..., OutboxTable]


class Outboxes:
    """Tables that are filled as the engine fills them, and opened again as after a crash."""

    def __init__(self, directory: Path, url: str | None) -> None:
        self._directory = directory
        self._url = url
        self._stores: list[ExperimentStore] = []

    def filled(self, *kinds: str) -> OutboxTable:
        """Build a table of messages 1, 2, …, added in that order."""
        name = f"exp{len(self._stores)}"
        store = open_store(
            self._directory / name, name, play="P", clock_now=1.0, url=self._url, durability="batch"
        )
        self._stores.append(store)
        messages = tuple(
            Outgoing(
                kind, f"<{number}@x>", 100.0 - number, b"%d" % number, ("a@b",) if kind == "mail" else ()
            )
            for number, kind in enumerate(kinds, 1)
        )
        store.open_iteration(IterationRecord(1, 1.0), Provenance(), ["h"], ["p"])
        store.close_iteration(1, 2.0, 1.0, "closed", effects=IterationEffects(outgoing=messages))
        return store.outbox

    def reopened(self) -> OutboxTable:
        name = self._stores[-1].experiment
        self._stores[-1].close()
        self._stores.append(open_store(self._directory / name, name, play="P", clock_now=1.0, url=self._url))
        return self._stores[-1].outbox

    def close(self) -> None:
        for store in self._stores:
            store.close()


POSTGRES = pytest.param("postgres", marks=[pytest.mark.real, pytest.mark.xdist_group("postgres")])


@pytest.fixture(params=["sqlite", POSTGRES])
def outboxes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Outboxes]:
    made = Outboxes(
        tmp_path, None if request.param == "sqlite" else request.getfixturevalue("postgres_url")()
    )
    yield made
    made.close()


def due(table: OutboxTable, now: float = 1000.0, limit: int = 100) -> list[int]:
    return [message.id for message in table.due(now, limit)]


def test_messages_leave_in_the_order_in_which_they_were_added(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "push", "mail")
    assert due(table) == [1, 2, 3]
    assert due(table, limit=2) == [1, 2]
    assert [message.payload for message in table.due(1000.0)] == [b"1", b"2", b"3"]
    assert (table.waiting(), table.next_at()) == (3, 0.0)


def test_what_was_sent_or_given_up_does_not_wait_any_more(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "mail", "push")
    table.sent(1, 1000.0)
    table.failed(2, "550 no such user", None)
    assert (due(table), table.waiting()) == ([3], 1)
    table.sent(3, 1001.0)
    assert (due(table), table.waiting(), table.next_at()) == ([], 0, None)
    table.failed(1, "too late", 1.0)
    assert table.waiting() == 0


def test_a_mail_that_waits_holds_later_mails_back_so_that_they_leave_in_order(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "mail", "mail")
    table.sent(1, 1000.0)
    table.failed(2, "451 try again", 1060.0)
    assert due(table, 1059.9) == []
    assert table.next_at() == 1060.0
    assert due(table, 1060.0) == [2, 3]


def test_mails_before_the_one_that_waits_may_leave(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "mail", "mail")
    table.failed(2, "451 try again", 1060.0)
    assert due(table) == [1]
    assert table.next_at() == 0.0


def test_a_mail_that_is_given_up_holds_nobody(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "mail")
    table.failed(1, "451 try again", 1060.0)
    table.failed(1, "too often", None)
    assert due(table) == [2]


def test_pushes_and_mails_do_not_hold_each_other(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "push", "push", "mail")
    table.failed(1, "down", 2000.0)
    assert due(table) == [2, 3]
    table.failed(2, "down", 1500.0)
    assert due(table) == [3]
    table.sent(3, 1000.0)
    assert table.next_at() == 1500.0
    table.failed(1, "still down", 900.0)
    assert due(table) == [1, 4]


def test_failures_are_counted_and_survive_a_restart(outboxes: Outboxes) -> None:
    table = outboxes.filled("mail", "mail")
    table.failed(1, "first\0", 10.0)
    table.failed(1, "second", 20.0)
    for each in (table, outboxes.reopened()):
        first, second = each.due(1000.0)
        assert (first.tries, first.last_error, first.next_try_at) == (2, "second", 20.0)
        assert (second.tries, second.last_error, second.message_id) == (0, "", "<2@x>")


KINDS = st.lists(st.sampled_from(["mail", "push"]), min_size=6, max_size=6)
STEP = st.tuples(st.integers(1, 6), st.sampled_from(["sent", "given up", "later"]), st.integers(0, 50))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=KINDS, steps=st.lists(STEP, max_size=12))
def test_next_at_is_when_something_is_due_and_no_mail_overtakes(
    outboxes: Outboxes, kinds: list[str], steps: list[tuple[int, str, int]]
) -> None:
    table = outboxes.filled(*kinds)
    left = set(range(1, 7))
    for number, what, at in steps:
        if what == "sent":
            table.sent(number, 1.0)
        else:
            table.failed(number, "e", None if what == "given up" else float(at))
        if what != "later":
            left.discard(number)
        assert table.waiting() == len(left)
    moment = table.next_at()
    assert (moment is None) == (not left)
    if moment is not None:
        assert due(table, moment - 0.5) == []
        assert due(table, moment)
        mails = [number for number in due(table, moment) if kinds[number - 1] == "mail"]
        waiting = sorted(number for number in left if kinds[number - 1] == "mail")
        assert mails == waiting[: len(mails)]
    assert set(due(table, 50.0)) == left
