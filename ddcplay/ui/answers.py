"""What `ddcplay probe` shows: equal answers once, with the hosts that gave them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.ui.safe_text import decode_output, safe_text
from ddcplay.ui.tables import folded, indented
from ddcplay.ui.words import plural
from ddcplay.units import format_duration

_STYLES = {
    Outcome.OK: "green",
    Outcome.FAILED: "bold red",
    Outcome.UNAVAILABLE: "yellow",
    Outcome.SKIPPED: "cyan",
}
_CSV_COLUMNS = ("host", "outcome", "reason", "exit_code", "elapsed_s", "stdout", "stderr", "detail")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def error_text(result: AttemptResult) -> str:
    """Return standard error as a person reads it (PowerShell's XML form already unwrapped)."""
    return result.stderr_text if result.stderr_text is not None else decode_output(result.stderr)


def equal_answers(results: Sequence[AttemptResult]) -> list[tuple[AttemptResult, ...]]:
    """Group results with the same outcome and outputs; the largest group first, ties in host order."""
    groups: dict[tuple[object, ...], list[AttemptResult]] = {}
    for result in results:
        key = (
            result.outcome,
            result.reason,
            result.exit_code,
            result.stdout,
            error_text(result),
            # Machines that are off differ in milliseconds only.
            result.detail if result.outcome is Outcome.FAILED else "",
        )
        groups.setdefault(key, []).append(result)
    return [tuple(group) for group in sorted(groups.values(), key=len, reverse=True)]


def print_answers(console: Console, results: Sequence[AttemptResult], *, full: bool = False) -> None:
    """Print grouped answers, then the counts.

    Args:
        console: where to.
        results: one per host.
        full: every host's name, no folding to `… more`.
    """
    print_groups(console, results, full=full)
    console.print(counts_of(results))


def print_groups(console: Console, results: Sequence[AttemptResult], *, full: bool = False) -> None:
    """Print grouped answers without the counts."""
    for group in equal_answers(results):
        _print_group(console, group, full=full)


def write_csv(stream: TextIO, results: Sequence[AttemptResult]) -> None:
    """Write one row per host; cells that a spreadsheet would run as a formula get a leading apostrophe."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for result in results:
        writer.writerow(
            (
                csv_cell(result.host),
                str(result.outcome),
                str(result.reason or ""),
                "" if result.exit_code is None else result.exit_code,
                f"{result.elapsed_s:.3f}",
                csv_cell(decode_output(result.stdout).replace("\r\n", "\n").rstrip("\n")),
                csv_cell(error_text(result).replace("\r\n", "\n").rstrip("\n")),
                csv_cell(result.detail),
            )
        )


def csv_cell(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula and no terminal as a command."""
    text = safe_text(text, block=True)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _print_group(console: Console, group: Sequence[AttemptResult], *, full: bool) -> None:
    first = group[0]
    title = Text(
        folded([result.host for result in group], None if full else 12), style="bold", overflow="fold"
    )
    if len(group) > 1:
        title.append(f"  {len(group)} hosts", style="not bold")
    title.append(f"  {first.outcome}", style=_STYLES[first.outcome])
    if first.reason is not None:
        title.append(f" {first.reason}", style=_STYLES[first.outcome])
    if first.exit_code is not None and (first.exit_code or first.outcome is not Outcome.OK):
        title.append(f"  exit code {first.exit_code}", style="not bold")
    if console.is_terminal:
        console.print(Rule(style="dim"))
    console.print(title)
    if first.detail and first.outcome is not Outcome.OK:
        console.print(indented(Text(safe_text(first.detail, limit=500), overflow="fold")))
    if first.hint:
        console.print(indented(Text(f"→ {safe_text(first.hint)}", style="italic", overflow="fold")))
    _print_output(console, decode_output(first.stdout), "")
    _print_output(console, error_text(first), "red")


def _print_output(console: Console, raw: str, style: str) -> None:
    text = safe_text(raw, block=True).strip("\n")
    if text.strip():
        # soft_wrap: what a program printed keeps its own lines, also in a pipe.
        console.print(Text(text, style=style), soft_wrap=True)


def counts_of(results: Sequence[AttemptResult]) -> Text:
    """Return how many hosts ended how, and the slowest."""
    words = Text(plural(len(results), "host"), style="bold")
    for outcome in Outcome:
        count = sum(result.outcome is outcome for result in results)
        if count:
            words.append(f"  {count:,} {outcome}", style=_STYLES[outcome])
    slowest = max((result.elapsed_s for result in results), default=0.0)
    return words.append(f"  slowest {format_duration(slowest)}", style="not bold dim")
