"""Tell people which drives are nearly full, drive by drive.

Works on the rows of either probe::

    - name: disks
      wmi: "SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType=3"
      filters:
        - low_disk.py:LowDisk: {min_pct: 10, min_free: 5GiB}
    - name: usage
      w32probe: {}
      filters:
        - low_disk.py:LowDisk
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import ByteSize, Field

from ddcplay import Filter, FilterContext, Record

LOCAL_DISK = 3
"""Win32_LogicalDisk.DriveType of a fixed drive; CDs and network drives are always full."""


class Drive(NamedTuple):
    """One drive; sizes in bytes, None while it is locked (BitLocker) or has no file system."""

    name: str
    size: int | None
    free: int | None


class LowDisk(Filter):
    """Raises the alert `low_disk` for each drive that has too little room."""

    class Options(Filter.Options):
        """A drive is low below either bound."""

        min_pct: float = Field(default=10, ge=0, le=100)
        min_free: ByteSize = ByteSize(0)
        after: int = Field(default=3, ge=1)
        severity: Literal["info", "warning", "critical"] = "warning"

    options: Options

    def process(self, record: Record, context: FilterContext) -> Record:
        """Check every drive of the record."""
        for drive in drives(record.data):
            context.alert(
                "low_disk",
                self.message(context.host.name, drive),
                firing=self.is_low(drive),
                key=drive.name,
                severity=self.options.severity,
                after=self.options.after,
            )
        return record

    def is_low(self, drive: Drive) -> bool | None:
        """Say whether a drive is low; None when it does not tell, which leaves its alert as it is."""
        if not drive.size or drive.free is None:
            return None
        return drive.free < self.options.min_free or 100 * drive.free / drive.size < self.options.min_pct

    def message(self, host: str, drive: Drive) -> str:
        """Return what people read."""
        if not drive.size or drive.free is None:
            return f"{host} {drive.name}: size unknown"
        pct, free, size = 100 * drive.free / drive.size, ByteSize(drive.free), ByteSize(drive.size)
        return f"{host} {drive.name} {pct:.1f} % free ({free.human_readable()} of {size.human_readable()})"


def drives(data: object) -> Iterator[Drive]:
    """Yield the drives of a `wmi` probe (a list of rows) or of `w32probe` (`disks`).

    Raises:
        ValueError: the record holds no list of drives, so the filter stands behind the wrong probe.
    """
    rows = data.get("disks") if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise ValueError("LowDisk needs rows of Win32_LogicalDisk, or the disks of w32probe")
    for row in rows:
        if row.get("DriveType", LOCAL_DISK) == LOCAL_DISK:
            name = row.get("device", row.get("DeviceID"))
            yield Drive(
                str(name),
                row.get("size_bytes", row.get("Size")),
                row.get("free_bytes", row.get("FreeSpace")),
            )
