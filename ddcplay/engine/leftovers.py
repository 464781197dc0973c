"""Directories that probes left on a target: how they are removed, in a visit or by `ddcplay clean`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command, Connection
from ddcplay.units import Clock, Deadline

KIND = "clean"
REMOVE_S = 5.0
"""Budget of a removal at a probe's end; what is not gone by then becomes a debt."""
_TRIES = 3
_PAUSE_S = 0.5
_OURS = re.compile(r'(?:[A-Za-z]:|%\w[\w()]*%)(?:\\[^"<>|?*\x00-\x1f]*)?\\ddcplay-[0-9a-f]{12}')
_STILL_THERE = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of directories.

    Args:
        cleaned: gone.
        left: still there, or nobody could tell.
        why: of what is left, in one line.
        round_trips: requests made.
    """

    cleaned: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    why: str = ""
    round_trips: int = 0


def remove(connection: Connection, directories: Iterable[str], deadline: Deadline) -> Removal:
    """Remove private directories of probes from a target.

    A program that was ended a moment ago may still hold its file, so a directory is tried a few times.

    Args:
        connection: to the target.
        directories: as the probes told them; anything but a directory of ours is left alone.
        deadline: of all of them.
    """
    cleaned: list[str] = []
    left: list[str] = []
    why, round_trips = "", 0
    for directory in dict.fromkeys(directories):
        gone = False
        for number in range(_TRIES if _OURS.fullmatch(directory) else 0):
            if number:
                deadline.clock.sleep(min(_PAUSE_S * number, deadline.remaining_s()))
            output = connection.run(Command(_line(directory), max_output_bytes=65536), deadline)
            round_trips += output.round_trips
            gone = output.reason is None and output.exit_code == 0
            why = why if gone else output.detail or f"{directory} is in use"
            if gone or output.reason is not None or output.connection_lost or deadline.expired():
                break
        (cleaned if gone else left).append(directory)
    return Removal(tuple(cleaned), tuple(left), why if left else "", round_trips)


def _line(directory: str) -> str:
    return f'rd /s /q "{directory}" 2>nul & if exist "{directory}\\" (exit {_STILL_THERE}) else (exit 0)'


def removed_at_end(output: ProbeOutput, connection: Connection | None, clock: Clock) -> Removal:
    """Remove what a probe left, as far as its connection still carries.

    Args:
        output: what the probe told; directories it keeps are not touched.
        connection: the visit's, None when there is none.
        clock: of the visit.
    """
    if not output.left:
        return Removal()
    if connection is None or output.connection_lost:
        return Removal(left=output.left, why=output.detail)
    return remove(connection, output.left, Deadline.after(clock, REMOVE_S))


class CleanProbe:
    """What `ddcplay clean` runs instead of a probe: removes the directories named in its body."""

    kind = KIND

    def command_line(self, spec: ProbeSpec) -> str:
        """Return what the target will log."""
        return "\n".join(map(_line, _directories(spec)))

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Remove the directories; what is still there makes the attempt a failure."""
        removal = remove(connection, _directories(spec), deadline)
        if not removal.left:
            return ProbeOutput(exit_code=0, round_trips=removal.round_trips)
        return ProbeOutput(
            reason=Reason.TRANSPORT,
            detail=f"still there: {removal.why}",
            hint="a program of it may still run; try again later",
            accepted=True,
            round_trips=removal.round_trips,
            kept=removal.left,
        )


def _directories(spec: ProbeSpec) -> tuple[str, ...]:
    return tuple(spec.body) if isinstance(spec.body, tuple | list) else ()
