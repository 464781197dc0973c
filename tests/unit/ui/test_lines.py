from __future__ import annotations

import io
import json
from collections.abc import Callable

from ddcplay.engine.events import (
    AttemptRecorded,
    ExperimentEnded,
    ExperimentStarted,
    IterationClosed,
    IterationStarted,
    Notice,
    ProbeSummary,
    VisitEnded,
    VisitStarted,
    WaitingForNext,
)
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.ui.json_lines import JsonLines, dump_line
from ddcplay.ui.plain import PlainLines
from ddcplay.units import Clock

Attempt = Callable[..., AttemptResult]
Started = Callable[..., ExperimentStarted]


class Broken(io.BytesIO):
    def write(self, text: object) -> int:
        raise BrokenPipeError


def written(stream: io.StringIO) -> list[str]:
    """Return the lines without their time stamps, which are checked to be ISO."""
    stamps, words = zip(*(line.split(" ", 1) for line in stream.getvalue().splitlines()), strict=True)
    assert all(len(stamp) == 25 and stamp[10] == "T" for stamp in stamps)
    return list(words)


def test_one_line_per_event_worth_it(started: Started, attempt: Attempt, clock: Clock) -> None:
    out = io.StringIO()
    lines = PlainLines(out, clock, on_reader_gone=lambda: None)
    for event in (
        started({"lab01": ["a", "b"]}, every_s=60.0),
        IterationStarted("usage", 100, 100.0, pairs=1200, done=3, continued=True),
        VisitStarted("usage", 100, "a"),
        AttemptRecorded(attempt("a")),
        AttemptRecorded(attempt("b", Reason.AUTH, detail="refused \x1b[31m\nby b")),
        AttemptRecorded(attempt("c", Reason.NO_ANSWER)),
        VisitEnded("usage", 100, "a"),
        Notice("warning", "clock jumped", "usage"),
        IterationClosed("usage", 100, 381.9, [ProbeSummary("disks", 1, 1, 1, 0, 380.0)]),
        WaitingForNext("usage", 1_000_060.0),
        ExperimentEnded("usage", 2, "stopped"),
    ):
        lines.handle(event)

    assert written(out) == [
        "usage: 2 hosts in 1 room, 1 probe; files in data/usage",
        "usage: iteration 100 continued, 1,200 attempts due, 3 done before",
        "b disks failed auth: refused \\x1b[31m\\nby b",
        "warning: usage: clock jumped",
        "usage: iteration 100 closed: 1 ok, 1 failed, 1 unavailable, 0 skipped (33.3 %) in 6m22s",
        "usage: next iteration at " + written_time(1_000_060.0) + " (in 1m00s)",
        "usage: ended after 2 iterations: stopped",
    ]


def written_time(unix_s: float) -> str:
    from ddcplay.ui.words import iso_time  # noqa: PLC0415 - the machine's time zone decides

    return iso_time(unix_s)


def test_verbose_lines_tell_every_attempt_and_how_hosts_were_reached(attempt: Attempt, clock: Clock) -> None:
    out = io.StringIO()
    lines = PlainLines(out, clock, verbosity=2, on_reader_gone=lambda: None)
    lines.handle(AttemptRecorded(attempt("a")))
    lines.handle(VisitEnded("usage", 100, "a", {"port": 5985, "auth": "ntlm"}))

    assert written(out) == ["a disks ok in 0.500s", "a reached with port=5985 auth=ntlm"]


def test_json_line_has_the_fields_of_the_attempt_row_with_outputs_as_text(attempt: Attempt) -> None:
    out = io.BytesIO()
    result = attempt(
        "a",
        Reason.EXIT_CODE,
        detail="exit code 3",
        hint="look",
        on=True,
        started_at=1081948390.25,
        elapsed_s=0.41234,
        exit_code=3,
        stdout=b"caf\xe9 \x1b[31m",
        stderr=b"#< CLIXML ...",
        stderr_text="unwrapped",
        data=[{"x": 1}],
    )

    JsonLines(out, lambda: None).handle(AttemptRecorded(result))

    (line,) = out.getvalue().splitlines()
    row = json.loads(line)
    assert row == {
        "experiment": "usage",
        "iteration": 100,
        "host": "a",
        "probe": "disks",
        "outcome": "failed",
        "reason": "exit_code",
        "detail": "exit code 3",
        "hint": "look",
        "on": True,
        "started_at": "2004-04-14T13:13:10.250Z",
        "elapsed_s": 0.412,
        "timeout_s": 0.0,
        "tries": 1,
        "exit_code": 3,
        "stdout": "caf\ufffd \x1b[31m",
        "stderr": "unwrapped",
        "data": [{"x": 1}],
        "kill_verified": None,
        "round_trips": 0,
    }
    # JSON escapes what a terminal would obey.
    assert b"\x1b" not in line


def test_text_that_is_not_unicode_still_becomes_json() -> None:
    assert json.loads(dump_line({"a\ud800": ["x\udfff", {"b": 1}]})) == {"a?": ["x?", {"b": 1}]}


def test_json_on_a_terminal_cannot_steer_it() -> None:
    hostile = "\x1b[2J \x7f \x9b31m \u202e \u2066 \u061c \u2028 é € 中"
    line = dump_line({hostile: hostile})
    shown = line.decode()
    assert not [char for char in shown if char in "\x1b\x7f\x9b\u202e\u2066\u061c\u2028"]
    assert "é € 中" in shown
    assert json.loads(line) == {hostile: hostile}


def test_nothing_but_attempts_is_json(started: Started) -> None:
    out = io.BytesIO()
    lines = JsonLines(out, lambda: None)
    lines.handle(started({}))
    lines.handle(Notice("info", "x"))

    assert out.getvalue() == b""


def test_a_reader_that_leaves_is_told_once_and_nothing_is_raised(attempt: Attempt, clock: Clock) -> None:
    told: list[str] = []
    json_lines = JsonLines(Broken(), lambda: told.append("json"))
    plain = PlainLines(
        io.TextIOWrapper(Broken(), write_through=True), clock, on_reader_gone=lambda: told.append("plain")
    )
    for _ in range(3):
        json_lines.handle(AttemptRecorded(attempt()))
        plain.handle(Notice("info", "x"))

    assert told == ["json", "plain"]
