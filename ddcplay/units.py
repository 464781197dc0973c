"""Durations, sizes, the clock and the deadline: everything that has a unit.

The engine never calls `time.*` itself; it is handed a `Clock`, so a test or a simulation can own the time.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Protocol

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")


def parse_duration(value: str | float) -> float:
    """Read `300ms`, `30s`, `15m`, `4h`, `30d`, `2w` or a plain number of seconds.

    Returns:
        Seconds, zero or more.

    Raises:
        ValueError: not a duration; the text says which forms are.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is a number of seconds or text like 300ms, 30s, 15m, 4h, 30d")  # noqa: TRY004 - pydantic turns ValueError into a problem with its place
    if isinstance(value, int | float):
        number, unit = float(value), "s"
    else:
        match = _NUMBER_AND_UNIT.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is not a duration; write 300ms, 30s, 15m, 4h, 30d or seconds")
        number, unit = float(match[1]), match[2] or "s"
    if unit not in _DURATION_UNITS:
        raise ValueError(f"unknown unit {unit!r} in duration {value!r}; use ms, s, m, h, d or w")
    if not 0 <= number < float("inf"):
        raise ValueError(f"a duration cannot be {value!r}")
    return number * _DURATION_UNITS[unit]


def parse_size(value: str | int) -> int:
    """Read `64KiB`, `1MiB`, `10MB` or a plain number of bytes.

    Returns:
        Bytes, zero or more.

    Raises:
        ValueError: not a size; the text says which forms are.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a size is a number of bytes or text like 64KiB, 1MiB, 10MB")  # noqa: TRY004 - as above
    match = _NUMBER_AND_UNIT.fullmatch(str(value))
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise ValueError(f"{value!r} is not a size; write 64KiB, 1MiB, 10MB or bytes")
    return int(float(match[1]) * _SIZE_UNITS[match[2].lower()])


def format_duration(seconds: float) -> str:
    """Write seconds the short way a person reads them: `0.412s`, `12.3s`, `4m05s`, `2h15m`, `3d04h`."""
    if seconds < 1:
        return f"{seconds:.3f}s"
    if seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


class Clock(Protocol):
    """Where the engine gets its time from."""

    def now(self) -> float:
        """Return UTC Unix seconds; may jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Return seconds that only grow; good for budgets, meaningless across processes."""

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait until `event` is set, at most `timeout_s`; return whether it is set."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Return UTC Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait until `event` is set, at most `timeout_s`; return whether it is set."""
        return event.wait(timeout_s)

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment an attempt's budget ends. It starts when the work starts, never when it is queued.

    Args:
        clock: the clock whose monotonic time counts.
        expires_at: monotonic seconds of that clock.
        budget_s: what was granted, for messages and rows.
    """

    clock: Clock
    expires_at: float
    budget_s: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Start a budget of `seconds` now."""
        return cls(clock, clock.monotonic() + seconds, seconds)

    def remaining_s(self) -> float:
        """Return the seconds left, never negative."""
        return max(0.0, self.expires_at - self.clock.monotonic())

    def expired(self) -> bool:
        """Say whether nothing is left."""
        return self.clock.monotonic() >= self.expires_at

    def capped(self, seconds: float) -> Deadline:
        """Return a deadline at most `seconds` from now and never later than this one."""
        return Deadline(self.clock, min(self.expires_at, self.clock.monotonic() + seconds), seconds)
