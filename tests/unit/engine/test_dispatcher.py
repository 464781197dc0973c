"""When a visit may start."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from ddcplay.engine.dispatcher import Dispatcher, Job
from ddcplay.engine.visit import Login, VisitResult


class ManualExecutor:
    """Visits that end when the test says so."""

    def __init__(self):
        self.running = {}

    def submit(self, visit, tell):
        self.running[visit.target.host] = future = Future()
        return future

    def end(self, *hosts):
        for host in hosts or tuple(self.running):
            self.running.pop(host).set_result(VisitResult(host, Login.ACCEPTED, ()))


@pytest.fixture
def executor():
    return ManualExecutor()


@pytest.fixture
def told():
    return []


@pytest.fixture
def job_of(visit_of, told):
    def make(host, *, endpoint=None, lane="play", width=100, patience_s=30.0, held=lambda: False):
        return Job(
            make=lambda: visit_of(host),
            endpoint=endpoint or (host, 5985),
            lane=lane,
            lane_width=width,
            patience_s=patience_s,
            held=held,
            started=lambda: told.append(("started", host)),
            tell=lambda news: None,
            ended=lambda done: told.append(("ended", host)),
            in_use=lambda: told.append(("in_use", host)),
            wake=lambda: told.append(("wake", host)),
        )

    return make


@pytest.fixture
def dispatcher(executor, clock):
    def make(workers=100, ramp=0.0):
        return Dispatcher(executor, clock, workers, ramp)

    return make


def offer(dispatcher, *jobs):
    for job in jobs:
        dispatcher.offer(job)
    return dispatcher.pump()


def test_visits_start_in_order_of_arrival_up_to_the_workers(dispatcher, executor, job_of):
    there = dispatcher(workers=3)
    offer(there, *(job_of(f"pc{n}") for n in range(5)))
    assert list(executor.running) == ["pc0", "pc1", "pc2"]
    executor.end("pc1")
    there.pump()
    assert list(executor.running) == ["pc0", "pc2", "pc3"]


def test_a_play_keeps_to_its_own_concurrency_and_does_not_hold_up_another(dispatcher, executor, job_of):
    there = dispatcher(workers=10)
    offer(there, *(job_of(f"a{n}", lane="a", width=2) for n in range(5)), job_of("b0", lane="b", width=2))
    assert sorted(executor.running) == ["a0", "a1", "b0"]
    assert there.in_flight("a") == 2


def test_two_visits_never_share_an_address_and_the_waiting_one_holds_no_worker(
    dispatcher, executor, job_of, told
):
    there = dispatcher(workers=2)
    one, other = ("10.0.0.1", 5985), ("10.0.0.2", 5985)
    offer(
        there,
        job_of("a/pc1", endpoint=one, lane="a"),
        job_of("b/pc1", endpoint=one, lane="b"),
        job_of("b/pc2", endpoint=other, lane="b"),
    )
    assert list(executor.running) == ["a/pc1", "b/pc2"]
    executor.end("a/pc1")
    assert told[-1] == ("wake", "b/pc1")
    there.pump()
    assert "b/pc1" in executor.running


def test_past_its_patience_a_visit_gives_up_on_an_address_in_use(dispatcher, executor, job_of, clock, told):
    there = dispatcher()
    same = ("10.0.0.1", 5985)
    pause = offer(
        there, job_of("a", endpoint=same, lane="a"), job_of("b", endpoint=same, lane="b", patience_s=7)
    )
    assert pause == pytest.approx(7)
    clock.sleep(pause)
    there.pump()
    assert told[-1] == ("in_use", "b")
    executor.end()
    there.pump()
    assert ("started", "b") not in told


def test_waiting_for_a_worker_is_not_waiting_for_an_address(dispatcher, executor, job_of, clock, told):
    there = dispatcher(workers=1)
    offer(there, job_of("a"), job_of("b", patience_s=5))
    clock.sleep(60)
    there.pump()
    executor.end("a")
    there.pump()
    assert ("started", "b") in told


def test_the_ramp_lets_a_burst_through_and_then_so_many_per_second(dispatcher, executor, job_of, clock):
    there = dispatcher(workers=1000, ramp=50.0)
    pause = offer(there, *(job_of(f"pc{n}") for n in range(200)))
    assert len(executor.running) == 50
    assert pause == pytest.approx(1 / 50)
    clock.sleep(1)
    there.pump()
    assert len(executor.running) == 100


def test_withdrawn_visits_never_start(dispatcher, executor, job_of):
    there = dispatcher(workers=1)
    offer(there, job_of("a1", lane="a"), job_of("a2", lane="a"), job_of("b1", lane="b"))
    there.withdraw("a")
    executor.end("a1")
    there.pump()
    assert list(executor.running) == ["b1"]


def test_a_held_visit_leaves_the_queue_without_using_the_ramp(dispatcher, executor, job_of):
    there = dispatcher(ramp=1.0)
    offer(there, job_of("held", held=lambda: True), job_of("free"))
    assert list(executor.running) == ["free"]
    assert there.pump() is None


def test_ten_thousand_waiting_visits_cost_nothing_per_pump(dispatcher, job_of):
    calls = []
    there = dispatcher(workers=1)
    offer(
        there,
        job_of("first"),
        *(job_of(f"pc{n}", held=lambda: calls.append(1) or False) for n in range(10_000)),
    )
    there.pump()
    assert calls == []
