from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from ddcplay.engine.events import (
    AttemptRecorded,
    ExperimentStarted,
    HostSwept,
    IterationClosed,
    IterationStarted,
    Notice,
    ProbeSummary,
    VisitStarted,
    WaitingForNext,
)
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.ui.live import LiveProgress, render
from ddcplay.ui.rooms import fold_rooms
from ddcplay.ui.state import RoomState, RunState
from ddcplay.units import Clock, SystemClock

Screen = Callable[..., str]
Started = Callable[..., ExperimentStarted]
Attempt = Callable[..., AttemptResult]
ROOMS = {f"lab{room:02d}": [f"lab{room:02d}-pc{pc}" for pc in range(1, 5)] for room in range(1, 12)}


@pytest.fixture
def run(started: Started) -> RunState:
    state = RunState()
    state.apply(started(ROOMS, every_s=60.0), 1000.0)
    state.apply(IterationStarted("usage", 1000, 1000.0, pairs=44), 1000.0)
    return state


def test_rooms_bar_and_pace_are_drawn(run: RunState, attempt: Attempt, screen: Screen) -> None:
    run.apply(HostSwept("usage", 1000, "lab01-pc4", "no_answer"), 1001.0)
    run.apply(VisitStarted("usage", 1000, "lab02-pc1"), 1001.0)
    for number in range(1, 4):
        run.apply(AttemptRecorded(attempt(f"lab01-pc{number}")), 1001.0 + number)

    lines = screen(render(run, 1004.0, 100, 40)).splitlines()

    assert lines[0].startswith("Classroom usage  iteration 1 · running for 4s · started ")
    assert lines[0].rstrip().endswith("id 1000")
    assert lines[1].split() == ["Room", "PCs", "ok", "failed", "unavail.", "skipped", "running"]
    assert lines[2].split()[:7] == ["lab01", "4", "3", "·", "1", "·", "·"]
    assert lines[3].split()[:7] == ["lab02", "4", "·", "·", "·", "·", "1"]
    assert "3/44 attempts  7 %  0.8/s" in lines[13]
    assert "left" in lines[13]


def test_countdown_to_the_next_iteration(run: RunState, screen: Screen) -> None:
    run.apply(IterationClosed("usage", 1000, 3.0, []), 1003.0)
    run.apply(WaitingForNext("usage", 1060.0), 1003.0)

    assert "next in 42s" in screen(render(run, 1018.0, 100, 40))
    assert "next in 0s" in screen(render(run, 1061.0, 100, 40))


def test_failures_are_shown_with_what_hosts_sent_made_harmless(
    run: RunState, attempt: Attempt, screen: Screen
) -> None:
    hostile = "\x1b[2J[bold]pwned[/bold]\u202e\nsecond line"
    run.apply(AttemptRecorded(attempt("lab01-pc1", Reason.AUTH, detail=hostile)), 1001.0)

    text = screen(render(run, 1002.0, 120, 40), width=120)

    assert "lab01-pc1  disks  auth  \\x1b[2J[bold]pwned[/bold]\\u202e\\nsecond line" in text
    assert "\u202e" not in text
    assert "\x1b[2J" not in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (40, 8), (200, 60), (100, 15)])
def test_screen_always_fits(width: int, height: int, run: RunState, attempt: Attempt, screen: Screen) -> None:
    for number in range(6):
        run.apply(
            AttemptRecorded(attempt("lab05-pc1", Reason.TIMEOUT, detail=f"no answer {number} " * 20)), 1001.0
        )

    lines = screen(render(run, 1002.0, width, height), width=width, height=height).splitlines()

    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("lab05" in line for line in lines)  # the room with news stays on a small screen


def test_rooms_without_news_are_folded_into_one_line_with_their_sums(run: RunState, screen: Screen) -> None:
    run.apply(VisitStarted("usage", 1000, "lab09-pc1"), 1001.0)

    text = screen(render(run, 1002.0, 80, 12), width=80, height=12)

    assert "lab09" in text
    assert "… 6 more rooms" in text
    assert "24" in next(line for line in text.splitlines() if "more rooms" in line)


def test_folding_keeps_rooms_with_the_latest_news_in_their_own_order() -> None:
    rooms = [RoomState.of(name, 1) for name in "abcde"]
    rooms[1].news, rooms[3].news = 7, 9

    shown, folded = fold_rooms(rooms, 3)

    assert [room.name for room in shown] == ["b", "d"]
    assert [room.name for room in folded] == ["a", "c", "e"]
    assert fold_rooms(rooms, 5) == (rooms, [])


def test_plays_that_do_not_fit_are_counted(screen: Screen) -> None:
    state = RunState()
    for number in range(9):
        state.apply(ExperimentStarted(f"e{number}", f"Play {number}", ROOMS, ["p"], None, "data"), 0.0)
        state.apply(IterationStarted(f"e{number}", 1, 0.0, 44), 0.0)

    lines = screen(render(state, 1.0, 80, 24), width=80, height=24).splitlines()

    assert len(lines) <= 24
    assert any("more plays" in line for line in lines)


def test_before_the_first_event_something_is_shown(screen: Screen) -> None:
    assert "starting" in screen(render(RunState(), 0.0, 80, 24))


def test_notices_and_closed_iterations_stay_on_the_screen(started: Started, clock: Clock) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, height=30, force_terminal=True, color_system=None)
    with LiveProgress(console, clock) as progress:
        progress.handle(started(ROOMS, every_s=60.0))
        progress.handle(Notice("warning", "the account was refused \x1b]0;x\x07", "usage"))
        progress.handle(IterationClosed("usage", 1000, 3.0, [ProbeSummary("disks", 40, 1, 3, 0, 3.0)]))
        progress.say("finishing 3 visits in flight")

    text = out.getvalue()
    assert "usage: the account was refused \\x1b]0;x\\x07" in text
    assert "iteration 1000 closed: 40 ok, 1 failed, 3 unavailable, 0 skipped (90.9 %) in 3.0s" in text
    assert "finishing 3 visits in flight" in text


def test_a_terminal_that_goes_away_does_not_stop_the_run(started: Started, clock: Clock) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "terminal is gone")

    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with LiveProgress(console, clock, refresh_s=0.001) as progress:
        console.file = Gone()
        progress.handle(started(ROOMS))
        progress.handle(Notice("info", "still here"))
        progress._thread.join(timeout=5)  # an error there would fail this test as an unhandled warning
        assert not progress._thread.is_alive()
        progress.handle(Notice("info", "and here"))


def test_a_hundred_events_a_second_cost_next_to_nothing(started: Started, attempt: Attempt) -> None:
    state = RunState()
    state.apply(started(ROOMS), 0.0)
    state.apply(IterationStarted("usage", 1, 0.0, 10_000), 0.0)
    event = AttemptRecorded(attempt("lab03-pc2"))

    before = time.process_time()
    for number in range(10_000):
        state.apply(event, number / 100)
    reducing = (time.process_time() - before) / 10_000

    console = Console(file=io.StringIO(), width=120, height=50, force_terminal=True)
    before = time.process_time()
    for number in range(20):
        console.print(render(state, number, 120, 50))
    drawing = (time.process_time() - before) / 20

    # 100 events and 4 pictures a second in under 5 % of one core, with room for a slower machine.
    assert 100 * reducing + 4 * drawing < 0.05


def test_system_clock_fits(started: Started) -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    with LiveProgress(console, SystemClock()) as progress:
        progress.handle(started(ROOMS))


def test_renderables_are_plain_values(run: RunState) -> None:
    drawn: RenderableType = render(run, 1.0, 80, 24)
    assert drawn is not None
