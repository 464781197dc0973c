"""WMI classes about drives and their health, in three namespaces that know three different things."""

from __future__ import annotations

from ddcplay.lab.cim import Row
from ddcplay.lab.drives import Drive
from ddcplay.lab.machine import Machine


class NotSupportedError(Exception):
    """No driver of this PC answers the class."""


def disk_drives(machine: Machine, now: float) -> list[Row]:
    """Win32_DiskDrive; Windows 7 pads the serial number as the drive does."""
    return [
        {
            "DeviceID": f"\\\\.\\PHYSICALDRIVE{drive.index}",
            "Index": drive.index,
            "InterfaceType": "IDE" if machine.windows == "7" else "SCSI",
            "MediaType": "Fixed hard disk media",
            "Model": drive.model,
            "PNPDeviceID": drive.device,
            "SerialNumber": drive.serial.rjust(20) if machine.windows == "7" else drive.serial,
            "Size": drive.size_bytes,
            "Status": "Pred Fail" if drive.is_failing else "OK",
        }
        for drive in machine.drives(now)
    ]


def predict_status(machine: Machine, now: float) -> list[Row]:
    """MSStorageDriver_FailurePredictStatus: whoever's driver answers.

    Raises:
        NotSupportedError: nobody's does.
    """
    return _told(
        [
            {
                "Active": True,
                "InstanceName": _instance(drive),
                "PredictFailure": drive.is_failing,
                "Reason": 93 if drive.is_failing else 0,
            }
            for drive in machine.drives(now)
            if drive.tells_status
        ]
    )


def predict_data(machine: Machine, now: float) -> list[Row]:
    """MSStorageDriver_FailurePredictData: ATA drives alone.

    Raises:
        NotSupportedError: there is none.
    """
    return _told(
        [
            {
                "Active": True,
                "InstanceName": _instance(drive),
                "Length": 512,
                "VendorSpecific": drive.attributes(),
            }
            for drive in machine.drives(now)
            if drive.bus == "sata"
        ]
    )


def storage_disks(machine: Machine, now: float) -> list[Row]:
    """MSFT_PhysicalDisk."""
    return [
        {
            "BusType": 17 if drive.bus == "nvme" else 11,
            "DeviceId": str(drive.index),
            "FriendlyName": drive.model,
            "HealthStatus": 2 if drive.is_failing else 0,
            "MediaType": 4,
            "SerialNumber": drive.serial,
            "Size": drive.size_bytes,
        }
        for drive in machine.drives(now)
    ]


def reliability(machine: Machine, now: float) -> list[Row]:
    """MSFT_StorageReliabilityCounter; NVMe drives count no starts, and hours end at 16 bits."""
    return [
        {
            "DeviceId": str(drive.index),
            "PowerOnHours": min(65535, drive.power_on_hours),
            "StartStopCycleCount": None if drive.bus == "nvme" else drive.power_cycles,
            "Temperature": 36,
            "Wear": 3,
        }
        for drive in machine.drives(now)
    ]


def _instance(drive: Drive) -> str:
    """Return the driver's name of a drive: the device in a case of its own, and a number."""
    head, _, tail = drive.device.rpartition("\\")
    bus, _, model = head.partition("\\")
    return f"{bus}\\{model.title()}\\{tail.lower()}_0"


def _told(rows: list[Row]) -> list[Row]:
    if not rows:
        raise NotSupportedError
    return rows
