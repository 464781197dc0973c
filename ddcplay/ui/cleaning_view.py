"""What `ddcplay clean` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from ddcplay.engine.cleaning import Cleaning
from ddcplay.store.leftovers import Leftover
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.words import plural


def print_cleaning(console: Console, experiment: str, cleaning: Cleaning) -> None:
    """Print what was removed, and what is still owed and why.

    Args:
        console: where to.
        experiment: its name.
        cleaning: what became of its leftovers.
    """
    console.print(Text(safe_text(experiment), style="bold"))
    if not cleaning.removed and not cleaning.owed:
        console.print(Text("  nothing is left on any host"))
    for item in cleaning.removed:
        _print(console, item, "removed", "green", "")
    for item in cleaning.owed:
        why = cleaning.why.get(item.host, "not visited")
        _print(console, item, "still owed", "yellow", f" since {_day(item.since)} ({safe_text(why)})")
    if cleaning.owed:
        hosts = len({item.host for item in cleaning.owed})
        console.print(Text(f"  owed on {plural(hosts, 'host')}: run it again when they are on", style="dim"))


def _print(console: Console, item: Leftover, what: str, style: str, why: str) -> None:
    places = ", ".join(safe_text(directory) for directory in item.directories)
    line = Text(f"  {safe_text(item.host)}  ")
    line.append(what, style=style)
    console.print(line.append(f"  {safe_text(item.probe)}: {places}{why}"), soft_wrap=True)


def cleaning_fields(experiment: str, cleaning: Cleaning) -> dict[str, object]:
    """Return a cleaning as JSON-ready values; times are UTC Unix seconds."""
    return {
        "experiment": experiment,
        "removed": _rows(cleaning.removed, {}),
        "owed": _rows(cleaning.owed, cleaning.why),
    }


def _rows(items: Sequence[Leftover], why: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {
            "host": item.host,
            "probe": item.probe,
            "directories": list(item.directories),
            "since": item.since,
            "tries": item.tries,
            "why": why.get(item.host, ""),
        }
        for item in items
    ]


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
