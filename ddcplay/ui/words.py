"""Sentences that several displays share, so that a terminal and a log file say the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ddcplay.engine.events import IterationClosed, IterationStarted, Owed, ProbeSummary
from ddcplay.model.alert import AlertEvent, Happening, Severity
from ddcplay.model.result import AttemptResult
from ddcplay.ui.safe_text import safe_text
from ddcplay.units import format_duration

DETAIL_LIMIT = 300


def iso_time(unix_s: float) -> str:
    """Write UTC Unix seconds as local ISO time with its offset, to the second."""
    return datetime.fromtimestamp(unix_s, UTC).astimezone().isoformat(timespec="seconds")


def utc_time(unix_s: float) -> str:
    """Write UTC Unix seconds as ISO time in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def percent(value: float | None) -> str:
    """Write a share with one decimal, `-` for 0/0 (as in the trace)."""
    return "-" if value is None else f"{value:.1f}"


def plural(count: int, one: str, many: str = "") -> str:
    """Write `1 host`, `2 hosts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def attempt_words(result: AttemptResult) -> str:
    """Write one attempt on one line: host, probe, outcome, reason, detail."""
    words = f"{safe_text(result.host)} {safe_text(result.probe)} {result.outcome}"
    if result.reason is not None:
        words += f" {result.reason}"
    if result.detail:
        words += f": {safe_text(result.detail, limit=DETAIL_LIMIT)}"
    elif result.reason is None:
        words += f" in {format_duration(result.elapsed_s)}"
    return words


def alert_words(event: AlertEvent) -> str:
    """Write what happened to an alert on one line."""
    identity = event.identity
    who = " ".join(safe_text(part) for part in (identity.host, identity.key) if part)
    words = f"{safe_text(identity.experiment)}: alert {safe_text(identity.name)} {event.what}"
    message = safe_text(event.message, limit=DETAIL_LIMIT)
    return f"{words}{f' on {who}' if who else ''} ({event.severity}){f': {message}' if message else ''}"


def alert_level(event: AlertEvent) -> str:
    """Return the level a display shows it with."""
    if event.what in {Happening.RESOLVED, Happening.GONE}:
        return "info"
    return "error" if event.severity is Severity.CRITICAL else "warning"


def started_words(event: IterationStarted) -> str:
    """Write what a new iteration has to do."""
    verb = "continued" if event.continued else "started"
    done = f", {event.done:,} done before" if event.done else ""
    due = plural(event.pairs, "attempt")
    return f"{safe_text(event.experiment)}: iteration {event.iteration} {verb}, {due} due{done}"


def owed_words(event: Owed, now: float) -> str:
    """Write how a single shot stands at `now` (UTC Unix seconds)."""
    given_up = f", {event.given_up:,} given up" if event.given_up else ""
    if not event.owed or event.oldest_since is None:
        return f"nothing owed, {event.paid:,} done{given_up}"
    since = format_duration(max(0.0, now - event.oldest_since))
    return f"{event.owed:,} owed for up to {since}, {event.paid:,} done{given_up}"


def closed_words(event: IterationClosed) -> str:
    """Write the counts of a closed iteration over all its probes."""
    total = _total(event.probes)
    return (
        f"{safe_text(event.experiment)}: iteration {event.iteration} {event.state}: "
        f"{total.ok:,} ok, {total.failed:,} failed, "
        f"{total.unavailable:,} unavailable, {total.skipped:,} skipped "
        f"({percent(total.percent_ok)} %) in {format_duration(event.elapsed_s)}"
    )


def _total(probes: Sequence[ProbeSummary]) -> ProbeSummary:
    return ProbeSummary(
        "",
        ok=sum(probe.ok for probe in probes),
        failed=sum(probe.failed for probe in probes),
        unavailable=sum(probe.unavailable for probe in probes),
        skipped=sum(probe.skipped for probe in probes),
        elapsed_s=max((probe.elapsed_s for probe in probes), default=0.0),
    )
