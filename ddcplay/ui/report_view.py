"""The report of an experiment on a terminal, and as JSON: the same figures as on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import tzinfo

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ddcplay.model.result import Outcome
from ddcplay.report.machines import UPTIME_NAMES
from ddcplay.report.study import Study
from ddcplay.report.table1 import METRICS
from ddcplay.report.words import moment, percent_of, zone
from ddcplay.ui.folding import fold_hosts
from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.tables import HOST_RANGES, indented, table
from ddcplay.ui.words import percent, plural
from ddcplay.units import format_duration

_STYLES = {Outcome.FAILED: "bold red", Outcome.UNAVAILABLE: "yellow", Outcome.SKIPPED: "cyan"}


def print_report(console: Console, study: Study) -> None:
    """Print a study, what to do first."""
    where = zone(study.summary.timezone)
    console.print(_head(study, where))
    console.print(_tasks(study))
    if study.summary.alerts:
        console.print(_alerts(study, where))
    tables = (
        ("use of the machines (Table 1)", _table1(study)),
        ("probes", _probes(study)),
        ("not ok, by reason", _reasons(study)),
        ("machines by room", _rooms(study)),
        ("uptime sessions", _uptimes(study)),
        ("machines that fail most", _offenders(study)),
        ("slowest machines", _slowest(study)),
        ("when the coordinator did not collect", _gaps(study, where)),
    )
    for title, each in tables:
        if each.row_count:
            console.print(Text(title, style="bold"))
            console.print(indented(each))
            console.print()


def report_fields(study: Study) -> dict[str, object]:
    """Return the report as JSON-ready values; times are UTC Unix seconds."""
    summary = study.summary
    seen = summary.coverage
    return {
        "experiment": summary.experiment,
        "play": summary.play,
        "since": summary.since,
        "until": summary.until,
        "timezone": summary.timezone,
        "iterations": summary.iterations,
        "coverage": {
            **asdict(seen),
            "on_pct": seen.on_pct,
            "collected_pct": seen.collected_pct,
            "collected_of_on_pct": seen.collected_of_on_pct,
        },
        "tasks": [asdict(task) for task in summary.tasks],
        "alerts": [asdict(alert) for alert in summary.alerts],
        "table1": [{**asdict(column), "means": dict(column.means)} for column in study.table1],
        "probes": [{**asdict(line), "percent_ok": line.percent_ok} for line in summary.probes],
        "reasons": [asdict(line) for line in summary.reasons],
        "machines": [{**asdict(host), "room": summary.rooms.get(host.host, "")} for host in summary.presence],
        "week": {"on": study.week.on, "occupied": study.week.occupied if study.samples else None},
        "days": [
            {"day": day, "iterations": number, "on": on, "collected": ok, "occupied": used}
            for day, number, on, ok, used in study.timeline.by_day(zone(summary.timezone))
        ],
        "uptimes": None if study.uptimes is None else asdict(study.uptimes),
        "disks": [asdict(disk) for disk in study.disks],
        "offenders": [asdict(each) for each in summary.offenders],
        "slowest": [asdict(each) for each in summary.slowest],
        "gaps": [asdict(gap) for gap in summary.gaps],
    }


def _head(study: Study, where: tzinfo) -> Text:
    summary, seen = study.summary, study.summary.coverage
    text = Text(safe_text(summary.experiment), style="bold")
    if not summary.iterations:
        return text.append("  no iteration in this period\n", style="not bold")
    text.append(
        f"  {moment(summary.since, where)} to {moment(summary.until, where)} ({safe_text(summary.timezone)})"
        f" · {plural(summary.iterations, 'iteration')}, {plural(seen.hosts, 'host')}\n"
        f"on in {percent(seen.on_pct)} % of {plural(seen.asked, 'visit')}, collected in "
        f"{percent(seen.collected_pct)} %; of those on, {percent(seen.collected_of_on_pct)} %\n",
        style="not bold",
    )
    return text


def _tasks(study: Study) -> Text:
    text = Text("what to do\n", style="bold")
    if not study.summary.tasks:
        said = "  nothing: every machine that was on could be collected when it was last reached\n"
        return text.append(said, style="not bold")
    for task in study.summary.tasks:
        text.append(f"  {plural(len(task.hosts), 'host')}: {safe_text(task.title)}\n", style="yellow")
        text.append(f"    → {safe_text(task.fix, limit=400)}\n", style="not bold italic")
        if task.detail:
            text.append(f"    {safe_text(task.detail, limit=300)}\n", style="not bold dim")
        text.append(f"    {safe_text(fold_hosts(task.hosts, HOST_RANGES))}\n", style="not bold")
    return text


def _alerts(study: Study, where: tzinfo) -> Text:
    text = Text("open alerts\n", style="bold")
    for alert in study.summary.alerts:
        who = " ".join(word for word in (alert.identity.host, alert.identity.key) if word)
        since = "" if alert.state.fired_at is None else f", since {moment(alert.state.fired_at, where)}"
        text.append(f"  {alert.severity} {safe_text(alert.identity.name)}", style="red")
        said = safe_text(alert.message, limit=300)
        text.append(f" {safe_text(who)}: {said}{since}\n", style="not bold")
    return text


def _table1(study: Study) -> Table:
    titles = [column.title for column in study.table1]
    result = table("", *titles, right=titles)
    if study.table1:
        result.add_row("samples", *(f"{column.samples:,}" for column in study.table1))
        result.add_row("share of attempts (%)", *(_number(column.share_pct) for column in study.table1))
        for metric in METRICS:
            result.add_row(metric.title, *(_number(column.means[metric.field]) for column in study.table1))
    return result


def _probes(study: Study) -> Table:
    numbers = ("ok", "failed", "unavailable", "skipped", "ok %", "mean")
    result = table("probe", *numbers, right=numbers)
    for line in study.summary.probes:
        counts = (f"{n:,}" for n in (line.ok, line.failed, line.unavailable, line.skipped))
        mean = "-" if line.mean_s is None else format_duration(line.mean_s)
        result.add_row(_text(line.probe), *counts, percent(line.percent_ok), mean)
    return result


def _reasons(study: Study) -> Table:
    result = table("outcome", "reason", "attempts", "hosts", "what to do", right=("attempts",))
    for line in study.summary.reasons:
        hosts = fold_hosts(line.hosts, 3) if line.outcome is Outcome.FAILED else f"{len(line.hosts):,}"
        cells: Sequence[RenderableType] = (
            Text(line.outcome.value, style=_STYLES[line.outcome]),
            line.reason.value,
            f"{line.attempts:,}",
            _text(hosts),
            _text(line.advice),
        )
        result.add_row(*cells)
    return result


def _rooms(study: Study) -> Table:
    numbers = ("machines", "on %", "collected %")
    result = table("room", *numbers, right=numbers)
    presence = {host.host: host for host in study.summary.presence}
    for room, hosts in study.rooms:
        mine = [presence[host] for host in hosts]
        asked = sum(host.asked for host in mine)
        shares = (percent_of(sum(n), asked) for n in ((h.on for h in mine), (h.collected for h in mine)))
        result.add_row(_text(room or "all"), f"{len(hosts):,}", *map(percent, shares))
    return result


def _uptimes(study: Study) -> Table:
    result = table("length", "sessions", "%", right=("sessions", "%"))
    times = study.uptimes
    if times is not None and times.total:
        for name, number in zip(UPTIME_NAMES, times.numbers, strict=True):
            result.add_row(name, f"{number:,}", percent(percent_of(number, times.total)))
    return result


def _offenders(study: Study) -> Table:
    result = table("host", "room", "mostly", "failed", "of", right=("failed", "of"))
    for each in study.summary.offenders:
        counts = (f"{each.failed:,}", f"{each.reached:,}")
        result.add_row(_text(each.host), _text(each.room), each.reason.value, *counts)
    return result


def _slowest(study: Study) -> Table:
    numbers = ("runs", "mean", "slowest", "mean of all")
    result = table("host", "room", "probe", *numbers, right=numbers)
    for each in study.summary.slowest:
        seconds = map(format_duration, (each.mean_s, each.slowest_s, each.pool_s))
        words = (_text(each.host), _text(each.room), _text(each.probe))
        result.add_row(*words, f"{each.runs:,}", *seconds)
    return result


def _gaps(study: Study, where: tzinfo) -> Table:
    result = table("from", "to", "length", "iterations missed", right=("length", "iterations missed"))
    for gap in study.summary.gaps[-20:]:
        length = format_duration(gap.to_at - gap.from_at)
        result.add_row(moment(gap.from_at, where), moment(gap.to_at, where), length, f"{gap.missed:,}")
    return result


def _text(text: str) -> Text:
    return Text(safe_text(text, limit=300), overflow="fold")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
