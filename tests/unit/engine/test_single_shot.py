"""Single shot on a clock of the test's own: debts, windows, restarts, giving up."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from ddcplay.engine.events import (
    AttemptRecorded,
    ExperimentEnded,
    IterationClosed,
    Notice,
    Owed,
    WaitingForNext,
)
from ddcplay.errors import FaultError
from ddcplay.model.plan import Skip
from ddcplay.model.playbook import Blackout, ProbeEntry, Schedule
from ddcplay.model.result import ProbeOutput, Reason

SHOT = Schedule(single_shot=(120.0, None))
PROBES = (ProbeEntry("name", "command", "hostname"), ProbeEntry("ver", "command", "ver"))


@pytest.fixture
def shot(world):
    def make(*names, schedule=SHOT, **play):
        return world(*names, schedule=schedule, probes=PROBES, **play)

    return make


def debts(there):
    with sqlite3.connect(there.path / "exp" / "experiment.db") as database:
        found = database.execute(
            "select host, probe, tries, last_reason, paid_at is not null, given_up_at is not null from debt"
        ).fetchall()
    return {row[:2]: row[2:] for row in found}


def ended(there):
    return there.of(ExperimentEnded)[-1].why


def appear(there, plan):
    """Let hosts be switched on at certain sweeps: sweep number (from 1) → hosts."""

    def call():
        there.off -= set(plan.get(len(there.sweeps), ()))

    there.before_sweep.append(call)


def test_it_ends_when_the_last_host_was_there_and_each_probe_ran_once(shot, clock):
    there = shot()
    began = clock.now()
    there.off = {"pc2", "pc3"}
    appear(there, {2: ["pc2"], 5: ["pc3"]})
    there.run()
    assert ended(there) == "done"
    assert sorted((row.host, row.probe, row.outcome) for row in there.rows()) == [
        (host, probe, "ok") for host in ("pc1", "pc2", "pc3") for probe in ("name", "ver")
    ]
    assert [hosts for _, hosts in there.sweeps] == [["pc1", "pc2", "pc3"], *[["pc2", "pc3"]], *[["pc3"]] * 3]
    assert [at - began for at, _ in there.sweeps] == [0, 120, 240, 360, 480]
    # windows in which nothing ran are no iterations
    assert len({row.i for row in there.rows()}) == len(there.trace()) == len(there.of(IterationClosed)) == 3
    assert there.of(ExperimentEnded)[-1].iterations == 3
    assert all(paid and not given_up for _, _, paid, given_up in debts(there).values())


def test_silent_hosts_have_no_row_but_their_reason_is_known(shot):
    there = shot("pc1", "pc2", "pc3")
    there.off, there.no_name = {"pc2"}, {"pc3"}
    there.run(iterations=3)
    assert ended(there) == "iterations"
    assert {row.host for row in there.rows()} == {"pc1"}
    assert debts(there)["pc2", "ver"][1] == "no_answer"
    assert debts(there)["pc3", "ver"][1] == "no_name"
    waits = there.of(WaitingForNext)
    assert [wait.quiet for wait in waits] == [False, True]


@pytest.mark.parametrize(
    ("output", "paid"),
    [
        (ProbeOutput(exit_code=0, accepted=True), True),
        (ProbeOutput(exit_code=7, accepted=True), True),
        *[
            (ProbeOutput(reason=reason, detail="x"), False)
            for reason in (
                Reason.TRANSPORT,
                Reason.QUOTA,
                Reason.WQL,
                Reason.OUTPUT_LIMIT,
                Reason.USER_LOGGED_ON,
                Reason.BUSY,
                Reason.TIMEOUT,
            )
        ],
    ],
)
def test_what_pays_a_debt_and_what_does_not(shot, output, paid):
    there = shot("pc1")
    there.hosts["pc1"].outputs["hostname"] = [output]
    there.run(iterations=1)
    assert bool(debts(there)["pc1", "name"][2]) is paid
    assert debts(there)["pc1", "ver"][2]


def test_a_filter_that_fails_has_paid_already(shot):
    """The attempt was ok at commit 1; what the chain makes of it later changes no debt."""
    there = shot("pc1")
    there.run()
    with sqlite3.connect(there.path / "exp" / "experiment.db") as database:
        paid = database.execute(
            "select d.paid_by, a.id from debt d join attempt a using (host, probe)"
        ).fetchall()
    assert len(paid) == 2
    assert all(by == str(attempt) for by, attempt in paid)


def test_three_timeouts_give_a_debt_up_and_the_run_says_so(shot):
    there = shot("pc1", "pc2")
    slow = ProbeOutput(reason=Reason.TIMEOUT, detail="slow")
    there.hosts["pc1"].outputs["hostname"] = [slow] * 9
    there.run()
    assert ended(there) == "gave_up"
    assert [row.reason for row in there.rows() if (row.host, row.probe) == ("pc1", "name")] == ["timeout"] * 3
    assert debts(there)["pc1", "name"] == (3, "timeout", 0, 1)
    assert there.of(Owed)[-1] == Owed("exp", 0, None, given_up=1, paid=3)
    # the next run finds nothing to do, and nothing given up by itself
    again = shot("pc1", "pc2")
    again.run()
    assert (ended(again), len(again.rows()), again.sweeps) == ("done", 6, [])


def test_debts_are_given_up_a_while_after_they_began(shot, clock):
    there = shot("pc1", "pc2", schedule=Schedule(single_shot=(120.0, 600.0)))
    there.off = {"pc2"}
    began = clock.now()
    there.run()
    assert ended(there) == "gave_up"
    assert 600 <= clock.now() - began <= 720
    assert debts(there)["pc2", "ver"] == (0, "no_answer", 0, 1)


def test_a_window_sweeps_once_when_nobody_is_being_visited_any_more(shot):
    there = shot("pc1", "pc2")
    there.off = {"pc2"}
    there.run(iterations=1)
    assert len(there.sweeps) == 1


@pytest.mark.parametrize("kill_after", [1, 2, 3])
def test_a_killed_run_goes_on_and_repeats_nothing_that_was_acknowledged(shot, clock, kill_after):
    class Killed(BaseException):
        pass

    there = shot()

    def handle(event):
        if isinstance(event, AttemptRecorded) and len(there.rows()) >= kill_after:
            raise Killed

    there.handle = handle
    with pytest.raises(Killed):
        there.run()
    before = there.rows()
    again = shot()
    clock.sleep(5)
    again.run()
    rows = again.rows()
    assert rows[: len(before)] == before
    assert sorted((row.host, row.probe) for row in rows) == [
        (host, probe) for host in ("pc1", "pc2", "pc3") for probe in ("name", "ver")
    ]
    assert len(again.trace()) == len({row.i for row in rows if row.probe == "name"})


def test_a_finished_experiment_says_so_and_does_nothing(shot):
    shot().run()
    again = shot()
    again.run()
    assert ended(again) == "done"
    assert again.sweeps == []
    assert any("finished before: 6 done" in notice.text for notice in again.of(Notice))


def test_again_owes_one_probe_to_every_host_once_more(shot):
    shot().run()
    again = shot()
    again.run(again=("ver",))
    rows = again.rows()
    assert sorted((row.host, row.probe) for row in rows[6:]) == [
        ("pc1", "ver"),
        ("pc2", "ver"),
        ("pc3", "ver"),
    ]
    assert all(paid for _, _, paid, _ in debts(again).values())


def test_limit_leaves_the_other_debts_alone_and_counts_them(shot):
    there = shot()
    whole = there.plan
    there.plan = replace(whole, hosts=whole.hosts[:1])
    there.run(pool=frozenset({"pc1", "pc2", "pc3"}))
    assert ended(there) == "done"
    assert {row.host for row in there.rows()} == {"pc1"}
    assert any("4 more are owed outside of --limit" in notice.text for notice in there.of(Notice))
    rest = shot()
    rest.run()
    assert sorted(row.host for row in rest.rows()) == ["pc1", "pc1", "pc2", "pc2", "pc3", "pc3"]


def test_debts_of_hosts_and_probes_that_left_are_void_until_they_come_back(shot):
    there = shot()
    there.off = {"pc3"}
    there.run(iterations=1)
    gone = shot("pc1", "pc2")
    gone.run()
    assert ended(gone) == "done"
    assert any("2 debts are void" in notice.text and "pc3" in notice.text for notice in gone.of(Notice))
    assert debts(gone)["pc3", "name"][1] == "void"
    back = shot()
    back.run()
    assert debts(back)["pc3", "name"] == (0, None, 1, 0)


def test_a_probe_whose_when_is_false_is_not_owed(shot):
    there = shot("pc1", "pc2")
    first, second = there.plan.hosts
    first = replace(first, probes=first.probes[:1], skips=(Skip("ver", Reason.WHEN, "no"),))
    there.plan = replace(there.plan, hosts=(first, second))
    there.run()
    assert ended(there) == "done"
    assert ("pc1", "ver") not in debts(there)
    assert len(there.rows()) == 3


def test_a_new_host_of_the_inventory_gets_its_debts_at_the_next_start(shot):
    shot("pc1").run()
    more = shot("pc1", "pc2")
    more.run()
    assert [row.host for row in more.rows()] == ["pc1", "pc1", "pc2", "pc2"]


def test_trouble_leaves_it_owed_and_it_is_tried_again(shot):
    there = shot("bad", "good")
    there.hosts["bad"].connect_faults = [FaultError("transport", "reset by peer")] * 4
    there.run()
    assert ended(there) == "done"
    assert [row.reason for row in there.rows() if (row.host, row.probe) == ("bad", "name")].count(None) == 1


def test_a_host_that_stays_busy_has_one_row_not_one_per_window(shot):
    there = shot("pc1")
    there.hosts["pc1"].outputs["ver"] = [ProbeOutput(reason=Reason.BUSY, detail="somebody is there")] * 5
    there.run()
    assert [row.reason for row in there.rows() if row.probe == "ver"] == ["busy", None]


def test_a_blackout_holds_windows_back(shot, clock):
    # 2023-11-14 22:13:20 UTC
    there = shot("pc1", schedule=Schedule(single_shot=(120.0, None), blackout=(Blackout(22 * 60, 23 * 60),)))
    there.run()
    assert clock.now() % 86400 // 60 == 23 * 60


def test_a_stop_leaves_the_rest_owed(shot):
    there = shot()
    there.off = {"pc3"}
    there.handle = lambda event: (
        (there.events.append(event), there.stop.request())[0]
        if isinstance(event, WaitingForNext)
        else there.events.append(event)
    )
    there.run()
    assert ended(there) == "stopped"
    assert not debts(there)["pc3", "name"][2]
