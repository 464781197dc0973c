"""The WMI classes of a simulated PC: rows that follow from the machine and the time."""

from __future__ import annotations

from collections.abc import Callable

from ddcplay.lab import wmi_drives, wmi_people
from ddcplay.lab.cim import Row, Value, moment, precise
from ddcplay.lab.machine import Machine

__all__ = ["Row", "Value", "has_namespace", "rows_of"]

_STORAGE = "root/microsoft/windows/storage"
_NIC = "Intel[R] Ethernet Connection [7] I219-LM"
_TICKS_PER_S = 10_000_000
_EPOCH_1601_S = 11_644_473_600


def rows_of(machine: Machine, now: float, namespace: str, name: str) -> tuple[str, list[Row]] | None:
    """Return the true name and the instances of a class; None when the namespace does not have it."""
    known = _BY_NAME.get((namespace.lower(), name.lower())) if has_namespace(machine, namespace) else None
    return None if known is None else (known[0], known[1](machine, now))


def has_namespace(machine: Machine, namespace: str) -> bool:
    """Say whether a PC has a namespace, written with slashes; the storage classes came with Windows 8."""
    wanted = namespace.lower()
    return wanted in _CLASSES and not (wanted == _STORAGE and machine.windows == "7")


def _operating_system(machine: Machine, now: float) -> list[Row]:
    caption, version = machine.system
    page, free_page = machine.swap_bytes // 1024, machine.free_swap_bytes(now) // 1024
    return [
        {
            "BuildNumber": version.rpartition(".")[2],
            "Caption": caption,
            "CSName": machine.computer_name,
            "FreePhysicalMemory": machine.free_memory_bytes(now) // 1024,
            "FreeSpaceInPagingFiles": free_page,
            "FreeVirtualMemory": (machine.free_memory_bytes(now) // 1024) + free_page,
            "InstallDate": moment(1_690_000_000 + machine.seed % 1000 * 3600),
            "LastBootUpTime": precise(machine.booted_at(now)),
            "LocalDateTime": precise(now, 3),
            "NumberOfProcesses": machine.process_count(now),
            "NumberOfUsers": 1 + len(machine.sessions(now)),
            "OSArchitecture": "64-bit",
            "ProductType": 3 if machine.windows == "server" else 1,
            "SerialNumber": "00328-00000-00000-AA123",
            "ServicePackMajorVersion": int(machine.windows == "7"),
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
    idle = int(machine.idle_s(now) * _TICKS_PER_S)
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
            "Processes": machine.process_count(now),
            "SystemUpTime": boot,
            "Threads": 40 * machine.process_count(now),
            "Timestamp_Object": int((now + _EPOCH_1601_S) * _TICKS_PER_S),
        }
    ]


def _processes(machine: Machine, now: float) -> list[Row]:
    return processes_named(machine, now, "")


def processes_named(machine: Machine, now: float, name: str) -> list[Row]:
    """Return the rows of Win32_Process of one name, of all with ""."""
    boot = machine.booted_at(now)
    return [
        {
            "CommandLine": None,
            "CreationDate": precise(row.started or boot + row.pid / 10) if row.pid > 4 else None,
            "Handle": str(row.pid),
            "Name": row.name,
            "ParentProcessId": 4 if row.pid > 4 else 0,
            "Priority": 8,
            "ProcessId": row.pid,
            "SessionId": row.session,
            "WorkingSetSize": row.memory_kib * 1024,
        }
        for row in machine.processes(now, name)
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
    size = machine.swap_bytes // 1024**2
    return [
        {
            "AllocatedBaseSize": size,
            "CurrentUsage": size // 10,
            "Name": "C:\\pagefile.sys",
            "PeakUsage": size // 5,
        }
    ]


_CLASSES: dict[str, dict[str, Callable[[Machine, float], list[Row]]]] = {
    "root/cimv2": {
        "Win32_BIOS": _bios,
        "Win32_ComputerSystem": _computer_system,
        "Win32_ComputerSystemProduct": _product,
        "Win32_DiskDrive": wmi_drives.disk_drives,
        "Win32_LogicalDisk": _logical_disks,
        "Win32_LoggedOnUser": wmi_people.logged_on_users,
        "Win32_LogonSession": wmi_people.logon_sessions,
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
    "root/wmi": {
        "MSStorageDriver_FailurePredictData": wmi_drives.predict_data,
        "MSStorageDriver_FailurePredictStatus": wmi_drives.predict_status,
    },
    _STORAGE: {
        "MSFT_PhysicalDisk": wmi_drives.storage_disks,
        "MSFT_StorageReliabilityCounter": wmi_drives.reliability,
    },
}
_BY_NAME = {
    (namespace, name.lower()): (name, build)
    for namespace, classes in _CLASSES.items()
    for name, build in classes.items()
}
