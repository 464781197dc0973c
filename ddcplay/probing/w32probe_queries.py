"""The questions `w32probe` asks: one narrow SELECT per WMI class, and which sections need its answer.

Properties are listed by name, never `*`: a narrow row is what keeps a page small, and some properties cost
the PC a second each (`Win32_Processor.LoadPercentage`) or touch removable drives.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

CIMV2 = "root/cimv2"
WMI = "root/wmi"
STORAGE = "root/Microsoft/Windows/Storage"


@dataclass(frozen=True, slots=True)
class Query:
    """One question.

    Args:
        name: in `queries` of the sample.
        wql: the SELECT.
        sections: that need the answer; one of them is enough to ask.
        namespace: where.
        when_needed: asked only where earlier answers leave something open.
    """

    name: str
    wql: str
    sections: tuple[str, ...]
    namespace: str = CIMV2
    when_needed: bool = False


SYSTEM = Query(
    "system",
    "SELECT Caption,Version,BuildNumber,OSArchitecture,ServicePackMajorVersion,InstallDate,LastBootUpTime,"
    "LocalDateTime,TotalVisibleMemorySize,FreePhysicalMemory,SizeStoredInPagingFiles,FreeSpaceInPagingFiles"
    " FROM Win32_OperatingSystem",
    ("os", "boot", "memory", "cpu", "sessions"),
)
COMPUTER = Query(
    "computer",
    "SELECT Name,Domain,PartOfDomain,Manufacturer,Model,UserName FROM Win32_ComputerSystem",
    ("identity", "sessions"),
)
PRODUCT = Query("product", "SELECT UUID,IdentifyingNumber FROM Win32_ComputerSystemProduct", ("identity",))
PROCESSORS = Query(
    "processors",
    "SELECT Name,MaxClockSpeed,NumberOfCores,NumberOfLogicalProcessors FROM Win32_Processor",
    ("cpu",),
)
CPU_COUNTERS = Query(
    "cpu_counters",
    "SELECT PercentIdleTime,Timestamp_Sys100NS FROM Win32_PerfRawData_PerfOS_Processor WHERE Name='_Total'",
    ("cpu",),
)
VOLUMES = Query(
    "volumes",
    # Without the condition empty drives and dead network drives make the PC wait.
    "SELECT DeviceID,VolumeName,FileSystem,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType=3",
    ("disks",),
)
DRIVES = Query(
    "drives",
    "SELECT Index,Model,SerialNumber,Size,InterfaceType,Status,PNPDeviceID FROM Win32_DiskDrive",
    ("physical_disks", "smart"),
)
ADAPTERS = Query(
    "adapters",
    "SELECT Description,MACAddress,IPAddress FROM Win32_NetworkAdapterConfiguration WHERE IPEnabled=TRUE",
    ("identity", "nics"),
)
NIC_COUNTERS = Query(
    "nic_counters",
    "SELECT Name,BytesReceivedPersec,BytesSentPersec,CurrentBandwidth,Timestamp_Sys100NS"
    " FROM Win32_PerfRawData_Tcpip_NetworkInterface",
    ("nics",),
)
DESKTOPS = Query(
    "desktops", "SELECT SessionId,CreationDate FROM Win32_Process WHERE Name='explorer.exe'", ("sessions",)
)
LOGONS = Query(
    "logons",
    "SELECT LogonId,LogonType,StartTime FROM Win32_LogonSession"
    " WHERE LogonType=2 OR LogonType=10 OR LogonType=11 OR LogonType=12",
    ("sessions",),
    when_needed=True,
)
LOGON_USERS = Query(
    "logon_users", "SELECT Antecedent,Dependent FROM Win32_LoggedOnUser", ("sessions",), when_needed=True
)
SMART_STATUS = Query(
    "smart_status",
    "SELECT InstanceName,PredictFailure FROM MSStorageDriver_FailurePredictStatus",
    ("smart",),
    WMI,
)
SMART_DATA = Query(
    "smart_data",
    "SELECT InstanceName,VendorSpecific FROM MSStorageDriver_FailurePredictData",
    ("smart",),
    WMI,
)
HEALTH = Query(
    "health", "SELECT DeviceId,HealthStatus FROM MSFT_PhysicalDisk", ("smart",), STORAGE, when_needed=True
)
RELIABILITY = Query(
    "reliability",
    "SELECT DeviceId,PowerOnHours,StartStopCycleCount FROM MSFT_StorageReliabilityCounter",
    ("smart",),
    STORAGE,
    when_needed=True,
)

QUERIES = (
    SYSTEM,
    COMPUTER,
    CPU_COUNTERS,
    NIC_COUNTERS,
    VOLUMES,
    DESKTOPS,
    LOGONS,
    LOGON_USERS,
    ADAPTERS,
    PRODUCT,
    PROCESSORS,
    DRIVES,
    SMART_STATUS,
    SMART_DATA,
    HEALTH,
    RELIABILITY,
)
"""In the order they are asked: what moves comes first, so that its readings lie close together."""


@lru_cache(maxsize=64)
def queries_for(sections: tuple[str, ...]) -> tuple[Query, ...]:
    """Return the queries that some sections need, in order."""
    return tuple(query for query in QUERIES if set(query.sections) & set(sections))
