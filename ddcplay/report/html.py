"""The report as one HTML file: no script, no address fetched, everything from outside written as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from html import escape

from ddcplay.report import panels
from ddcplay.report.figures import Summary
from ddcplay.report.study import Study
from ddcplay.report.style import STYLE
from ddcplay.report.words import moment, one_line, percent, percent_of, plural, zone

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True, slots=True)
class Page:
    """What is on the page besides the study.

    Args:
        made_at: UTC Unix seconds.
        version: of ddcplay.
        simulated: the experiment was simulated, which the page says on top.
    """

    made_at: float
    version: str
    simulated: bool = False


def html_report(study: Study, page: Page) -> str:
    """Write the whole page."""
    summary = study.summary
    where = zone(summary.timezone)
    sections = [(key, title, make(study, where)) for key, title, make in _SECTIONS]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _body in shown)
    first, *others = (_section(*section) for section in shown)
    name = escape(one_line(summary.experiment))
    mark = '<div class="mark">Simulated: no machine was asked</div>' if page.simulated else ""
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{name}: report</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>"
        f"<body>{mark}<header><h1>{name}</h1>{_period(summary, where)}"
        f'<nav aria-label="Sections">{links}</nav></header>'
        f"<main>{first}{_tiles(study)}{''.join(others)}</main>"
        f'<footer class="quiet"><p>Made {moment(page.made_at, where)} by ddcplay {escape(page.version)}. '
        f"Times are those of {escape(one_line(summary.timezone))}.</p></footer></body></html>\n"
    )


def _section(key: str, title: str, body: str) -> str:
    head = f'<h2 id="{key}-title">{escape(title)}</h2>'
    return f'<section id="{key}" aria-labelledby="{key}-title">{head}{body}</section>'


def _period(summary: Summary, where: tzinfo) -> str:
    play = escape(one_line(summary.play))
    if not summary.iterations:
        return f'<p class="quiet">{play}: no iteration in this period</p>'
    period = f"{moment(summary.since, where)} to {moment(summary.until, where)}"
    return f'<p class="quiet">{play}, {period}, {plural(summary.iterations, "iteration")}</p>'


def _tiles(study: Study) -> str:
    seen = study.summary.coverage
    probes = study.summary.probes
    attempts = sum(line.ok + line.failed + line.unavailable for line in probes)
    good = percent_of(sum(line.ok for line in probes), attempts)
    tiles = (
        (f"{seen.hosts:,}", "machines asked"),
        (f"{percent(seen.on_pct)} %", f"of {seen.asked:,} visits found them on"),
        (f"{percent(seen.collected_pct)} %", "of all visits collected"),
        (f"{percent(seen.collected_of_on_pct)} %", "of those on were collected"),
        (f"{percent(good)} %", f"of {attempts:,} attempts ok"),
    )
    cells = "".join(f'<div class="tile"><b>{number}</b><span>{text}</span></div>' for number, text in tiles)
    return f'<div class="tiles">{cells}</div>'


_SECTIONS: Sequence[tuple[str, str, Callable[[Study, tzinfo], str]]] = (
    ("todo", "What to do", panels.tasks),
    ("alerts", "Open alerts", panels.alerts),
    ("table1", "Use of the machines (Table 1)", panels.table1),
    ("availability", "Availability", panels.availability),
    ("time", "Machines over time", panels.over_time),
    ("week", "Hours of the week", panels.week),
    ("uptimes", "Uptime sessions", panels.uptimes),
    ("reasons", "Not ok, by reason", panels.reasons),
    ("probes", "Probes", panels.probes),
    ("offenders", "Machines that fail most", panels.offenders),
    ("slowest", "Slowest machines", panels.slowest),
    ("gaps", "When the coordinator did not collect", panels.gaps),
)
