"""Sorts what a digest tells: by rule, then by what happened, then by room; the worst first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ddcplay.model.alert import AlertEvent, Happening, Severity
from ddcplay.model.effects import MailItem

ORDER = (Happening.FIRED, Happening.FLAPPING, Happening.REPEATED, Happening.RESOLVED, Happening.GONE)
HEADINGS: Mapping[Happening, str] = {
    Happening.FIRED: "Fired",
    Happening.FLAPPING: "Comes and goes (single changes are not mailed)",
    Happening.REPEATED: "Still firing",
    Happening.RESOLVED: "Resolved",
    Happening.GONE: "Gone (rule, host or row is not there any more)",
}
SHORT: Mapping[Happening, str] = {
    Happening.FIRED: "fired",
    Happening.FLAPPING: "flapping",
    Happening.REPEATED: "still firing",
    Happening.RESOLVED: "resolved",
    Happening.GONE: "gone",
}
_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_BAD = frozenset({Happening.FIRED, Happening.FLAPPING, Happening.REPEATED})


class Entry(Protocol):
    """Something that waits to be told; the store's `StoredEvent` is one."""

    @property
    def id(self) -> int: ...  # noqa: D102 - its number, growing
    @property
    def at(self) -> float: ...  # noqa: D102 - UTC Unix seconds
    @property
    def event(self) -> AlertEvent | None: ...  # noqa: D102 - of an alert
    @property
    def item(self) -> MailItem | None: ...  # noqa: D102 - of an `email` filter
    @property
    def host(self) -> str: ...  # noqa: D102 - of the item
    @property
    def probe(self) -> str: ...  # noqa: D102 - of the item
    @property
    def iteration(self) -> int: ...  # noqa: D102 - in which it arose


@dataclass(frozen=True, slots=True)
class Room:
    """What happened alike to one rule in one room, in order of hosts."""

    name: str
    events: tuple[AlertEvent, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What happened alike to one rule."""

    what: Happening
    rooms: tuple[Room, ...]

    @property
    def events(self) -> tuple[AlertEvent, ...]:
        """Return all of its events."""
        return tuple(event for room in self.rooms for event in room.events)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts concerned, each once; none for a rule about the pool."""
        return tuple(dict.fromkeys(event.identity.host for event in self.events if event.identity.host))


@dataclass(frozen=True, slots=True)
class Rule:
    """All that happened to the alerts of one rule."""

    name: str
    severity: Severity
    runbook: str
    parts: tuple[Part, ...]

    def count(self, what: Happening) -> int:
        """Count the alerts to which this happened."""
        return sum(len(part.events) for part in self.parts if part.what is what)

    @property
    def bad(self) -> tuple[Part, ...]:
        """Return the parts that are bad news."""
        return tuple(part for part in self.parts if part.what in _BAD)


@dataclass(frozen=True, slots=True)
class Note:
    """Lines of an `email` filter."""

    title: str
    text: str = field(repr=False)
    host: str = ""


def grouped(entries: Sequence[Entry], rooms: Mapping[str, str]) -> tuple[Rule, ...]:
    """Group the alerts of a digest, bad and critical ones first.

    Args:
        entries: what is told, in order.
        rooms: host → room; a host that is not there stands under no room.
    """
    by_rule: dict[str, list[AlertEvent]] = {}
    for entry in entries:
        if entry.event is not None:
            by_rule.setdefault(entry.event.identity.name, []).append(entry.event)
    found = [_rule(name, events, rooms) for name, events in by_rule.items()]
    return tuple(sorted(found, key=lambda rule: (not rule.bad, _RANK[rule.severity], rule.name)))


def notes(entries: Sequence[Entry]) -> tuple[Note, ...]:
    """Return the lines of `email` filters, in order."""
    return tuple(
        Note(
            entry.item.subject or " ".join(filter(None, (entry.probe, entry.host))),
            entry.item.text,
            entry.host,
        )
        for entry in entries
        if entry.item is not None
    )


def _rule(name: str, events: Sequence[AlertEvent], rooms: Mapping[str, str]) -> Rule:
    parts = []
    for what in ORDER:
        by_room: dict[str, list[AlertEvent]] = {}
        for event in events:
            if event.what is what:
                by_room.setdefault(rooms.get(event.identity.host, ""), []).append(event)
        if by_room:
            parts.append(Part(what, tuple(_room(room, by_room[room]) for room in sorted(by_room))))
    telling = [event for event in events if event.what in _BAD] or list(events)
    severity = min((event.severity for event in telling), key=_RANK.__getitem__)
    runbook = next((event.runbook for event in reversed(events) if event.runbook), "")
    return Rule(name, severity, runbook, tuple(parts))


def _room(name: str, events: Sequence[AlertEvent]) -> Room:
    ordered = sorted(
        events, key=lambda event: (_RANK[event.severity], event.identity.host, event.identity.key)
    )
    return Room(name, tuple(ordered))
