"""Many hosts of a room that went off at once: one alert instead of many, and none at closing time.

Rules: only hosts that were on in the iteration before count; at least three must have gone; a pause between
the two looks that is much longer than the one before (a night, a stopped coordinator) makes no comparison;
what happens outside the `active` minutes makes none either.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ddcplay.errors import UsageError

LEAST_VANISHED = 3
"""Hosts that must have gone: of two that were on, one is always half."""
LONGEST_FIRING_S = 86400.0
"""After a day hosts that are still off are off: `absent` may speak of them."""
_SHORT_PAUSE_S = 3600.0
_LONGER_PAUSE = 3.0


@dataclass(frozen=True, slots=True)
class Watch:
    """What must be remembered of a room from one iteration to the next; a JSON note in the database.

    Args:
        at: UTC Unix second of the last look, 0 for none.
        pause_s: seconds between the last two looks, 0 when there were no two.
        on: hosts that were on; None when there is nothing to compare with.
        lost: hosts that went off at once, while the alert fires.
        off: those of `lost` that are still off.
        rested: `active` ended since the alert fired.
    """

    at: float = 0.0
    pause_s: float = 0.0
    on: tuple[str, ...] | None = None
    lost: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    rested: bool = False

    def note(self) -> str:
        """Write it for the database."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, note: str) -> Watch:
        """Read what `note` wrote; anything else is a fresh start."""
        try:
            value = json.loads(note)
            on = value["on"]
            return cls(
                float(value["at"]),
                float(value["pause_s"]),
                None if on is None else tuple(on),
                tuple(value["lost"]),
                tuple(value["off"]),
                bool(value["rested"]),
            )
        except (ValueError, KeyError, TypeError):
            return cls()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a room brought.

    Args:
        watch: to be remembered.
        bad: whether the alert's condition holds, None for no observation.
        closed: the alert ends without the hosts being back.
        message: for humans.
    """

    watch: Watch
    bad: bool | None
    closed: bool = False
    message: str = ""


def look(
    watch: Watch, seen: Mapping[str, bool | None], at: float, over_pct: float, *, room: str, active: bool
) -> Look:
    """Compare a room with how it was in the iteration before.

    Args:
        watch: of the iteration before; `lost` is not empty exactly while the alert fires.
        seen: each host of the room, whether it is on; None when nobody looked.
        at: UTC Unix seconds.
        over_pct: percent of those that were on.
        room: its name, for the message.
        active: now is a time in which it counts.
    """
    on = {host for host, state in seen.items() if state}
    before = {host for host in watch.on or () if host in seen}
    unknown = {host for host in before if seen[host] is None}
    pause_s = max(0.0, at - watch.at) if watch.at else 0.0
    after = Watch(at, pause_s, tuple(sorted(on | unknown)))
    if watch.lost:
        return _while_firing(watch, after, seen, room, active=active)
    comparable = watch.on is not None and pause_s <= max(_SHORT_PAUSE_S, _LONGER_PAUSE * watch.pause_s)
    if not active or not comparable:
        return Look(after, None)
    went = sorted(before - on - unknown)
    if len(went) < LEAST_VANISHED or 100.0 * len(went) <= over_pct * len(before):
        return Look(after, bad=False)
    message = f"{len(went)} of {len(before)} hosts of {room} went off at once: {_some(went)}"
    lost = tuple(went)
    return Look(Watch(at, pause_s, after.on, lost, lost), bad=True, message=message)


def _while_firing(
    watch: Watch, after: Watch, seen: Mapping[str, bool | None], room: str, *, active: bool
) -> Look:
    lost = tuple(host for host in watch.lost if host in seen)
    back = [host for host in lost if seen[host]]
    # A host nobody looked at stays what it was.
    off = tuple(host for host in lost if not seen[host] and (seen[host] is False or host in watch.off))
    if 2 * len(back) >= len(lost):
        return Look(after, bad=False, message=f"{len(back)} of {len(lost)} hosts of {room} are on again")
    rested = watch.rested or not active
    went_on = Watch(after.at, after.pause_s, after.on, lost, off, rested)
    if not active:
        return Look(went_on, None)
    if watch.rested:
        return Look(after, None, closed=True, message=f"{len(off)} of {len(lost)} hosts of {room} stayed off")
    message = f"{len(off)} of {len(lost)} hosts of {room} that went off at once are still off: {_some(off)}"
    return Look(went_on, bad=True, message=message)


def is_active(cron: str | None, timezone: str, at: float) -> bool:
    """Say whether a moment lies in a minute that a cron expression names.

    Args:
        cron: five fields, None for always.
        timezone: IANA name.
        at: UTC Unix seconds.

    Raises:
        UsageError: no cron expression.
    """
    return cron is None or _names_minute(cron, timezone, int(at // 60))


@lru_cache(maxsize=64)  # a memo: all rooms ask for the same minute
def _names_minute(cron: str, timezone: str, minute: int) -> bool:
    begin = minute * 60
    try:
        moment = next(CronSim(cron, datetime.fromtimestamp(begin - 1, ZoneInfo(timezone))), None)
    except CronSimError as error:
        hint = 'write five fields, such as  active: "* 8-17 * * 1-5"'
        raise UsageError(f"vanish: {cron!r} is no cron expression: {error}", hint) from error
    return moment is not None and int(moment.timestamp()) == begin


def _some(hosts: Collection[str], limit: int = 5) -> str:
    shown = ", ".join(list(hosts)[:limit])
    return shown if len(hosts) <= limit else f"{shown} and {len(hosts) - limit} more"
