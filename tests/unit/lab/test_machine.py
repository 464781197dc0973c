"""The scripted PCs are the same for the same seed, and move as real ones do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.lab.fleet import LabConfig, LabHost, school
from ddcplay.lab.machine import Machine

MONDAY = 1_792_368_000.0  # 2026-10-19 00:00 UTC
HOUR = 3600


def fleet() -> list[Machine]:
    return [Machine(1, host.name, host.groups[-1]) for host in school().hosts]


def test_a_school_has_169_pcs_in_11_rooms() -> None:
    hosts = school().hosts
    assert len(hosts) == 169
    assert hosts[2].name == "lab01-pc03"
    assert hosts[2].groups == ("labs", "lab01")
    assert {host.groups[-1] for host in hosts} == {f"lab{room:02d}" for room in range(1, 12)}


def test_a_share_of_the_pcs_can_be_off() -> None:
    assert sum(host.power == "off" for host in school(100, 5, off_share=0.3).hosts) == 30


def test_about_half_of_the_pcs_are_on_over_two_weeks() -> None:
    machines = fleet()
    hours = range(14 * 24)
    on = sum(machine.is_on(MONDAY + hour * HOUR) for machine in machines for hour in hours)
    assert 0.45 < on / (len(machines) * len(hours)) < 0.55


def test_more_pcs_are_on_at_noon_than_at_night() -> None:
    machines = fleet()
    noon, night = (
        sum(machine.is_on(MONDAY + 24 * HOUR + hour * HOUR) for machine in machines) for hour in (12, 4)
    )
    assert noon > 1.5 * night


def test_nobody_sits_at_a_pc_on_sunday() -> None:
    assert not any(machine.user(MONDAY - 12 * HOUR) for machine in fleet())


@given(
    seed=st.integers(0, 10**6),
    name=st.from_regex(r"[a-z]{1,20}", fullmatch=True),
    time=st.floats(1.5e9, 2e9),
)
def test_facts_hold_together_at_any_time(seed: int, name: str, time: float) -> None:
    machine = Machine(seed, name, "room")
    assert machine == Machine(seed, name, "room")
    assert machine.uptime_s(time) >= 1
    assert 0 < machine.free_memory_bytes(time) < machine.ram_bytes
    assert all(0 < disk.free_bytes < disk.size_bytes for disk in machine.disks(time))
    assert len(machine.computer_name) <= 15
    if machine.user(time):
        assert machine.is_on(time)
    if (
        machine.is_on(time)
        and machine.is_on(time + 60)
        and machine.booted_at(time) == machine.booted_at(time + 60)
    ):
        assert machine.nic_bytes(time + 60) > machine.nic_bytes(time)


def test_two_hosts_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="every name once"):
        LabConfig((LabHost("a"), LabHost("a")))
