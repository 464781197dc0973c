"""Pictures as inline SVG, without a library; colours are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from html import escape

from ddcplay.report.timeline import COLLECTED, MISSED, OFF, Grid, Timeline

WIDTH = 960
_NAMES = 118
_LEFT = 48
_ROW = 11
_CLASSES = {OFF: "off", MISSED: "missed", COLLECTED: "ok"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def svg(height: float, title: str, description: str, body: Iterable[str]) -> str:
    """Wrap shapes into a picture that a screen reader can name."""
    label = escape(f"{title}: {description}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{label}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def heat_map(timeline: Timeline, hosts: Sequence[tuple[str, str, str]], title: str, where: tzinfo) -> str:
    """Draw one line per host: off, on but not collected, collected.

    Args:
        timeline: the counts.
        hosts: name, what is written beside its line, what it says when pointed at.
        title: of the picture.
        where: time zone of the axis.
    """
    width = (WIDTH - _NAMES) / max(1, timeline.grid.columns)
    paths: dict[int, list[str]] = {state: [] for state in _CLASSES}
    height = len(hosts) * _ROW
    body = list(_time_axis(timeline.grid, height, where, _NAMES))  # first, so that lines go behind the rows
    for row, (host, shown, words) in enumerate(hosts):
        middle = row * _ROW + _ROW / 2
        for state, start, length in _runs(timeline.states(host)):
            if state in paths:
                paths[state].append(f"M{_n(_NAMES + start * width)} {_n(middle)}h{_n(length * width)}")
        name = shown if len(shown) <= 18 else shown[:17] + "…"
        body.append(
            f'<g><title>{escape(words)}</title><text class="host" x="{_NAMES - 6}" y="{_n(middle + 3)}">'
            f"{escape(name)}</text></g>"
        )
    body += [
        f'<path class="run {_CLASSES[state]}" stroke-width="{_ROW - 1.5}" d="{"".join(moves)}"/>'
        for state, moves in paths.items()
        if moves
    ]
    return svg(height + 18, title, f"one line per machine, {len(hosts)} machines", body)


def _runs(states: Sequence[int]) -> Iterable[tuple[int, int, int]]:
    """Yield (state, first column, columns) of neighbours that say the same."""
    start = 0
    for column in range(1, len(states) + 1):
        if column == len(states) or states[column] != states[start]:
            yield states[start], start, column - start
            start = column


def time_lines(
    grid: Grid, series: Sequence[tuple[str, str, Sequence[float | None]]], title: str, where: tzinfo
) -> str:
    """Draw machines over time.

    Args:
        grid: the columns.
        series: (class, name, values per column); None breaks the line. The first is filled below.
        title: of the picture.
        where: time zone of the axis.
    """
    height = 240.0
    top = _nice(max((value or 0 for _c, _n, values in series for value in values), default=1))
    width = (WIDTH - _LEFT) / max(1, grid.columns)
    body = list(_value_axis(top, height))
    for kind, name, values in series:
        for points in _pieces(values):
            xy = [
                (_LEFT + (column + 0.5) * width, height - value / top * (height - 14))
                for column, value in points
            ]
            line = "L".join(f"{_n(x)} {_n(y)}" for x, y in xy)
            if kind == "on":
                first, last = _n(xy[0][0]), _n(xy[-1][0])
                body.append(f'<path class="area" d="M{first} {_n(height)}L{line}L{last} {_n(height)}Z"/>')
            body.append(f'<path class="line {kind}" d="M{line}"><title>{escape(name)}</title></path>')
    body += _time_axis(grid, height, where)
    names = ", ".join(name for _kind, name, _values in series)
    return svg(height + 18, title, f"lines: {names}", body)


def _pieces(values: Sequence[float | None]) -> Iterable[list[tuple[int, float]]]:
    piece: list[tuple[int, float]] = []
    for column, value in enumerate(values):
        if value is None:
            if piece:
                yield piece
            piece = []
        else:
            piece.append((column, value))
    if piece:
        yield piece


def week_grid(values: Sequence[float | None], title: str, unit: str) -> str:
    """Draw 7 days of 24 hours, the darker the more.

    Args:
        values: Monday 00:00 first; None where nobody looked.
        title: of the picture.
        unit: what a value counts, for what is shown when pointed at.
    """
    top = max((value for value in values if value is not None), default=0) or 1
    width, height = (WIDTH - _LEFT) / 24, 26
    body = []
    for hour, value in enumerate(values):
        x, y = _LEFT + hour % 24 * width, hour // 24 * height
        place = f'x="{_n(x + 1)}" y="{y + 1}" width="{_n(width - 2)}" height="{height - 2}" rx="3"'
        label = f"{DAYS[hour // 24]} {hour % 24:02}:00"
        if value is None:
            body.append(f'<rect class="none" {place}><title>{label}: not asked</title></rect>')
            continue
        shade = value / top
        body.append(
            f'<rect class="none" {place}/><rect class="heat" fill-opacity="{shade:.2f}" {place}>'
            f"<title>{label}: {value:.1f} {escape(unit)}</title></rect>"
        )
        if value >= 0.05:
            tone = "strong" if shade > 0.55 else "weak"
            text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}"
            body.append(f'<text class="cell {tone}" x="{_n(x + width / 2)}" y="{y + 17}">{text}</text>')
    body += [
        f'<text class="tick end" x="{_LEFT - 8}" y="{row * height + 17}">{day}</text>'
        for row, day in enumerate(DAYS)
    ]
    body += [
        f'<text class="tick" x="{_n(_LEFT + (hour + 0.5) * width)}" y="{7 * height + 14}">{hour:02}</text>'
        for hour in range(24)
    ]
    return svg(7 * height + 20, title, f"{unit} by hour of the week", body)


def bars(values: Sequence[tuple[str, float, str]], title: str) -> str:
    """Draw upright bars.

    Args:
        values: name, height, and what is written above.
        title: of the picture.
    """
    height = 190.0
    top = max((value for _name, value, _text in values), default=0) or 1
    width = (WIDTH - _LEFT) / max(1, len(values))
    body = [f'<path class="grid" d="M{_LEFT} {_n(height)}H{WIDTH}"/>']
    for index, (name, value, text) in enumerate(values):
        x = _LEFT + index * width
        tall = value / top * (height - 24)
        body.append(
            f'<rect class="bar" x="{_n(x + width * 0.14)}" y="{_n(height - tall)}" '
            f'width="{_n(width * 0.72)}" height="{_n(tall)}" rx="2">'
            f"<title>{escape(name)}: {escape(text)}</title></rect>"
            f'<text class="tick" x="{_n(x + width / 2)}" y="{_n(height - tall - 6)}">{escape(text)}</text>'
            f'<text class="tick" x="{_n(x + width / 2)}" y="{_n(height + 15)}">{escape(name)}</text>'
        )
    return svg(height + 22, title, f"{len(values)} bars", body)


def _value_axis(top: float, height: float) -> Iterable[str]:
    for part in range(5):
        value = top * part / 4
        y = _n(height - part / 4 * (height - 14))
        text = f"{value:.0f}" if top >= 8 else f"{value:.1f}"
        yield f'<path class="grid" d="M{_LEFT} {y}H{WIDTH}"/>'
        yield f'<text class="tick end" x="{_LEFT - 8}" y="{float(y) + 4:.1f}">{text}</text>'


def _time_axis(grid: Grid, height: float, where: tzinfo, left: float = _LEFT) -> Iterable[str]:
    """Mark midnights (or hours of a short period) of a time zone."""
    end = grid.start + grid.columns * grid.step_s
    scale = (WIDTH - left) / max(1.0, end - grid.start)
    for at, text in _ticks(grid.start, end, where):
        x = _n(left + (at - grid.start) * scale)
        yield f'<path class="day" d="M{x} 0V{_n(height)}"/>'
        if text:
            yield f'<text class="tick" x="{x}" y="{_n(height + 14)}">{text}</text>'


def _ticks(start: float, end: float, where: tzinfo) -> Iterable[tuple[float, str]]:
    """Yield (instant, text) of at most about 15 ticks with a text."""
    hours = (end - start) / 3600
    if hours <= 0:
        return
    step = next((step for step in (1, 2, 3, 6, 12, 24) if hours / step <= 15), 24)
    days = max(1, round(hours / 24 / 14)) if step == 24 else 1
    first = datetime.fromtimestamp(start, where).replace(hour=0, minute=0, second=0, microsecond=0)
    number = int(hours / step / days) + 26
    for index in range(number):
        if step == 24:
            # Midnight on the wall, whatever the clocks did in between.
            local = first + timedelta(days=index * days)
            at, text = local.timestamp(), f"{local.day} {local:%b}"
        else:
            at = first.timestamp() + index * step * 3600
            local = datetime.fromtimestamp(at, where)
            text = f"{local.day} {local:%b}" if local.hour < step else f"{local:%H:%M}"
        if start <= at <= end:
            yield at, text


def _nice(value: float) -> float:
    """Return the next round number, so that four lines stand at whole values."""
    for top in (4, 8, 12, 20, 40, 60, 80, 100, 120, 160, 200, 240, 300, 400, 600, 800, 1000):
        if value <= top:
            return float(top)
    return -(-value // 1000) * 1000.0


def _n(value: float) -> str:
    """Write a coordinate with one decimal at most."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")
