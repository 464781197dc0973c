"""The tables a person reads at the end of a run: what came back, what did not, why, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ddcplay.engine.events import IterationClosed, ProbeSummary
from ddcplay.model.result import REASONS, Outcome, Reason, outcome_of
from ddcplay.ui.folding import fold_hosts
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.words import iso_time, percent, plural
from ddcplay.units import format_duration

HOST_RANGES = 8
"""So many names or ranges of a list of hosts are shown; `results` and the trace have them all."""

_OUTCOME_STYLES = {Outcome.FAILED: "bold red", Outcome.UNAVAILABLE: "yellow", Outcome.SKIPPED: "cyan"}


def table(*headers: str, right: Sequence[str] = ()) -> Table:
    """Start a table in the house form: no frame, one line per row, numbers to the right."""
    result = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        numeric = header in right
        result.add_column(header, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return result


def print_run_summary(
    console: Console, last: Mapping[str, IterationClosed | None], directories: Mapping[str, Path]
) -> None:
    """Print the last iteration of each experiment, in the order of the run."""
    for experiment, closed in last.items():
        console.print(run_summary(experiment, closed, directories.get(experiment)))


def run_summary(experiment: str, closed: IterationClosed | None, directory: Path | None) -> RenderableType:
    """Draw one experiment's last iteration: counts, failures by reason with their fix, the files."""
    where = Text(f"files: {directory}", style="dim", overflow="fold") if directory else Text("")
    if closed is None:
        head = Text(f"{safe_text(experiment)}: no iteration was closed", style="bold")
        return Group(head, where, Text(""))
    parts: list[RenderableType] = [_head(closed), _counts(closed.probes)]
    trouble = _trouble(closed.probes)
    if trouble is not None:
        parts += [Text(""), trouble]
    if any(closed.firing.values()):
        told = ", ".join(f"{count} {severity}" for severity, count in closed.firing.items() if count)
        parts += [Text(""), Text(f"alerts that fire: {told}; `ddcplay alerts` lists them", style="bold red")]
    if closed.unreached_on:
        parts += [Text(""), _unreached(closed.unreached_on)]
    return Group(*parts, where, Text(""))


def _head(closed: IterationClosed) -> Text:
    head = Text(safe_text(closed.experiment), style="bold")
    head.append(f"  iteration {closed.iteration} · {iso_time(closed.iteration)}", style="not bold")
    head.append(f" · {format_duration(closed.elapsed_s)}", style="not bold")
    if closed.state != "closed":
        head.append(f" · {closed.state}", style="bold yellow")
    return head


def _counts(probes: Sequence[ProbeSummary]) -> Table:
    numbers = ("ok", "failed", "unavailable", "skipped", "ok %", "seconds")
    result = table("probe", *numbers, right=numbers)
    for probe in probes:
        result.add_row(
            Text(safe_text(probe.probe)),
            _number(probe.ok, "green"),
            _number(probe.failed, _OUTCOME_STYLES[Outcome.FAILED]),
            _number(probe.unavailable, _OUTCOME_STYLES[Outcome.UNAVAILABLE]),
            _number(probe.skipped, _OUTCOME_STYLES[Outcome.SKIPPED]),
            Text(percent(probe.percent_ok)),
            Text(f"{probe.elapsed_s:.1f}"),
        )
    return result


def _number(count: int, style: str) -> Text:
    return Text(f"{count:,}", style=style if count else "dim")


def _trouble(probes: Sequence[ProbeSummary]) -> RenderableType | None:
    """Group what did not end well by reason, over all probes, worst outcome first."""
    found: dict[Reason, list[ProbeSummary]] = {}
    for probe in probes:
        for reason, hosts in probe.reasons.items():
            if hosts:
                found.setdefault(reason, []).append(probe)
    parts: list[RenderableType] = []
    for outcome in (Outcome.FAILED, Outcome.UNAVAILABLE, Outcome.SKIPPED):
        for reason in sorted(REASONS[outcome] & found.keys(), key=str):
            parts += _reason(reason, found[reason])
    return Group(*parts) if parts else None


def _reason(reason: Reason, probes: Sequence[ProbeSummary]) -> list[RenderableType]:
    outcome = outcome_of(reason)
    attempts = sum(len(probe.reasons[reason]) for probe in probes)
    line = Text(f"{outcome} {reason}", style=_OUTCOME_STYLES[outcome])
    line.append(f"  {plural(attempts, 'attempt')}", style="not bold default")
    parts: list[RenderableType] = [line]
    by_hosts: dict[tuple[str, ...], list[str]] = {}
    for probe in probes:
        by_hosts.setdefault(tuple(probe.reasons[reason]), []).append(safe_text(probe.probe))
    for hosts, names in by_hosts.items():
        parts.append(indented(Text(f"{', '.join(names)}: {folded(hosts)}", overflow="fold")))
    hint = next((probe.hints[reason] for probe in probes if probe.hints.get(reason)), "")
    if hint:
        parts.append(indented(Text(f"→ {safe_text(hint)}", style="italic")))
    return parts


def _unreached(hosts: Sequence[str]) -> RenderableType:
    head = Text(f"on but not collected: {plural(len(hosts), 'machine')}", style="bold yellow")
    return Group(head, indented(Text(folded(hosts), overflow="fold")))


def folded(hosts: Sequence[str], limit: int | None = HOST_RANGES) -> str:
    """Write hosts as ranges, harmless for a terminal."""
    # A blank after each comma lets long lists wrap between names.
    return safe_text(fold_hosts(hosts, limit).replace(",", ", "))


def indented(what: RenderableType, columns: int = 4) -> Padding:
    """Move something to the right; wrapped lines stay there."""
    # Without expand=False every line would be filled with blanks to the screen's width.
    return Padding(what, (0, 0, 0, columns), expand=False)
