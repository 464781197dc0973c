"""Directories on targets: removed with patience, never anything that is not ours."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ddcplay.engine.leftovers import CleanProbe, remove, removed_at_end
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command
from ddcplay.units import Deadline

OURS = r"C:\Users\lab\AppData\Local\Temp\ddcplay-0123456789ab"


@dataclass
class Target:
    answers: list[ProbeOutput]
    lines: list[str] = field(default_factory=list)

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.lines.append(command.line)
        return self.answers.pop(0)


GONE, IN_USE = ProbeOutput(exit_code=0, round_trips=3), ProbeOutput(exit_code=3, round_trips=3)


def test_a_directory_in_use_is_tried_again(clock):
    target = Target([IN_USE, GONE])
    removal = remove(target, [OURS], Deadline.after(clock, 5))
    assert (removal.cleaned, removal.left, removal.round_trips) == ((OURS,), (), 6)


def test_a_directory_that_stays_is_left_with_the_reason(clock):
    removal = remove(Target([IN_USE] * 3), [OURS], Deadline.after(clock, 5))
    assert (removal.cleaned, removal.left) == ((), (OURS,))
    assert "in use" in removal.why


@pytest.mark.parametrize(
    "directory",
    [
        "C:\\",
        r"C:\Windows",
        r"C:\Users\lab",
        OURS + r"\..",
        OURS + r"\x",
        OURS + '" & del x',
        r"\\h\s\ddcplay-0123456789ab",
    ],
)
def test_nothing_but_a_directory_of_ours_is_ever_removed(directory, clock):
    target = Target([])
    assert remove(target, [directory], Deadline.after(clock, 5)).left == (directory,)
    assert target.lines == []


def test_without_a_connection_everything_stays_owed(clock):
    lost = ProbeOutput(reason=Reason.TRANSPORT, connection_lost=True, left=(OURS,))
    assert removed_at_end(lost, Target([]), clock).left == (OURS,)
    assert removed_at_end(ProbeOutput(left=(OURS,)), None, clock).left == (OURS,)


def test_what_is_kept_is_not_removed_at_the_end(clock):
    target = Target([])
    assert removed_at_end(ProbeOutput(kept=(OURS,)), target, clock).left == ()
    assert target.lines == []


def test_cleaning_tells_what_is_still_there(clock):
    other = OURS[:-2] + "ff"
    spec = ProbeSpec("clean", "clean", (OURS, other))
    output = CleanProbe().run(spec, Target([GONE, *[IN_USE] * 3]), Deadline.after(clock, 30))
    assert (output.reason, output.kept) == (Reason.TRANSPORT, (other,))
    assert CleanProbe().run(spec, Target([GONE, GONE]), Deadline.after(clock, 30)).reason is None
