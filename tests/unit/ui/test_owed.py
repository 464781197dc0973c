"""How displays show a single shot: what is owed and since when, without a line every two minutes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from ddcplay.engine.events import ExperimentStarted, Owed, WaitingForNext
from ddcplay.ui.live import render
from ddcplay.ui.plain import PlainLines
from ddcplay.ui.state import RunState
from ddcplay.ui.words import owed_words
from ddcplay.units import Clock

Started = Callable[..., ExperimentStarted]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (Owed("usage", 1200, 1000.0, 0, 34), "1,200 owed for up to 3d04h, 34 done"),
        (Owed("usage", 2, 1000.0, 1), "2 owed for up to 3d04h, 0 done, 1 given up"),
        (Owed("usage", 0, None, 0, 40), "nothing owed, 40 done"),
    ],
)
def test_what_is_owed_and_since_when_in_words(event: Owed, words: str) -> None:
    assert owed_words(event, 1000.0 + 3 * 86400 + 4 * 3600) == words


@pytest.mark.parametrize(("verbosity", "lines"), [(0, 2), (1, 4)])
def test_a_log_tells_changes_and_not_every_window(clock: Clock, verbosity: int, lines: int) -> None:
    out = io.StringIO()
    plain = PlainLines(out, clock, verbosity, on_reader_gone=lambda: None)
    plain.handle(Owed("usage", 2, 999_000.0, 0))
    plain.handle(WaitingForNext("usage", 1_000_120.0))
    plain.handle(WaitingForNext("usage", 1_000_240.0, quiet=True))
    plain.handle(WaitingForNext("usage", 1_000_360.0, quiet=True))
    assert len(out.getvalue().splitlines()) == lines


def test_the_screen_shows_what_is_owed_before_and_between_windows(
    started: Started, screen: Callable[..., str]
) -> None:
    run = RunState()
    run.apply(started({"lab01": ["a", "b"]}), 1000.0)
    run.apply(Owed("usage", 2, 1000.0, 0), 1000.0)
    run.apply(WaitingForNext("usage", 1120.0), 1001.0)
    assert "2 owed for up to 1m00s" in screen(render(run, 1060.0, 100, 40))
