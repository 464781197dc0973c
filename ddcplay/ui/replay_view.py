"""What `ddcplay replay` prints."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ddcplay.engine.replay import Replayed
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.words import plural


def replay_fields(result: Replayed) -> dict[str, object]:
    """Return a replay as JSON-ready values."""
    return {
        "experiment": result.directory.name,
        "database": str(result.directory / "experiment.db"),
        "attempts": result.attempts,
        "failed": result.failed,
        "alert_events": result.events,
        "interrupted": result.interrupted,
        "left_out": {
            probe: {"attempts": count, "why": why} for probe, (count, why) in result.left_out.items()
        },
    }


def print_replay(console: Console, result: Replayed) -> None:
    """Print what ran again, what did not, and where the new database is."""
    attempts = plural(result.attempts, "attempt")
    head = f"{safe_text(result.directory.name)}: {attempts} replayed, {result.failed:,} failed in a filter"
    console.print(Text(f"{head}, {plural(result.events, 'alert event')}"))
    if result.interrupted:
        console.print(Text("  interrupted: what follows was not replayed", style="yellow"))
    for probe, (count, why) in result.left_out.items():
        console.print(
            Text(f"  {safe_text(probe)}: {plural(count, 'attempt')} left out: {why}", style="yellow")
        )
    console.print(Text(f"database: {result.directory / 'experiment.db'}", style="dim", overflow="fold"))
