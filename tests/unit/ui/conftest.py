from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from ddcplay.engine.events import ExperimentStarted
from ddcplay.model.result import AttemptResult, Outcome, Reason, outcome_of


class FakeClock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def screen() -> Callable[..., str]:
    """Render something on a screen and return its characters without colours."""

    def draw(what: RenderableType, width: int = 100, height: int = 40) -> str:
        console = Console(
            file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
        )
        console.print(what)
        return console.file.getvalue()

    return draw


@pytest.fixture
def recorded() -> Console:
    return Console(file=io.StringIO(), width=100, no_color=True, highlight=False, markup=False)


@pytest.fixture
def attempt() -> Callable[..., AttemptResult]:
    def make(host: str = "pc1", reason: Reason | None = None, **more: object) -> AttemptResult:
        outcome = outcome_of(reason) if reason else Outcome.OK
        values: dict[str, Any] = {
            "experiment": "usage",
            "iteration": 100,
            "probe": "disks",
            "elapsed_s": 0.5,
            **more,
        }
        return AttemptResult(host=host, outcome=outcome, reason=reason, **values)

    return make


@pytest.fixture
def started() -> Callable[..., ExperimentStarted]:
    def make(rooms: dict[str, list[str]], every_s: float | None = None) -> ExperimentStarted:
        return ExperimentStarted("usage", "Classroom usage", rooms, ["disks"], every_s, "data/usage")

    return make
