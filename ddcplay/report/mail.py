"""The periodic mail of `report:`, as text and HTML: what to do stands first, because many read no further."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from html import escape

from ddcplay.model.result import Outcome
from ddcplay.report.figures import Summary
from ddcplay.report.words import listed, moment, one_line, percent, plural, zone
from ddcplay.units import format_duration

HOSTS = 12
"""So many hosts of a line are named, the rest is counted; the HTML report names them all."""
ALERTS = 20
TASKS = 15
GAPS = 10
_FONT = "font-family:-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif"
_CELL = "padding:4px 12px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid #d9dde3"
_NUMBER = _CELL.replace("text-align:left", "text-align:right")
_WORDS = frozenset({"probe", "host", "room", "mostly"})
_HEADING = "font-size:16px;margin:24px 0 6px"
_QUIET = "color:#59636e"


@dataclass(frozen=True, slots=True)
class ReportMail:
    """A report ready to be composed: one line of subject, the same content twice.

    Args:
        subject: says what and how much, without line ends.
        text: plain text.
        html: a whole document with inline styles, no address is fetched.
    """

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Section:
    """A heading with sentences, or with a table of them; rendered twice."""

    title: str
    lines: tuple[tuple[str, str], ...] = ()  # what is said, and a quieter addition
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def report_mail(summary: Summary) -> ReportMail:
    """Write the mail of a period."""
    where = zone(summary.timezone)
    period = f"{moment(summary.since, where)} to {moment(summary.until, where)} ({summary.timezone})"
    sections = [section for section in _sections(summary, where) if section.lines or section.rows]
    head = f"{one_line(summary.experiment)}: {_coverage_sentence(summary)}"
    return ReportMail(_subject(summary), _text(head, period, sections), _html(head, period, sections))


def _subject(summary: Summary) -> str:
    parts = [f"{percent(summary.coverage.collected_pct)} % collected"]
    if summary.tasks:
        parts.append(plural(len(summary.tasks), "thing") + " to do")
    if summary.alerts:
        parts.append(plural(len(summary.alerts), "open alert"))
    return f"[ddcplay] {one_line(summary.experiment, 60)}: report, {', '.join(parts)}"


def _coverage_sentence(summary: Summary) -> str:
    seen = summary.coverage
    if not summary.iterations:
        return "no iteration in this period."
    return (
        f"{plural(summary.iterations, 'iteration')} over {plural(seen.hosts, 'host')}. "
        f"Machines were on in {percent(seen.on_pct)} % of {plural(seen.asked, 'visit')} "
        f"and collected in {percent(seen.collected_pct)} %; "
        f"of those that were on, {percent(seen.collected_of_on_pct)} % were collected."
    )


def _sections(summary: Summary, where: tzinfo) -> Iterable[_Section]:
    yield _Section("What to do", tuple(_task_lines(summary)))
    yield _Section("Open alerts", tuple(_alert_lines(summary, where)))
    yield _Section(
        "Probes",
        headers=("probe", "ok", "failed", "unavailable", "skipped", "% ok", "mean"),
        rows=tuple(
            (
                one_line(line.probe),
                *(f"{number:,}" for number in (line.ok, line.failed, line.unavailable, line.skipped)),
                percent(line.percent_ok),
                "-" if line.mean_s is None else format_duration(line.mean_s),
            )
            for line in summary.probes
        ),
    )
    yield _Section("Not ok, by reason", tuple(_reason_lines(summary)))
    yield _Section(
        "Hosts that fail most",
        headers=("host", "room", "failed", "of", "mostly"),
        rows=tuple(
            (one_line(o.host, 80), one_line(o.room, 40), f"{o.failed:,}", f"{o.reached:,}", o.reason.value)
            for o in summary.offenders
        ),
    )
    yield _Section(
        "Slowest hosts",
        headers=("host", "room", "probe", "mean", "slowest", "all hosts"),
        rows=tuple(
            (
                *(one_line(text, 80) for text in (s.host, s.room, s.probe)),
                *(format_duration(seconds) for seconds in (s.mean_s, s.slowest_s, s.pool_s)),
            )
            for s in summary.slowest
        ),
    )
    yield _Section("When the coordinator did not collect", tuple(_gap_lines(summary, where)))


def _task_lines(summary: Summary) -> Iterable[tuple[str, str]]:
    if not summary.tasks:
        yield "Nothing: every machine that was on could be collected when it was last reached.", ""
    for task in summary.tasks[:TASKS]:
        about = f" ({one_line(task.detail)})" if task.detail else ""
        yield (
            f"{plural(len(task.hosts), 'host')}: {task.title}{about}. {_sentence(one_line(task.fix))}",
            listed(task.hosts, HOSTS),
        )
    if len(summary.tasks) > TASKS:
        yield f"{len(summary.tasks) - TASKS:,} more in the HTML report.", ""


def _alert_lines(summary: Summary, where: tzinfo) -> Iterable[tuple[str, str]]:
    for alert in summary.alerts[:ALERTS]:
        who = " ".join(one_line(word, 80) for word in (alert.identity.host, alert.identity.key) if word)
        since = "" if alert.state.fired_at is None else f"since {moment(alert.state.fired_at, where)}"
        said = one_line(alert.message) or who or "fires"
        yield (
            f"{alert.severity} {one_line(alert.identity.name, 80)}: {said}",
            " · ".join(word for word in (who, since, one_line(alert.runbook)) if word),
        )
    if len(summary.alerts) > ALERTS:
        yield f"{len(summary.alerts) - ALERTS:,} more: ddcplay alerts list", ""


def _reason_lines(summary: Summary) -> Iterable[tuple[str, str]]:
    for line in summary.reasons:
        count = f"{plural(line.attempts, 'attempt')} on {plural(len(line.hosts), 'host')}"
        what = f"{line.outcome} {line.reason}: {count}"
        if line.outcome is not Outcome.FAILED:
            yield what, one_line(line.advice)
        else:
            yield f"{what}: {listed(line.hosts, HOSTS)}", one_line(line.advice)


def _gap_lines(summary: Summary, where: tzinfo) -> Iterable[tuple[str, str]]:
    for gap in summary.gaps[-GAPS:]:
        length = format_duration(gap.to_at - gap.from_at)
        missed = plural(gap.missed, "iteration")
        yield f"{moment(gap.from_at, where)} to {moment(gap.to_at, where)}: {length}, {missed} missed", ""
    if len(summary.gaps) > GAPS:
        yield f"{len(summary.gaps) - GAPS:,} earlier ones.", ""


def _sentence(text: str) -> str:
    """Begin with a capital and end with a full stop."""
    whole = text[:1].upper() + text[1:]
    return whole if not whole or whole[-1] in ".!?…" else whole + "."


# --- as text


def _text(head: str, period: str, sections: Sequence[_Section]) -> str:
    parts = [head, period]
    for section in sections:
        parts += ["", section.title, "-" * len(section.title), *_text_lines(section)]
    return "\n".join(parts) + "\n"


def _text_lines(section: _Section) -> Iterable[str]:
    for said, addition in section.lines:
        yield f"* {said}"
        if addition:
            yield f"  {addition}"
    if section.rows:
        table = (section.headers, *section.rows)
        widths = [max(len(row[column]) for row in table) for column in range(len(section.headers))]
        for row in table:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


# --- as HTML


def _html(head: str, period: str, sections: Sequence[_Section]) -> str:
    body = "".join(_html_section(section) for section in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="color-scheme" content="light dark"></head>'
        f'<body style="{_FONT};font-size:14px;line-height:1.45;max-width:760px;margin:16px">'
        f'<p style="font-size:16px;margin:0">{escape(head)}</p>'
        f'<p style="{_QUIET};margin:4px 0">{escape(period)}</p>{body}</body></html>\n'
    )


def _html_section(section: _Section) -> str:
    parts = [f'<h2 style="{_HEADING}">{escape(section.title)}</h2>']
    if section.lines:
        parts.append('<ul style="padding-left:20px;margin:0">')
        for said, addition in section.lines:
            more = f'<br><span style="{_QUIET}">{escape(addition)}</span>' if addition else ""
            parts.append(f'<li style="margin:4px 0">{escape(said)}{more}</li>')
        parts.append("</ul>")
    if section.rows:
        parts.append('<table style="border-collapse:collapse">')
        styles = [_CELL if name in _WORDS else _NUMBER for name in section.headers]
        for tag, row in (("th", section.headers), *(("td", row) for row in section.rows)):
            cells = (
                f'<{tag} style="{style}">{escape(text)}</{tag}>'
                for style, text in zip(styles, row, strict=True)
            )
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</table>")
    return "".join(parts)
