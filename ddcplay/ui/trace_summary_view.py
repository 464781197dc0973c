"""What `ddcplay trace --summary` prints."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ddcplay.report.words import moment
from ddcplay.store.trace_summary import TraceSummary
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import table
from ddcplay.ui.words import percent, plural
from ddcplay.units import format_duration

_GAPS_SHOWN = 10


def print_trace_summary(console: Console, file: Path, summary: TraceSummary, zone: tzinfo) -> None:
    """Print the figures of one trace; times in the play's zone."""
    console.print(Text(safe_text(f"{file.parent.name}/{file.stem}"), style="bold"))
    shown = table("figure", "value", "% of attempts", right=("value", "% of attempts"))
    shown.add_row("iterations", f"{summary.iterations:,}", "")
    shown.add_row("first", moment(summary.first, zone), "")
    shown.add_row("last", moment(summary.last, zone), "")
    if summary.hosts:
        shown.add_row("hosts", f"{summary.hosts:,}", "")
    shown.add_row("attempts", f"{summary.attempts:,}", "")
    for name, count in (
        ("ok", summary.ok),
        ("failed", summary.failed),
        ("unavailable", summary.unavailable),
    ):
        shown.add_row(name, f"{count:,}", percent(summary.percent(count)))
    shown.add_row("iteration seconds, median", f"{summary.median_s:.1f}", "")
    shown.add_row("iteration seconds, 95 %", f"{summary.p95_s:.1f}", "")
    shown.add_row("iteration seconds, longest", f"{summary.longest_s:.1f}", "")
    shown.add_row("usual step", format_duration(summary.step_s) if summary.step_s else "-", "")
    console.print(shown)
    if summary.gaps:
        total = sum(gap.missed for gap in summary.gaps)
        many = plural(len(summary.gaps), "gap")
        console.print(Text(f"the coordinator was off: {many}, {plural(total, 'iteration')} missed"))
        longest = sorted(summary.gaps, key=lambda gap: -gap.seconds)[:_GAPS_SHOWN]
        for gap in sorted(longest, key=lambda gap: gap.after):
            words = (
                f"  {moment(gap.after, zone)} to {moment(gap.until, zone)}  {format_duration(gap.seconds)}"
            )
            console.print(Text(f"{words}, {gap.missed} missed"))
        if len(summary.gaps) > len(longest):
            console.print(Text(f"  … and {len(summary.gaps) - len(longest)} shorter ones (--json has all)"))


def trace_summary_fields(file: Path, summary: TraceSummary) -> dict[str, object]:
    """Return the figures of one trace as JSON-ready values."""
    return {
        "experiment": file.parent.name,
        "probe": file.stem,
        "iterations": summary.iterations,
        "first": summary.first,
        "last": summary.last,
        "hosts": summary.hosts,
        "attempts": summary.attempts,
        "ok": summary.ok,
        "failed": summary.failed,
        "unavailable": summary.unavailable,
        "ok_pct": summary.percent(summary.ok),
        "failed_pct": summary.percent(summary.failed),
        "unavailable_pct": summary.percent(summary.unavailable),
        "median_s": summary.median_s,
        "p95_s": summary.p95_s,
        "longest_s": summary.longest_s,
        "step_s": summary.step_s,
        "gaps": [
            {"after": gap.after, "until": gap.until, "seconds": gap.seconds, "missed": gap.missed}
            for gap in summary.gaps
        ],
    }
