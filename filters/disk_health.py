"""Tell people which disks are about to die: what SMART says, and what it says more of than last time.

Windows passes SMART on to administrators only::

    - name: smart
      wmi:
        status: "SELECT InstanceName,PredictFailure FROM MSStorageDriver_FailurePredictStatus"
        data: "SELECT InstanceName,VendorSpecific FROM MSStorageDriver_FailurePredictData"
      namespace: root/wmi
      every: 24h
      filters:
        - disk_health.py:DiskHealth

The rows `smart` of `w32probe` do as well; they hold no counters of bad sectors.
"""

from __future__ import annotations

from pydantic import Field

from ddcplay import Filter, FilterContext, Record

COUNTERS = {5: "reallocated sectors", 197: "pending sectors", 198: "uncorrectable sectors"}
"""SMART attributes that stay at 0 on a healthy disk, by their numbers."""

POWER_ON_HOURS = 9


class DiskHealth(Filter):
    """Raises `disk_failing`, `disk_sectors` and `disk_old` for each disk; remembers counters in its state."""

    class Options(Filter.Options):
        """With `max_sectors` bad sectors a disk is bad even when there are no more than last time."""

        max_sectors: int = Field(default=50, ge=1)
        max_hours: int = Field(default=50_000, ge=1)

    options: Options

    def process(self, record: Record, context: FilterContext) -> Record:
        """Check every disk of the record."""
        for name, disk in disks(record.data).items():
            where = f"{context.host.name} disk {name}"
            context.alert(
                "disk_failing",
                f"{where} says that it will fail; copy it and replace it",
                firing=disk.get("predicted_failure"),
                key=name,
                severity="critical",
            )
            hours = disk.get("power_on_hours")
            context.alert(
                "disk_old",
                f"{where} has run for {hours} hours",
                firing=None if hours is None else hours > self.options.max_hours,
                key=name,
                severity="info",
            )
            if "sectors" in disk:
                self.check_sectors(name, disk["sectors"], where, context)
        return record

    def check_sectors(self, name: str, now: dict, where: str, context: FilterContext) -> None:
        """Compare the counters of one disk with those of the last attempt, and remember them.

        A disk whose counters grew stays bad until they have rested for 7 attempts: sectors come in bursts.
        """
        last = context.state.get(name, {"sectors": now, "rested": 7})
        grown = {what: count for what, count in now.items() if count > last["sectors"].get(what, 0)}
        rested = 0 if grown else last["rested"] + 1
        told = ", ".join(
            f"{count} {what}" + (f" (was {last['sectors'].get(what, 0)})" if what in grown else "")
            for what, count in now.items()
            if count
        )
        context.alert(
            "disk_sectors",
            f"{where} has {told or 'no bad sectors'}",
            firing=rested < 7 or max(now.values(), default=0) >= self.options.max_sectors,
            key=name,
        )
        context.state[name] = {"sectors": now, "rested": min(rested, 7)}


def disks(data: object) -> dict[str, dict]:
    """Return what is known of each disk, by its name.

    Raises:
        ValueError: the record holds nothing of SMART, so the filter stands behind the wrong probe.
    """
    if isinstance(data, dict) and "smart" in data:
        return {str(row.get("disk", row.get("instance"))): row for row in data["smart"] or []}
    lists = data.values() if isinstance(data, dict) else [data]
    found: dict[str, dict] = {}
    for rows in lists:
        if not isinstance(rows, list):
            raise ValueError("DiskHealth needs rows of MSStorageDriver_FailurePredict*, or w32probe's smart")
        for row in rows:
            disk = found.setdefault(str(row.get("InstanceName")), {})
            if "PredictFailure" in row:
                disk["predicted_failure"] = row["PredictFailure"]
            if row.get("VendorSpecific"):
                disk.update(counters(row["VendorSpecific"]))
    return found


def counters(table: list[int]) -> dict:
    """Read SMART's table: 2 bytes, then 30 entries of 12 (number, 2 flags, value, worst, 6 raw, 1 unused)."""
    raw = {
        table[start]: int.from_bytes(bytes(table[start + 5 : start + 9]), "little")
        for start in range(2, min(len(table), 362) - 11, 12)
        if table[start]
    }
    return {
        "sectors": {name: raw[number] for number, name in COUNTERS.items() if number in raw},
        "power_on_hours": raw.get(POWER_ON_HOURS),
    }
