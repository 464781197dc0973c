"""What every database behind the store must keep: a file each, a shared file, a PostgreSQL server."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

from ddcplay.errors import ExperimentBusyError, StoreError
from ddcplay.model.result import REASONS, AttemptResult, Outcome, Reason, outcome_of
from ddcplay.store.base import ChainDone, IterationRecord, ProbeTally, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store

Open = Callable[..., ExperimentStore]


POSTGRES = pytest.param("postgres", marks=[pytest.mark.real, pytest.mark.xdist_group("postgres")])


@pytest.fixture(params=["sqlite", "sqlite-url", POSTGRES])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    stores: list[ExperimentStore] = []
    url = f"sqlite:///{tmp_path / 'shared.db'}" if request.param == "sqlite-url" else None
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")()

    def build(name: str = "exp", now: float = 500.0, durability: str = "full") -> ExperimentStore:
        stores.append(
            open_store(tmp_path / name, name, play="Play", clock_now=now, url=url, durability=durability)
        )
        return stores[-1]

    yield build
    for store in stores:
        store.close()


def begin(store: ExperimentStore, iteration: int = 1000, hosts: tuple[str, ...] = ("pc2", "pc1")) -> None:
    store.open_iteration(
        IterationRecord(iteration, float(iteration), pairs=4), Provenance("a.yml", "text"), hosts, ("q", "p")
    )


def result(
    iteration: int = 1000, host: str = "pc1", probe: str = "p", reason: Reason | None = None, **more: object
) -> AttemptResult:
    outcome = Outcome.OK if reason is None else outcome_of(reason)
    return AttemptResult("exp", iteration, host, probe, outcome, reason, **more)  # type: ignore[arg-type]


FULL = AttemptResult(
    "exp", 1000, "pc1", "p", Outcome.FAILED, Reason.EXIT_CODE,
    detail="ended with 3221225477 \u2603", hint="see stderr", on=True, started_at=1000.25, elapsed_s=0.412,
    timeout_s=60.0, tries=2, exit_code=0xC0000005, stdout=bytes(range(256)), stderr=b"\xff\xfe",
    stderr_text="bad", kill_verified=False, round_trips=7,
    data=[{"size": 2**70, "ratio": 0.5, "free": Decimal("1.10"), "none": None, "é": True,
           "at": dt.datetime(2026, 11, 22, 15, tzinfo=dt.UTC), "day": dt.date(2026, 11, 22),
           "raw": b"\x00\xff", "up": dt.timedelta(seconds=1.5)}],
)  # fmt: skip


def test_an_experiment_begins_once(opened: Open) -> None:
    store = opened(now=500.0)
    assert (store.began_at, store.last_iteration()) == (500.0, None)
    store.close()
    assert opened(now=900.0).began_at == 500.0


def test_every_field_of_an_attempt_comes_back(opened: Open) -> None:
    store = opened()
    begin(store)
    store.commit_attempts([FULL])
    (pending,) = store.pending(0, 10_000)
    assert pending.result == FULL


@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_outcome_and_reason_is_stored(opened: Open, reason: Reason | None) -> None:
    store = opened()
    begin(store)
    store.commit_attempts([result(reason=reason)])
    assert store.pending(0, 10_000)[0].result.reason is reason
    assert set(Reason) == set().union(*REASONS.values())


def test_an_iteration_id_never_repeats_or_falls(opened: Open) -> None:
    store = opened()
    begin(store, 1000)
    for again in (1000, 999):
        with pytest.raises(StoreError, match="not above the last one, 1000"):
            begin(store, again)
    begin(store, 1001)
    assert store.last_iteration() == IterationRecord(1001, 1001.0, pairs=4)


def test_a_closed_iteration_says_how_it_went(opened: Open) -> None:
    store = opened()
    begin(store)
    store.close_iteration(1000, 1400.5, 381.9, "interrupted", missed=2)
    assert store.last_iteration() == IterationRecord(1000, 1000.0, 1400.5, "interrupted", 4, 381.9, 2)
    with pytest.raises(StoreError, match="iteration 77"):
        store.close_iteration(77, 1.0, 1.0, "closed")


def test_a_pair_recorded_twice_is_refused_whole_and_harms_nothing(opened: Open) -> None:
    store = opened()
    begin(store)
    store.commit_attempts([result()])
    with pytest.raises(StoreError, match="'p' on 'pc1' in iteration 1000 is already recorded"):
        store.commit_attempts([result(host="pc2"), result(stdout=b"other")])
    with pytest.raises(StoreError, match="already recorded"):
        store.commit_attempts([result(host="pc2"), result(host="pc2")])
    assert store.recorded_pairs(1000) == {("pc1", "p")}
    assert store.commit_attempts([result(host="pc2")])


def test_an_attempt_of_an_unknown_iteration_is_refused(opened: Open) -> None:
    store = opened()
    with pytest.raises(StoreError, match="record attempts"):
        store.commit_attempts([result(4711)])


def test_pending_chains_survive_a_restart_until_commit_2(opened: Open) -> None:
    store = opened()
    begin(store)
    first, second = store.commit_attempts([result(stdout=b"a"), result(host="pc2", stdout=b"b")])
    store.commit_chains([ChainDone(first)])
    store.close()
    store = opened()
    (pending,) = store.pending(0, 10_000)
    assert (pending.attempt_id, pending.result.stdout) == (second, b"b")
    store.commit_chains([ChainDone(second, Reason.FILTER, "boom", "mend it")])
    assert store.pending(0, 10_000) == ()
    changed = store.unarchived()[1].result
    assert (changed.outcome, changed.reason, changed.detail, changed.hint) == (
        "failed",
        "filter",
        "boom",
        "mend it",
    )


def test_attempt_numbers_go_on_after_a_restart(opened: Open) -> None:
    store = opened()
    begin(store)
    ids = store.commit_attempts([result(), result(host="pc2")])
    store.close()
    (following,) = opened().commit_attempts([result(host="pc3")])
    assert following > max(ids)


def test_a_chain_of_an_unknown_attempt_writes_nothing(opened: Open) -> None:
    store = opened()
    begin(store)
    (known,) = store.commit_attempts([result()])
    with pytest.raises(StoreError, match="2 rows were to change, 1 did"):
        store.commit_chains([ChainDone(known), ChainDone(99)])
    assert len(store.pending(0, 10_000)) == 1


def test_a_tally_keeps_the_orders_of_its_iteration(opened: Open) -> None:
    store = opened()
    begin(store, hosts=("z", "a", "m"))
    store.commit_attempts(
        [
            result(host="a", started_at=1001.0, elapsed_s=2.5),
            result(host="z", started_at=1000.0, elapsed_s=1.0),
            result(host="m", reason=Reason.NO_ANSWER, started_at=1000.5),
            result(host="a", probe="q", reason=Reason.TIMEOUT, started_at=1003.0, elapsed_s=60.0),
            result(host="stray", probe="q", reason=Reason.WHEN, started_at=9999.0),
        ]
    )
    assert store.tally(1000) == (
        ProbeTally("q", failed=("a",), skipped=("stray",), elapsed_s=63.0),
        ProbeTally("p", ok=("z", "a"), unavailable=("m",), elapsed_s=3.5),
    )
    assert store.tally(4711) == ()


def test_what_a_target_or_an_inventory_invents_is_stored_somehow(opened: Open) -> None:
    store = opened()
    begin(store, hosts=("../../etc", "CON"))
    loop: list[object] = []
    loop.append(loop)
    odd = result(host="../../etc", detail="a\0b\ud800", data={(1, 2): loop}, stdout=b"\0")
    store.commit_attempts([odd, result(host="CON", data={"$ddcplay": "datetime", "value": "no date"})])
    first, second = store.pending(0, 10_000)
    assert first.result.detail == "a\ufffdb?"
    assert first.result.stdout == b"\0"
    assert second.result.data == {"$ddcplay": "datetime", "value": "no date"}
    assert "/" not in store.directory_name("../../etc")


def test_directories_stay_after_a_restart(opened: Open) -> None:
    store = opened()
    begin(store, hosts=("PC1", "pc1", "a/b"))
    names = [store.directory_name(host) for host in ("PC1", "pc1", "a/b")]
    assert len({name.casefold() for name in names}) == 3
    store.close()
    store = opened()
    begin(store, 2000, hosts=("a/b", "pc1", "PC1"))
    assert [store.directory_name(host) for host in ("PC1", "pc1", "a/b")] == names


def test_many_threads_commit_at_once_and_each_is_told_after_its_commit(opened: Open) -> None:
    store = opened()
    begin(store)
    barrier = threading.Barrier(8)

    def commit(worker: int) -> int:
        barrier.wait()
        told = 0
        for number in range(10):
            ids = store.commit_attempts([result(host=f"h{worker}-{number}")])
            assert (f"h{worker}-{number}", "p") in store.recorded_pairs(1000)
            told += len(ids)
        return told

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(commit, range(8))) == 80
    assert len(store.pending(0, 10_000)) == 80


def test_one_refused_call_leaves_the_others_of_its_transaction_alone(opened: Open) -> None:
    store = opened()
    begin(store)
    store.commit_attempts([result(host="taken")])

    def commit(number: int) -> bool:
        try:
            store.commit_attempts([result(host="taken" if number % 3 == 0 else f"h{number}")])
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(commit, range(30)))
    assert told == [number % 3 != 0 for number in range(30)]
    assert len(store.recorded_pairs(1000)) == 21


def test_two_coordinators_cannot_run_one_experiment(opened: Open) -> None:
    opened()
    with pytest.raises(
        ExperimentBusyError, match=rf"process {os.getpid()} on .* since 1970-01-01 00:08:20 UTC"
    ):
        opened()


def test_experiments_side_by_side_do_not_meet(opened: Open) -> None:
    one, two = opened("exp"), opened("other")
    begin(one)
    begin(two)
    one.commit_attempts([result()])
    assert two.recorded_pairs(1000) == frozenset()
    assert two.pending(0, 10_000) == ()
    with pytest.raises(StoreError, match="'exp' was handed to 'other'"):
        two.commit_attempts([result()])


def test_a_closed_store_says_so(opened: Open) -> None:
    store = opened()
    begin(store)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="the store is closed"):
        store.commit_attempts([result()])
