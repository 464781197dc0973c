"""What the alerts about the pool have to know of an iteration, as values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HostSeen:
    """Whether a host is on.

    Args:
        on: in this iteration; None when nobody looked.
        last_on: UTC Unix second at which it was last seen on, None for never.
        since: UTC Unix second at which the experiment first asked for it.
    """

    on: bool | None
    last_on: float | None = None
    since: float = 0.0


def _nobody(pattern: str) -> Collection[str]:  # noqa: ARG001 - the form of `members`
    return ()


@dataclass(frozen=True, slots=True)
class IterationView:
    """An iteration whose last chain is done.

    Args:
        iteration: its id (UTC Unix second of its start).
        at: UTC Unix seconds, now.
        hosts: of the play, whether they are on.
        rooms: room → its hosts.
        members: hosts of a group or pattern.
        groups: host → its groups, for silences.
        offline: why the coordinator is known to be offline, empty for online.
        timezone: IANA name, for `active`.
    """

    iteration: int
    at: float
    hosts: Mapping[str, HostSeen]
    rooms: Mapping[str, Collection[str]] = field(default_factory=dict)
    members: Callable[[str], Collection[str]] = _nobody
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    offline: str = ""
    timezone: str = "UTC"
