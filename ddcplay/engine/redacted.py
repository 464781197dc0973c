"""Keeps secrets from everybody who watches a run (design §4: redacted at every sink but the archive)."""

from __future__ import annotations

from dataclasses import replace

from ddcplay.engine.events import AlertChanged, AttemptRecorded, Event, FilterFailed, Notice, Observer
from ddcplay.model.result import AttemptResult
from ddcplay.secrets.redact import Redactor


class Redacted:
    """An observer behind which no secret appears, even when a target printed it.

    Args:
        observer: who is told.
        redactor: knows every secret that was resolved.
    """

    def __init__(self, observer: Observer, redactor: Redactor) -> None:
        self._observer = observer
        self._redactor = redactor

    def handle(self, event: Event) -> None:
        """Pass an event on without secrets."""
        self._observer.handle(self._clean(event))

    def _clean(self, event: Event) -> Event:
        if isinstance(event, Notice):
            return replace(event, text=self._redactor.text(event.text))
        if isinstance(event, AlertChanged):
            told = event.event
            return AlertChanged(replace(told, message=self._redactor.text(told.message)))
        if isinstance(event, AttemptRecorded):
            return AttemptRecorded(self._clean_result(event.result))
        if isinstance(event, FilterFailed):
            return FilterFailed(self._clean_result(event.result))
        return event

    def _clean_result(self, result: AttemptResult) -> AttemptResult:
        text = result.stderr_text
        return replace(
            result,
            detail=self._redactor.text(result.detail),
            stdout=self._redactor.raw(result.stdout),
            stderr=self._redactor.raw(result.stderr),
            stderr_text=None if text is None else self._redactor.text(text),
            data=self._redactor.value(result.data),
        )
