from __future__ import annotations

import pytest

from ddcplay import DropRecord

NAME = "slow_machine.py:SlowMachine"
USUAL = (10.0, 10.4, 9.8, 10.1, 9.9, 30.0, 10.2, 10.0)


def feed(slow, values):
    """Return for each value whether it was found slow; None when nothing was said."""
    told = []
    for value in values:
        found = slow(stdout=f"took {value} s\r\n".encode())
        told.append(found["slow_machine", ""].rows[0].bad if found else None)
    return told


def test_nothing_is_said_before_there_is_a_past(run):
    slow = run(NAME)
    assert feed(slow, USUAL) == [None] * 8
    assert feed(slow, [10.3, 13.0]) == [False, True]


def test_one_wild_value_in_the_past_changes_nothing(run):
    slow = run(NAME, unit="s")
    feed(slow, USUAL)
    found = slow(stdout=b"14.5")["slow_machine", ""]
    assert found.rows[0].message == "pc1 bench: 14.5 s, usually 10.05 s"
    assert found.rule.after == 3


def test_machine_that_stays_slow_stays_slow(run):
    slow = run(NAME, last=8)
    feed(slow, USUAL)
    assert feed(slow, [20.0] * 20) == [True] * 20
    assert feed(slow, [10.0]) == [False]


def test_small_changes_of_a_steady_figure_are_no_news(run):
    slow = run(NAME)
    feed(slow, [10.0] * 8)
    assert feed(slow, [11.0, 11.6]) == [False, True]


def test_points_are_slow_when_they_are_low_and_come_from_data(run):
    slow = run(NAME, field="points", slow_is="low")
    for _ in range(8):
        assert slow([{"points": 1000}]) == {}
    assert slow({"points": 700})["slow_machine", ""].rows[0].bad is True
    assert slow({"points": 2000})["slow_machine", ""].rows[0].bad is False
    assert len(slow.state["past"]) == 9


def test_machine_without_the_figure_is_left_out(run):
    with pytest.raises(DropRecord, match="no ms on this machine"):
        run(NAME, field="ms")([])


def test_output_without_a_number_is_told(run):
    with pytest.raises(Exception, match="no number in the output"):
        run(NAME)(stdout=b"crashed")
