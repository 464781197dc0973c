"""Progress as plain lines: for CI logs, services and pipes; one line per event worth reading."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TextIO

from ddcplay.engine.events import (
    AlertChanged,
    AttemptRecorded,
    Event,
    ExperimentEnded,
    ExperimentStarted,
    FilterFailed,
    IterationClosed,
    IterationStarted,
    Notice,
    Owed,
    VisitEnded,
    WaitingForNext,
)
from ddcplay.model.result import Outcome
from ddcplay.ui.safe_text import safe_text, safe_values
from ddcplay.ui.words import (
    alert_words,
    attempt_words,
    closed_words,
    iso_time,
    owed_words,
    plural,
    started_words,
)
from ddcplay.units import Clock, format_duration


class PlainLines:
    """Writes `TIME words` lines without colours.

    Args:
        stream: where to; nothing is raised when it breaks.
        clock: for the time stamps.
        verbosity: 0 failures and iterations; 1 every attempt too; 2 how each host was reached.
        on_reader_gone: called once when the stream's reader went away (`ddcplay run … | head`).
    """

    def __init__(
        self, stream: TextIO, clock: Clock, verbosity: int = 0, *, on_reader_gone: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._verbosity = verbosity
        self._lock = threading.Lock()
        self._on_reader_gone = on_reader_gone
        self._gone = False

    def handle(self, event: Event) -> None:
        """Write the event's line, if it deserves one."""
        words = self._words(event)
        if words:
            self.say(words)

    def say(self, words: str) -> None:
        """Write one line of our own."""
        if self._gone:
            return
        try:
            with self._lock:
                self._stream.write(f"{iso_time(self._clock.now())} {words}\n")
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed under us
            self._gone = True
            self._on_reader_gone()

    def _words(self, event: Event) -> str:
        match event:
            case ExperimentStarted():
                hosts = plural(sum(map(len, event.rooms.values())), "host")
                size = f"{hosts} in {plural(len(event.rooms), 'room')}, {plural(len(event.probes), 'probe')}"
                return f"{safe_text(event.experiment)}: {size}; files in {event.directory}"
            case IterationStarted():
                return started_words(event)
            case IterationClosed():
                return closed_words(event)
            case Owed():
                return f"{safe_text(event.experiment)}: {owed_words(event, self._clock.now())}"
            case WaitingForNext():
                return self._waiting_words(event)
            case Notice():
                about = f"{safe_text(event.experiment)}: " if event.experiment else ""
                return f"{event.level}: {about}{safe_text(event.text)}"
            case VisitEnded() if self._verbosity > 1 and event.facts:
                return f"{safe_text(event.host)} reached with {safe_values(event.facts)}"
            case ExperimentEnded():
                made = plural(event.iterations, "iteration")
                return f"{safe_text(event.experiment)}: ended after {made}: {event.why}"
            case _:
                return self._result_words(event)

    def _result_words(self, event: Event) -> str:
        match event:
            case AttemptRecorded(result=result):
                shown = result.outcome is Outcome.FAILED or self._verbosity > 0
                return attempt_words(result) if shown else ""
            case FilterFailed(result=result):
                return attempt_words(result)
            case AlertChanged():
                return alert_words(event.event)
            case _:
                return ""

    def _waiting_words(self, event: WaitingForNext) -> str:
        if event.quiet and not self._verbosity:  # a single shot looks every two minutes, for weeks
            return ""
        left = format_duration(max(0.0, event.next_at - self._clock.now()))
        return f"{safe_text(event.experiment)}: next iteration at {iso_time(event.next_at)} (in {left})"
