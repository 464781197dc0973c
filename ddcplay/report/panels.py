"""The sections of the HTML report; each returns an empty text when it has nothing to say."""

from __future__ import annotations

from datetime import tzinfo
from html import escape

from ddcplay.model.result import Outcome
from ddcplay.report import charts
from ddcplay.report.advice import NEVER_ON
from ddcplay.report.html_tables import advice_html, data_table, decimals, scrolled, table
from ddcplay.report.machines import UPTIME_NAMES
from ddcplay.report.study import UNUSED_RANK, Study
from ddcplay.report.table1 import METRICS
from ddcplay.report.words import listed, moment, one_line, percent, percent_of, plural, span
from ddcplay.units import format_duration

HOSTS = 60
"""So many hosts of a task or reason are named; the data table of the availability has all of them."""
ROWS = 200
_LEGEND = (
    '<div class="legend"><span><i class="ok"></i>collected</span>'
    '<span><i class="missed"></i>on, but not collected</span><span><i class="off"></i>off</span>'
    '<span><i class="none"></i>not asked</span></div>'
)


def tasks(study: Study, _where: tzinfo) -> str:
    """List what to do, the most urgent first."""
    if not study.summary.tasks:
        return "<p>Nothing: every machine that was on could be collected when it was last reached.</p>"
    items = []
    for task in study.summary.tasks:
        low = ' class="low"' if task.rank >= min(NEVER_ON.rank, UNUSED_RANK) else ""
        about = f'<div class="quiet">{escape(one_line(task.detail))}</div>' if task.detail else ""
        items.append(
            f"<li{low}><b>{plural(len(task.hosts), 'machine')}: {escape(one_line(task.title))}</b>"
            f"{advice_html(one_line(task.fix))}{about}"
            f'<div class="quiet">{escape(listed(task.hosts, HOSTS))}</div></li>'
        )
    return f'<ol class="tasks">{"".join(items)}</ol>'


def alerts(study: Study, where: tzinfo) -> str:
    """List the alerts that fire."""
    rows = [
        (
            alert.severity.value,
            one_line(alert.identity.name, 80),
            one_line(" ".join(word for word in (alert.identity.host, alert.identity.key) if word), 120),
            one_line(alert.message),
            "" if alert.state.fired_at is None else moment(alert.state.fired_at, where),
        )
        for alert in study.summary.alerts
    ]
    more = len(rows) - ROWS
    tail = f'<p class="quiet">{more:,} more: ddcplay alerts list</p>' if more > 0 else ""
    headers = ("severity", "alert", "where", "message", "since")
    return table(headers, rows[:ROWS]) + tail if rows else ""


def table1(study: Study, _where: tzinfo) -> str:
    """Write the paper's Table 1."""
    if not study.table1:
        return ""
    columns = study.table1
    rows = [
        ("Samples", *(f"{column.samples:,}" for column in columns)),
        ("Share of attempts (%)", *(decimals(column.share_pct, 2) for column in columns)),
        *(
            (metric.title, *(decimals(column.means[metric.field], metric.decimals) for column in columns))
            for metric in METRICS
        ),
    ]
    note = (
        '<p class="quiet">Means over samples; disks and network interfaces of a machine are added up. '
        "CPU idle is that between two samples.</p>"
    )
    return table(("", *(column.title for column in columns)), rows, numbers=1, kind="big", head=True) + note


def availability(study: Study, where: tzinfo) -> str:
    """Draw who was there when, room by room."""
    if not study.timeline.grid.columns:
        return ""
    presence = {host.host: host for host in study.summary.presence}
    step = span(study.timeline.grid.step_s)
    parts = [_LEGEND, f'<p class="quiet">Each column is {step}; it shows what a machine mostly was.</p>']
    for room, hosts in study.rooms:
        lines = []
        for host in hosts:
            seen = presence[host]
            shares = [percent(percent_of(number, seen.asked)) for number in (seen.on, seen.collected)]
            name = one_line(host, 80)
            lines.append((host, name, f"{name}: on {shares[0]} %, collected {shares[1]} %"))
        title = one_line(room, 80) or "All machines"
        on, asked = sum(presence[h].on for h in hosts), sum(presence[h].asked for h in hosts)
        parts.append(
            f"<figure><figcaption><b>{escape(title)}</b>, {plural(len(hosts), 'machine')}, "
            f"on {percent(percent_of(on, asked))} %</figcaption>"
            + charts.heat_map(study.timeline, lines, title, where)
            + "</figure>"
        )
    rows = [
        (
            one_line(seen.host, 80),
            one_line(study.summary.rooms.get(seen.host, ""), 80),
            f"{seen.asked:,}",
            percent(percent_of(seen.on, seen.asked)),
            percent(percent_of(seen.collected, seen.asked)),
            f"{max(0, seen.on - seen.collected):,}",
            "never" if seen.last_on is None else moment(seen.last_on, where),
        )
        for seen in study.summary.presence
    ]
    headers = ("machine", "room", "visits", "on %", "collected %", "on, not collected", "last on")
    return "".join(parts) + data_table(headers, rows, text=(0, 1, 6))


def over_time(study: Study, where: tzinfo) -> str:
    """Draw machines on, collected and occupied over time."""
    line = study.timeline
    if not line.grid.columns:
        return ""
    series = [("on", "on", line.means(line.on)), ("ok", "collected", line.means(line.collected))]
    if study.samples:
        series.append(("users", "with somebody logged on", line.means(line.occupied)))
    legend = "".join(f'<span><i class="{kind}"></i>{name}</span>' for kind, name, _values in series)
    rows = [
        (day, str(number), f"{on:.1f}", f"{ok:.1f}", f"{used:.1f}" if study.samples else "-")
        for day, number, on, ok, used in line.by_day(where)
    ]
    headers = ("day", "iterations", "on", "collected", "logged on")
    return (
        f'<div class="legend">{legend}</div><figure>'
        + charts.time_lines(line.grid, series, "Machines over time", where)
        + f"<figcaption>machines per iteration, columns of {span(line.grid.step_s)}</figcaption>"
        + f"</figure>{data_table(headers, rows, text=(0,))}"
    )


def week(study: Study, _where: tzinfo) -> str:
    """Draw machines by hour of the week."""
    if not study.timeline.grid.columns:
        return ""
    parts = []
    grids = [("Machines on", "on", study.week.on)]
    if study.samples:
        grids.insert(0, ("Machines with somebody logged on", "users", study.week.occupied))
    for title, kind, values in grids:
        rows = [
            (charts.DAYS[day], *(decimals(value, 1) for value in values[day * 24 : day * 24 + 24]))
            for day in range(7)
        ]
        parts.append(
            f'<h3>{title}, mean per iteration</h3><figure class="{kind}">'
            + charts.week_grid(values, title, "machines")
            + f"</figure>{data_table(('day', *(f'{hour:02}' for hour in range(24))), rows, text=(0,))}"
        )
    return "".join(parts)


def uptimes(study: Study, _where: tzinfo) -> str:
    """Draw how long machines ran."""
    times = study.uptimes
    if times is None or times.mean_s is None:
        return ""
    values = [(n, float(c), f"{c:,}") for n, c in zip(UPTIME_NAMES, times.numbers, strict=True)]
    rows = [(name, text, percent(percent_of(count, times.total))) for name, count, text in values]
    return (
        f"<p>{plural(times.total, 'session')}, {format_duration(times.mean_s)} on average, from a boot to "
        "the last sample before the next. Windows' Fast Startup counts a shutdown as no boot.</p><figure>"
        + charts.bars(values, "Uptime sessions by length")
        + f"</figure>{data_table(('length', 'sessions', '%'), rows, text=(0,))}"
    )


def reasons(study: Study, _where: tzinfo) -> str:
    """Tell why attempts were not ok, and what to do."""
    most = max((line.attempts for line in study.summary.reasons), default=1)
    rows = []
    for line in study.summary.reasons:
        said = f'<div class="quiet">{escape(one_line(line.example))}</div>' if line.example else ""
        hosts = escape(listed(line.hosts, 6)) if line.outcome is Outcome.FAILED else f"{len(line.hosts):,}"
        width = f"{100 * line.attempts / most:.1f}"
        rows.append(
            f'<tr><td>{line.outcome}</td><td>{line.reason}</td><td class="number">{line.attempts:,}</td>'
            f'<td><span class="meter"><i class="{line.outcome}" style="width:{width}%"></i></span></td>'
            f"<td>{hosts}</td><td>{advice_html(one_line(line.advice))}{said}</td></tr>"
        )
    head = "".join(
        f'<th scope="col"{" class=number" if name == "attempts" else ""}>{name}</th>'
        for name in ("outcome", "reason", "attempts", "", "machines", "what to do")
    )
    if not rows:
        return ""
    return scrolled(head, rows)


def probes(study: Study, _where: tzinfo) -> str:
    """Count attempts as the trace does."""
    rows = [
        (
            one_line(line.probe),
            *(f"{number:,}" for number in (line.ok, line.failed, line.unavailable, line.skipped)),
            percent(line.percent_ok),
            "-" if line.mean_s is None else format_duration(line.mean_s),
        )
        for line in study.summary.probes
    ]
    return table(("probe", "ok", "failed", "unavailable", "skipped", "ok %", "mean"), rows, numbers=1)


def offenders(study: Study, _where: tzinfo) -> str:
    """List machines that fail most."""
    rows = [
        (one_line(o.host, 80), one_line(o.room, 80), o.reason.value, f"{o.failed:,}", f"{o.reached:,}")
        for o in study.summary.offenders
    ]
    return table(("machine", "room", "mostly", "failed", "of"), rows, numbers=3) if rows else ""


def slowest(study: Study, _where: tzinfo) -> str:
    """List machines on which probes take longest."""
    rows = [
        (
            *(one_line(text, 80) for text in (s.host, s.room, s.probe)),
            f"{s.runs:,}",
            *(format_duration(seconds) for seconds in (s.mean_s, s.slowest_s, s.pool_s)),
        )
        for s in study.summary.slowest
    ]
    headers = ("machine", "room", "probe", "runs", "mean", "slowest", "mean of all machines")
    return table(headers, rows, numbers=3) if rows else ""


def gaps(study: Study, where: tzinfo) -> str:
    """List times without iterations."""
    rows = [
        (
            moment(gap.from_at, where),
            moment(gap.to_at, where),
            format_duration(gap.to_at - gap.from_at),
            f"{gap.missed:,}",
        )
        for gap in study.summary.gaps[-ROWS:]
    ]
    return table(("from", "to", "length", "iterations missed"), rows, numbers=2) if rows else ""
