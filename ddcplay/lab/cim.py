"""Values of WMI classes as the lab keeps them, before they become XML or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to an instance, as associations hold two: class and keys."""

    name: str
    keys: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.name}." + ",".join(f'{key}="{value}"' for key, value in self.keys)


Value = str | int | bool | datetime | Reference | None | tuple["str | int", ...]
Row = Mapping[str, Value]


def moment(seconds: float) -> datetime:
    """Return a Unix time as WMI shows whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def precise(seconds: float, digits: int = 6) -> datetime:
    """Return a Unix time with its fraction, cut to some decimals."""
    scale = 10**digits
    return datetime.fromtimestamp(int(seconds * scale) / scale, UTC)
