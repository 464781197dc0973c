from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.engine.events import (
    AttemptRecorded,
    Event,
    ExperimentEnded,
    ExperimentStarted,
    HostSwept,
    IterationClosed,
    IterationStarted,
    VisitEnded,
    VisitStarted,
    WaitingForNext,
)
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.ui.state import HostStatus, RunState

ROOMS = {"lab01": ["a", "b"], "lab02": ["c"]}


@pytest.fixture
def run(started: Callable[..., ExperimentStarted]) -> RunState:
    state = RunState()
    state.apply(started(ROOMS), 10.0)
    state.apply(IterationStarted("usage", 100, 10.0, pairs=3), 10.0)
    return state


def counts(run: RunState, room: str) -> dict[str, int]:
    return {str(status): count for status, count in run.plays["usage"].rooms[room].counts.items() if count}


def test_a_host_is_counted_once_as_it_goes_from_waiting_to_its_outcome(
    run: RunState, attempt: Callable[..., AttemptResult]
) -> None:
    assert counts(run, "lab01") == {"waiting": 2}
    run.apply(VisitStarted("usage", 100, "a"), 11.0)
    assert counts(run, "lab01") == {"waiting": 1, "running": 1}
    assert run.in_flight == 1
    run.apply(AttemptRecorded(attempt("a")), 12.0)
    run.apply(VisitEnded("usage", 100, "a"), 12.0)
    assert counts(run, "lab01") == {"waiting": 1, "ok": 1}
    assert counts(run, "lab02") == {"waiting": 1}
    assert run.in_flight == 0


def test_the_worst_of_several_probes_counts(run: RunState, attempt: Callable[..., AttemptResult]) -> None:
    run.apply(AttemptRecorded(attempt("a", Reason.TIMEOUT)), 11.0)
    run.apply(AttemptRecorded(attempt("a")), 11.0)
    run.apply(AttemptRecorded(attempt("a", Reason.WHEN)), 11.0)

    assert counts(run, "lab01") == {"waiting": 1, "failed": 1}
    assert run.plays["usage"].done == 3


def test_a_silent_host_shows_as_unavailable_until_the_late_sweep_finds_it(
    run: RunState, attempt: Callable[..., AttemptResult]
) -> None:
    run.apply(HostSwept("usage", 100, "c", "no_answer"), 11.0)
    assert counts(run, "lab02") == {"unavailable": 1}
    run.apply(HostSwept("usage", 100, "c", "up"), 12.0)
    run.apply(VisitStarted("usage", 100, "c"), 12.0)
    run.apply(AttemptRecorded(attempt("c")), 13.0)
    run.apply(VisitEnded("usage", 100, "c"), 13.0)
    assert counts(run, "lab02") == {"ok": 1}


def test_only_the_last_five_failures_are_kept(run: RunState, attempt: Callable[..., AttemptResult]) -> None:
    for number in range(7):
        run.apply(AttemptRecorded(attempt("a", Reason.TIMEOUT, detail=str(number))), 11.0)

    assert [failure.detail for failure in run.plays["usage"].failures] == ["2", "3", "4", "5", "6"]


def test_rate_and_time_left_follow_the_last_seconds(
    run: RunState, attempt: Callable[..., AttemptResult]
) -> None:
    play = run.plays["usage"]
    play.pairs = 100
    assert play.eta_s(10.0) is None
    for number in range(20):
        run.apply(AttemptRecorded(attempt("a")), 10.0 + (number + 1) / 2)

    assert play.rate(20.0) == pytest.approx(2.0)
    assert play.eta_s(20.0) == pytest.approx(40.0)


def test_a_new_iteration_starts_from_waiting_and_counts_what_was_done_before_a_restart(
    run: RunState, attempt: Callable[..., AttemptResult]
) -> None:
    run.apply(AttemptRecorded(attempt("a")), 11.0)
    run.apply(IterationClosed("usage", 100, 1.0, []), 12.0)
    run.apply(WaitingForNext("usage", 20.0), 12.0)
    assert run.plays["usage"].next_at == 20.0
    run.apply(IterationStarted("usage", 120, 20.0, pairs=3, done=2, continued=True), 20.0)

    play = run.plays["usage"]
    assert (play.number, play.iteration, play.done, play.next_at, play.closed) == (2, 120, 2, None, None)
    assert counts(run, "lab01") == {"waiting": 2}


def test_a_host_in_two_rooms_is_counted_in_the_first(started: Callable[..., ExperimentStarted]) -> None:
    state = RunState()
    state.apply(started({"x": ["a", "b"], "y": ["b", "c"]}), 0.0)
    state.apply(IterationStarted("usage", 1, 0.0, pairs=3), 0.0)

    assert [room.total for room in state.plays["usage"].rooms.values()] == [2, 1]


def test_events_of_unknown_plays_and_hosts_are_passed_over(
    run: RunState, attempt: Callable[..., AttemptResult]
) -> None:
    run.apply(AttemptRecorded(attempt("new-host")), 11.0)
    run.apply(VisitStarted("other", 1, "a"), 11.0)
    run.apply(ExperimentEnded("usage", 1, "done"), 12.0)

    assert run.plays["usage"].ended == "done"


_hosts = st.sampled_from(["a", "b", "c", "stranger"])
_events = st.one_of(
    st.builds(VisitStarted, st.just("usage"), st.just(1), _hosts),
    st.builds(VisitEnded, st.just("usage"), st.just(1), _hosts),
    st.builds(
        HostSwept, st.just("usage"), st.just(1), _hosts, st.sampled_from(["up", "no_answer", "port_closed"])
    ),
    st.builds(IterationStarted, st.just("usage"), st.just(1), st.just(0.0), st.just(3)),
    _hosts.map(lambda host: AttemptRecorded(AttemptResult("usage", 1, host, "p", Outcome.OK))),
    _hosts.map(
        lambda host: AttemptRecorded(AttemptResult("usage", 1, host, "p", Outcome.FAILED, Reason.AUTH))
    ),
    _hosts.map(
        lambda host: AttemptRecorded(AttemptResult("usage", 1, host, "p", Outcome.SKIPPED, Reason.WHEN))
    ),
)


@given(st.lists(_events, max_size=40))
def test_counts_always_add_up_to_the_hosts_of_a_room(events: list[Event]) -> None:
    state = RunState()
    state.apply(ExperimentStarted("usage", "Usage", ROOMS, ["p"], None, "data"), 0.0)
    state.apply(IterationStarted("usage", 0, 0.0, 3), 0.0)
    for now, event in enumerate(events):
        state.apply(event, float(now))
        play = state.plays["usage"]
        for room in play.rooms.values():
            assert sum(room.counts.values()) == room.total
            assert min(room.counts.values()) >= 0
        for status in HostStatus:
            assert play.count(status) == sum(host.status is status for host in play.hosts.values())
