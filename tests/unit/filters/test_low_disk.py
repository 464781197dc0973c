from __future__ import annotations

import pytest

GIB = 1024**3
NAME = "low_disk.py:LowDisk"


def of_wmi(**free: int | None) -> list[dict[str, object]]:
    return [{"DeviceID": f"{name}:", "Size": 100 * GIB, "FreeSpace": left} for name, left in free.items()]


def firing(found):
    return {key: check.rows[0].bad for (_, key), check in found.items()}


def test_each_drive_is_checked_by_itself(run):
    found = run(NAME)(of_wmi(C=5 * GIB, D=50 * GIB, E=None))
    assert firing(found) == {"C:": True, "D:": False, "E:": None}
    assert found["low_disk", "C:"].rows[0].message == "pc1 C: 5.0 % free (5.0GiB of 100.0GiB)"
    assert found["low_disk", "C:"].rule.after == 3


def test_rows_of_w32probe_do_as_well(run):
    disks = [{"device": "C:", "size_bytes": 100 * GIB, "free_bytes": 9 * GIB, "free_pct": 9.0}]
    assert firing(run(NAME)({"disks": disks, "cpu": 1})) == {"C:": True}


def test_either_bound_is_enough(run):
    low = run(NAME, min_pct=1, min_free="20GiB", severity="critical")
    assert firing(low(of_wmi(C=19 * GIB, D=21 * GIB))) == {"C:": True, "D:": False}


def test_drives_that_are_not_fixed_are_left_out(run):
    rows = [{"DeviceID": "D:", "DriveType": 5, "Size": 100, "FreeSpace": 0}]
    assert run(NAME)(rows) == {}


def test_a_wrong_probe_is_told(run):
    with pytest.raises(Exception, match="LowDisk needs rows"):
        run(NAME)("text")
