"""What `ddcplay alerts` shows: alerts that fire, and silences; every text may be a target's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from ddcplay.model.alert import AlertUpdate, Severity, Silence, Status
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import indented, table
from ddcplay.ui.words import iso_time, plural, utc_time
from ddcplay.units import format_duration

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ORDER = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
_LONGEST_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class AlertLine:
    """One alert as it is shown.

    Args:
        alert: as the database has it.
        acknowledged: somebody has taken it, perhaps since the coordinator last looked.
        silence: the one that covers it now for longest, None for none.
    """

    alert: AlertUpdate
    acknowledged: bool = False
    silence: Silence | None = None

    @property
    def since(self) -> float | None:
        """Return since when it fires, or has been bad while it is pending (UTC Unix seconds)."""
        state = self.alert.state
        return state.fired_at if state.status is Status.FIRING else state.bad_since


def in_order(lines: Sequence[AlertLine]) -> list[AlertLine]:
    """Sort: firing before pending, the worst first, then by rule, host and key."""

    def rank(line: AlertLine) -> tuple[bool, int, str, str, str, str]:
        alert, identity = line.alert, line.alert.identity
        status = alert.state.status is not Status.FIRING
        return (
            status,
            _ORDER.index(alert.severity),
            identity.experiment,
            identity.name,
            identity.host,
            identity.key,
        )

    return sorted(lines, key=rank)


def alert_fields(line: AlertLine) -> dict[str, object]:
    """Return one alert as JSON-ready values."""
    alert, state = line.alert, line.alert.state
    return {
        "experiment": alert.identity.experiment,
        "name": alert.identity.name,
        "host": alert.identity.host or None,
        "key": alert.identity.key or None,
        "status": state.status.value,
        "severity": alert.severity.value,
        "since": None if line.since is None else utc_time(line.since),
        "observed_at": utc_time(alert.at),
        "bad_in_a_row": state.bad_in_a_row,
        "told": state.told_firing,
        "flapping": state.flapping,
        "acknowledged": line.acknowledged,
        "silenced_until": None if line.silence is None else utc_time(line.silence.ends_at),
        "message": alert.message,
        "runbook": alert.runbook or None,
        "probe": alert.probe or None,
    }


def silence_fields(experiment: str, silence: Silence) -> dict[str, object]:
    """Return one silence as JSON-ready values."""
    return {
        "experiment": experiment,
        "id": silence.id,
        "matchers": dict(silence.matchers),
        "starts_at": utc_time(silence.starts_at),
        "ends_at": utc_time(silence.ends_at),
        "comment": silence.comment,
        "created_by": silence.created_by,
    }


def print_alerts(console: Console, lines: Sequence[AlertLine], now: float, *, several: bool) -> None:
    """Print alerts as a table.

    Args:
        console: where to.
        lines: in the order in which they are shown.
        now: UTC Unix seconds.
        several: there is more than one experiment, so it is named.
    """
    if not lines:
        console.print(Text("nothing fires", style="green"))
        return
    heads = ("severity", "alert", "host", "key", "state", "for", "message")
    shown = table(*(("experiment", *heads) if several else heads), right=("for",))
    for line in lines:
        alert, identity = line.alert, line.alert.identity
        cells = [
            Text(alert.severity.value, style=_STYLES[alert.severity]),
            Text(safe_text(identity.name), style="bold"),
            Text(safe_text(identity.host) or "-"),
            Text(safe_text(identity.key) or "-"),
            Text(_state(line)),
            Text("-" if line.since is None else format_duration(max(0.0, now - line.since))),
            Text(safe_text(alert.message, limit=_LONGEST_MESSAGE)),
        ]
        shown.add_row(*([Text(safe_text(identity.experiment)), *cells] if several else cells))
    console.print(shown)
    runbooks = {line.alert.identity.name: line.alert.runbook for line in lines if line.alert.runbook}
    for name, runbook in runbooks.items():
        console.print(
            indented(Text(f"{safe_text(name)}: {safe_text(runbook)}", style="dim", overflow="fold"), 2)
        )


def print_silences(console: Console, silences: Sequence[tuple[str, Silence]], now: float) -> None:
    """Print silences, each with its experiment, on a line of its own."""
    for experiment, silence in silences:
        console.print(Text(silence_words(experiment, silence, now), overflow="fold"))


def silence_words(experiment: str, silence: Silence, now: float) -> str:
    """Write one silence on one line."""
    left = format_duration(max(0.0, silence.ends_at - now))
    begins = "" if silence.starts_at <= now else f" from {iso_time(silence.starts_at)}"
    until = "over" if silence.ends_at <= now else f"until {iso_time(silence.ends_at)} ({left})"
    about = " ".join(f"{key}={safe_text(glob)}" for key, glob in silence.matchers)
    by = f" by {safe_text(silence.created_by)}" if silence.created_by else ""
    comment = f": {safe_text(silence.comment, limit=_LONGEST_MESSAGE)}" if silence.comment else ""
    return f"silence {silence.id} of {safe_text(experiment)}: {about}{begins} {until}{by}{comment}"


def covered_words(lines: Sequence[AlertLine]) -> str:
    """Write which of the alerts that fire a new silence covers."""
    if not lines:
        return "nothing that fires now is covered; what begins to fire later may be"
    return f"covers now: {_named(lines)}"


def taken_words(lines: Sequence[AlertLine]) -> str:
    """Write which alerts have just been acknowledged."""
    return f"acknowledged {plural(len(lines), 'alert')}: {_named(lines)}"


def _named(lines: Sequence[AlertLine]) -> str:
    named = [identity_words(line.alert) for line in lines[:10]]
    more = f" and {len(lines) - len(named)} more" if len(lines) > len(named) else ""
    return ", ".join(named) + more


def identity_words(alert: AlertUpdate) -> str:
    """Write which alert it is: `low_disk pc01 C:`."""
    identity = alert.identity
    return " ".join(safe_text(part) for part in (identity.name, identity.host, identity.key) if part)


def _state(line: AlertLine) -> str:
    state = line.alert.state
    words = [state.status.value]
    if state.flapping:
        words.append("flapping")
    if line.acknowledged:
        words.append("acknowledged")
    if line.silence is not None:
        words.append(f"silenced until {iso_time(line.silence.ends_at)}")
    return ", ".join(words)
