"""The sections of `w32probe` that follow from one or two classes: rows in, fields of the codebook out.

Every function takes None for an answer that did not come and then returns its fields as null.
"""

from __future__ import annotations

import re

from ddcplay.probing.w32probe_values import (
    Row,
    Rows,
    count,
    first,
    kib,
    seconds_of,
    share_pct,
    span_s,
    text,
    texts,
    time,
    total,
    truth,
)

Fields = dict[str, object]

_TICKS_PER_S = 10_000_000
_TUNNEL = re.compile(r"isatap|teredo|6to4|loopback|microsoft ip-https", re.IGNORECASE)
_COUNTER_SPELLING = str.maketrans({"(": "[", ")": "]", "#": "_", "/": "_", "\\": "_"})


def identity(computer: Rows | None, product: Rows | None, adapters: Rows | None) -> Fields:
    """Tell which machine it is."""
    system, case = first(computer), first(product)
    macs = sorted({mac.upper() for row in adapters or () if (mac := text(row.get("MACAddress")))})
    return {
        "computer_name": text(system.get("Name")),
        "domain": text(system.get("Domain")),
        "domain_member": truth(system.get("PartOfDomain")),
        "manufacturer": text(system.get("Manufacturer")),
        "model": text(system.get("Model")),
        "uuid": text(case.get("UUID")),
        "serial": text(case.get("IdentifyingNumber")),
        "macs": " ".join(macs) or None,
    }


def operating_system(system: Rows | None) -> Fields:
    """Tell which Windows it is."""
    row = first(system)
    return {
        "os_name": text(row.get("Caption")),
        "os_version": text(row.get("Version")),
        "os_build": count(row.get("BuildNumber")),
        "os_architecture": text(row.get("OSArchitecture")),
        "os_service_pack": count(row.get("ServicePackMajorVersion")),
        "os_installed": time(row.get("InstallDate")),
    }


def boot(system: Rows | None) -> Fields:
    """Tell since when it runs; both times come from one row, so a wrong clock cancels out."""
    row = first(system)
    return {
        "local_time": time(row.get("LocalDateTime")),
        "boot_time": time(row.get("LastBootUpTime")),
        "uptime_s": span_s(row.get("LastBootUpTime"), row.get("LocalDateTime")),
        "interval_s": None,
    }


def memory(system: Rows | None) -> Fields:
    """Tell how full memory and page files are; Windows counts both in KiB here."""
    row = first(system)
    ram, free = kib(row.get("TotalVisibleMemorySize")), kib(row.get("FreePhysicalMemory"))
    swap, unused = kib(row.get("SizeStoredInPagingFiles")), kib(row.get("FreeSpaceInPagingFiles"))
    return {
        "ram_bytes": ram,
        "ram_free_bytes": free,
        "ram_load_pct": _used_pct(ram, free),
        "swap_bytes": swap,
        "swap_free_bytes": unused,
        "swap_load_pct": _used_pct(swap, unused),
    }


def processors(sockets: Rows | None, counters: Rows | None, system: Rows | None) -> Fields:
    """Tell what processors there are, and how long they were idle since the boot."""
    rows, raw, clock = sockets or (), first(counters), first(system)
    idle, stamp = count(raw.get("PercentIdleTime")), count(raw.get("Timestamp_Sys100NS"))
    uptime = span_s(clock.get("LastBootUpTime"), clock.get("LocalDateTime"))
    return {
        "cpu_name": text(first(rows).get("Name")),
        "cpu_mhz": count(first(rows).get("MaxClockSpeed")),
        "cpu_sockets": len(rows) or None,
        "cpu_cores": total([count(row.get("NumberOfCores")) for row in rows]),
        "cpu_threads": total([count(row.get("NumberOfLogicalProcessors")) for row in rows]),
        "cpu_idle_boot_pct": share_pct(
            None if idle is None else idle / _TICKS_PER_S,
            # The counter was read a moment after the uptime; just after the boot that moment would show.
            None if uptime is None else uptime + _later_s(clock, stamp),
        ),
        "cpu_idle_pct": None,
        "cpu_idle_ticks": idle,
        "cpu_stamp_ticks": stamp,
    }


def volumes(found: Rows | None) -> Fields:
    """Tell how full the fixed disks are."""
    if found is None:
        return dict.fromkeys(("disk_bytes", "disk_free_bytes", "disk_used_bytes", "disk_free_pct", "disks"))
    rows = [_volume(row) for row in found]
    size, free = (
        total([_int(row, "size_bytes") for row in rows]),
        total([_int(row, "free_bytes") for row in rows]),
    )
    return {
        "disk_bytes": size,
        "disk_free_bytes": free,
        "disk_used_bytes": total([_int(row, "used_bytes") for row in rows]),
        "disk_free_pct": share_pct(free, size),
        "disks": rows,
    }


def drives(found: Rows | None) -> Fields:
    """Tell which drives are built in."""
    if found is None:
        return {"physical_disks": None}
    rows = [
        {
            "disk": count(row.get("Index")),
            "model": text(row.get("Model")),
            "serial": text(row.get("SerialNumber")),
            "size_bytes": count(row.get("Size")),
            "interface": text(row.get("InterfaceType")),
            "status": text(row.get("Status")),
        }
        for row in found
    ]
    return {"physical_disks": sorted(rows, key=lambda row: (row["disk"] is None, row["disk"] or 0))}


def nics(counters: Rows | None, adapters: Rows | None) -> Fields:
    """Tell what went through each network interface since the boot.

    Counters and configuration have the adapter's name in two spellings; tunnels carry what a real interface
    carries too, so they would be counted twice.
    """
    names = ("bytes_received", "bytes_sent", "bytes_received_per_s", "bytes_sent_per_s", "nics")
    if counters is None:
        return dict.fromkeys(names)
    known: dict[str, Row] = {}
    for adapter in adapters or ():
        known[(text(adapter.get("Description")) or "").translate(_COUNTER_SPELLING)] = adapter
    rows = [
        _nic(row, known.get(name, {}))
        for row in counters
        if (name := text(row.get("Name"))) and not _TUNNEL.match(name)
    ]
    received, sent = (total([_int(row, name) for row in rows]) for name in names[:2])
    return dict.fromkeys(names) | {"bytes_received": received, "bytes_sent": sent, "nics": rows}


def _nic(row: Row, adapter: Row) -> Fields:
    return {
        "name": text(row.get("Name")),
        "mac": text(adapter.get("MACAddress")),
        "addresses": texts(adapter.get("IPAddress")),
        "bandwidth_bps": count(row.get("CurrentBandwidth")),
        "bytes_received": count(row.get("BytesReceivedPersec")),
        "bytes_sent": count(row.get("BytesSentPersec")),
        "stamp_ticks": count(row.get("Timestamp_Sys100NS")),
        "bytes_received_per_s": None,
        "bytes_sent_per_s": None,
    }


def _volume(row: Row) -> Fields:
    size, free = count(row.get("Size")), count(row.get("FreeSpace"))
    return {
        "device": text(row.get("DeviceID")),
        "label": text(row.get("VolumeName")),
        "fs": text(row.get("FileSystem")),
        "size_bytes": size,
        "free_bytes": free,
        "used_bytes": None if size is None or free is None or free > size else size - free,
        "free_pct": share_pct(free, size),
    }


def _later_s(clock: Row, stamp: int | None) -> float:
    """Return the seconds from the row with the time to the counter's own stamp, 0 when they do not tell."""
    now = seconds_of(clock.get("LocalDateTime"))
    if now is None or stamp is None:
        return 0.0
    later = stamp / _TICKS_PER_S - 11_644_473_600 - now
    return later if 0 <= later <= 60 else 0.0


def _used_pct(whole: int | None, free: int | None) -> float | None:
    return None if whole is None or free is None else share_pct(whole - free, whole)


def _int(row: Fields, name: str) -> int | None:
    value = row[name]
    return value if isinstance(value, int) else None
