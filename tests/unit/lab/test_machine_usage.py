"""How the simulated PCs are used: sessions, logons, idle time and drives follow from seed, host and time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.lab.machine import Machine

MONDAY = 1_792_368_000.0  # 2026-10-19 00:00 UTC
HOUR = 3600.0
machines = st.builds(
    Machine,
    st.integers(0, 1000),
    st.from_regex("pc[0-9]{3}", fullmatch=True),
    st.sampled_from(["lab01", "lab02"]),
    windows=st.sampled_from(["", "7", "10", "11", "server"]),
)
times = st.floats(MONDAY, MONDAY + 14 * 24 * HOUR)


@given(machines, times, st.floats(1, HOUR))
def test_counters_only_grow_until_the_next_boot(machine: Machine, time: float, later: float) -> None:
    if not (machine.is_on(time) and machine.is_on(time + later)):
        return
    if machine.booted_at(time) != machine.booted_at(time + later):
        return
    idle = machine.idle_s(time + later) - machine.idle_s(time)
    assert 0 < idle <= later * 1.001
    assert machine.nic_bytes(time + later) > machine.nic_bytes(time)
    assert machine.logged_on_s(time) <= machine.logged_on_s(time + later)


@given(machines, times)
def test_whoever_is_there_has_a_desktop_and_a_logon(machine: Machine, time: float) -> None:
    there = machine.sessions(time)
    assert machine.user(time) == next((each.user for each in there if each.kind == "console"), None)
    desktops = {row.session: row.started for row in machine.processes(time) if row.name == "explorer.exe"}
    assert set(desktops) == {each.number for each in there}
    logons = machine.logons(time)
    for each in there:
        assert each.start <= desktops[each.number] <= time
        assert any(logon.user == each.user and logon.start == each.start for logon in logons)
    assert len({logon.number for logon in logons}) == len(logons)
    interactive = any(logon.type in {2, 10} for logon in logons)
    has_dwm = any(logon.user.startswith("DWM") for logon in logons)
    assert has_dwm == (interactive and machine.windows != "7")
    assert machine.windows == "server" or len(there) <= 1


@given(machines, times)
def test_drives_grow_older_and_windows_7_has_no_nvme(machine: Machine, time: float) -> None:
    for now, later in zip(machine.drives(time), machine.drives(time + 24 * HOUR), strict=True):
        assert now.power_on_hours <= later.power_on_hours
        assert now.power_cycles < later.power_cycles + 1
        assert len(now.attributes()) == 512
        assert machine.windows != "7" or now.bus == "sata"


@pytest.mark.parametrize(("windows", "version"), [("7", "6.1.7601"), ("server", "10.0.20348")])
def test_a_windows_can_be_chosen(windows: str, version: str) -> None:
    assert Machine(1, "pc", windows=windows).system[1] == version
