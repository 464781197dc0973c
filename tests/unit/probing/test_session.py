"""Exclusive probes: nobody is disturbed, nobody is named, and doubt means not to run."""

from __future__ import annotations

import pytest

from ddcplay.errors import FaultError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.command import CommandProbe
from ddcplay.probing.session import CONSOLE, DESKTOPS, Desktop, desktops, run_when_free
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

WITHIN = Deadline.after(SystemClock(), 60)
SPEC = ProbeSpec("bench", "command", "bench", exclusive=True, recheck_s=7)


class Pc:
    """A connection to a PC with these desktops and this console user."""

    def __init__(self, explorers=(), user=None, fault: FaultError | None = None) -> None:
        self.explorers, self.user, self.fault = explorers, user, fault
        self.commands: list[Command] = []
        self.queries: list[str] = []

    def query(self, wql, deadline, namespace="root/cimv2", *, max_bytes=0):
        self.queries.append(wql)
        if self.fault is not None:
            raise self.fault
        if wql == CONSOLE:
            return ({"UserName": self.user},)
        assert wql == DESKTOPS
        return tuple({"SessionId": number, "CreationDate": since} for number, since in self.explorers)

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.commands.append(command)
        return ProbeOutput(exit_code=0, stdout=b"ran", accepted=True)


def test_nobody_there_means_it_runs_under_watch() -> None:
    pc = Pc()
    assert run_when_free(CommandProbe(), SPEC, pc, WITHIN).stdout == b"ran"
    assert pc.queries == [DESKTOPS, CONSOLE]
    (command,) = pc.commands
    assert command.watch is not None
    assert (command.watch.every_s, command.watch.reason) == (7, Reason.USER_LOGGED_ON)
    assert command.watch.ask(WITHIN) is None
    pc.user = r"LAB\student1"
    assert command.watch.ask(WITHIN) == "somebody is logged on"


@pytest.mark.parametrize(
    ("pc", "told"),
    [
        (Pc([(1, "2026-01-01T08:00:00Z")]), "somebody is logged on"),
        (Pc([(1, None), (1, "2026-01-01T08:00:00Z")]), "somebody is logged on"),
        (Pc([(1, ""), (3, "")]), "2 people are logged on"),
        (Pc(user=r"LAB\student1"), "somebody is logged on"),
    ],
)
def test_somebody_there_means_busy_and_names_nobody(pc, told) -> None:
    output = run_when_free(CommandProbe(), SPEC, pc, WITHIN)
    assert (output.reason, output.detail, pc.commands) == (Reason.BUSY, told, [])
    assert "student" not in repr(output)


def test_the_services_session_is_nobody() -> None:
    assert desktops(Pc([(0, "")]), WITHIN) == ()


def test_a_session_is_told_with_the_start_of_its_first_desktop() -> None:
    pc = Pc([(2, "2026-01-01T09:00:00Z"), (2, "2026-01-01T08:00:00Z"), (5, None)])
    assert desktops(pc, WITHIN) == (Desktop(2, "2026-01-01T08:00:00Z"), Desktop(5))


def test_a_console_user_without_a_desktop_counts() -> None:
    assert desktops(Pc(user="x"), WITHIN) == (Desktop(None),)


def test_when_nobody_can_tell_it_does_not_run() -> None:
    pc = Pc(fault=FaultError("wql", "access to WMI is denied", "give it Remote Enable"))
    output = run_when_free(CommandProbe(), SPEC, pc, WITHIN)
    assert (output.reason, output.hint, pc.commands) == (Reason.WQL, "give it Remote Enable", [])
    assert "did not run: access to WMI is denied" in output.detail
