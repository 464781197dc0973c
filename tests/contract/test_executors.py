"""What every executor promises, whatever it runs visits on."""

from __future__ import annotations

import threading

import pytest

from ddcplay.engine.executors import InlineExecutor, Means, ThreadExecutor
from ddcplay.engine.visit import Login, LoginReport
from ddcplay.errors import FaultError
from ddcplay.model.plan import ProbeSpec, Target, Visit
from ddcplay.model.result import Outcome, ProbeOutput, Reason
from ddcplay.units import SystemClock

EXECUTORS = [InlineExecutor, ThreadExecutor]


class Connection:
    def __init__(self, host, transport):
        self.host, self.transport = host, transport
        self.aborted = threading.Event()

    def facts(self):
        return {"host": self.host}

    def close(self):
        self.transport.closed.append(self.host)

    def abort(self):
        self.aborted.set()


class Transport:
    def __init__(self):
        self.closed, self.gate, self.open = [], threading.Event(), []

    def connect(self, target, deadline, open_ports=()):
        if target.host == "off":
            raise FaultError("no_answer", "silent")
        connection = Connection(target.host, self)
        self.open.append(connection)
        return connection


class Probe:
    kind = "command"

    def command_line(self, spec):
        return str(spec.body)

    def run(self, spec, connection, deadline):
        if spec.body == "wait for the abort":
            assert connection.aborted.wait(20)
            return ProbeOutput(reason=Reason.TRANSPORT, detail="aborted")
        if spec.body == "bug":
            raise RuntimeError("bug")
        return ProbeOutput(exit_code=0, stdout=connection.host.encode())


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture(params=EXECUTORS, ids=lambda kind: kind.__name__)
def executor(request, transport):
    means = Means(lambda _n: transport, lambda _k: Probe(), SystemClock(), lambda ref: ref.value, str)
    made = request.param(means, 4)
    yield made
    made.shutdown()


def visit(host, *bodies):
    probes = tuple(ProbeSpec(f"p{n}", "command", body) for n, body in enumerate(bodies))
    return Visit("exp", 1, Target(host, host), probes, 5.0, 60.0)


def test_a_visit_ends_with_its_attempts_and_tells_each_as_it_happens(executor, transport):
    news = []
    result = executor.submit(visit("pc1", "a", "b"), news.append).result(10)
    assert [attempt.stdout for attempt in result.attempts] == [b"pc1", b"pc1"]
    assert news == [LoginReport("pc1", Login.ACCEPTED), *result.attempts]
    assert result.facts == {"host": "pc1"}
    assert transport.closed == ["pc1"]


def test_trouble_and_bugs_on_one_host_are_data(executor):
    off = executor.submit(visit("off", "a"), lambda news: None)
    bug = executor.submit(visit("pc1", "bug", "a"), lambda news: None)
    assert [a.outcome for a in off.result(10).attempts] == [Outcome.UNAVAILABLE]
    assert [a.outcome for a in bug.result(10).attempts] == [Outcome.FAILED, Outcome.OK]


def test_more_visits_than_workers_all_come_back_and_equal_ones_run_each_for_itself(executor, transport):
    futures = [executor.submit(visit("pc1", "a"), lambda news: None) for _ in range(50)]
    assert all(future.result(20).attempts[0].outcome is Outcome.OK for future in futures)
    assert len(transport.closed) == 50


def test_a_done_callback_sees_the_result(executor):
    seen = []
    done = threading.Event()
    future = executor.submit(visit("pc1", "a"), lambda news: None)
    future.add_done_callback(lambda each: (seen.append(each.result().host), done.set()))
    assert done.wait(10)
    assert seen == ["pc1"]


def test_an_abort_ends_what_is_open_and_what_connects_later(transport):
    means = Means(lambda _n: transport, lambda _k: Probe(), SystemClock(), lambda ref: ref.value, str)
    executor = ThreadExecutor(means, 2)
    flying = executor.submit(visit("pc1", "wait for the abort"), lambda news: None)
    while not transport.open:
        flying.done()
    executor.abort()
    late = executor.submit(visit("pc2", "wait for the abort"), lambda news: None)
    assert flying.result(10).attempts[0].reason is Reason.TRANSPORT
    assert late.result(10).attempts[0].reason is Reason.TRANSPORT
    executor.shutdown()
