"""Who is logged on at a simulated PC: console and Remote Desktop, and the logons Windows remembers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ddcplay.lab.timetable import Timetable, chance

_DAY_S = 86400
_DESKTOP_AFTER_S = 4.25
_REMOTE_SEATS = 3
_VISIT_S = 900
_REMEMBERED = 150


@dataclass(frozen=True, slots=True)
class Session:
    """An interactive session that exists now.

    Args:
        number: Windows' session id, above 0.
        user: without domain.
        start: Unix time of the logon.
        kind: `console` or `rdp`.
    """

    number: int
    user: str
    start: float
    kind: str

    def desktop_at(self, now: float) -> float:
        """Return when its explorer.exe came up."""
        return min(now, self.start + _DESKTOP_AFTER_S)


@dataclass(frozen=True, slots=True)
class Logon:
    """A logon session that Windows remembers; dead ones stay until the next boot.

    Args:
        number: its LogonId.
        domain: of the account.
        user: of the account.
        start: Unix time.
        type: LogonType, 2 interactive, 3 network, 5 service, 10 Remote Desktop.
    """

    number: int
    domain: str
    user: str
    start: float
    type: int


def remote_sessions(seed: int, host: str, time: float, since: float) -> Iterator[Session]:
    """Yield the Remote Desktop sessions of a server: administrators by day, some of them forgotten."""
    midnight = time // _DAY_S * _DAY_S
    for seat in range(_REMOTE_SEATS):
        draw = chance(seed, host, midnight, seat, "rdp")
        start = midnight + 7 * 3600 + draw * 8 * 3600
        length = 600 + 5 * 3600 * chance(seed, host, midnight, seat, "stay")
        if draw < 0.7 and max(since, start) == start and start <= time < start + length:
            yield Session(2 + seat, f"admin{int(draw * 90):02d}", start, "rdp")


@lru_cache(maxsize=1024)
def overlap_s(table: Timetable, start: float, end: float) -> float:
    """Return for how many seconds of a stretch somebody was logged on at the console."""
    return sum(min(end, last) - max(start, first) for first, last, _ in table.logons(start, end))


def logons(
    pc: tuple[int, str, str],
    sessions: tuple[Session, ...],
    past: Iterable[tuple[float, str]],
    span: tuple[float, float],
    *,
    has_dwm: bool,
) -> list[Logon]:
    """Return what `Win32_LogonSession` lists: services, window managers, people gone and people there.

    Args:
        pc: seed, host and domain.
        sessions: that exist now.
        past: (start, user) of console logons since the boot, dead ones too.
        span: Unix times of the boot and of now.
        has_dwm: the window manager has accounts of its own (from Windows 8 on).
    """
    seed, host, domain = pc
    boot, now = span
    found = [
        Logon(999, "NT AUTHORITY", "SYSTEM", boot, 0),
        Logon(997, "NT AUTHORITY", "LOCAL SERVICE", boot + 1, 5),
    ]
    # Whoever came over the network stays listed too, for ever: a page of them after some days.
    found += [
        Logon(_number(seed, host, boot, visit), domain, "collector", boot + visit * _VISIT_S, 3)
        for visit in range(1, min(_REMEMBERED, int((now - boot) / _VISIT_S)) + 1)
    ]
    people = [(session.number, session.user, session.start, session.kind) for session in sessions]
    there = {(user, start) for _, user, start, _ in people}
    people += [(1, user, start, "console") for start, user in past if (user, start) not in there]
    for number, user, start, kind in people:
        type_ = 2 if kind == "console" else 10
        copies = 2 if kind == "rdp" else 1  # an administrator's token is split in two
        for copy in range(copies):
            identity = _number(seed, host, start, user, copy)
            found.append(Logon(identity, domain, user, start - 0.012 * copy, type_))
        if has_dwm:
            identity = _number(seed, host, start, "dwm")
            found.append(Logon(identity, "Window Manager", f"DWM-{number}", start + 0.8, 2))
            found.append(Logon(identity + 1, "Font Driver Host", f"UMFD-{number}", start + 0.7, 2))
    return found


def _number(*parts: object) -> int:
    return 100_000 + int(chance(*parts, "logon") * 2**40)
