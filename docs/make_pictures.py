# ruff: noqa: INP001 - a script, not a package
"""Draws the pictures of README from a real run: `python docs/make_pictures.py`.

It starts the simulated school of `ddcplay demo`, runs the demo playbook on it, and saves what the progress
screen and the summary show as SVG. Run it again when either of them changes.
"""

from __future__ import annotations

import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console

from ddcplay import app
from ddcplay.cli.arguments import make_options
from ddcplay.cli.lab import every, make_project, with_trouble
from ddcplay.engine.events import Event
from ddcplay.engine.stop import StopRequest
from ddcplay.lab.fleet import school, start_lab
from ddcplay.ui.live import render
from ddcplay.ui.state import HostStatus, RunState
from ddcplay.ui.tables import print_run_summary
from ddcplay.units import SystemClock

IMAGES = Path(__file__).resolve().parent / "images"
WIDTH, HEIGHT = 100, 26
CONCURRENCY = 20
"""The simulated PCs answer at once: with more visits side by side there would be nothing to see."""
ITERATION = 2
BUSY = 0.5
"""The picture is taken in the second pass, as late as possible with at least half of the visits in flight."""


class Camera:
    """Watches a run and keeps the screen of one moment.

    Args:
        console: what the screen is drawn on.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._state = RunState()
        self._clock = SystemClock()
        self._best = 0.0

    @property
    def taken(self) -> bool:
        """Say whether there is a picture with something going on."""
        return self._best > 0

    def handle(self, event: Event) -> None:
        """Take one event, and a picture when none so far was better."""
        now = self._clock.now()
        self._state.apply(event, now)
        for play in self._state.plays.values():
            if play.number != ITERATION or not play.pairs:
                continue
            busy = play.count(HostStatus.RUNNING) / CONCURRENCY
            score = min(busy, BUSY) * play.done / play.pairs
            if score > self._best:
                self._best = score
                self._console.export_text()  # forgets the picture before
                self._console.print(render(self._state, now, WIDTH, HEIGHT))


def camera_console(width: int = WIDTH) -> Console:
    """Return a console that only remembers."""
    return Console(
        record=True, width=width, file=StringIO(), force_terminal=True, color_system="truecolor",
        highlight=False, emoji=False, markup=False,
    )  # fmt: skip


def main() -> int:
    """Make the run and write both pictures."""
    screen, end = camera_console(), camera_console(120)
    with tempfile.TemporaryDirectory(prefix="ddcplay-pictures-") as scratch:
        project = make_project(Path(scratch) / "school", "pictures")
        with start_lab(with_trouble(school(169, 11, off_share=0.35)), project.lab) as lab:
            project.write_inventory(lab)
            options = make_options(directory=project.root, iterations=ITERATION, concurrency=CONCURRENCY)
            prepared = every(app.prepare([str(project.playbook)], options), 6.0)
            camera = Camera(screen)
            outcome = app.run(prepared, options, [camera], StopRequest())
        print_run_summary(end, outcome.last, {})
    if not camera.taken:
        sys.stderr.write("the moment of the picture never came\n")
        return 1
    IMAGES.mkdir(exist_ok=True)
    screen.save_svg(str(IMAGES / "run.svg"), title="ddcplay run labs.yml", unique_id="run")
    end.save_svg(str(IMAGES / "summary.svg"), title="… and at its end", unique_id="summary")
    return 0


if __name__ == "__main__":
    sys.exit(main())
