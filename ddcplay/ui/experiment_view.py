"""What `ddcplay status` shows: one line per experiment, one more for its last error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ddcplay.model.result import AttemptResult
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import indented, table
from ddcplay.ui.words import attempt_words, iso_time, utc_time
from ddcplay.units import format_duration


@dataclass(frozen=True, slots=True)
class ExperimentStatus:
    """One experiment as its database tells it.

    Args:
        name: the experiment's name.
        directory: where its files are.
        play: the play's name.
        running: which process runs it now, empty when none.
        iterations: how many there are.
        last_id: id of the newest iteration.
        last_state: open, closed or interrupted.
        last_remote_s: its remote part, None while open.
        attempts: rows recorded.
        pending: attempts whose filters have not ended.
        owed: probes that a single shot still owes to hosts.
        owed_since: UTC Unix seconds of the oldest of these debts.
        given_up: debts that were given up.
        last_error: the newest failed attempt.
        problem: why it cannot be read, empty when it can.
    """

    name: str
    directory: Path
    play: str = ""
    running: str = ""
    iterations: int = 0
    last_id: int | None = None
    last_state: str = ""
    last_remote_s: float | None = None
    attempts: int = 0
    pending: int = 0
    owed: int = 0
    owed_since: float | None = None
    given_up: int = 0
    last_error: AttemptResult | None = None
    problem: str = ""


def status_fields(status: ExperimentStatus) -> dict[str, object]:
    """Return one experiment as JSON-ready values."""
    error = status.last_error
    return {
        "experiment": status.name,
        "play": status.play,
        "directory": str(status.directory),
        "running": status.running or None,
        "iterations": status.iterations,
        "last_iteration": status.last_id,
        "last_started_at": None if status.last_id is None else utc_time(status.last_id),
        "last_state": status.last_state or None,
        "last_elapsed_s": status.last_remote_s,
        "attempts": status.attempts,
        "pending": status.pending,
        "owed": status.owed,
        "owed_since": None if status.owed_since is None else utc_time(status.owed_since),
        "given_up": status.given_up,
        "last_error": None
        if error is None
        else {
            "iteration": error.iteration,
            "host": error.host,
            "probe": error.probe,
            "reason": str(error.reason),
            "detail": error.detail,
        },
        "problem": status.problem or None,
    }


def print_status(console: Console, found: Sequence[ExperimentStatus], data_dir: Path) -> None:
    """Print all experiments of a data directory."""
    if not found:
        console.print(Text(f"no experiments in {data_dir} yet"))
        return
    heads = ("experiment", "running", "iterations", "last", "state", "took", "attempts", "pending")
    shown = table(*heads, right=("iterations", "took", "attempts", "pending"))
    for item in (each for each in found if not each.problem):
        shown.add_row(
            Text(safe_text(item.name), style="bold"),
            Text(safe_text(item.running) or "no", style="green" if item.running else "dim"),
            Text(f"{item.iterations:,}"),
            Text("-" if item.last_id is None else iso_time(item.last_id)),
            Text(item.last_state or "-"),
            Text("-" if item.last_remote_s is None else format_duration(item.last_remote_s)),
            Text(f"{item.attempts:,}"),
            Text(f"{item.pending:,}"),
        )
    if shown.row_count:
        console.print(shown)
    for item in found:
        if item.owed or item.given_up:
            since = "" if item.owed_since is None else f" since {iso_time(item.owed_since)}"
            words = f"{safe_text(item.name)}: {item.owed:,} owed{since}, {item.given_up:,} given up"
            console.print(indented(Text(words), 2))
        if item.last_error is not None:
            when = iso_time(item.last_error.iteration)
            words = f"{safe_text(item.name)}: last error in {when}: {attempt_words(item.last_error)}"
            console.print(indented(Text(words, style="red", overflow="fold"), 2))
        if item.problem:
            console.print(
                Text(f"{safe_text(item.name)}: {safe_text(item.problem, block=True)}", style="bold red")
            )
