from __future__ import annotations

import pytest

NAME = "disk_health.py:DiskHealth"
DISK = r"IDE\DiskST500_0"


def table(**counts: int) -> list[int]:
    """Return SMART's table as Windows gives it: 512 octets."""
    octets = bytearray(512)
    for place, (name, count) in enumerate(counts.items()):
        start = 2 + 12 * place
        octets[start] = int(name.removeprefix("n"))
        octets[start + 5 : start + 11] = count.to_bytes(6, "little")
    return list(octets)


def of_wmi(failing: bool = False, **counts: int) -> dict[str, object]:
    return {
        "status": [{"InstanceName": DISK, "PredictFailure": failing}],
        "data": [{"InstanceName": DISK, "VendorSpecific": table(**counts)}],
    }


def bad(found, rule, key=DISK):
    return found[rule, key].rows[0].bad


def test_predicted_failure_is_critical(run):
    found = run(NAME)(of_wmi(failing=True))
    assert bad(found, "disk_failing") is True
    assert found["disk_failing", DISK].severity == "critical"
    assert bad(run(NAME)(of_wmi()), "disk_failing") is False


def test_sectors_that_grow_are_told_until_they_have_rested(run):
    health = run(NAME)
    assert bad(health(of_wmi(n5=3, n197=0)), "disk_sectors") is False
    found = health(of_wmi(n5=8, n197=0))
    assert bad(found, "disk_sectors") is True
    assert (
        found["disk_sectors", DISK].rows[0].message == rf"pc1 disk {DISK} has 8 reallocated sectors (was 3)"
    )
    rests = [bad(health(of_wmi(n5=8, n197=0)), "disk_sectors") for _ in range(7)]
    assert rests == [True] * 6 + [False]


def test_many_sectors_are_told_at_once(run):
    assert bad(run(NAME, max_sectors=10)(of_wmi(n198=10)), "disk_sectors") is True


def test_old_disk_is_information(run):
    found = run(NAME, max_hours=100)(of_wmi(n9=101))
    assert bad(found, "disk_old") is True
    assert found["disk_old", DISK].severity == "info"


def test_rows_of_w32probe_do_as_well_and_null_freezes(run):
    rows = [
        {"disk": 0, "instance": DISK, "power_on_hours": 60_000, "predicted_failure": True},
        {"disk": 1, "instance": None, "power_on_hours": None, "predicted_failure": None},
    ]
    found = run(NAME)({"smart": rows})
    assert (bad(found, "disk_failing", "0"), bad(found, "disk_old", "0")) == (True, True)
    assert (bad(found, "disk_failing", "1"), bad(found, "disk_old", "1")) == (None, None)
    assert run(NAME)({"smart": None}) == {}


def test_a_wrong_probe_is_told(run):
    with pytest.raises(Exception, match="DiskHealth needs rows"):
        run(NAME)("text")
