"""What samples say of single machines: disks that fill up, disks that die, uptime sessions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.report import UsageSample
from ddcplay.report.machines import Machines
from ddcplay.report.table1 import Table1

DAY = 86400.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("uptime_s", "disks", "smart", "occupied", "cpu_idle_pct", "disk_free_bytes")


def sample(at: float, **data: object) -> UsageSample:
    return UsageSample("pc1", int(at), at, data)


def disk(at: float, free: float, size: float = 100.0) -> UsageSample:
    return sample(at, disks=[{"device": "C:", "free_bytes": free, "size_bytes": size}])


def filled(*frees: float, every: float = DAY / 8) -> Machines:
    machines = Machines()
    for number, free in enumerate(frees):
        machines.add(disk(number * every, free))
    return machines


def test_a_disk_that_loses_one_percent_a_day_is_told_when_a_month_is_left():
    (found,) = filled(*(60 - number / 8 * 1.0 for number in range(300))).full_soon()
    assert found.free_pct == pytest.approx(60 - 299 / 8)
    assert found.full_in_s == pytest.approx((60 - 299 / 8) * DAY, rel=0.01)


def test_a_disk_that_loses_as_much_but_has_months_left_is_not_told():
    assert filled(*(60 - number / 80 for number in range(100))).full_soon() == ()


@pytest.mark.parametrize(
    "frees",
    [
        [50.0] * 100,
        [50.0 + number for number in range(50)],
        [50.0 + 20 * (-1) ** number for number in range(100)],  # goes up and down
        [60.0 - 2 * number for number in range(20)],  # steep, but seen for too short a time
    ],
)
def test_no_trend_is_no_task(frees):
    assert filled(*frees).full_soon() == ()


def test_a_nearly_full_disk_needs_no_trend():
    (found,) = filled(4.0).full_soon()
    assert (found.free_pct, found.full_in_s) == (4.0, None)


def test_a_session_ends_with_the_next_boot_and_slow_drift_is_none():
    machines = Machines()
    for number in range(96):  # a day, during which the clock loses ten minutes in small steps
        machines.add(sample(number * 900.0, uptime_s=number * 900.0 + 600 - number * 6.0))
    machines.add(sample(2 * DAY, uptime_s=60.0))
    times = machines.uptimes()
    assert times.total == 2
    assert times.numbers[0] == 1
    assert times.numbers[5] == 1


def test_only_the_newest_verdict_of_a_disk_counts():
    machines = Machines()
    machines.add(sample(0, smart=[{"disk": 0, "predicted_failure": True}]))
    assert machines.dying() == {"pc1": ("0",)}
    machines.add(sample(900, smart=[{"disk": 0, "predicted_failure": False}]))
    assert machines.dying() == {}


def test_a_sample_that_cannot_tell_who_is_there_counts_in_both_alone():
    table = Table1()
    for occupied, idle in ((True, 80.0), (False, 100.0), (None, 60.0)):
        table.add({"occupied": occupied, "cpu_idle_pct": idle})
    free, used, both = table.columns(10)
    assert [column.means["cpu_idle_pct"] for column in (free, used, both)] == [100.0, 80.0, 80.0]
    assert both.share_pct == 30.0
    assert both.means["ram_load_pct"] is None


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6), max_size=6))
def test_no_sample_whatever_is_in_it_stops_the_report(rows):
    machines, table = Machines(), Table1()
    for number, data in enumerate(rows):
        machines.add(sample(number * 900.0, **data))
        table.add(data)
    machines.uptimes()
    machines.full_soon()
    machines.dying()
    table.columns(1)
