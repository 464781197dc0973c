"""Which processes belong to a command: a tree by id and creation time, never by an id alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ddcplay.transport.winrm_kill import Process, below, processes_of


def process(pid, parent, created):
    return Process(pid, parent, created, "")


def test_descendants_are_found_through_members_that_are_gone():
    known = {10: "t1", 11: "t2"}
    now = (process(12, 11, "t3"), process(13, 12, "t4"), process(99, 1, "t0"))
    assert below(known, now) == {12: "t3", 13: "t4"}


def test_an_id_that_was_given_out_again_is_nobody_of_ours_and_neither_are_its_children():
    known = {10: "t1"}
    now = (process(10, 1, "t5"), process(11, 10, "t6"))
    assert below(known, now) == {}


def test_a_process_older_than_its_supposed_parent_is_a_stranger():
    assert below({10: "t5"}, (process(11, 10, "t1"),)) == {}


def test_rows_that_tell_nothing_are_left_out():
    rows = [{"ProcessId": 0, "ParentProcessId": 0, "CreationDate": None}, {}, {"ProcessId": "x"}]
    assert processes_of(rows) == ()


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6), st.sampled_from("abc")), max_size=8),
    st.dictionaries(st.integers(1, 6), st.sampled_from("abc"), max_size=4),
)
def test_any_table_even_with_rings_gives_members_that_run_now(rows, known):
    now = tuple(process(*row) for row in {row[0]: row for row in rows}.values())
    found = below(known, now)
    assert set(found.items()) <= {(each.pid, each.created) for each in now}
