"""The WMI classes of a simulated PC: rows that follow from the machine and the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from ddcplay.lab.machine import Machine

Value = str | int | bool | datetime | None | tuple["str | int", ...]
Row = Mapping[str, Value]

_NIC = "Intel[R] Ethernet Connection [7] I219-LM"
_TICKS_PER_S = 10_000_000
_EPOCH_1601_S = 11_644_473_600


def rows_of(machine: Machine, now: float, namespace: str, name: str) -> tuple[str, list[Row]] | None:
    """Return the true name and the instances of a class; None when the namespace does not have it."""
    for known, build in _CLASSES.get(namespace.lower(), {}).items():
        if known.lower() == name.lower():
            return known, build(machine, now)
    return None


def has_namespace(namespace: str) -> bool:
    """Say whether a namespace exists, written with slashes."""
    return namespace.lower() in _CLASSES


def moment(seconds: float) -> datetime:
    """Return a Unix time as WMI shows it."""
    return datetime.fromtimestamp(int(seconds), UTC)


def _operating_system(machine: Machine, now: float) -> list[Row]:
    caption, version = machine.system
    page = machine.ram_bytes // 1024 // 4
    return [
        {
            "BuildNumber": version.rpartition(".")[2],
            "Caption": caption,
            "CSName": machine.computer_name,
            "FreePhysicalMemory": machine.free_memory_bytes(now) // 1024,
            "FreeSpaceInPagingFiles": page * 9 // 10,
            "FreeVirtualMemory": (machine.free_memory_bytes(now) // 1024) + page * 9 // 10,
            "InstallDate": moment(1_690_000_000 + machine.seed % 1000 * 3600),
            "LastBootUpTime": moment(machine.booted_at(now)),
            "LocalDateTime": moment(now),
            "NumberOfProcesses": len(machine.processes(now)),
            "NumberOfUsers": 1 + (machine.user(now) is not None),
            "OSArchitecture": "64-bit",
            "ProductType": 1,
            "SerialNumber": "00328-00000-00000-AA123",
            "ServicePackMajorVersion": 0,
            "SizeStoredInPagingFiles": page,
            "TotalVirtualMemorySize": machine.ram_bytes // 1024 + page,
            "TotalVisibleMemorySize": machine.ram_bytes // 1024,
            "Version": version,
        }
    ]


def _computer_system(machine: Machine, now: float) -> list[Row]:
    user = machine.user(now)
    return [
        {
            "Domain": f"{machine.domain.lower()}.example",
            "Manufacturer": "HP",
            "Model": "HP ProDesk 400 G6 MT",
            "Name": machine.computer_name,
            "NumberOfLogicalProcessors": machine.cpu[3],
            "NumberOfProcessors": 1,
            "PartOfDomain": True,
            "TotalPhysicalMemory": machine.ram_bytes,
            "UserName": None if user is None else f"{machine.domain}\\{user}",
        }
    ]


def _processor(machine: Machine, _now: float) -> list[Row]:
    name, mhz, cores, logical = machine.cpu
    return [
        {
            "CurrentClockSpeed": mhz,
            "DeviceID": "CPU0",
            "Manufacturer": "GenuineIntel",
            "MaxClockSpeed": mhz,
            "Name": name,
            "NumberOfCores": cores,
            "NumberOfLogicalProcessors": logical,
        }
    ]


def _logical_disks(machine: Machine, now: float) -> list[Row]:
    fixed: list[Row] = [
        {
            "DeviceID": disk.device,
            "DriveType": 3,
            "FileSystem": "NTFS",
            "FreeSpace": disk.free_bytes,
            "Name": disk.device,
            "Size": disk.size_bytes,
            "VolumeName": "",
            "VolumeSerialNumber": f"{disk.size_bytes % 2**32:08X}",
        }
        for disk in machine.disks(now)
    ]
    optical: Row = {
        "DeviceID": "E:",
        "DriveType": 5,
        "FileSystem": None,
        "FreeSpace": None,
        "Name": "E:",
        "Size": None,
        "VolumeName": None,
        "VolumeSerialNumber": None,
    }
    return [*fixed, optical]


def _disk_drives(machine: Machine, now: float) -> list[Row]:
    return [
        {
            "DeviceID": f"\\\\.\\PHYSICALDRIVE{index}",
            "Index": index,
            "InterfaceType": "SCSI",
            "Model": "SAMSUNG MZVLB256HAHQ",
            "SerialNumber": f"{machine.serial}{index}",
            "Size": disk.size_bytes,
            "Status": "OK",
        }
        for index, disk in enumerate(machine.disks(now))
    ]


def _bios(machine: Machine, _now: float) -> list[Row]:
    return [{"Manufacturer": "HP", "SerialNumber": machine.serial, "SMBIOSBIOSVersion": "R01 Ver. 02.12.00"}]


def _product(machine: Machine, _now: float) -> list[Row]:
    return [
        {
            "IdentifyingNumber": machine.serial,
            "Name": "HP ProDesk 400 G6 MT",
            "UUID": machine.uuid,
            "Vendor": "HP",
        }
    ]


def _adapter_configuration(machine: Machine, _now: float) -> list[Row]:
    return [
        {
            "Description": _NIC.replace("[", "(").replace("]", ")"),
            "DHCPEnabled": True,
            "DNSHostName": machine.computer_name,
            "Index": 1,
            "IPAddress": (machine.address, "fe80::1c2b:3a49:5866:7784"),
            "IPEnabled": True,
            "MACAddress": machine.mac,
        },
        {
            "Description": "WAN Miniport (IP)",
            "DHCPEnabled": False,
            "DNSHostName": None,
            "Index": 2,
            "IPAddress": None,
            "IPEnabled": False,
            "MACAddress": None,
        },
    ]


def _network_interface(machine: Machine, now: float) -> list[Row]:
    received, sent = machine.nic_bytes(now)
    return [
        {
            "BytesReceivedPersec": received,
            "BytesSentPersec": sent,
            "BytesTotalPersec": received + sent,
            "CurrentBandwidth": 1_000_000_000,
            "Frequency_Sys100NS": _TICKS_PER_S,
            "Name": _NIC,
            "Timestamp_Sys100NS": int((now + _EPOCH_1601_S) * _TICKS_PER_S),
        }
    ]


def _processor_counters(machine: Machine, now: float) -> list[Row]:
    idle = int(machine.uptime_s(now) * machine.idle_share() * _TICKS_PER_S)
    stamp = int((now + _EPOCH_1601_S) * _TICKS_PER_S)
    return [
        {"Name": name, "PercentIdleTime": idle, "PercentProcessorTime": idle, "Timestamp_Sys100NS": stamp}
        for name in ("0", "_Total")
    ]


def _system_counters(machine: Machine, now: float) -> list[Row]:
    boot = int((machine.booted_at(now) + _EPOCH_1601_S) * _TICKS_PER_S)
    return [
        {
            "Frequency_Object": _TICKS_PER_S,
            "Processes": len(machine.processes(now)),
            "SystemUpTime": boot,
            "Threads": 40 * len(machine.processes(now)),
            "Timestamp_Object": int((now + _EPOCH_1601_S) * _TICKS_PER_S),
        }
    ]


def _processes(machine: Machine, now: float) -> list[Row]:
    boot = machine.booted_at(now)
    return [
        {
            "CommandLine": None,
            "CreationDate": moment(boot + row.pid / 10) if row.pid > 4 else None,
            "Handle": str(row.pid),
            "Name": row.name,
            "ParentProcessId": 4 if row.pid > 4 else 0,
            "Priority": 8,
            "ProcessId": row.pid,
            "SessionId": row.session,
            "WorkingSetSize": row.memory_kib * 1024,
        }
        for row in machine.processes(now)
    ]


def _services(_machine: Machine, _now: float) -> list[Row]:
    known = (
        ("Spooler", "Print Spooler"),
        ("WinRM", "Windows Remote Management (WS-Management)"),
        ("W32Time", "Windows Time"),
    )
    return [
        {"DisplayName": title, "Name": name, "StartMode": "Auto", "State": "Running", "Status": "OK"}
        for name, title in known
    ]


def _hotfixes(machine: Machine, _now: float) -> list[Row]:
    return [
        {
            "Description": "Security Update",
            "HotFixID": f"KB50{40000 + 7 * index}",
            "InstalledOn": "10/14/2026",
        }
        for index in range(2 + machine.seed % 2)
    ]


def _page_files(machine: Machine, _now: float) -> list[Row]:
    size = machine.ram_bytes // 1024**2 // 4
    return [
        {
            "AllocatedBaseSize": size,
            "CurrentUsage": size // 10,
            "Name": "C:\\pagefile.sys",
            "PeakUsage": size // 5,
        }
    ]


def _disk_verdicts(machine: Machine, now: float) -> list[Row]:
    return [
        {"Active": True, "InstanceName": f"SCSI\\Disk{index}_0", "PredictFailure": False, "Reason": 0}
        for index, _ in enumerate(machine.disks(now))
    ]


_CLASSES: dict[str, dict[str, Callable[[Machine, float], list[Row]]]] = {
    "root/cimv2": {
        "Win32_BIOS": _bios,
        "Win32_ComputerSystem": _computer_system,
        "Win32_ComputerSystemProduct": _product,
        "Win32_DiskDrive": _disk_drives,
        "Win32_LogicalDisk": _logical_disks,
        "Win32_NetworkAdapterConfiguration": _adapter_configuration,
        "Win32_OperatingSystem": _operating_system,
        "Win32_PageFileUsage": _page_files,
        "Win32_PerfRawData_PerfOS_Processor": _processor_counters,
        "Win32_PerfRawData_PerfOS_System": _system_counters,
        "Win32_PerfRawData_Tcpip_NetworkInterface": _network_interface,
        "Win32_Process": _processes,
        "Win32_Processor": _processor,
        "Win32_QuickFixEngineering": _hotfixes,
        "Win32_Service": _services,
    },
    "root/wmi": {"MSStorageDriver_FailurePredictStatus": _disk_verdicts},
}
