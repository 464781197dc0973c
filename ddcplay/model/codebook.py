"""The fields of probe kind `w32probe`: name, unit, type, and the WMI property each comes from.

One table serves the probe (which fields a section has), the reader of a playbook (which sections there are),
docs/w32probe.md and the exported codebook; what is not in it does not exist.
"""

# ruff: noqa: E501 - the codebook is a table: one field, one line

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

FieldType = Literal["text", "integer", "number", "truth", "time", "list"]

USERS = ("hash", "count", "name")
"""What becomes of user names: a keyed hash, nothing, or the name itself."""

SECTIONS = ("identity", "os", "boot", "cpu", "memory", "disks", "physical_disks", "smart", "nics", "sessions")
"""Parts of the probe that can be asked for alone."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a sample.

    Args:
        name: key in `data`, or in a row of one of its lists.
        type: what it holds when it is not null; `time` is ISO 8601 in UTC.
        unit: empty where there is none.
        source: WMI class and property, or what it is computed from.
        section: which of `SECTIONS` brings it; empty for what every sample has.
        table: list whose rows have it; empty for `data` itself.
        static: it changes when the machine is changed, not when it is used.
        note: what a reader of the numbers has to know.
    """

    name: str
    type: FieldType
    unit: str
    source: str
    section: str
    table: str = ""
    static: bool = False
    note: str = ""


_OS = "Win32_OperatingSystem."
_CS = "Win32_ComputerSystem."
_CPU = "Win32_Processor."
_RAW_CPU = "Win32_PerfRawData_PerfOS_Processor(_Total)."
_RAW_NIC = "Win32_PerfRawData_Tcpip_NetworkInterface."
_NIC = "Win32_NetworkAdapterConfiguration(IPEnabled)."
_VOLUME = "Win32_LogicalDisk(DriveType=3)."
_DRIVE = "Win32_DiskDrive."
_DESKTOP = "Win32_Process(explorer.exe)."
_SINCE = "needs the sample before it: mean since that sample, or since the boot when that is later; else null"
_ONCE = "null in the first sample"

# fmt: off
CODEBOOK: tuple[Field, ...] = (
    Field("computer_name", "text", "", _CS + "Name", "identity", static=True),
    Field("domain", "text", "", _CS + "Domain", "identity", static=True, note="the workgroup where there is no domain"),
    Field("domain_member", "truth", "", _CS + "PartOfDomain", "identity", static=True),
    Field("manufacturer", "text", "", _CS + "Manufacturer", "identity", static=True),
    Field("model", "text", "", _CS + "Model", "identity", static=True),
    Field("uuid", "text", "", "Win32_ComputerSystemProduct.UUID", "identity", static=True, note="cloned firmware may share it: use uuid, serial and macs together"),
    Field("serial", "text", "", "Win32_ComputerSystemProduct.IdentifyingNumber", "identity", static=True, note="of the case; may be a placeholder of the maker's"),
    Field("macs", "text", "", _NIC + "MACAddress", "identity", static=True, note="sorted, separated by blanks"),
    Field("os_name", "text", "", _OS + "Caption", "os", static=True),
    Field("os_version", "text", "", _OS + "Version", "os", static=True, note="10.0 for Windows 10 and 11: the build tells them apart"),
    Field("os_build", "integer", "", _OS + "BuildNumber", "os", static=True, note="Windows 11 from 22000"),
    Field("os_architecture", "text", "", _OS + "OSArchitecture", "os", static=True, note="in Windows' language"),
    Field("os_service_pack", "integer", "", _OS + "ServicePackMajorVersion", "os", static=True, note="0 for none"),
    Field("os_installed", "time", "", _OS + "InstallDate", "os", static=True, note="feature updates of Windows 10 and 11 set it anew"),
    Field("local_time", "time", "", _OS + "LocalDateTime", "boot", note="the PC's own clock, in UTC; compare with the attempt's started_at"),
    Field("boot_time", "time", "", _OS + "LastBootUpTime", "boot", note="by the PC's clock; Fast Startup resumes the system and keeps the older time"),
    Field("uptime_s", "number", "s", "local_time - boot_time, one row", "boot", note="immune to a wrong clock; counts sleep"),
    Field("interval_s", "number", "s", "computed", "boot", note="what the means since the last sample are over; " + _ONCE),
    Field("cpu_name", "text", "", _CPU + "Name", "cpu", static=True),
    Field("cpu_mhz", "integer", "MHz", _CPU + "MaxClockSpeed", "cpu", static=True, note="nominal"),
    Field("cpu_sockets", "integer", "", "rows of Win32_Processor", "cpu", static=True),
    Field("cpu_cores", "integer", "", _CPU + "NumberOfCores", "cpu", static=True, note="summed over sockets"),
    Field("cpu_threads", "integer", "", _CPU + "NumberOfLogicalProcessors", "cpu", static=True, note="summed over sockets"),
    Field("cpu_idle_boot_pct", "number", "%", "cpu_idle_ticks / uptime_s", "cpu", note="mean since the boot"),
    Field("cpu_idle_pct", "number", "%", "cpu_idle_ticks, cpu_stamp_ticks", "cpu", note=_SINCE),
    Field("cpu_idle_ticks", "integer", "100 ns", _RAW_CPU + "PercentIdleTime", "cpu", note="raw counter since the boot, mean of the logical processors"),
    Field("cpu_stamp_ticks", "integer", "100 ns", _RAW_CPU + "Timestamp_Sys100NS", "cpu", note="when the counter was read, since 1601"),
    Field("ram_bytes", "integer", "B", _OS + "TotalVisibleMemorySize", "memory", static=True, note="what Windows can use"),
    Field("ram_free_bytes", "integer", "B", _OS + "FreePhysicalMemory", "memory"),
    Field("ram_load_pct", "number", "%", "ram_bytes, ram_free_bytes", "memory"),
    Field("swap_bytes", "integer", "B", _OS + "SizeStoredInPagingFiles", "memory"),
    Field("swap_free_bytes", "integer", "B", _OS + "FreeSpaceInPagingFiles", "memory"),
    Field("swap_load_pct", "number", "%", "swap_bytes, swap_free_bytes", "memory", note="null without a page file"),
    Field("disk_bytes", "integer", "B", "sum over disks", "disks"),
    Field("disk_free_bytes", "integer", "B", "sum over disks", "disks"),
    Field("disk_used_bytes", "integer", "B", "sum over disks", "disks"),
    Field("disk_free_pct", "number", "%", "sum over disks", "disks"),
    Field("disks", "list", "", "Win32_LogicalDisk, DriveType=3", "disks", note="one row per fixed volume with a letter; key: device"),
    Field("device", "text", "", _VOLUME + "DeviceID", "disks", "disks", static=True),
    Field("label", "text", "", _VOLUME + "VolumeName", "disks", "disks"),
    Field("fs", "text", "", _VOLUME + "FileSystem", "disks", "disks"),
    Field("size_bytes", "integer", "B", _VOLUME + "Size", "disks", "disks", note="null while the volume is locked (BitLocker) or has no file system"),
    Field("free_bytes", "integer", "B", _VOLUME + "FreeSpace", "disks", "disks"),
    Field("used_bytes", "integer", "B", "size_bytes - free_bytes", "disks", "disks"),
    Field("free_pct", "number", "%", "free_bytes / size_bytes", "disks", "disks"),
    Field("physical_disks", "list", "", "Win32_DiskDrive", "physical_disks", static=True, note="one row per drive, USB sticks too; key: disk"),
    Field("disk", "integer", "", _DRIVE + "Index", "physical_disks", "physical_disks", static=True, note="Windows' disk number"),
    Field("model", "text", "", _DRIVE + "Model", "physical_disks", "physical_disks", static=True),
    Field("serial", "text", "", _DRIVE + "SerialNumber", "physical_disks", "physical_disks", static=True, note="blanks around it are taken off"),
    Field("size_bytes", "integer", "B", _DRIVE + "Size", "physical_disks", "physical_disks", static=True),
    Field("interface", "text", "", _DRIVE + "InterfaceType", "physical_disks", "physical_disks", static=True, note="SATA and NVMe are SCSI or IDE to Windows"),
    Field("status", "text", "", _DRIVE + "Status", "physical_disks", "physical_disks", note="OK, Pred Fail …"),
    Field("smart", "list", "", "root/wmi, root/Microsoft/Windows/Storage", "smart", note="one row per drive that tells anything; usually needs an administrator; key: disk"),
    Field("disk", "integer", "", _DRIVE + "Index", "smart", "smart", note="null when the drive could not be told"),
    Field("instance", "text", "", "MSStorageDriver_FailurePredictStatus.InstanceName", "smart", "smart", note="null for drives that only the storage classes know"),
    Field("power_cycles", "integer", "", "MSStorageDriver_FailurePredictData.VendorSpecific, attribute 12", "smart", "smart", note="else MSFT_StorageReliabilityCounter.StartStopCycleCount"),
    Field("power_on_hours", "integer", "h", "MSStorageDriver_FailurePredictData.VendorSpecific, attribute 9", "smart", "smart", note="else MSFT_StorageReliabilityCounter.PowerOnHours, which ends at 65535"),
    Field("predicted_failure", "truth", "", "MSStorageDriver_FailurePredictStatus.PredictFailure", "smart", "smart", note="else MSFT_PhysicalDisk.HealthStatus (2 is unhealthy), else Win32_DiskDrive.Status"),
    Field("bytes_received", "integer", "B", "sum over nics", "nics", note="since the boot"),
    Field("bytes_sent", "integer", "B", "sum over nics", "nics", note="since the boot"),
    Field("bytes_received_per_s", "number", "B/s", "sum over nics", "nics", note=_SINCE),
    Field("bytes_sent_per_s", "number", "B/s", "sum over nics", "nics", note=_SINCE),
    Field("nics", "list", "", "Win32_PerfRawData_Tcpip_NetworkInterface", "nics", note="one row per interface, tunnels left out; key: name"),
    Field("name", "text", "", _RAW_NIC + "Name", "nics", "nics", static=True, note="as the counters spell it: [ ] for ( ), _ for # and /"),
    Field("mac", "text", "", _NIC + "MACAddress", "nics", "nics", static=True, note="null without an IP address"),
    Field("addresses", "text", "", _NIC + "IPAddress", "nics", "nics", note="separated by blanks"),
    Field("bandwidth_bps", "integer", "bit/s", _RAW_NIC + "CurrentBandwidth", "nics", "nics"),
    Field("bytes_received", "integer", "B", _RAW_NIC + "BytesReceivedPersec", "nics", "nics", note="raw counter since the boot or the driver's restart"),
    Field("bytes_sent", "integer", "B", _RAW_NIC + "BytesSentPersec", "nics", "nics", note="raw counter since the boot or the driver's restart"),
    Field("stamp_ticks", "integer", "100 ns", _RAW_NIC + "Timestamp_Sys100NS", "nics", "nics", note="when the counters were read, since 1601"),
    Field("bytes_received_per_s", "number", "B/s", "computed", "nics", "nics", note=_SINCE),
    Field("bytes_sent_per_s", "number", "B/s", "computed", "nics", "nics", note=_SINCE),
    Field("occupied", "truth", "", "n_sessions > 0", "sessions"),
    Field("n_sessions", "integer", "", "rows of sessions", "sessions", note="console and Remote Desktop, locked and disconnected ones too"),
    Field("sessions", "list", "", "Win32_Process, Win32_LogonSession", "sessions", note="one row per interactive session; key: session_id"),
    Field("session_id", "integer", "", _DESKTOP + "SessionId", "sessions", "sessions", note="null for a console user without a desktop of explorer's"),
    Field("user", "text", "", _CS + "UserName, else Win32_LoggedOnUser", "sessions", "sessions", note="a keyed hash with `users: hash`, null with `count`"),
    Field("domain", "text", "", _CS + "UserName, else Win32_LoggedOnUser", "sessions", "sessions", note="null with `users: count`"),
    Field("start", "time", "", _DESKTOP + "CreationDate", "sessions", "sessions", note="when the desktop came up, seconds after the logon; by the PC's clock"),
    Field("uptime_s", "number", "s", "LocalDateTime - start", "sessions", "sessions"),
    Field("kind", "text", "", "Win32_LogonSession.LogonType", "sessions", "sessions", note="console or rdp; null when it could not be told"),
    Field("queries", "list", "", "this program", "", note="what each query cost and why it failed; key: query"),
    Field("query", "text", "", "this program", "", "queries"),
    Field("rows", "integer", "", "this program", "", "queries", note="null when it failed or was not asked"),
    Field("round_trips", "integer", "", "this program", "", "queries"),
    Field("ms", "number", "ms", "this program", "", "queries"),
    Field("note", "text", "", "this program", "", "queries", note="why its fields are null; null when it went well"),
)
# fmt: on
"""Every field, in the order samples have them."""


@lru_cache(maxsize=256)
def fields_of(table: str, sections: tuple[str, ...] = SECTIONS) -> tuple[Field, ...]:
    """Return the fields of `data` (table "") or of the rows of one of its lists, for some sections."""
    return tuple(
        field
        for field in CODEBOOK
        if field.table == table and (not field.section or field.section in sections)
    )
