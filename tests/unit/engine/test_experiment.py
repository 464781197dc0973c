"""A whole experiment on a clock of the test's own: inline executor, synchronous pipeline, scripted hosts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ddcplay.engine.events import AttemptRecorded, IterationClosed, WaitingForNext
from ddcplay.engine.retention import Kept
from ddcplay.errors import FaultError
from ddcplay.model.plan import Skip
from ddcplay.model.playbook import Schedule
from ddcplay.model.result import Reason
from ddcplay.store.blocks import read_blocks


def test_one_pass_gives_every_pair_one_row_one_trace_line_and_ends(world):
    there = world()
    there.off = {"pc2"}
    there.no_name = {"pc3"}
    closed = there.run()
    assert {(row.host, row.probe, row.outcome, row.reason) for row in there.rows()} == {
        ("pc1", "name", "ok", None),
        ("pc1", "ver", "ok", None),
        ("pc2", "name", "unavailable", "no_answer"),
        ("pc2", "ver", "unavailable", "no_answer"),
        ("pc3", "name", "unavailable", "no_name"),
        ("pc3", "ver", "unavailable", "no_name"),
    }
    assert len(there.trace()) == len(there.trace("ver")) == 1
    assert there.trace()[0].split("|")[1:5] == ["1", "0", "2", "33.3"]
    assert [(p.probe, p.ok, p.unavailable) for p in closed.probes] == [("name", 1, 2), ("ver", 1, 2)]
    assert there.hosts["pc1"].closed == there.hosts["pc1"].connects


def test_an_attempt_is_told_only_after_its_row_is_committed(world):
    there = world("pc1")
    seen = []

    class Watcher:
        def handle(self, event):
            if isinstance(event, AttemptRecorded):
                seen.append((event.result.probe, len(there.rows())))

    there.handle = Watcher().handle
    there.run()
    assert seen == [("name", 1), ("ver", 2)]


def test_when_false_is_a_skipped_row_and_costs_no_visit(world):
    there = world("pc1", "pc2")
    first, second = there.plan.hosts
    skipped = replace(
        first, probes=(), skips=(Skip("name", Reason.WHEN, "no"), Skip("ver", Reason.WHEN, "no"))
    )
    there.plan = replace(there.plan, hosts=(skipped, second))
    there.run()
    assert {(r.host, r.outcome) for r in there.rows()} == {("pc1", "skipped"), ("pc2", "ok")}
    assert there.hosts["pc1"].connects == 0


def test_iterations_start_every_interval_whatever_they_took(world, clock):
    there = world("pc1", schedule=Schedule(every_s=900))
    began = clock.now()
    there.run(iterations=3)
    ids = sorted({row.i for row in there.rows()})
    assert ids == [int(began), int(began) + 900, int(began) + 1800]
    assert [event.next_at for event in there.of(WaitingForNext)] == [began + 900, began + 1800]
    assert [line.split("|")[0] for line in there.trace()] == [str(each) for each in ids]


def test_a_stop_while_waiting_ends_between_iterations(world):
    there = world("pc1", schedule=Schedule(every_s=900))

    def handle(event):
        there.events.append(event)
        if isinstance(event, WaitingForNext):
            there.stop.request()

    there.handle = handle
    there.run()
    assert len({row.i for row in there.rows()}) == 1


@pytest.mark.parametrize("seed", range(5))
def test_a_stop_in_mid_iteration_finishes_the_visit_in_flight_and_skips_the_rest(world, seed):
    there = world("pc1", "pc2", "pc3")
    visited = []

    class Stopping:
        kind = "command"

        def run(self, spec, connection, deadline):
            visited.append(connection.host)
            if len(visited) == 1:
                there.stop.request()
            return connection.run(SimpleNamespace(line=spec.body), deadline)

    there.line_probe = Stopping()
    # one visit at a time, so that the others have not started when the stop comes
    there.play = replace(there.play, concurrency=1)
    closed = there.run(seed=seed)
    assert len(visited) == 2
    assert sorted((row.outcome, row.reason) for row in there.rows()) == [
        *[("ok", None)] * 2,
        *[("skipped", "interrupted")] * 4,
    ]
    assert closed.state == "interrupted"
    assert len(there.trace()) == 1


def test_hosts_whose_turn_does_not_come_before_the_next_slot_fail_as_timeout(world):
    there = world(*(f"pc{n}" for n in range(10)), schedule=Schedule(every_s=60), concurrency=1)
    for host in there.hosts.values():
        host.takes_s = 9.0
    there.run(iterations=2)
    first = min(row.i for row in there.rows())
    rows = [row for row in there.rows() if row.i == first]
    assert len(rows) == 20
    assert {row.outcome for row in rows} == {"ok", "failed"}
    assert {row.reason for row in rows if row.outcome == "failed"} == {"timeout"}
    second = min(row.i for row in there.rows() if row.i != first)
    assert second - first < 60 + 30


def test_trouble_on_one_host_leaves_the_others_alone(world):
    there = world("bad", "good")
    there.hosts["bad"].connect_faults = [FaultError("transport", "reset by peer")] * 2
    there.run()
    assert {(row.host, row.outcome, row.reason) for row in there.rows()} == {
        ("bad", "failed", "transport"),
        ("good", "ok", None),
    }


def test_a_crash_of_the_engine_between_iterations_repeats_nothing(world, clock):
    there = world("pc1", schedule=Schedule(every_s=900))
    there.run(iterations=1)
    clock.sleep(100)
    again = world("pc1", schedule=Schedule(every_s=900))
    again.run(iterations=1)
    ids = sorted({row.i for row in again.rows()})
    assert len(ids) == 2
    assert ids[1] - ids[0] == 900


@pytest.fixture
def crashed(world):
    """Leave an iteration open with two of its four rows, as SIGKILL would."""

    class Killed(BaseException):
        pass

    def make(**play):
        there = world("pc1", "pc2", **play)

        def handle(event):
            there.events.append(event)
            if isinstance(event, AttemptRecorded) and len(there.rows()) == 2:
                raise Killed

        there.handle = handle
        with pytest.raises(Killed):
            there.run()
        return there

    return make


@pytest.mark.parametrize("later_s", [0, 100, 100_000])
def test_an_open_pass_is_continued_with_the_pairs_that_have_no_row(crashed, world, clock, later_s):
    before = crashed().rows()
    clock.sleep(later_s)
    again = world("pc1", "pc2")
    again.run()
    rows = again.rows()
    assert len({row.i for row in rows}) == 1
    assert sorted((row.host, row.probe) for row in rows) == [
        ("pc1", "name"),
        ("pc1", "ver"),
        ("pc2", "name"),
        ("pc2", "ver"),
    ]
    assert rows[: len(before)] == before
    assert len(again.trace()) == 1


def test_an_open_iteration_of_a_periodic_play_is_continued_within_its_interval(crashed, world, clock):
    crashed(schedule=Schedule(every_s=900))
    clock.sleep(300)
    again = world("pc1", "pc2", schedule=Schedule(every_s=900))
    again.run(iterations=1)
    assert len({row.i for row in again.rows()}) == 1
    assert all(row.outcome == "ok" for row in again.rows() if row.host == "pc2")


def test_an_open_iteration_is_closed_when_its_interval_is_over(crashed, world, clock):
    crashed(schedule=Schedule(every_s=900))
    clock.sleep(5000)
    again = world("pc1", "pc2", schedule=Schedule(every_s=900))
    again.run(iterations=1)
    first = min(row.i for row in again.rows())
    rest = [row for row in again.rows() if row.i == first and row.reason == "interrupted"]
    assert len(rest) + 2 == 4
    assert len(again.trace()) == 2


def test_rooms_and_probes_are_announced_before_anything_happens(world):
    there = world("pc1", "pc2")
    there.run()
    first = there.events[0]
    assert (first.rooms, tuple(first.probes)) == ({"room": ["pc1", "pc2"]}, ("name", "ver"))
    assert there.of(IterationClosed)[-1].state == "closed"


def test_a_run_lets_go_of_what_is_older_than_the_settings_keep(world):
    there = world("pc1", schedule=Schedule(every_s=6 * 3600))
    day = 86400.0
    there.kept = Kept(archive_s=2 * day, attempts_s=3 * day, samples_s=3 * day)
    there.run(iterations=4 * 8)
    newest = max(row.i for row in there.rows())
    ages = [(newest - row.i) / day for row in there.rows()]
    assert 3 <= max(ages) <= 4.5  # a pass over everything is made once a day
    blocks = [block.iteration for block in read_blocks(there.path / "exp" / "pc1" / "name.stdout")]
    assert 2 <= (newest - min(blocks)) / day <= 3.5
    assert len(there.trace()) == 4 * 8
