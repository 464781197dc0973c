"""A digest as people read it: plain text, and HTML for light and dark screens and phones.

The HTML has inline styles only and fetches nothing; colours are readable on white and on black, since mail
programs choose the background. Whatever targets said is made visible first and escaped then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from html import escape
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ddcplay.model.alert import AlertEvent, Happening, Severity
from ddcplay.notify.grouping import HEADINGS, SHORT, Note, Part, Room, Rule
from ddcplay.notify.visible import block, one_line
from ddcplay.units import format_duration

MAX_NOTES = 100
MAX_NOTE = 4000
"""Characters of one item's text."""

_FONT = (
    "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.45"
)
_QUIET = "color:#757b83;font-size:13px"  # 4.3:1 at least on white and on black
_OUTPUT = "font-family:Consolas,Menlo,'Liberation Mono',monospace;font-size:13px;white-space:pre-wrap"
_BADGE = "display:inline-block;padding:1px 8px;border-radius:9px;font-size:12px;font-weight:600;color:#ffffff"
_COLOURS = {Severity.CRITICAL: "#c62828", Severity.WARNING: "#b35c00", Severity.INFO: "#1f6fb2"}
_FINE = "#2e7d32"
_ENDED = frozenset({Happening.RESOLVED, Happening.GONE})


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown.

    Args:
        title: the subject without the experiment.
        experiment: its name.
        play: the play's name.
        iteration: UTC Unix second of its start.
        timezone: IANA name.
        at: UTC Unix seconds, now.
        rules: grouped alerts.
        notes: lines of `email` filters.
        max_hosts: alerts listed in one room.
        simulated: nothing of this happened.
    """

    title: str
    experiment: str
    play: str
    iteration: int
    timezone: str
    at: float
    rules: tuple[Rule, ...] = ()
    notes: tuple[Note, ...] = field(default=(), repr=False)
    max_hosts: int = 20
    simulated: bool = False


def page_text(page: Page) -> str:
    """Write the plain part."""
    lines = [one_line(page.title), _context(page)]
    if page.simulated:
        lines.append("SIMULATED: no real PC was asked.")
    lines.append("")
    for rule in page.rules:
        tally = _tally(rule)
        lines += [f"{_word(rule).upper()}  {one_line(rule.name)}" + (f": {tally}" if tally else "")]
        for part in rule.parts:
            lines.append(f"  {HEADINGS[part.what]}")
            for room in part.rooms:
                lines += _room_text(page, part, room)
        if rule.runbook:
            lines.append(f"  What to do: {one_line(rule.runbook, 500)}")
        lines.append("")
    for note in page.notes[:MAX_NOTES]:
        lines += [f"NOTE  {one_line(note.title)}"]
        lines += [f"  {line}" for line in block(note.text, MAX_NOTE).splitlines()]
        lines.append("")
    if len(page.notes) > MAX_NOTES:
        lines += [f"… and {len(page.notes) - MAX_NOTES} more notes", ""]
    return "\n".join([*lines, "-- ", *_footer(page), ""])


def page_html(page: Page) -> str:
    """Write the HTML part: a whole document."""
    body = "".join(_body(page))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="supported-color-schemes" content="light dark">'
        f"<title>{escape(one_line(page.title))}</title></head>\n"
        f'<body style="margin:0;padding:16px;{_FONT}">'
        f'<div style="max-width:680px;margin:0 auto;overflow-wrap:anywhere">\n{body}</div></body></html>\n'
    )


def _body(page: Page) -> Iterator[str]:
    yield f'<h1 style="font-size:20px;line-height:1.3;margin:0 0 4px">{escape(one_line(page.title))}</h1>\n'
    yield f'<p style="margin:0 0 16px;{_QUIET}">{escape(_context(page))}</p>\n'
    if page.simulated:
        yield '<p><b style="color:#c62828">SIMULATED</b>: no real PC was asked.</p>\n'
    for rule in page.rules:
        yield from _rule_html(page, rule)
    for note in page.notes[:MAX_NOTES]:
        yield f'<h2 style="font-size:16px;margin:20px 0 4px">{escape(one_line(note.title))}</h2>\n'
        text = block(note.text, MAX_NOTE).strip("\n")
        style = _OUTPUT if "\n" in text else "white-space:pre-wrap"  # columns of programs stay columns
        yield f'<div style="{style}">{escape(text)}</div>\n'
    if len(page.notes) > MAX_NOTES:
        yield f"<p>… and {len(page.notes) - MAX_NOTES} more notes</p>\n"
    said = "<br>".join(escape(line) for line in _footer(page))
    line = "padding-top:8px;border-top:1px solid #8b949e66"
    yield f'<p style="margin:24px 0 0;{line};{_QUIET}">{said}</p>\n'


def _rule_html(page: Page, rule: Rule) -> Iterator[str]:
    colour = _COLOURS[rule.severity] if rule.bad else _FINE
    yield f'<div style="margin:16px 0;padding:2px 0 2px 12px;border-left:4px solid {colour}">\n'
    badge = f'<span style="{_BADGE};background:{colour}">{_word(rule)}</span>'
    tally = f'<span style="font-weight:normal;{_QUIET}">{_tally(rule)}</span>'
    yield f'<h2 style="font-size:17px;margin:0 0 4px">{badge} {escape(one_line(rule.name))} {tally}</h2>\n'
    for part in rule.parts:
        yield f'<h3 style="font-size:14px;margin:10px 0 2px">{HEADINGS[part.what]}</h3>\n'
        for room in part.rooms:
            yield from _room_html(page, part, room)
    if rule.runbook:
        yield f'<p style="margin:8px 0">What to do: {_link(rule.runbook)}</p>\n'
    yield "</div>\n"


def _room_html(page: Page, part: Part, room: Room) -> Iterator[str]:
    if room.name:
        count = f'<span style="{_QUIET}">({len(room.events)})</span>'
        yield f'<p style="margin:6px 0 0"><b>{escape(one_line(room.name))}</b> {count}</p>\n'
    yield '<ul style="margin:2px 0 6px;padding-left:20px">\n'
    for event in room.events[: page.max_hosts]:
        label, message, when = _told(event, part.what, page)
        start = f"<b>{escape(label)}</b> " if label else ""
        yield f'<li>{start}{escape(message)} <span style="{_QUIET}">{escape(when)}</span></li>\n'
    more = len(room.events) - page.max_hosts
    if more > 0:
        yield f"<li>… and {more} more</li>\n"
    yield "</ul>\n"


def _room_text(page: Page, part: Part, room: Room) -> list[str]:
    lines = [f"    {one_line(room.name)} ({len(room.events)})"] if room.name else []
    for event in room.events[: page.max_hosts]:
        label, message, when = _told(event, part.what, page)
        lines.append("      " + "  ".join(filter(None, (label, message, f"({when})" if when else ""))))
    more = len(room.events) - page.max_hosts
    return [*lines, f"      … and {more} more"] if more > 0 else lines


def _told(event: AlertEvent, what: Happening, page: Page) -> tuple[str, str, str]:
    """Return who (empty when the message says it), what, and since when."""
    message = one_line(event.message, 300)
    who = [one_line(name, 80) for name in (event.identity.host, event.identity.key) if name]
    label = " ".join(name for name in who if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message))
    when = ""
    if event.since is not None:
        began, lasted = _moment(event.since, page), format_duration(max(0.0, event.at - event.since))
        when = f"began {began}, lasted {lasted}" if what in _ENDED else f"since {began}"
        if what is Happening.REPEATED:
            when = f"since {began}, {lasted}"
    return label, message, when


def _word(rule: Rule) -> str:
    return rule.severity.value if rule.bad else "over"


def _tally(rule: Rule) -> str:
    """Count what happened; a single event says it itself."""
    if len(rule.parts) == 1 and len(rule.parts[0].events) == 1:
        return ""
    return ", ".join(f"{len(part.events)} {SHORT[part.what]}" for part in rule.parts)


def _link(address: str) -> str:
    shown = escape(one_line(address, 500))
    return f'<a href="{shown}">{shown}</a>' if address.startswith(("https://", "http://")) else shown


def _context(page: Page) -> str:
    began = _moment(page.iteration, page, always_dated=True)
    return one_line(f"{page.play} · iteration of {began} ({page.timezone})", 300)


def _footer(page: Page) -> Sequence[str]:
    name = one_line(page.experiment)
    return (
        f"What is open: ddcplay alerts list -E {name}",
        "Taken care of: ddcplay alerts ack · not now: ddcplay alerts silence",
    )


def _moment(at: float, page: Page, *, always_dated: bool = False) -> str:
    zone = _zone(page.timezone)
    then, now = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(page.at, zone)
    return then.strftime("%Y-%m-%d %H:%M" if always_dated or then.date() != now.date() else "%H:%M")


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
