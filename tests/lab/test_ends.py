"""An expired probe ends: Ctrl-Break, terminate, Delete, taskkill for what left the job, and a look."""

from __future__ import annotations

import time

import pytest

from ddcplay.lab.fleet import Fault, LabConfig, LabHost
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.result import Reason
from ddcplay.transport.base import Command
from ddcplay.transport.winrm import WinRMTransport
from ddcplay.units import Deadline, SystemClock

pytestmark = [pytest.mark.lab]
NAME = "pc1"
WALL_S = 5.0
PASSWORD = SecretRef("plain", "lab")
HANG = Fault("hang", "command", times=1)


@pytest.fixture
def ended(lab_factory):
    """Run a command that never ends on a PC with faults; returns what came, the connection and the lab."""
    connections = []

    def run(*faults, timeout_s=0.5, **command):
        lab = lab_factory(LabConfig((LabHost(NAME, faults=faults),)))
        address, port = lab.endpoint(NAME)
        target = Target(
            NAME,
            address,
            port=port,
            scheme="http",
            user="lab",
            password=SecretRef("plain", "x"),
            auth=("ntlm",),
        )
        clock = SystemClock()
        transport = WinRMTransport(lambda _: lab.host(NAME).password, clock)
        connection = transport.connect(target, Deadline.after(clock, 5))
        connections.append(connection)
        started = time.monotonic()
        output = connection.run(Command("hostname", **command), Deadline.after(clock, timeout_s))
        assert time.monotonic() - started < timeout_s + WALL_S
        return output, connection, lab

    yield run
    for connection in connections:
        connection.close()


def processes(connection):
    rows = connection.query(
        "SELECT Name,ParentProcessId FROM Win32_Process WHERE ProcessId > 6000",
        Deadline.after(SystemClock(), 5),
    )
    return sorted(str(row["Name"]) for row in rows)


def test_an_ended_command_leaves_nothing_and_that_is_checked(ended):
    output, connection, lab = ended(HANG)
    assert (output.reason, output.kill_verified) == (Reason.TIMEOUT, True)
    assert processes(connection) == []
    assert lab.stats(NAME)["open_shells"] == 0
    assert not [line for line in lab.stats(NAME)["commands"] if "taskkill" in line]


def test_a_child_that_left_the_job_is_ended_by_its_id(ended):
    output, connection, lab = ended(HANG, Fault("escapee", "command", times=1))
    assert (output.reason, output.kill_verified) == (Reason.TIMEOUT, True)
    assert "stays.exe" not in processes(connection)
    kills = [line for line in lab.stats(NAME)["commands"] if line.startswith("taskkill /F /T /PID ")]
    assert len(kills) == 1


def test_a_child_that_nobody_may_end_is_reported(ended):
    output, connection, _ = ended(HANG, Fault("escapee", "command", times=1, value=1))
    assert output.kill_verified is False
    assert "stays.exe" in processes(connection)


def test_without_kill_tree_a_child_lives_on_and_is_reported(ended):
    output, connection, lab = ended(HANG, Fault("escapee", "command", times=1), kill_tree=False)
    assert output.kill_verified is False
    assert "stays.exe" in processes(connection)
    assert lab.stats(NAME)["commands"] == ["hostname"]


def test_a_target_that_does_not_show_its_processes_leaves_it_open(ended):
    output, _, lab = ended(HANG, Fault("access_denied", "enumerate", times=2))
    assert (output.reason, output.kill_verified) == (Reason.TIMEOUT, None)
    assert lab.stats(NAME)["open_shells"] == 0


def test_without_the_shells_process_id_the_line_tells_which_processes_are_ours(ended):
    output, _, _ = ended(HANG, Fault("access_denied", "get"), Fault("escapee", "command", times=1))
    assert output.kill_verified is True


@pytest.mark.parametrize("operation", ["receive", "enumerate", "get", "signal", "delete"])
def test_a_target_that_turns_mute_costs_no_more(ended, operation):
    output, _, lab = ended(HANG, Fault("escapee", "command"), Fault("mute", operation))
    assert output.reason in (Reason.TIMEOUT, Reason.TRANSPORT)
    assert lab.stats(NAME)["commands"][0] == "hostname"


def test_a_taskkill_that_hangs_costs_no_more(ended):
    output, _, _ = ended(Fault("hang", "command"), Fault("escapee", "command", times=1, value=1))
    assert output.reason is Reason.TIMEOUT
    assert output.kill_verified is not True


def test_the_next_command_runs_after_an_end_that_took_a_taskkill(ended):
    _, connection, lab = ended(Fault("hang", "command", times=1), Fault("escapee", "command", times=1))
    output = connection.run(Command("hostname"), Deadline.after(SystemClock(), 5))
    assert output.stdout == b"PC1\r\n"
    assert lab.stats(NAME)["open_shells"] == 1
