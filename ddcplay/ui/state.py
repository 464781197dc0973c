"""What a progress display knows: events go in, counts come out; no clock, no screen.

The engine's threads call `RunState.apply`, the display's thread reads between two refreshes. Rendering never
happens here, so one event costs a few microseconds whatever the size of the fleet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ddcplay.engine.events import (
    AlertChanged,
    AttemptRecorded,
    Backlog,
    Event,
    ExperimentEnded,
    ExperimentStarted,
    FilterFailed,
    HostSwept,
    IterationClosed,
    IterationStarted,
    Notice,
    Owed,
    VisitEnded,
    VisitStarted,
    WaitingForNext,
)
from ddcplay.model.result import AttemptResult, Outcome

FAILURES_SHOWN = 5
_RATE_WINDOW_S = 10.0


class HostStatus(StrEnum):
    """Where one host stands in the current iteration."""

    WAITING = "waiting"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    SKIPPED = "skipped"


_RANK = {
    HostStatus.WAITING: 0,
    HostStatus.SKIPPED: 1,
    HostStatus.OK: 2,
    HostStatus.UNAVAILABLE: 3,
    HostStatus.FAILED: 4,
}
"""A host with several probes shows its worst outcome."""

_BY_OUTCOME = {outcome: HostStatus(outcome.value) for outcome in Outcome}


@dataclass(slots=True)
class RoomState:
    """Hosts of one room by status; the counts always add up to `total`."""

    name: str
    total: int
    counts: dict[HostStatus, int]
    news: int = 0
    """Number of the last event that changed this room; the display keeps rooms with news."""

    @classmethod
    def of(cls, name: str, total: int) -> RoomState:
        """Start a room with all its hosts waiting."""
        return cls(name, total, dict.fromkeys(HostStatus, 0) | {HostStatus.WAITING: total})

    def move(self, before: HostStatus, after: HostStatus, number: int) -> None:
        """Count one host in another column."""
        self.counts[before] -= 1
        self.counts[after] += 1
        self.news = number


@dataclass(slots=True)
class HostState:
    """One host in the current iteration."""

    room: RoomState
    settled: HostStatus = HostStatus.WAITING
    in_flight: bool = False

    @property
    def status(self) -> HostStatus:
        """Return the column the host is counted in."""
        return HostStatus.RUNNING if self.in_flight else self.settled


@dataclass(slots=True)
class PlayState:
    """One play as the display shows it."""

    started: ExperimentStarted
    rooms: dict[str, RoomState] = field(default_factory=dict)
    hosts: dict[str, HostState] = field(default_factory=dict)
    number: int = 0
    """Iterations seen by this process."""
    iteration: int | None = None
    started_at: float = 0.0
    pairs: int = 0
    done: int = 0
    failures: deque[AttemptResult] = field(default_factory=lambda: deque(maxlen=FAILURES_SHOWN))
    closed: IterationClosed | None = None
    next_at: float | None = None
    ended: str = ""
    owed: Owed | None = None
    waiting: int = 0
    """Attempts that wait for their filters while the next iteration waits for them."""
    progress: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, event: IterationStarted, now: float) -> None:
        """Start a pass: every host waits again."""
        self.number += 1
        self.iteration, self.started_at = event.iteration, event.started_at
        self.pairs, self.done = event.pairs, event.done
        self.closed = self.next_at = None
        self.progress.clear()
        self.progress.append((now, self.done))
        self.rooms = {name: RoomState.of(name, len(set(hosts))) for name, hosts in self._unique_rooms()}
        self.hosts = {
            host: HostState(self.rooms[name]) for name, hosts in self._unique_rooms() for host in hosts
        }

    def update(self, host: str, number: int, *, in_flight: bool | None = None, settled: str = "") -> None:
        """Move one host; the worst outcome stays until the next iteration."""
        state = self.hosts.get(host)
        if state is None:  # a host that joined after the play began
            return
        before = state.status
        if in_flight is not None:
            state.in_flight = in_flight
        if settled and _RANK[HostStatus(settled)] >= _RANK[state.settled]:
            state.settled = HostStatus(settled)
        if before is not state.status:
            state.room.move(before, state.status, number)

    def clear_silence(self, host: str) -> None:
        """Forget that the first sweep saw nothing: the host answered later."""
        state = self.hosts.get(host)
        if state is not None and not state.in_flight and state.settled is HostStatus.UNAVAILABLE:
            state.room.move(HostStatus.UNAVAILABLE, HostStatus.WAITING, state.room.news)
            state.settled = HostStatus.WAITING

    def record(self, result: AttemptResult, now: float, number: int) -> None:
        """Count an acknowledged attempt."""
        self.done += 1
        if now - self.progress[-1][0] >= 1.0 if self.progress else True:
            self.progress.append((now, self.done))
            while len(self.progress) > 2 and now - self.progress[1][0] > _RATE_WINDOW_S:
                self.progress.popleft()
        if result.outcome is Outcome.FAILED:
            self.failures.append(result)
        self.update(result.host, number, settled=_BY_OUTCOME[result.outcome])

    def revise(self, result: AttemptResult, number: int) -> None:
        """Take note that a filter failed an acknowledged attempt."""
        self.failures.append(result)
        self.update(result.host, number, settled=HostStatus.FAILED)

    def rate(self, now: float) -> float:
        """Return attempts per second over the last seconds."""
        if not self.progress or now <= self.progress[0][0]:
            return 0.0
        then, done = self.progress[0]
        return max(0.0, (self.done - done) / (now - then))

    def eta_s(self, now: float) -> float | None:
        """Return the seconds left at the present pace, None when nobody can tell."""
        rate = self.rate(now)
        return max(0, self.pairs - self.done) / rate if rate > 0 else None

    def count(self, status: HostStatus) -> int:
        """Return how many hosts stand at `status`."""
        return sum(room.counts[status] for room in self.rooms.values())

    def _unique_rooms(self) -> list[tuple[str, Sequence[str]]]:
        """Return rooms with each host in its first room only, so that sums are sums of machines."""
        seen: set[str] = set()
        rooms: list[tuple[str, Sequence[str]]] = []
        for name, hosts in self.started.rooms.items():
            own = [host for host in dict.fromkeys(hosts) if host not in seen]
            seen.update(own)
            rooms.append((name, own))
        return rooms


class RunState:
    """All plays of a run, as a display needs them; apply events one at a time."""

    def __init__(self) -> None:
        self.plays: dict[str, PlayState] = {}
        self.version = 0
        """Grows with every event: a display with nothing new need not draw."""

    @property
    def in_flight(self) -> int:
        """Return how many visits are running."""
        return sum(play.count(HostStatus.RUNNING) for play in self.plays.values())

    def apply(self, event: Event, now: float) -> None:
        """Take one event, seen at `now` (UTC Unix seconds)."""
        self.version += 1
        match event:
            case ExperimentStarted():
                self.plays[event.experiment] = PlayState(event)
            case AttemptRecorded():
                play = self.plays.get(event.result.experiment)
                if play is not None:
                    play.record(event.result, now, self.version)
            case FilterFailed():
                play = self.plays.get(event.result.experiment)
                if play is not None:
                    play.revise(event.result, self.version)
            case Backlog():
                play = self.plays.get(event.experiment)
                if play is not None:
                    play.waiting = event.waiting
            case Notice() | AlertChanged():
                pass
            case _:
                known = self.plays.get(event.experiment)
                if known is not None:
                    _apply_to_play(known, event, now, self.version)


def _apply_to_play(
    play: PlayState,
    event: IterationStarted
    | HostSwept
    | VisitStarted
    | VisitEnded
    | IterationClosed
    | WaitingForNext
    | Owed
    | ExperimentEnded,
    now: float,
    number: int,
) -> None:
    match event:
        case IterationStarted():
            play.begin(event, now)
        case HostSwept(state="up"):
            play.clear_silence(event.host)
        case HostSwept():
            play.update(event.host, number, settled=HostStatus.UNAVAILABLE)
        case VisitStarted():
            play.clear_silence(event.host)
            play.update(event.host, number, in_flight=True)
        case VisitEnded():
            play.update(event.host, number, in_flight=False)
        case IterationClosed():
            play.closed = event
        case WaitingForNext():
            play.next_at = event.next_at
        case Owed():
            play.owed = event
        case ExperimentEnded():
            play.ended = event.why
            play.next_at = None
