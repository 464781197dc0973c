"""The progress screen of `run` on a terminal.

Events only touch `RunState`; a thread of this module draws, at most a few times a second and only when
something changed. A terminal that stands still (Ctrl-S) therefore never holds up the collection.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ddcplay.engine.events import AlertChanged, Event, IterationClosed, Notice
from ddcplay.model.result import AttemptResult
from ddcplay.ui.rooms import WIDE, rooms_text
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.state import PlayState, RunState
from ddcplay.ui.words import alert_level, alert_words, closed_words, iso_time, owed_words, plural
from ddcplay.units import Clock, format_duration

REFRESH_S = 0.25
_LEVEL_STYLES = {"info": "", "warning": "yellow", "error": "bold red"}
_HEADLINES = 5
"""Lines of a play that are not rooms: title, column heads, sum, bar, one blank."""


class LiveProgress:
    """Draws the plays of a run; use it as a context manager around the run.

    Args:
        console: a terminal.
        clock: for rates, ETA and countdown.
        refresh_s: least seconds between two pictures.
    """

    def __init__(self, console: Console, clock: Clock, refresh_s: float = REFRESH_S) -> None:
        self._console = console
        self._clock = clock
        self._refresh_s = refresh_s
        self._state = RunState()
        self._lock = threading.Lock()
        self._lines: deque[Text] = deque()
        self._stopping = threading.Event()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._thread = threading.Thread(target=self._draw_until_stopped, name="ddcplay-screen", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(timeout=2)  # a terminal held by Ctrl-S must not keep the program
        with contextlib.suppress(OSError):  # the terminal went away
            self._print_lines()
            self._live.stop()

    def handle(self, event: Event) -> None:
        """Take one event; drawing happens elsewhere."""
        with self._lock:
            self._state.apply(event, self._clock.now())
        if isinstance(event, Notice):
            about = f"{event.experiment}: " if event.experiment else ""
            self.say(f"{about}{event.text}", event.level)
        elif isinstance(event, AlertChanged):
            self.say(alert_words(event.event), alert_level(event.event))
        elif isinstance(event, IterationClosed) and self._repeats(event.experiment):
            self.say(closed_words(event), "info")

    def say(self, words: str, level: str = "warning") -> None:
        """Print one line above the tables, for good."""
        style = _LEVEL_STYLES.get(level, "")
        self._lines.append(Text(safe_text(words), style=style))
        self._state.version += 1

    def _repeats(self, experiment: str) -> bool:
        """Say whether further iterations follow: one pass is told by the summary at its end."""
        play = self._state.plays.get(experiment)
        return play is not None and (play.started.every_s is not None or play.started.repeats)

    def _draw_until_stopped(self) -> None:
        drawn: tuple[int, int] | None = None
        while not self._stopping.wait(self._refresh_s):
            # A second that passes changes rates and countdowns even when nothing else happened.
            current = (self._state.version, int(self._clock.monotonic()))
            if current == drawn:
                continue
            drawn = current
            with self._lock:
                screen = render(self._state, self._clock.now(), self._console.width, self._console.height)
            try:
                self._print_lines()
                self._live.update(screen, refresh=True)
            except OSError:  # the terminal went away: nobody looks any more, the collection goes on
                return

    def _print_lines(self) -> None:
        while self._lines:
            self._console.print(self._lines.popleft())


def render(state: RunState, now: float, width: int, height: int) -> RenderableType:
    """Draw all plays into a screen of `width` by `height` characters at `now` (UTC Unix seconds)."""
    plays = list(state.plays.values())
    if not plays:
        return Text("starting …", style="dim")
    share = max(_HEADLINES + 1, (height - 1) // len(plays))
    fitting = plays[: max(1, (height - 1) // share)]
    parts: list[RenderableType] = []
    for play in fitting:
        parts += _play(play, now, width, share)
    if len(fitting) < len(plays):
        parts.append(Text(f"… {plural(len(plays) - len(fitting), 'more play')}", style="dim"))
    return Group(*parts)


def _play(play: PlayState, now: float, width: int, height: int) -> list[RenderableType]:
    lines = height - _HEADLINES
    failures = _last(play, max(0, lines // 2 - 1))
    rooms_fit = max(1, lines - (len(failures) + 1 if failures else 0))
    parts: list[RenderableType] = [_title(play, now, width)]
    if play.rooms:
        parts += [rooms_text(list(play.rooms.values()), rooms_fit, width), _bar(play, now, width)]
    if failures:
        parts += [Text("Last failures", style="bold"), _failures(failures)]
    return [*parts, Text("")]


def _last(play: PlayState, count: int) -> list[AttemptResult]:
    return list(play.failures)[-count:] if count else []


def _title(play: PlayState, now: float, width: int) -> Text:
    title = Text(no_wrap=True, overflow="ellipsis")
    title.append(safe_text(play.started.play), style="bold")
    if play.iteration is None:
        if play.owed is not None:
            title.append(f"  {owed_words(play.owed, now)}", style="bold cyan")
        return title.append("  waiting for its first iteration", style="dim")
    title.append(f"  iteration {play.number}", style="bold cyan")
    # What matters most stands first: a narrow screen cuts the end.
    if play.ended:
        title.append(f" · ended: {safe_text(play.ended)}", style="bold")
    elif play.waiting:
        title.append(f" · {plural(play.waiting, 'attempt')} wait for their filters", style="bold yellow")
    elif play.owed is not None:
        title.append(f" · {owed_words(play.owed, now)}", style="bold")
    elif play.next_at is not None:
        title.append(f" · next in {_countdown(play.next_at - now)}", style="bold")
    elif play.closed is None and width >= WIDE:
        title.append(f" · running for {_countdown(now - play.started_at)}")
    title.append(f" · started {_clock_time(play.started_at)} · id {play.iteration}", style="dim")
    return title


def _countdown(seconds: float) -> str:
    """Write seconds for something that moves: tenths would only flicker."""
    whole = max(0, math.ceil(seconds))
    return f"{whole}s" if whole < 60 else format_duration(whole)


def _clock_time(unix_s: float) -> str:
    return iso_time(unix_s)[11:19]


def _bar(play: PlayState, now: float, width: int) -> RenderableType:
    words = Text(no_wrap=True)
    share = 100.0 * play.done / play.pairs if play.pairs else 100.0
    words.append(f"{play.done:,}/{play.pairs:,} attempts  {share:.0f} %", style="bold")
    if play.closed is None:
        words.append(f"  {play.rate(now):.1f}/s")
        left = play.eta_s(now)
        if left is not None and play.done < play.pairs:
            words.append(f"  {_countdown(left)} left")
    bar_width = max(8, min(40, width - len(words.plain) - 4))
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(ProgressBar(total=max(1, play.pairs), completed=play.done, width=bar_width), words)
    return line


def _failures(failures: Sequence[AttemptResult]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=16)
    table.add_column(no_wrap=True, style="red")
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for result in failures:
        table.add_row(
            Text(safe_text(result.host)),
            Text(safe_text(result.probe)),
            Text(str(result.reason or "")),
            Text(safe_text(result.detail, limit=200)),
        )
    return table
