"""Means since the sample before: processor idle time and network bytes, out of raw counters.

A probe keeps no state, and two readings within one visit would measure the visit. So a sample carries its raw
counters, whoever runs the probe keeps `carried(data)` of the last sample that reached the host, and hands it
back here. The result is the mean over the whole time between two samples, whatever lies between them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ddcplay.probing.w32probe_values import count, seconds_of, share_pct, span_s

Data = Mapping[str, object]

_TICKS_PER_S = 10_000_000
_SAME_BOOT_S = 30.0
"""Windows computes the boot time from the clock, so setting the clock moves it; a reboot takes longer."""
_KEPT = ("boot_time", "local_time", "cpu_idle_ticks", "cpu_stamp_ticks")
_NIC_KEPT = ("name", "bytes_received", "bytes_sent", "stamp_ticks")
_BOTH = ("bytes_received", "bytes_sent")


def carried(data: object) -> dict[str, object]:
    """Return what the next sample of this host needs of this one: JSON, a few hundred bytes."""
    if not isinstance(data, Mapping):
        return {}
    kept: dict[str, object] = {name: data.get(name) for name in _KEPT}
    kept["nics"] = [{name: row.get(name) for name in _NIC_KEPT} for row in _rows(data, "nics")]
    return kept


def since_last(before: Data | None, data: object) -> object:
    """Return a sample with its means since the sample before.

    Args:
        before: what `carried` kept of the last sample of this host, None or empty for none.
        data: the new sample as the probe gave it.

    Returns:
        The sample with `interval_s`, `cpu_idle_pct` and the rates filled in: since the sample before, or
        since the boot when the PC was booted after it. Without a sample before they stay null; the rate of
        a counter that ran backwards without a boot (a driver was restarted) is null this time.
    """
    if not before or not isinstance(data, Mapping):
        return data
    booted = _booted_since(before, data)
    if booted is None:
        return data
    uptime = data.get("uptime_s")
    seconds = uptime if booted else span_s(before.get("local_time"), data.get("local_time"))
    if not isinstance(seconds, int | float) or seconds <= 0:
        return data
    earlier: Data = {} if booted else before
    since_boot_ticks = round(seconds * _TICKS_PER_S) if booted else None
    filled = {**data, "interval_s": seconds}
    if "cpu_idle_pct" in data:
        filled["cpu_idle_pct"] = _idle_pct(earlier, data, since_boot_ticks)
    if isinstance(data.get("nics"), list):
        filled |= _network(earlier, data, since_boot_ticks)
    return filled


def _booted_since(before: Data, data: Data) -> bool | None:
    """Say whether there was a boot between two samples, None when nobody can tell."""
    old, new = seconds_of(before.get("boot_time")), seconds_of(data.get("boot_time"))
    return None if old is None or new is None else abs(new - old) > _SAME_BOOT_S


def _idle_pct(before: Data, data: Data, since_boot_ticks: int | None) -> float | None:
    idle = _grown(before, data, "cpu_idle_ticks", since_boot_ticks)
    passed = since_boot_ticks or _grown(before, data, "cpu_stamp_ticks", None)
    return share_pct(idle, passed)


def _network(before: Data, data: Data, since_boot_ticks: int | None) -> dict[str, object]:
    old = {row.get("name"): row for row in _rows(before, "nics")}
    rows: list[dict[str, object]] = []
    for row in _rows(data, "nics"):
        known = old.get(row.get("name"), {})
        passed = since_boot_ticks or _grown(known, row, "stamp_ticks", None)
        rates = {}
        for name in _BOTH:
            grown = _grown(known, row, name, since_boot_ticks)
            rates[f"{name}_per_s"] = (
                round(grown / (passed / _TICKS_PER_S), 3) if passed and grown is not None else None
            )
        rows.append({**row, **rates})
    sums = {}
    for name in _BOTH:
        known_rates = [rate for row in rows if isinstance(rate := row[f"{name}_per_s"], float)]
        sums[f"{name}_per_s"] = round(sum(known_rates), 3) if known_rates else None
    return {"nics": rows, **sums}


def _grown(before: Data, data: Data, name: str, since_boot_ticks: int | None) -> int | None:
    """Return by how much a counter grew; since the boot that is the counter itself."""
    old, new = count(before.get(name)), count(data.get(name))
    if new is None or since_boot_ticks is not None:
        return new
    return None if old is None or new < old else new - old


def _rows(data: Data, name: str) -> list[Data]:
    rows = data.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
