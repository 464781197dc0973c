"""What drives say about their health: SMART as ATA drivers give it, Windows' storage classes for the rest.

Attribute numbers are the vendors' (9 power-on hours, 12 power cycles); their table is 512 bytes: two bytes of
version, then 30 entries of 12 bytes (number, two of flags, value, worst, six of raw value, one unused).
NVMe, RAID and USB drives usually tell nothing there; nothing is not an error.
"""

from __future__ import annotations

from ddcplay.probing.w32probe_fields import Fields
from ddcplay.probing.w32probe_values import Rows, count, text, truth

_HOURS, _CYCLES = 9, 12
_HEALTH: dict[int, bool] = {0: False, 1: False, 2: True}
"""MSFT_PhysicalDisk.HealthStatus: healthy, warning, unhealthy; 5 is unknown."""
_MAX_HOURS = 400_000
"""More than 45 years: some drives count minutes or keep flags in the upper bytes."""


def is_complete(drives: Rows | None, status: Rows | None, data: Rows | None) -> bool:
    """Say whether the ATA classes told everything about every drive, so that no other has to be asked."""
    rows = smart(drives, status, data, None, None)["smart"]
    wanted = {count(row.get("Index")) for row in drives or ()}
    if not isinstance(rows, list) or drives is None:
        return False
    told = {row["disk"] for row in rows if None not in (row["power_cycles"], row["power_on_hours"])}
    return wanted <= told


def smart(
    drives: Rows | None, status: Rows | None, data: Rows | None, health: Rows | None, wear: Rows | None
) -> Fields:
    """Put together what each drive tells.

    Args:
        drives: Win32_DiskDrive.
        status: MSStorageDriver_FailurePredictStatus.
        data: MSStorageDriver_FailurePredictData.
        health: MSFT_PhysicalDisk.
        wear: MSFT_StorageReliabilityCounter.

    Returns:
        `smart`: null when no class answered, else one row per drive that tells anything.
    """
    if all(answer is None for answer in (status, data, health, wear)):
        return {"smart": None}
    known = {
        (text(row.get("PNPDeviceID")) or "").lower(): index
        for row in drives or ()
        if (index := count(row.get("Index"))) is not None
    }
    rows: dict[object, Fields] = {}
    for row in (*(status or ()), *(data or ())):
        instance = text(row.get("InstanceName"))
        entry = _entry(rows, known.get(_device(instance)), instance)
        if "PredictFailure" in row:
            entry["predicted_failure"] = truth(row["PredictFailure"])
        attributes = _attributes(row.get("VendorSpecific"))
        entry["power_on_hours"] = _first(entry["power_on_hours"], attributes.get(_HOURS))
        entry["power_cycles"] = _first(entry["power_cycles"], attributes.get(_CYCLES))
    for row in wear or ():
        entry = _entry(rows, count(row.get("DeviceId")), None)
        entry["power_on_hours"] = _first(entry["power_on_hours"], count(row.get("PowerOnHours")))
        entry["power_cycles"] = _first(entry["power_cycles"], count(row.get("StartStopCycleCount")))
    for row in health or ():
        entry = _entry(rows, count(row.get("DeviceId")), None)
        verdict = _HEALTH.get(code) if (code := count(row.get("HealthStatus"))) is not None else None
        entry["predicted_failure"] = _first(entry["predicted_failure"], verdict)
    _judge_by_status(rows, drives or ())
    return {"smart": sorted(rows.values(), key=lambda row: str(row["disk"]).rjust(12))}


def _judge_by_status(rows: dict[object, Fields], drives: Rows) -> None:
    """Win32_DiskDrive says `Pred Fail` without a right to root/wmi; other words of it say nothing."""
    for row in drives:
        if (text(row.get("Status")) or "").lower() == "pred fail":
            entry = _entry(rows, count(row.get("Index")), None)
            entry["predicted_failure"] = _first(entry["predicted_failure"], True)  # noqa: FBT003 - the verdict


def _entry(rows: dict[object, Fields], disk: int | None, instance: str | None) -> Fields:
    """Return the row of a drive, made when it is not there; a drive without a number goes by its instance."""
    key = instance if disk is None else disk
    entry = rows.setdefault(
        key,
        {
            "disk": disk,
            "instance": None,
            "power_cycles": None,
            "power_on_hours": None,
            "predicted_failure": None,
        },
    )
    entry["instance"] = _first(entry["instance"], instance)
    return entry


def _device(instance: str | None) -> str:
    """Return the device of an instance of the driver's: its PNP id, followed by `_0`."""
    device, _, number = (instance or "").lower().rpartition("_")
    return device if number.isdecimal() else (instance or "").lower()


def _attributes(table: object) -> dict[int, int]:
    """Read the attributes we know out of the vendor's table; anything else but 512 bytes holds none."""
    if not isinstance(table, list) or len(table) < 362:
        return {}
    try:
        octets = bytes(table[:362])
    except (TypeError, ValueError):
        return {}
    found: dict[int, int] = {}
    for start in range(2, 362, 12):
        number, raw = octets[start], octets[start + 5 : start + 11]
        if number in (_HOURS, _CYCLES) and number not in found:
            # Four bytes: makers keep other counts in the upper two.
            value = int.from_bytes(raw[:4], "little")
            if number != _HOURS or value <= _MAX_HOURS:
                found[number] = value
    return found


def _first(old: object, new: object) -> object:
    return new if old is None else old
