"""When classroom PCs are on and who sits at them: a pure function of seed, host and time.

Shaped after the 169 classroom PCs of the DDC paper, of which about half answered at any moment: some PCs run
day and night, the others live by the room's lessons and are sometimes forgotten over night.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_DAY_S = 86400
_HOUR_S = 3600
_LESSONS = ((8, 10), (10, 12), (12, 14), (14, 16), (16, 18), (18, 20), (20, 22), (22, 25), (25, 28))
_SATURDAY_LESSONS = ((8, 10), (10, 12))
_LATE = 7
"""From this lesson on the rooms are open for whoever wants to work, until 4 in the morning."""
_CLOSES_H = 28
_SATURDAY, _SUNDAY = 5, 6


@dataclass(frozen=True, slots=True)
class Stay:
    """A stretch of time in which a PC is on.

    Args:
        start: Unix seconds of the boot.
        end: Unix seconds at which it goes off.
        logons: (start, end, user) of who was logged on, in order.
    """

    start: float
    end: float
    logons: tuple[tuple[float, float, str], ...] = ()


@lru_cache(maxsize=65536)
def chance(*parts: object) -> float:
    """Return a number in [0, 1) that only depends on `parts`."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


@dataclass(frozen=True, slots=True)
class Timetable:
    """The habits of one PC.

    Args:
        seed: of the whole lab.
        host: name of the PC.
        room: PCs of a room share its lessons.
    """

    seed: int
    host: str
    room: str = ""

    def is_on(self, time: float) -> bool:
        """Say whether the PC is on at a Unix time."""
        return self.stay(time) is not None

    def stay(self, time: float) -> Stay | None:
        """Return the stretch around a Unix time in which the PC is on, None when it is off."""
        return _stay_at(self, time)

    def user(self, time: float) -> str | None:
        """Return who is logged on at the console at a Unix time, None for nobody."""
        logon = self.logon(time)
        return None if logon is None else logon[2]

    def logon(self, time: float) -> tuple[float, float, str] | None:
        """Return (start, end, user) of who is logged on at a Unix time, None for nobody."""
        return _logon_at(self, time)

    def logons(self, start: float, end: float) -> Iterator[tuple[float, float, str]]:
        """Yield (start, end, user) of every console logon that touches a stretch of time, in order."""
        for day in range(int(start // _DAY_S) - 1, int(end // _DAY_S) + 1):
            for first, last, name in _logons(self, day):
                if first < end and last > start:
                    yield first, last, name

    def never_off(self) -> bool:
        """Say whether nobody ever switches this PC off."""
        return chance(self.seed, self.host, "always") < 0.08


@lru_cache(maxsize=1024)
def _stay_at(table: Timetable, time: float) -> Stay | None:
    """Return the stretch around a Unix time; a visit asks for the same moment again and again."""
    day = int(time // _DAY_S)
    for stay in (*_stays(table, day - 1), *_stays(table, day)):
        if stay.start <= time < stay.end:
            return stay
    return None


@lru_cache(maxsize=1024)
def _logon_at(table: Timetable, time: float) -> tuple[float, float, str] | None:
    day = int(time // _DAY_S)
    for stay in (*_stays(table, day - 1), *_stays(table, day)):
        for start, end, name in stay.logons:
            if start <= time < end:
                return start, end, name
    return None


@lru_cache(maxsize=16384)
def _stays(table: Timetable, day: int) -> tuple[Stay, ...]:
    """Return the stretches that begin on a day (days since 1970)."""
    midnight = float(day * _DAY_S)
    logons = _logons(table, day)
    if table.never_off():
        # Whole weeks, so that the uptime grows over days and updates reboot it once a week.
        week = (day + 3) // 7
        reboot = chance(table.seed, table.host, week, "reboot") * _HOUR_S
        first_day = (week * 7 - 3) * _DAY_S
        start = first_day + 3 * _HOUR_S + reboot
        boots = [Stay(start, midnight + _DAY_S + 4 * _HOUR_S, logons)]
        if midnight < start:
            boots.insert(0, Stay(start - 7 * _DAY_S, start - 180, ()))
        return tuple(boots)
    if not logons:
        return ()
    last = logons[-1][1]
    open_late = (day + 3) % 7 < _SATURDAY
    closes_h = _CLOSES_H if open_late else 21
    close = midnight + closes_h * _HOUR_S + chance(table.seed, table.host, day, "close") * 1800
    forgotten = chance(table.seed, table.host, day, "night") < 0.1
    end = midnight + _DAY_S + 7.5 * _HOUR_S if forgotten else max(close, last)
    if chance(table.seed, table.host, day, "tidy") < 0.85 and not forgotten:
        end = last + 60
    return (Stay(logons[0][0] - 150, end, logons),)


@lru_cache(maxsize=16384)
def _logons(table: Timetable, day: int) -> tuple[tuple[float, float, str], ...]:
    weekday = (day + 3) % 7
    if weekday == _SUNDAY:
        return ()
    lessons = _SATURDAY_LESSONS if weekday == _SATURDAY else _LESSONS
    held = 0.5 if weekday == _SATURDAY else 0.8
    found = []
    for slot, (first, last) in enumerate(lessons):
        if chance(table.seed, table.room or table.host, day, slot, "lesson") >= held:
            continue
        draw = chance(table.seed, table.host, day, slot, "seat")
        if draw >= (0.72 if slot < _LATE else 0.3):
            continue
        start = day * _DAY_S + first * _HOUR_S + draw * 900
        end = day * _DAY_S + last * _HOUR_S - chance(table.seed, table.host, day, slot, "leave") * 1200
        found.append((start, end, f"student{int(draw * 15000):04d}"))
    return tuple(found)
