"""What the database counts for a report is what a slow count in Python finds."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import sqlalchemy as sa

from ddcplay.model.report import ReportData
from ddcplay.model.result import Outcome, Reason
from ddcplay.store.report_reads import report_data, visits

HOSTS = ("pc3", "pc1", "pc2")
REASONS = (None, None, None, Reason.TIMEOUT, Reason.PORT_CLOSED, Reason.NO_ANSWER, Reason.WHEN)


@pytest.fixture
def filled(bench):
    """Six iterations of three hosts and two probes, with every kind of end; returns all attempts."""
    dice = random.Random(7)
    made = []
    for iteration in range(1000, 1600, 100):
        bench.begin(iteration, HOSTS)
        for host in HOSTS:
            for probe in ("p", "q"):
                reason = dice.choice(REASONS)
                on = {Reason.NO_ANSWER: False, Reason.WHEN: None}.get(reason, True)
                result = bench.result(iteration, host, probe, reason, on=on, elapsed_s=dice.random())
                bench.through(result)
                made.append(result)
        bench.end(iteration)
    return made


def read(bench, since: int | None = None, until: int | None = None) -> ReportData:
    return bench.store._read(lambda connection: report_data(connection, 1, since, until))


@pytest.mark.parametrize(("since", "until"), [(None, None), (1200, 1400), (1300, None), (None, 1100)])
def test_counts_equal_those_of_a_slow_count(bench, filled, since, until):
    mine = [r for r in filled if (since or 0) <= r.iteration <= (until or 9999)]
    data = read(bench, since, until)
    expected = Counter((r.host, r.probe, r.outcome, r.reason) for r in mine)
    assert {(c.host, c.probe, c.outcome, c.reason): c.count for c in data.counts} == expected
    for c in data.counts:
        alike = [r for r in mine if (r.host, r.probe, r.reason) == (c.host, c.probe, c.reason)]
        assert c.elapsed_s == pytest.approx(sum(r.elapsed_s for r in alike))
        assert c.slowest_s == max(r.elapsed_s for r in alike)
        assert (c.last_at, c.on) == (alike[-1].started_at, alike[-1].on)


def test_presence_counts_iterations_not_attempts(bench, filled):
    data = read(bench)
    assert [host.host for host in data.presence] == list(HOSTS)  # inventory order
    for seen in data.presence:
        mine = [r for r in filled if r.host == seen.host]
        visits = {n: [r for r in mine if r.iteration == n] for n in {r.iteration for r in mine}}.values()
        asked = [rows for rows in visits if any(r.outcome is not Outcome.SKIPPED for r in rows)]
        assert seen.asked == len(asked)
        assert seen.on == sum(any(r.on for r in rows) for rows in asked)
        assert seen.collected == sum(any(r.outcome is Outcome.OK for r in rows) for rows in asked)
        assert seen.last_on == max(r.started_at for r in mine if r.on)


def test_visits_stream_the_same_numbers_in_order_of_time(bench, filled):
    rows = bench.store._read(lambda connection: list(visits(connection, 1, 0, 9999)))
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for seen in read(bench).presence:
        mine = [row for row in rows if row[1] == seen.host]
        assert (len(mine), sum(r[2] for r in mine), sum(r[3] for r in mine)) == (
            seen.asked, seen.on, seen.collected,
        )  # fmt: skip


def test_an_experiment_without_iterations_is_empty_not_an_error(bench):
    data = read(bench)
    assert (data.experiment, data.iterations, data.counts, data.presence) == ("exp", (), (), ())


def test_detail_and_hint_are_those_of_the_newest(bench):
    bench.begin(1000)
    bench.begin(1100)
    bench.through(bench.result(1000, reason=Reason.QUOTA, detail="old", hint="x"))
    bench.through(bench.result(1100, reason=Reason.QUOTA, detail="new", hint="y"))
    (count,) = read(bench).counts
    assert (count.count, count.detail, count.hint) == (2, "new", "y")


def test_another_experiment_in_the_same_database_is_left_out(bench, filled):
    with bench.store._engine.begin() as connection:
        before = report_data(connection, 1)
        connection.execute(
            sa.text("INSERT INTO experiment (id, name, play, began_at) VALUES (2, 'other', 'Other', 0)")
        )
        assert report_data(connection, 1) == before
        assert report_data(connection, 2).counts == ()
