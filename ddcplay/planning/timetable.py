"""When iterations start: pure arithmetic on UTC seconds, so that a test or a simulation can own the time.

The engine asks once per iteration for the next slot and waits until it. Local time matters twice: `align`
puts starts on wall-clock multiples of `every`, and blackout windows are wall-clock windows. Both walk the
time line in stretches of constant UTC offset, which makes 23- and 25-hour days fall out by themselves:
wall-clock times that a change to summer time skips do not exist, repeated ones happen twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ddcplay.errors import UsageError
from ddcplay.model.playbook import Blackout, Schedule
from ddcplay.planning.cron import cron_times

_DAY_S = 86400
_LEAST_STEP_S = 1.0
"""Iterations are named by UTC seconds, so two starts are at least this far apart."""

_THURSDAY = 3
"""1970-01-01, day 0 of Unix time, was a Thursday (0 = Monday)."""

_MISSED_AT_MOST = 10_000
"""Cron slots are counted one by one; after years of silence nobody needs the exact number."""

_WINDOWS_AT_MOST = 200
"""So many blackout windows a cron time may fall into one after another before it counts as never."""

_SEARCH_DAYS = 16
"""A gap between weekly windows comes round within a week; a change of the clock may swallow it once."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The start of the next iteration.

    Args:
        starts_at: UTC Unix seconds, never before the `now` it was asked with.
        missed: starts that the schedule asked for since the last one and that did not happen because the
            iteration overran or nobody ran; recorded, never made up. The slots of the blackout that
            this one waits for are not counted.
        waits_for_blackout: the start was moved to the end of a blackout window.
    """

    starts_at: float
    missed: int
    waits_for_blackout: bool


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A piece of the time line with one UTC offset; `begin` and `end` are UTC, wall clock = UTC + offset."""

    begin: float
    end: float
    offset: float


@dataclass(frozen=True, slots=True)
class _Grid:
    """The wall-clock multiples of `every`: from each midnight, or from `anchor` when longer than a day."""

    every_s: float
    anchor: float

    @property
    def daily(self) -> bool:
        return self.every_s <= _DAY_S

    def at_or_after(self, wall: float) -> float:
        """Return the first multiple that is not before the wall-clock second `wall`."""
        start = _midnight(wall) if self.daily else self.anchor
        found = start + math.ceil((wall - start) / self.every_s - 1e-9) * self.every_s
        return min(found, start + _DAY_S) if self.daily else found

    def count_before(self, wall: float) -> int:
        """Return how many multiples lie before `wall`, counted from an arbitrary fixed one."""
        start = _midnight(wall) if self.daily else self.anchor
        whole = math.ceil((wall - start) / self.every_s - 1e-9)
        return round(start / _DAY_S) * math.ceil(_DAY_S / self.every_s) + whole if self.daily else whole


def next_slot(
    schedule: Schedule,
    timezone: str,
    now: float,
    *,
    began_at: float,
    last_started_at: float | None,
    last_ended_at: float | None,
) -> Slot | None:
    """Return when the next iteration starts; ask once per iteration, then wait until `starts_at`.

    Args:
        schedule: of the play.
        timezone: IANA name, for `align` and `blackout`.
        now: UTC Unix seconds.
        began_at: when the experiment began, for `until`.
        last_started_at: start of the last iteration, None before the first.
        last_ended_at: its end, None when unknown.

    Returns:
        The slot, not before `now` and at least 1 s after the last start even when the clock was set back;
        None when the experiment has ended (its one pass is done, or `until` is over).

    Raises:
        UsageError: the time zone is unknown, the cron expression is none, or the blackout windows leave no
            time to start.
    """
    zone = _zone(timezone)
    if schedule.cron is not None:
        slot = _cron_slot(schedule, schedule.cron, zone, now, last_started_at)
    elif schedule.single_shot is not None:
        retry_s = max(schedule.single_shot[0], _LEAST_STEP_S)
        start = now if last_started_at is None else max(now, last_started_at + retry_s)
        slot = _out_of_blackout(schedule, zone, start, grid=None, missed=0)
    elif schedule.every_s is None:
        if last_started_at is not None:
            return None
        slot = _out_of_blackout(schedule, zone, now, grid=None, missed=0)
    else:
        slot = _periodic(schedule, zone, now, (began_at, last_started_at, last_ended_at))
    if schedule.until_s is not None and slot.starts_at >= began_at + schedule.until_s:
        return None
    return slot


def may_start(schedule: Schedule, timezone: str, now: float) -> bool:
    """Say whether `now` (UTC Unix seconds) is outside of all blackout windows."""
    return _blackout_end(schedule.blackout, _zone(timezone), now) <= now


def should_continue(schedule: Schedule, started_at: float, now: float, timezone: str = "UTC") -> bool:
    """Say whether an iteration left open by a stopped coordinator is continued (design §9.7).

    Args:
        schedule: of the play.
        started_at: start of the open iteration, UTC Unix seconds.
        now: UTC Unix seconds.
        timezone: IANA name, for cron.

    Returns:
        True to go on with the pairs that have no row; False to close it as interrupted.
    """
    if schedule.single_shot is not None:
        return False  # what was not paid is owed, and the next window comes at once
    if schedule.cron is not None:
        return now < next(cron_times(schedule.cron, _zone(timezone), started_at + _LEAST_STEP_S))
    return schedule.every_s is None or now < started_at + schedule.every_s


def iteration_id(now: float, last_id: int | None) -> int:
    """Return the id of an iteration that starts now: the UTC Unix second, never at or below the last id."""
    return math.floor(now) if last_id is None else max(math.floor(now), last_id + 1)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"unknown time zone {name!r}", hint="write an IANA name such as Europe/Lisbon or UTC"
        ) from error


def _cron_slot(
    schedule: Schedule, cron: str, zone: ZoneInfo, now: float, last_started_at: float | None
) -> Slot:
    """Return the next cron time outside of the blackout; times in a blackout are left out, not made up."""
    begin = now if last_started_at is None else last_started_at + _LEAST_STEP_S
    missed = 0
    waits = False
    for _ in range(_WINDOWS_AT_MOST):
        for at in cron_times(cron, zone, begin):
            free = _blackout_end(schedule.blackout, zone, at)
            if free > at:
                begin, waits = free, waits or at >= now
                break
            if at >= now:
                return Slot(at, missed, waits)
            missed += 1
            if missed >= _MISSED_AT_MOST:
                begin = now
                break
    raise UsageError(
        f"the blackout windows leave no time at which cron {cron!r} could start",
        hint="shorten a window of `blackout`, or name the weekdays on which it applies",
    )


def _periodic(
    schedule: Schedule, zone: ZoneInfo, now: float, past: tuple[float, float | None, float | None]
) -> Slot:
    began_at, last_started_at, last_ended_at = past
    every_s = schedule.every_s or _LEAST_STEP_S
    grid = _grid(zone, every_s, began_at) if schedule.align else None
    if last_started_at is None:
        return _out_of_blackout(schedule, zone, now, grid, missed=0)
    earliest = last_started_at + _LEAST_STEP_S
    due = last_started_at + max(every_s, _LEAST_STEP_S)
    if grid is not None:
        due = _next_on_grid(zone, grid, earliest)
    overran = last_ended_at is not None and last_ended_at > due
    if overran and last_ended_at is not None:
        earliest = max(earliest, last_ended_at + schedule.min_gap_s)
    start = max(now, earliest, due)
    if grid is None:
        missed = max(0, math.floor((start - last_started_at) / every_s + 1e-9) - 1)
    else:
        start = _next_on_grid(zone, grid, start)
        missed = _count_on_grid(zone, grid, due, start)
    return _out_of_blackout(schedule, zone, start, grid, missed)


def _out_of_blackout(
    schedule: Schedule, zone: ZoneInfo, start: float, grid: _Grid | None, missed: int
) -> Slot:
    """Move `start` on to the grid when there is one, then to the end of the windows it falls into.

    What waited for a window starts at its end, grid or not: a daily start at midnight inside of a nightly
    window would otherwise never come. The start after that is on the grid again.
    """
    wanted = start if grid is None else _next_on_grid(zone, grid, start)
    free = _blackout_end(schedule.blackout, zone, wanted)
    if free > wanted + _SEARCH_DAYS * _DAY_S:
        raise UsageError(
            "the blackout windows leave no time at which an iteration could start",
            hint="shorten a window of `blackout`, or name the weekdays on which it applies",
        )
    return Slot(free, missed, waits_for_blackout=free > wanted)


def _blackout_end(windows: tuple[Blackout, ...], zone: ZoneInfo, start: float) -> float:
    """Return the first instant from `start` on that lies in no window, or `start` + the searched days."""
    if not windows:
        return start
    for stretch in _stretches(zone, start, start + _SEARCH_DAYS * _DAY_S):
        wall = stretch.begin + stretch.offset
        while wall < stretch.end + stretch.offset:
            end = _window_end(windows, wall)
            if end is None:
                # Adding and taking away the offset must not lose the last bit of an untouched start.
                return max(stretch.begin, wall - stretch.offset) if wall > start + stretch.offset else start
            wall = end
    return start + (_SEARCH_DAYS + 1) * _DAY_S


def _window_end(windows: tuple[Blackout, ...], wall: float) -> float | None:
    """Return the latest end (wall-clock seconds) of the windows that hold `wall`, None outside of all."""
    ends = []
    for midnight in (_midnight(wall) - _DAY_S, _midnight(wall)):
        weekday = (round(midnight / _DAY_S) + _THURSDAY) % 7
        for window in windows:
            begin = midnight + window.start_minute * 60
            over_midnight = window.end_minute <= window.start_minute
            end = midnight + window.end_minute * 60 + (_DAY_S if over_midnight else 0)
            if weekday in window.weekdays and begin <= wall < end:
                ends.append(end)
    return max(ends, default=None)


def _grid(zone: ZoneInfo, every_s: float, began_at: float) -> _Grid:
    return _Grid(max(every_s, _LEAST_STEP_S), _midnight(began_at + _offset(zone, began_at)))


def _next_on_grid(zone: ZoneInfo, grid: _Grid, start: float) -> float:
    """Return the first slot of the grid at or after `start`, UTC Unix seconds."""
    for stretch in _grid_stretches(zone, grid, start, start + grid.every_s + 3 * _DAY_S):
        if _swallowed_slot(zone, grid, stretch):
            return stretch.begin
        slot = max(start, grid.at_or_after(stretch.begin + stretch.offset) - stretch.offset)
        if slot < stretch.end:
            return slot
    raise AssertionError("a grid has a slot within its own period")


def _count_on_grid(zone: ZoneInfo, grid: _Grid, begin: float, end: float) -> int:
    """Return how many slots lie from `begin` up to, not including, `end`."""
    count = 0
    for stretch in _grid_stretches(zone, grid, begin, end):
        count += grid.count_before(stretch.end + stretch.offset)
        count -= grid.count_before(stretch.begin + stretch.offset)
        count += _swallowed_slot(zone, grid, stretch)
    return max(0, count)


def _swallowed_slot(zone: ZoneInfo, grid: _Grid, stretch: _Stretch) -> bool:
    """Say whether the jump to summer time just before a stretch took a slot of a day or longer with it.

    Summer time starts at midnight in some zones (Africa/Cairo): a daily slot then happens at the jump, as the
    day would go without. More frequent slots that do not exist are left out; the next one is near.
    """
    before = _offset(zone, stretch.begin - 1)
    if grid.every_s < _DAY_S or before >= stretch.offset:
        return False
    return grid.at_or_after(stretch.begin + before) < stretch.begin + stretch.offset


def _grid_stretches(zone: ZoneInfo, grid: _Grid, begin: float, end: float) -> Iterator[_Stretch]:
    """Yield the stretches on which the grid has its slots.

    When the clock is set back, a wall-clock hour comes twice. Slots closer than that hour go on through both
    passes (every 15 min stays every 15 min); rarer ones happen in the first pass alone, not twice a day.
    """
    for stretch in _stretches(zone, begin, end):
        pass_begin, pass_end = _second_pass(zone, stretch.begin)
        first = pass_end if grid.every_s > pass_end - pass_begin else stretch.begin
        if first < stretch.end:
            yield _Stretch(first, stretch.end, stretch.offset)


def _second_pass(zone: ZoneInfo, instant: float) -> tuple[float, float]:
    """Return the second pass of a repeated wall-clock hour that holds `instant`, else (instant, instant)."""
    change = None
    if datetime.fromtimestamp(instant, zone).fold:
        change = _change_between(zone, instant - _DAY_S, instant)
    if change is None:
        return instant, instant
    return change, change + _offset(zone, change - 1) - _offset(zone, change)


def _stretches(zone: ZoneInfo, begin: float, end: float) -> Iterator[_Stretch]:
    """Cut [begin, end) where the UTC offset changes."""
    start = here = begin
    while here < end:
        ahead = min(here + _DAY_S, end)
        change = _change_between(zone, here, ahead)
        if change is not None and change < end:
            yield _Stretch(start, change, _offset(zone, start))
            start = here = change
        else:
            here = ahead
    if start < end:
        yield _Stretch(start, end, _offset(zone, start))


def _change_between(zone: ZoneInfo, begin: float, end: float) -> float | None:
    """Return the whole second in (begin, end] from which on the offset is another, None when it stays."""
    before = _offset(zone, begin)
    if _offset(zone, end) == before:
        return None
    low, high = math.floor(begin), math.floor(end)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return float(high)


def _offset(zone: ZoneInfo, instant: float) -> float:
    shift = datetime.fromtimestamp(instant, zone).utcoffset()
    return 0.0 if shift is None else shift.total_seconds()


def _midnight(wall: float) -> float:
    return math.floor(wall / _DAY_S) * float(_DAY_S)
