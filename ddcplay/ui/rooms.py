"""The rooms of a play as lines of text.

A rich table measures and wraps every cell, four times a second for every room; one line per room, put
together by hand, draws the same picture for a quarter of the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ddcplay.ui.safe_text import safe_text
from ddcplay.ui.state import HostStatus, RoomState
from ddcplay.ui.words import plural

WIDE = 100
"""From this width on each room has a bar, too."""

_COLUMNS = (
    (HostStatus.OK, "ok", "green"),
    (HostStatus.FAILED, "failed", "bold red"),
    (HostStatus.UNAVAILABLE, "unavail.", "yellow"),
    (HostStatus.SKIPPED, "skipped", "cyan"),
    (HostStatus.RUNNING, "running", "bold blue"),
)
_BAR = 24
_GAP = "  "


def rooms_text(rooms: Sequence[RoomState], fit: int, width: int) -> Text:
    """Draw rooms in at most `fit` lines (and one of heads); those without news share the last line.

    Args:
        rooms: in inventory order.
        fit: lines for rooms.
        width: of the screen, in characters.
    """
    shown, folded = fold_rooms(rooms, fit)
    lines = [(safe_text(room.name), room, "") for room in shown]
    if folded:
        lines.append((f"… {plural(len(folded), 'more room')}", _sum(folded), "dim"))
    longest = max((cell_len(name) for name, _, _ in lines), default=0)
    name_width = max(4, min(longest, max(12, width // 4)))
    count_width = max(3, max((len(str(room.total)) for _, room, _ in lines), default=0))
    text = Text(no_wrap=True, overflow="crop")
    heads = [head.rjust(max(len(head), count_width)) for _, head, _ in _COLUMNS]
    text.append(_GAP.join(["Room".ljust(name_width), "PCs".rjust(count_width), *heads]), style="bold")
    for name, room, style in lines:
        text.append("\n")
        text.append(set_cell_size(name, name_width), style=style)
        text.append(f"{_GAP}{room.total:>{count_width}}", style="bold")
        _append_counts(text, room, count_width)
        if width >= WIDE:
            _append_bar(text, room)
    return text


def fold_rooms(rooms: Sequence[RoomState], fit: int) -> tuple[list[RoomState], list[RoomState]]:
    """Choose the rooms to show in `fit` lines: those with the latest news, in their own order.

    Returns:
        Rooms with a line each, and rooms that share the last line.
    """
    if len(rooms) <= fit:
        return list(rooms), []
    newest = sorted(rooms, key=lambda room: room.news, reverse=True)[: max(0, fit - 1)]
    names = {room.name for room in newest}
    return [room for room in rooms if room.name in names], [room for room in rooms if room.name not in names]


def _append_counts(text: Text, room: RoomState, count_width: int) -> None:
    for status, head, style in _COLUMNS:
        count = room.counts[status]
        shown = str(count) if count else "·"
        text.append(_GAP + shown.rjust(max(len(head), count_width)), style=style if count else "dim")


def _append_bar(text: Text, room: RoomState) -> None:
    """Draw the settled share of a room, coloured by outcome; running and waiting hosts leave it open."""
    text.append(_GAP)
    drawn = settled = 0
    for status, _, style in _COLUMNS[:-1]:
        settled += room.counts[status]
        end = _BAR * settled // max(1, room.total)
        text.append("━" * (end - drawn), style=style)
        drawn = end
    text.append("─" * (_BAR - drawn), style="dim")


def _sum(rooms: Sequence[RoomState]) -> RoomState:
    counts = {status: sum(room.counts[status] for room in rooms) for status in HostStatus}
    return RoomState("", sum(room.total for room in rooms), counts)
