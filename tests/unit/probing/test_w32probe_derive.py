"""The figures of `w32probe` hold together whatever a target sends."""

# ruff: noqa: E501 - recorded rows and the figures expected of them read best in one line

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.probing import w32probe_fields as fields
from ddcplay.probing.w32probe_rates import carried, since_last
from ddcplay.probing.w32probe_sessions import naming, needs_logons, sessions
from ddcplay.probing.w32probe_smart import is_complete, smart
from ddcplay.probing.w32probe_values import count, seconds_of, share_pct, text

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "Name", "Size", "FreeSpace", "DeviceID", "InstanceName", "VendorSpecific", "SessionId", "CreationDate",
    "UserName", "LogonId", "LogonType", "StartTime", "Antecedent", "Dependent", "Index", "PNPDeviceID",
    "LastBootUpTime", "LocalDateTime", "PercentIdleTime", "Timestamp_Sys100NS", "BytesReceivedPersec",
    "BytesSentPersec", "Description", "MACAddress", "IPAddress", "TotalVisibleMemorySize", "FreePhysicalMemory",
    "DeviceId", "PowerOnHours", "HealthStatus", "Status",
)  # fmt: skip
rows = st.none() | st.lists(st.dictionaries(st.sampled_from(NAMES), anything, max_size=6), max_size=3)
counters = st.integers(0, 2**63)


def at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@given(rows, rows, rows, rows, rows)
def test_no_answer_breaks_anything_and_all_of_it_is_json(one, two, three, four, five) -> None:
    found: dict[str, Any] = {
        **fields.identity(one, two, three),
        **fields.operating_system(one),
        **fields.boot(two),
        **fields.memory(three),
        **fields.processors(one, two, three),
        **fields.volumes(four),
        **fields.drives(five),
        **fields.nics(one, two),
        **smart(one, two, three, four, five),
        **sessions(naming("hash", b"k"), one, two, three, four, five),
    }
    is_complete(one, two, three)
    needs_logons(one, two)
    orjson.dumps(since_last(carried(found), found))
    for name, value in found.items():
        if name.endswith("_pct"):
            assert value is None or 0 <= value <= 100


@given(anything)
def test_a_count_is_never_negative_and_never_a_truth_value(value) -> None:
    found = count(value)
    assert found is None or (type(found) is int and 0 <= found < 2**64)


@given(anything)
def test_text_has_no_blanks_around_it(value) -> None:
    found = text(value)
    assert found is None or (found == found.strip() and found)


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_a_share_is_a_share_or_nothing(part, whole) -> None:
    found = share_pct(part, whole)
    assert found is None if not whole or part > whole * 1.01 else 0 <= found <= 100


def sample(boot: float, now: float, idle: int, stamp: int, nics: Mapping[str, tuple[int, int, int]]) -> dict:
    return {
        "local_time": at(now),
        "boot_time": at(boot),
        "uptime_s": now - boot,
        "interval_s": None,
        "cpu_idle_pct": None,
        "cpu_idle_ticks": idle,
        "cpu_stamp_ticks": stamp,
        "bytes_received_per_s": None,
        "bytes_sent_per_s": None,
        "nics": [
            {"name": name, "bytes_received": received, "bytes_sent": sent, "stamp_ticks": ticks}
            for name, (received, sent, ticks) in nics.items()
        ],
    }


FIRST = sample(1000, 2000, 9 * 10**9, 10**17, {"a": (5000, 100, 10**17)})


def test_means_since_the_sample_before() -> None:
    later = 10**17 + 900 * 10**7
    second = sample(1000, 2900, 9 * 10**9 + 450 * 10**7, later, {"a": (5000 + 9000, 100 + 900, later)})
    found = since_last(carried(FIRST), second)
    assert (found["interval_s"], found["cpu_idle_pct"]) == (900.0, 50.0)
    assert (found["bytes_received_per_s"], found["bytes_sent_per_s"]) == (10.0, 1.0)
    assert found["nics"][0]["bytes_received_per_s"] == 10.0
    assert second["interval_s"] is None, "the sample given is left as it was"


def test_the_first_sample_has_no_means() -> None:
    assert since_last(None, FIRST) == FIRST
    assert since_last({}, FIRST) == FIRST


def test_after_a_boot_the_means_are_since_the_boot() -> None:
    second = sample(2100, 2900, 400 * 10**7, 10**17 + 900 * 10**7, {"a": (8000, 1600, 10**17)})
    found = since_last(carried(FIRST), second)
    assert (found["interval_s"], found["cpu_idle_pct"]) == (800, 50.0)
    assert (found["bytes_received_per_s"], found["bytes_sent_per_s"]) == (10.0, 2.0)


def test_a_restarted_driver_is_null_once_and_the_other_cards_count_on() -> None:
    later = 10**17 + 10 * 10**7
    first = sample(1000, 2000, 0, 10**17, {"a": (5000, 100, 10**17), "b": (0, 0, 10**17)})
    second = sample(1000, 2010, 0, later, {"a": (50, 200, later), "b": (100, 0, later), "new": (9, 9, later)})
    found = since_last(carried(first), second)
    assert [nic["bytes_received_per_s"] for nic in found["nics"]] == [None, 10.0, None]
    assert [nic["bytes_sent_per_s"] for nic in found["nics"]] == [10.0, 0.0, None]
    assert found["bytes_received_per_s"] == 10.0


def test_a_clock_corrected_by_seconds_is_no_boot() -> None:
    second = sample(1003, 2903, 9 * 10**9 + 450 * 10**7, 10**17 + 900 * 10**7, {})
    assert since_last(carried(FIRST), second)["cpu_idle_pct"] == 50.0


@given(
    boot=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)),
    ticks=st.tuples(counters, counters, counters, counters),
    bytes_=st.tuples(counters, counters, counters, counters),
)
def test_no_rate_is_negative_or_beyond_a_share(boot, ticks, bytes_) -> None:
    one = sample(boot[0], boot[0] + 100, ticks[0], ticks[1], {"a": (bytes_[0], bytes_[1], ticks[1])})
    two = sample(boot[1], boot[1] + 900, ticks[2], ticks[3], {"a": (bytes_[2], bytes_[3], ticks[3])})
    found = since_last(carried(one), two)
    for name in ("cpu_idle_pct", "bytes_received_per_s", "bytes_sent_per_s"):
        assert found[name] is None or (found[name] >= 0 and math.isfinite(found[name]))
    assert found["cpu_idle_pct"] is None or found["cpu_idle_pct"] <= 100


NOON = 1_795_000_000
SYSTEM = [{"LocalDateTime": at(NOON)}]


def logon(number: int, kind: int, start: float, user: str, domain: str = "LAB") -> tuple[dict, dict]:
    return (
        {"LogonId": number, "LogonType": kind, "StartTime": at(start)},
        {
            "Antecedent": {"__CLASS": "Win32_Account", "Domain": domain, "Name": user},
            "Dependent": {"LogonId": number},
        },
    )


def who(desktops: list[tuple[int, float]], console: str | None, *logons: tuple[dict, dict]) -> list[tuple]:
    found = sessions(
        naming("name", b""),
        [{"SessionId": number, "CreationDate": at(start)} for number, start in desktops],
        [{"UserName": console}],
        [row for row, _ in logons],
        [row for _, row in logons],
        SYSTEM,
    )
    assert found["n_sessions"] == len(found["sessions"])
    assert found["occupied"] is bool(found["sessions"])
    return [(row["session_id"], row["user"], row["kind"]) for row in found["sessions"]]


def test_console_and_remote_sessions_find_their_owners() -> None:
    found = who(
        [(1, NOON - 3600), (3, NOON - 600)],
        r"LAB\ana",
        logon(1, 2, NOON - 3605, "ana"),
        logon(2, 10, NOON - 602, "rui"),
        logon(3, 10, NOON - 602.01, "rui"),
        # Dead for hours, and no people at all.
        logon(4, 2, NOON - 90_000, "old"),
        logon(5, 2, NOON - 601, "DWM-3", "Window Manager"),
        logon(6, 2, NOON - 601, "UMFD-3", "Font Driver Host"),
        logon(7, 3, NOON - 601, "collector"),
    )
    assert found == [(1, "ana", "console"), (3, "rui", "rdp")]


def test_one_desktop_of_the_console_user_needs_no_logons() -> None:
    assert who([(1, NOON - 60)], r"LAB\ana") == [(1, "ana", "console")]


def test_a_desktop_restarted_by_its_shell_is_one_session() -> None:
    assert who([(1, NOON - 60), (1, NOON - 3600), (0, NOON)], r"LAB\ana") == [(1, "ana", "console")]


def test_a_console_user_without_a_desktop_counts() -> None:
    assert who([], r"KIOSK\web") == [(None, "web", "console")]


def test_an_owner_who_cannot_be_told_is_null() -> None:
    assert who([(2, NOON - 60)], None) == [(2, None, None)]
    assert who([(1, NOON - 90), (2, NOON - 60)], r"LAB\ana", logon(1, 10, NOON - 61, "rui")) == [
        (1, "ana", "console"),
        (2, "rui", "rdp"),
    ]


def test_nobody_is_nobody_and_no_answer_is_no_verdict() -> None:
    assert who([], None) == []
    unknown = {"occupied": None, "n_sessions": None, "sessions": None}
    assert sessions(naming("name", b""), None, [{"UserName": None}], None, None, SYSTEM) == unknown
    there = sessions(naming("name", b""), None, [{"UserName": "LAB\\ana"}], None, None, SYSTEM)
    assert there == {**unknown, "occupied": True}


DRIVES = [
    {"Index": 0, "PNPDeviceID": r"SCSI\DISK&VEN_NVME\5&X&0&0"},
    {"Index": 1, "PNPDeviceID": r"SCSI\DISK&VEN_A\4&Y&0&1", "Status": "Pred Fail"},
]


def test_the_storage_classes_fill_what_smart_leaves_open() -> None:
    status = [{"InstanceName": r"SCSI\Disk&Ven_A\4&y&0&1_0", "PredictFailure": True}]
    health = [{"DeviceId": 0, "HealthStatus": 0}, {"DeviceId": "1", "HealthStatus": 5}]
    wear = [{"DeviceId": 0, "PowerOnHours": 77, "StartStopCycleCount": None}]
    assert not is_complete(DRIVES, status, None)
    found = smart(DRIVES, status, None, health, wear)["smart"]
    assert [tuple(row.values()) for row in found] == [
        (0, None, None, 77, False),
        (1, r"SCSI\Disk&Ven_A\4&y&0&1_0", None, None, True),
    ]


def test_windows_verdict_on_a_drive_counts_where_nothing_else_is_known() -> None:
    assert smart(DRIVES, [], None, None, None)["smart"][0]["predicted_failure"] is True
    assert smart(DRIVES, None, None, None, None) == {"smart": None}


@pytest.mark.parametrize("table", [None, "x", [1, 2], [0] * 361, [256] * 512, [-1] * 512, [True] * 512])
def test_a_broken_table_of_attributes_holds_none(table) -> None:
    (row,) = smart(None, None, [{"InstanceName": "d_0", "VendorSpecific": table}], None, None)["smart"]
    assert (row["power_cycles"], row["power_on_hours"]) == (None, None)


@given(st.lists(st.integers(0, 255), min_size=362, max_size=600))
def test_any_table_gives_numbers_of_32_bits(table) -> None:
    (row,) = smart(None, None, [{"InstanceName": "d_0", "VendorSpecific": table}], None, None)["smart"]
    for name in ("power_cycles", "power_on_hours"):
        assert row[name] is None or 0 <= row[name] < 2**32


def test_moments_of_other_zones_are_the_same_moment() -> None:
    assert seconds_of("2026-11-22T10:00:00Z") == seconds_of("2026-11-22T11:00:00+01:00")
    assert seconds_of("2026-11-22T10:00:00") is None
