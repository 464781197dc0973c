"""What the counts of a period mean to a person."""

from __future__ import annotations

import pytest

from ddcplay.model.alert import Severity
from ddcplay.model.report import HostPresence, IterationSpan
from ddcplay.model.result import Outcome, Reason
from ddcplay.report.summary import summarise


def test_percent_ok_is_that_of_the_trace_and_leaves_skipped_out(count, data):
    summary = summarise(
        data(
            count("pc1", 71),
            count("pc2", 9, Reason.TIMEOUT),
            count("pc3", 20, Reason.NO_ANSWER),
            count("pc4", 50, Reason.WHEN),
        )
    )
    (line,) = summary.probes
    assert (line.ok, line.failed, line.unavailable, line.skipped) == (71, 9, 20, 50)
    assert line.percent_ok == 71.0
    assert line.mean_s == 0.5


def test_coverage_tells_on_apart_from_collected(data):
    presence = (HostPresence("pc1", 100, 50, 40), HostPresence("pc2", 100, 0, 0))
    seen = summarise(data(presence=presence)).coverage
    assert (seen.hosts, seen.asked, seen.on_pct, seen.collected_pct, seen.collected_of_on_pct) == (
        2, 200, 25.0, 20.0, 80.0,
    )  # fmt: skip


def test_nothing_recorded_is_no_division_by_zero(data):
    summary = summarise(data(iterations=(), presence=()))
    assert summary.coverage.on_pct is None
    assert summary.tasks == ()


def test_a_closed_port_is_a_task_with_the_fix(count, data):
    (task,) = summarise(data(count("pc2", 1, Reason.PORT_CLOSED), count("pc1", 1, Reason.PORT_CLOSED))).tasks
    assert task.hosts == ("pc2", "pc1")  # inventory order
    assert "winrm quickconfig" in task.fix


def test_trouble_that_ended_is_no_task(count, data):
    summary = summarise(data(count("pc1", 7, Reason.PORT_CLOSED, last_id=5), count("pc1", 3, last_id=9)))
    assert summary.tasks == ()
    assert [line.reason for line in summary.reasons] == [Reason.PORT_CLOSED]


def test_a_machine_switched_off_after_its_trouble_still_has_it(count, data):
    summary = summarise(
        data(count("pc1", 7, Reason.PORT_CLOSED, last_id=5), count("pc1", 3, Reason.NO_ANSWER, last_id=9))
    )
    assert [task.hosts for task in summary.tasks] == [("pc1",)]


@pytest.mark.parametrize(
    ("times", "good", "tasks"), [(1, 0, 0), (2, 0, 0), (3, 0, 1), (3, 27, 1), (3, 28, 0)]
)
def test_a_timeout_becomes_a_task_when_it_comes_often(count, data, times, good, tasks):
    ends = [count("pc1", times, Reason.TIMEOUT, last_id=99)] + (
        [count("pc1", good, last_id=1)] if good else []
    )
    assert len(summarise(data(*ends)).tasks) == tasks


def test_refused_logins_come_before_closed_ports_before_absent_machines(count, data):
    summary = summarise(
        data(
            count("pc1", 30, Reason.NO_ANSWER),
            count("pc2", 1, Reason.PORT_CLOSED),
            count("pc3", 1, Reason.AUTH_BLOCKED),
            presence=(
                HostPresence("pc1", 30, 0, 0),
                HostPresence("pc2", 30, 9, 0),
                HostPresence("pc3", 30, 9, 0),
            ),
        )
    )
    assert [task.hosts for task in summary.tasks] == [("pc3",), ("pc2",), ("pc1",)]


def test_a_new_host_is_not_called_absent_after_a_few_iterations(count, data):
    summary = summarise(data(count("pc1", 3, Reason.NO_ANSWER), presence=(HostPresence("pc1", 3, 0, 0),)))
    assert summary.tasks == ()


def test_the_hint_of_the_newest_attempt_beats_general_advice(count, data):
    (task,) = summarise(
        data(
            count("pc1", 1, Reason.AUTH, last_id=1, hint="old"),
            count("pc2", 1, Reason.AUTH, last_id=2, hint="unlock account LAB\\probe", detail="locked out"),
        )
    ).tasks
    assert (task.fix, task.detail) == ("unlock account LAB\\probe", "locked out")


def test_hosts_that_fail_most_come_first_with_their_main_reason(count, data):
    summary = summarise(
        data(
            count("pc1", 2, Reason.TIMEOUT),
            count("pc1", 5, Reason.EXIT_CODE),
            count("pc1", 3),
            count("pc2", 1, Reason.TIMEOUT),
            count("pc3", 90, Reason.NO_ANSWER),
            rooms=(("pc1", "lab01"),),
        )
    )
    first, second = summary.offenders
    assert (first.host, first.room, first.failed, first.reached, first.reason) == (
        "pc1", "lab01", 7, 10, Reason.EXIT_CODE,
    )  # fmt: skip
    assert second.host == "pc2"


def test_the_slowest_host_is_held_against_the_pool(count, data):
    summary = summarise(
        data(count("pc1", 3, elapsed_s=0.75), count("pc2", 1, elapsed_s=4.25, slowest_s=4.25))
    )
    first = summary.slowest[0]
    assert (first.host, first.mean_s, first.pool_s) == ("pc2", 4.25, 1.25)


def test_missed_slots_are_a_gap_from_iteration_to_iteration(data):
    spans = (IterationSpan(100, 100.0), IterationSpan(200, 200.0), IterationSpan(900, 900.0, missed=6))
    (gap,) = summarise(data(iterations=spans)).gaps
    assert (gap.from_at, gap.to_at, gap.missed) == (200.0, 900.0, 6)


def test_critical_alerts_stand_first(data, firing):
    alerts = (firing("pc1"), firing("pc2", severity=Severity.CRITICAL), firing("pc0", severity=Severity.INFO))
    assert [a.identity.host for a in summarise(data(alerts=alerts)).alerts] == ["pc2", "pc1", "pc0"]


def test_failed_reasons_come_before_unavailable_ones_each_by_number(count, data):
    summary = summarise(
        data(
            count("pc1", 90, Reason.NO_ANSWER),
            count("pc1", 1, Reason.TIMEOUT),
            count("pc2", 4, Reason.QUOTA),
            count("pc3", 2, Reason.QUOTA),
        )
    )
    assert [(r.outcome, r.reason, r.attempts) for r in summary.reasons] == [
        (Outcome.FAILED, Reason.QUOTA, 6),
        (Outcome.FAILED, Reason.TIMEOUT, 1),
        (Outcome.UNAVAILABLE, Reason.NO_ANSWER, 90),
    ]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_comes_with_advice(count, data, reason):
    (line,) = summarise(data(count("pc1", 1, reason))).reasons
    assert line.advice
