"""`--json`: one JSON object per acknowledged attempt, for programs; everything else goes elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO

import orjson

from ddcplay.engine.events import AttemptRecorded, Event, FilterFailed
from ddcplay.model.result import AttemptResult
from ddcplay.ui.safe_text import decode_output
from ddcplay.ui.words import utc_time

_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
_STEERING = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c")
"""DEL, C1 controls (U+009B is a CSI for some terminals), line separators and bidi marks, in UTF-8."""


def attempt_fields(result: AttemptResult) -> dict[str, object]:
    """Return an attempt as JSON-ready values; times are ISO UTC, outputs are text."""
    return {
        "experiment": result.experiment,
        "iteration": result.iteration,
        "host": result.host,
        "probe": result.probe,
        "outcome": result.outcome.value,
        "reason": result.reason.value if result.reason else None,
        "detail": result.detail,
        "hint": result.hint,
        "on": result.on,
        "started_at": utc_time(result.started_at),
        "elapsed_s": round(result.elapsed_s, 3),
        "timeout_s": result.timeout_s,
        "tries": result.tries,
        "exit_code": result.exit_code,
        "stdout": decode_output(result.stdout),
        "stderr": result.stderr_text if result.stderr_text is not None else decode_output(result.stderr),
        "data": result.data,
        "kill_verified": result.kill_verified,
        "round_trips": result.round_trips,
    }


def dump_line(value: object) -> bytes:
    """Write one JSON line; what JSON does not know becomes text, lone surrogates become U+FFFD.

    Characters that steer a terminal are written as escapes, as JSON itself asks for below U+0020 only.
    """
    try:
        line = orjson.dumps(value, default=str, option=_OPTIONS)
    except TypeError:  # orjson refuses text that is not valid Unicode
        line = orjson.dumps(_valid(value), default=str, option=_OPTIONS)
    return _STEERING.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), line)


class JsonLines:
    """Writes acknowledged attempts.

    Args:
        stream: binary, usually standard output's buffer.
        on_reader_gone: called once when the stream's reader went away.
    """

    def __init__(self, stream: BinaryIO, on_reader_gone: Callable[[], None]) -> None:
        self._stream = stream
        self._on_reader_gone = on_reader_gone
        self._gone = False

    def handle(self, event: Event) -> None:
        """Write one line per acknowledged attempt, and one more when a filter fails it afterwards."""
        if not isinstance(event, AttemptRecorded | FilterFailed) or self._gone:
            return
        fields = attempt_fields(event.result)
        if isinstance(event, FilterFailed):
            fields["revised"] = True
        try:
            self._stream.write(dump_line(fields))
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed under us
            self._gone = True
            self._on_reader_gone()


def _valid(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    return value
