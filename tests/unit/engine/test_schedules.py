"""Periodic schedules on a clock of the test's own: jumps, missed slots, cron, slow probes, late sweep."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.engine.events import ExperimentEnded, Observers, WaitingForNext
from ddcplay.engine.pace import Pace
from ddcplay.engine.stop import StopRequest
from ddcplay.model.plan import HostPlan, Skip
from ddcplay.model.playbook import Blackout, Play, ProbeEntry, Schedule
from ddcplay.model.result import AttemptResult, Outcome, ProbeOutput, Reason
from ddcplay.store.base import IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store

QUARTER = Schedule(every_s=900)


def jump(clock, seconds):
    """Set the wall clock; monotonic time does not notice."""
    clock.time += seconds
    clock._offset += seconds


def iterations(there):
    with sqlite3.connect(there.path / "exp" / "experiment.db") as database:
        return database.execute(
            "select started_at, missed, pairs, state from iteration order by id"
        ).fetchall()


class Leaping:
    """Sets the clock by so much in the nth wait."""

    def __init__(self, clock, leaps):
        self.clock, self.leaps, self.waits = clock, leaps, 0
        self.wait_of_clock = clock.wait
        clock.wait = self.wait

    def wait(self, event, timeout_s):
        self.waits += 1
        answer = self.wait_of_clock(event, timeout_s)
        jump(self.clock, self.leaps.get(self.waits, 0))
        return answer


# -- the clock -----------------------------------------------------------------------------------------------


def test_a_clock_set_back_by_a_day_does_not_hold_the_next_iteration_up(world, clock):
    there = world("pc1", schedule=QUARTER)
    began = clock.monotonic()
    Leaping(clock, {3: -86400.0})
    there.run(iterations=3)
    starts = [at for at, *_ in there.sweeps]
    assert len(starts) == 3
    assert clock.monotonic() - began == pytest.approx(1800, abs=5)
    ids = [row.i for row in there.rows() if row.probe == "name"]
    assert ids == sorted(set(ids)), "ids only grow"


def test_a_clock_set_forward_starts_one_iteration_and_counts_what_it_missed(world, clock):
    there = world("pc1", schedule=QUARTER)
    Leaping(clock, {2: 3 * 3600.0})
    there.run(iterations=3)
    assert [missed for _, missed, *_ in iterations(there)] == [0, 11, 0]
    starts = [at for at, *_ in iterations(there)]
    assert starts[2] - starts[1] == pytest.approx(900, abs=1)


def test_a_laptop_that_slept_goes_on_within_a_minute(world, clock):
    there = world("pc1", schedule=Schedule(every_s=900, align=True))
    Leaping(clock, {4: 40 * 60.0})
    there.run(iterations=2)
    first, second = iterations(there)
    assert second[0] % 900 == pytest.approx(0, abs=1), "still on the grid"
    assert (second[0] - first[0], second[1]) == (2700, 2)


def test_an_iteration_that_overran_counts_the_slots_it_swallowed(world, clock):
    there = world("pc1", schedule=Schedule(every_s=60, min_gap_s=10))
    there.before_sweep.append(lambda: clock.sleep(200) if len(there.sweeps) == 1 else None)
    there.run(iterations=2)
    assert [missed for _, missed, *_ in iterations(there)] == [0, 2]


def test_a_start_in_the_future_left_by_a_wrong_clock_does_not_stop_the_experiment(world, clock):
    jump(clock, 365 * 86400.0)
    world("pc1", schedule=QUARTER).run(iterations=1)
    jump(clock, -365 * 86400.0)
    again = world("pc1", schedule=QUARTER)
    began = clock.monotonic()
    again.run(iterations=1)
    assert clock.monotonic() - began <= 901


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leaps=st.dictionaries(st.integers(1, 200), st.floats(-1e6, 1e6), max_size=6),
    schedule=st.sampled_from(
        [
            QUARTER,
            Schedule(every_s=1.0),
            Schedule(every_s=900, align=True),
            Schedule(cron="*/15 * * * *"),
            Schedule(single_shot=(120.0, None)),
        ]
    ),
)
def test_whatever_the_clock_does_iterations_neither_come_thick_nor_stay_away(request, leaps, schedule):
    clock = type(request.getfixturevalue("clock"))()
    Leaping(clock, leaps)
    pace = Pace(
        Play("P", "all", "exp", (), schedule=schedule), clock.now(), clock, StopRequest(), Observers()
    )
    interval = schedule.every_s or (120.0 if schedule.single_shot else 900.0)
    starts = []
    for _ in range(12):
        slot = pace.wait()
        assert not isinstance(slot, str)
        starts.append(clock.monotonic())
        pace.note_start(clock.now())
        clock.sleep(0.2)
        pace.note_end()
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    jumps = sum(1 for each in leaps.values() if abs(each) > 0.5)
    # A leap may start one iteration early; nothing else may.
    assert sum(gap < interval * 0.9 for gap in gaps) <= jumps
    # On a grid each leap may move the next slot by up to an interval; never by what the clock leapt.
    assert max(gaps) <= (2 + jumps) * (interval + 61)


# -- cron ----------------------------------------------------------------------------------------------------


def test_a_cron_play_starts_on_its_slots_and_not_before(world, clock):
    there = world("pc1", schedule=Schedule(cron="*/15 * * * *"))
    there.run(iterations=3)
    starts = [at for at, *_ in iterations(there)]
    assert [at % 900 for at in starts] == [0, 0, 0]
    assert starts[2] - starts[0] == 1800
    assert len(there.of(WaitingForNext)) == 3


def test_once_does_not_wait_for_the_cron_slot_nor_end_at_it(world, clock):
    there = world("pc1", schedule=Schedule(cron="*/15 * * * *"))
    clock.time += 900 - clock.time % 900 - 2
    there.hosts["pc1"].takes_s = 3.0
    there.run(iterations=1, at_once=True)
    assert {row.outcome for row in there.rows()} == {"ok"}
    assert there.of(WaitingForNext) == []


def test_visits_of_a_cron_play_end_by_the_next_slot(world):
    there = world(*(f"pc{n}" for n in range(6)), schedule=Schedule(cron="* * * * *"), concurrency=1)
    for host in there.hosts.values():
        host.takes_s = 9.0
    there.run(iterations=1)
    assert {row.reason for row in there.rows()} == {None, "timeout"}


def test_slots_missed_while_nobody_ran_are_recorded_at_the_next_start(world, clock):
    hourly = Schedule(cron="0 * * * *")
    world("pc1", schedule=hourly).run(iterations=1)
    clock.sleep(5 * 3600 + 60)
    again = world("pc1", schedule=hourly)
    again.run(iterations=1)
    assert [missed for _, missed, *_ in iterations(again)] == [0, 5]


def test_cron_times_in_a_blackout_are_left_out(world, clock):
    # 2023-11-14 22:13:20 UTC
    night = Schedule(cron="0 * * * *", blackout=(Blackout(22 * 60, 6 * 60),))
    there = world("pc1", schedule=night)
    there.run(iterations=1)
    ((started, missed, *_),) = iterations(there)
    assert (started % 86400, missed) == (6 * 3600, 0)


# -- every of a probe ----------------------------------------------------------------------------------------


@pytest.fixture
def slow(world):
    """Make a play every 15 min whose probe `ver` is due every hour."""

    def make(*names, every_s=3600.0, **play):
        probes = (
            ProbeEntry("name", "command", "hostname"),
            ProbeEntry("ver", "command", "ver", every_s=every_s),
        )
        return world(*names, schedule=QUARTER, probes=probes, **play)

    return make


def test_a_slow_probe_runs_every_hour_and_leaves_no_row_in_between(slow):
    there = slow("pc1", "pc2")
    there.run(iterations=9)
    starts = [at for at, *_ in iterations(there)]
    ran = sorted({row.i for row in there.rows() if row.probe == "ver"})
    assert [at - int(starts[0]) for at in ran] == [0, 3600, 7200]
    assert len(there.trace("ver")) == 3
    assert len(there.trace("name")) == 9
    assert [pairs for _, _, pairs, _ in iterations(there)] == [4, 2, 2, 2, 4, 2, 2, 2, 4]


def test_a_host_that_was_off_when_due_is_due_in_the_next_iteration(slow):
    there = slow("pc1", "pc2")
    there.off = {"pc2"}
    there.before_sweep.append(lambda: there.off.clear() if len(there.sweeps) == 3 else None)
    there.run(iterations=8)
    starts = [at for at, *_ in iterations(there)]
    of_pc2 = [
        (row.i - int(starts[0]), row.outcome)
        for row in there.rows()
        if (row.host, row.probe) == ("pc2", "ver")
    ]
    assert of_pc2 == [(0, "unavailable"), (900, "unavailable"), (1800, "ok"), (5400, "ok")]


def test_a_busy_host_is_due_again_but_a_failing_probe_has_reached_it(slow):
    there = slow("pc1", "pc2")
    there.hosts["pc1"].outputs["ver"] = [ProbeOutput(reason=Reason.BUSY, detail="somebody")]
    there.hosts["pc2"].outputs["ver"] = [ProbeOutput(exit_code=3, accepted=True)]
    there.run(iterations=3)
    of = {
        host: [r.reason for r in there.rows() if (r.host, r.probe) == (host, "ver")]
        for host in ("pc1", "pc2")
    }
    assert of == {"pc1": ["busy", None], "pc2": ["exit_code"]}


def test_restarts_change_nothing_about_what_is_due(slow):
    for _ in range(5):
        there = slow("pc1")
        there.run(iterations=1)
    ran = [row.i for row in there.rows() if row.probe == "ver"]
    assert [at - ran[0] for at in ran] == [0, 3600]


def test_a_continued_iteration_owes_what_was_due_when_it_began(slow, clock):
    class Killed(BaseException):
        pass

    there = slow("pc1", "pc2")

    def handle(event):
        if len(there.rows() if (there.path / "exp" / "experiment.db").exists() else ()) == 3:
            raise Killed

    there.handle = handle
    with pytest.raises(Killed):
        there.run()
    clock.sleep(60)
    again = slow("pc1", "pc2")
    again.run(iterations=1)
    assert len(again.rows()) == 4
    assert len(iterations(again)) == 1


def test_a_skip_of_a_slow_probe_is_recorded_only_where_the_probe_is_due_somewhere(slow):
    there = slow("pc1", "pc2")
    first, second = there.plan.hosts
    first = replace(first, probes=first.probes[:1], skips=(Skip("ver", Reason.WHEN, "no"),))
    there.plan = replace(there.plan, hosts=(first, second))
    there.run(iterations=3)
    assert len([row for row in there.rows() if row.probe == "ver"]) == 2
    assert len(there.trace("ver")) == 1


def test_ten_thousand_hosts_are_looked_up_fast(tmp_path):
    store = open_store(tmp_path / "exp", "exp", play="P", clock_now=1000.0, durability="batch")
    try:
        hosts = [f"pc{n:05}" for n in range(10_000)]
        for iteration in (1000, 1900):
            store.open_iteration(
                IterationRecord(iteration, float(iteration)), Provenance(), hosts, ["a", "b"]
            )
            store.commit_attempts(
                [
                    AttemptResult(
                        "exp", iteration, host, "a", Outcome.OK, started_at=iteration + 5.0, elapsed_s=1.0
                    )
                    for host in hosts
                ]
            )
        began = time.perf_counter()
        found = store.last_reached({"a": 0.0}, before=2800)
        elapsed = time.perf_counter() - began
    finally:
        store.close()
    assert len(found) == 10_000
    assert set(found.values()) == {1905.0}
    assert elapsed < 3, "it took a tenth of this when it was written"


# -- late sweep ----------------------------------------------------------------------------------------------


def test_a_pc_that_boots_during_the_iteration_is_visited_in_its_late_sweep(world):
    there = world("pc1", "pc2", "pc3", schedule=QUARTER, late_sweep=True)
    there.off = {"pc2", "pc3"}
    there.before_sweep.append(lambda: there.off.discard("pc2") if len(there.sweeps) == 2 else None)
    there.run(iterations=1)
    assert [hosts for _, hosts in there.sweeps] == [["pc1", "pc2", "pc3"], ["pc2", "pc3"]]
    assert sorted((row.host, row.outcome) for row in there.rows()) == [
        *[("pc1", "ok")] * 2,
        *[("pc2", "ok")] * 2,
        *[("pc3", "unavailable")] * 2,
    ]
    assert there.trace()[0].split("|")[1:4] == ["2", "0", "1"]


def test_nobody_is_swept_twice_when_everybody_answered(world):
    there = world(schedule=QUARTER, late_sweep=True)
    there.run(iterations=2)
    assert len(there.sweeps) == 2


@pytest.mark.parametrize(
    ("play", "sweeps"),
    [
        ({"schedule": QUARTER, "late_sweep": False}, 1),
        ({"schedule": Schedule(), "late_sweep": True}, 1),
        ({"schedule": Schedule(cron="*/15 * * * *"), "late_sweep": True}, 2),
    ],
)
def test_who_has_a_late_sweep(world, play, sweeps):
    there = world("pc1", "pc2", **play)
    there.off = {"pc2"}
    there.run(iterations=1)
    assert len(there.sweeps) == sweeps
    assert len(there.rows()) == 4


def test_there_is_no_late_sweep_without_time_for_it(world, clock):
    there = world("pc1", "pc2", schedule=Schedule(every_s=60), late_sweep=True)
    there.off = {"pc2"}
    there.hosts["pc1"].takes_s = 19.9
    there.run(iterations=1)
    assert len(there.sweeps) == 1
    assert {row.reason for row in there.rows() if row.host == "pc2"} == {"no_answer"}


def test_a_stop_during_the_visits_keeps_silent_hosts_unavailable(world):
    there = world("pc1", "pc2", schedule=QUARTER, late_sweep=True)
    there.off = {"pc2"}
    run_of_probe = there.line_probe.run

    class Stopping:
        kind = "command"

        def run(self, spec, connection, deadline):
            if not there.stop.finish.is_set():
                there.stop.request()
            return run_of_probe(spec, connection, deadline)

    there.line_probe = Stopping()
    there.run()
    assert {row.reason for row in there.rows() if row.host == "pc2"} == {"no_answer"}
    assert len(there.sweeps) == 1
    assert there.of(ExperimentEnded)[-1].why == "stopped"


def test_hosts_without_a_name_are_not_asked_again(world):
    there = world("pc1", "pc2", schedule=QUARTER, late_sweep=True)
    there.no_name = {"pc2"}
    there.run(iterations=1)
    assert len(there.sweeps) == 1


def test_a_sweep_that_cannot_work_ends_the_run_instead_of_hanging(world):
    there = world("pc1", schedule=QUARTER)

    def broken(*_arguments):
        raise PermissionError("no ICMP here")

    there.sweep = broken
    with pytest.raises(PermissionError):
        there.run(iterations=1)


def test_a_plan_without_hosts_that_are_due_is_an_iteration_without_rows(slow):
    there = slow("pc1")
    there.plan = replace(there.plan, hosts=tuple(replace(h, probes=h.probes[1:]) for h in there.plan.hosts))
    assert isinstance(there.plan.hosts[0], HostPlan)
    there.run(iterations=3)
    assert [pairs for _, _, pairs, _ in iterations(there)] == [1, 0, 0]
    assert len(there.trace("ver")) == 1
