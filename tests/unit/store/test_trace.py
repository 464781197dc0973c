from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import StoreError
from ddcplay.model.result import Reason
from ddcplay.store.base import ChainDone, ProbeTally
from ddcplay.store.trace import TraceFiles, format_line, parse_line

NAME = st.text(min_size=1, max_size=20)
NAMES = st.lists(NAME, max_size=6).map(tuple)
TALLIES = st.builds(
    ProbeTally,
    probe=st.just("p"),
    ok=NAMES,
    failed=NAMES,
    unavailable=NAMES,
    skipped=NAMES,
    elapsed_s=st.floats(0, 1e9),
)


def test_a_line_has_the_papers_nine_fields_and_our_tenth() -> None:
    tally = ProbeTally("p", ("m01", "m02"), (), ("m12",), ("m40",), 381.94)
    assert format_line(1081948390, tally) == "1081948390|2|0|1|66.7|381.9|m01,m02||m12|m40"


def test_percent_of_nothing_is_a_dash() -> None:
    assert format_line(7, ProbeTally("p", skipped=("a",))) == "7|0|0|0|-|0.0||||a"
    assert parse_line("7|0|0|0|-|0.0||||a").percent_ok is None


def test_names_with_separators_are_percent_encoded() -> None:
    line = format_line(7, ProbeTally("p", ok=("a|b", "c,d", "50%", "x\ny", "é")))
    assert line == "7|5|0|0|100.0|0.0|a%7Cb,c%2Cd,50%25,x%0Ay,é|||"


def test_ddcs_nine_field_line_is_read() -> None:
    line = parse_line("1081948390|120|0|49|71.0|381.9|m01,m02||m12\r\n")
    assert (line.ok, line.unavailable, line.percent_ok, line.skipped_names) == (120, 49, 71.0, ())


@given(st.integers(0, 10**10), TALLIES)
def test_what_is_written_is_read_back(iteration: int, tally: ProbeTally) -> None:
    text = format_line(iteration, tally)
    assert len(text.splitlines()) == 1
    assert text.count("|") == 9
    text.encode("utf-8")
    line = parse_line(text)
    assert (line.ok_names, line.failed_names) == (tally.ok, tally.failed)
    assert (line.unavailable_names, line.skipped_names) == (tally.unavailable, tally.skipped)
    assert (line.iteration, line.ok) == (iteration, len(tally.ok))
    assert line.elapsed_s == pytest.approx(tally.elapsed_s, abs=0.051)


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["1", "-", "x", "nan", "%zz", "1.5", ""]), max_size=11).map("|".join),
    )
)
def test_any_text_is_read_or_refused_with_our_error(text: str) -> None:
    with suppress(StoreError):
        assert parse_line(text).iteration >= 0


def _lines(path: Path) -> list[int]:
    return [parse_line(line).iteration for line in path.read_text().splitlines()]


def _ended(bench: Any, *iterations: int) -> None:
    for iteration in iterations:
        bench.begin(iteration)
        bench.through(bench.result(iteration), bench.result(iteration, "pc2", reason=Reason.NO_ANSWER))
        bench.end(iteration)


def test_a_probe_that_was_due_nowhere_gets_no_line(bench: Any) -> None:
    _ended(bench, 1000)
    trace = TraceFiles(bench.directory)
    trace.write(1000, bench.store.tally(1000))
    assert trace.path("p").read_text() == "1000|1|0|1|50.0|1.4|pc1||pc2|\n"
    assert not trace.path("q").exists()


def test_a_torn_last_line_is_cut_and_written_again(bench: Any) -> None:
    _ended(bench, 1000, 2000)
    trace = TraceFiles(bench.directory)
    trace.repair(bench.store)
    whole = trace.path("p").read_bytes()
    for keep in range(len(whole)):
        trace.path("p").write_bytes(whole[:keep])
        TraceFiles(bench.directory).repair(bench.store)
        assert trace.path("p").read_bytes() == whole


def test_missing_lines_are_appended_in_order_and_never_twice(bench: Any) -> None:
    _ended(bench, 1000)
    trace = TraceFiles(bench.directory)
    trace.write(1000, bench.store.tally(1000))
    _ended(bench, 2000, 3000)
    bench.begin(4000)  # open: no line yet
    bench.through(bench.result(4000))
    for _ in range(2):
        fresh = TraceFiles(bench.directory)
        fresh.repair(bench.store)
        fresh.write(3000, bench.store.tally(3000))
    assert _lines(trace.path("p")) == [1000, 2000, 3000]


def test_lines_wait_for_a_pending_chain_so_that_order_holds(bench: Any) -> None:
    bench.begin(1000)
    (waiting,) = bench.store.commit_attempts([bench.result(1000)])
    bench.end(1000)
    _ended(bench, 2000)
    trace = TraceFiles(bench.directory)
    trace.repair(bench.store)
    assert not trace.path("p").exists()
    bench.store.commit_chains([ChainDone(waiting)])
    trace.repair(bench.store)
    assert _lines(trace.path("p")) == [1000, 2000]


def test_a_note_that_somebody_added_does_not_hide_the_last_line(bench: Any) -> None:
    _ended(bench, 1000)
    trace = TraceFiles(bench.directory)
    trace.repair(bench.store)
    with trace.path("p").open("a") as file:
        file.write("# moved to room 3\n" * 9000)
    TraceFiles(bench.directory).repair(bench.store)
    assert re.findall(r"(?m)^\d+", trace.path("p").read_text()) == ["1000"]
