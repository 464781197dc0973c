"""Probe kind `w32probe`: what is asked, what failing queries leave, and where user names end."""

# ruff: noqa: E501 - recorded rows and the figures expected of them read best in one line

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ddcplay.errors import FaultError, UsageError
from ddcplay.model.codebook import CODEBOOK, SECTIONS, fields_of
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.w32probe import W32Probe
from ddcplay.probing.w32probe_queries import QUERIES, queries_for
from ddcplay.probing.w32probe_sessions import UsersKey
from ddcplay.units import Deadline, SystemClock

# One Windows 10 PC with a SATA drive, as rows come out of the XML: typed by spelling, nulls as None.
PC: dict[str, list[dict[str, Any]]] = {
    "system": [
        {
            "Caption": "Microsoft Windows 10 Education", "Version": "10.0.19045", "BuildNumber": 19045,
            "OSArchitecture": "64-bit", "ServicePackMajorVersion": 0, "InstallDate": "2024-02-01T10:00:00Z",
            "LastBootUpTime": "2026-11-22T08:00:00.5Z", "LocalDateTime": "2026-11-22T10:00:00.5Z",
            "TotalVisibleMemorySize": 8_000_000, "FreePhysicalMemory": 2_000_000,
            "SizeStoredInPagingFiles": 0, "FreeSpaceInPagingFiles": 0,
        }
    ],
    "computer": [
        {
            "Name": "LAB01-PC01", "Domain": "lab.example", "PartOfDomain": True, "Manufacturer": "HP",
            "Model": "ProDesk", "UserName": r"LAB\Ana",
        }
    ],
    "product": [{"UUID": "B831A70A-9230-5216-A4FF-7ED40C06A69A", "IdentifyingNumber": 12345}],
    "processors": [
        {"Name": "Intel(R) Xeon(R)", "MaxClockSpeed": 3000, "NumberOfCores": 4, "NumberOfLogicalProcessors": 8},
        {"Name": "Intel(R) Xeon(R)", "MaxClockSpeed": 3000, "NumberOfCores": 4, "NumberOfLogicalProcessors": 8},
    ],
    "cpu_counters": [{"PercentIdleTime": 64_800_000_000, "Timestamp_Sys100NS": 134_398_468_973_583_024}],
    "volumes": [
        {"DeviceID": "C:", "VolumeName": "", "FileSystem": "NTFS", "Size": 1000, "FreeSpace": 250},
        {"DeviceID": "D:", "VolumeName": None, "FileSystem": None, "Size": None, "FreeSpace": None},
    ],
    "drives": [
        {
            "Index": 0, "Model": "Samsung SSD", "SerialNumber": "   S3Z1  ", "Size": 256 * 10**9,
            "InterfaceType": "IDE", "Status": "OK", "PNPDeviceID": r"SCSI\DISK&VEN_SAMSUNG\4&1A2B&0&000000",
        }
    ],
    "adapters": [
        {"Description": "Intel(R) I219 #2", "MACAddress": "00:1e:67:00:00:01", "IPAddress": ["10.0.0.1", "fe80::1"]},
        {"Description": "VirtualBox/Host", "MACAddress": "0A:00:27:00:00:01", "IPAddress": "192.168.56.1"},
    ],
    "nic_counters": [
        {
            "Name": "Intel[R] I219 _2", "BytesReceivedPersec": 2**64 - 1, "BytesSentPersec": 700,
            "CurrentBandwidth": 10**9, "Timestamp_Sys100NS": 134_398_468_973_600_000,
        },
        {
            "Name": "isatap.{4040CF00-1B3E-486A-B407-FA14C56B6FC0}", "BytesReceivedPersec": 5,
            "BytesSentPersec": 5, "CurrentBandwidth": 100_000, "Timestamp_Sys100NS": 1,
        },
    ],
    "desktops": [{"SessionId": 1, "CreationDate": "2026-11-22T09:30:04.25Z"}],
    "smart_status": [{"InstanceName": r"SCSI\Disk&Ven_Samsung\4&1a2b&0&000000_0", "PredictFailure": False}],
    "smart_data": [
        {
            "InstanceName": r"SCSI\Disk&Ven_Samsung\4&1a2b&0&000000_0",
            "VendorSpecific": [16, 0, 9, 50, 0, 99, 99, 16, 39, 0, 0, 5, 0, 0,
                               12, 50, 0, 99, 99, 200, 0, 0, 0, 0, 0, 0] + [0] * 486,
        }
    ],
}  # fmt: skip
ACCESS = FaultError("wql", "query of X: access to WMI is denied (E_ACCESSDENIED, 0x80070005)")
NO_CLASS = FaultError("wql", "query of X: there is no such class in root/cimv2")
NONE = "\N{EN DASH}"
RESET = FaultError("transport", "the connection was reset", connection_lost=True)


class Answering:
    """A connection that answers each query from a table by its name; a fault in it is raised."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def query(self, wql, deadline, namespace="root/cimv2", *, max_bytes=0):
        name = next(query.name for query in QUERIES if query.wql == wql)
        self.asked.append(name)
        answer = self.answers.get(name, NO_CLASS)
        if isinstance(answer, FaultError):
            raise answer
        return tuple(answer)

    def facts(self):
        return {"round_trips": 3 * len(self.asked)}


@pytest.fixture
def probe() -> Callable[..., tuple[ProbeOutput, Answering]]:
    def run(
        answers: dict[str, object], body: object = None, **options: object
    ) -> tuple[ProbeOutput, Answering]:
        connection = Answering(answers)
        spec = ProbeSpec("usage", "w32probe", body, options=options)
        return W32Probe().run(spec, connection, Deadline.after(SystemClock(), 60)), connection

    return run


def test_a_whole_sample(probe) -> None:
    output, connection = probe(PC, {"users": "name"})
    data = output.data
    assert (output.reason, output.round_trips) == (None, 3 * len(connection.asked))
    assert orjson.loads(output.stdout) == data
    queries = {row.pop("query"): row for row in data.pop("queries")}
    assert list(queries) == connection.asked
    assert {row["note"] for row in queries.values()} == {None}
    assert data == {
        "computer_name": "LAB01-PC01", "domain": "lab.example", "domain_member": True, "manufacturer": "HP",
        "model": "ProDesk", "uuid": "B831A70A-9230-5216-A4FF-7ED40C06A69A", "serial": "12345",
        "macs": "00:1E:67:00:00:01 0A:00:27:00:00:01", "os_name": "Microsoft Windows 10 Education",
        "os_version": "10.0.19045", "os_build": 19045, "os_architecture": "64-bit", "os_service_pack": 0,
        "os_installed": "2024-02-01T10:00:00Z", "local_time": "2026-11-22T10:00:00.5Z",
        "boot_time": "2026-11-22T08:00:00.5Z", "uptime_s": 7200.0, "interval_s": None,
        "cpu_name": "Intel(R) Xeon(R)", "cpu_mhz": 3000, "cpu_sockets": 2, "cpu_cores": 8, "cpu_threads": 16,
        "cpu_idle_boot_pct": 90.0, "cpu_idle_pct": None, "cpu_idle_ticks": 64_800_000_000,
        "cpu_stamp_ticks": 134_398_468_973_583_024, "ram_bytes": 8_192_000_000, "ram_free_bytes": 2_048_000_000,
        "ram_load_pct": 75.0, "swap_bytes": 0, "swap_free_bytes": 0, "swap_load_pct": None, "disk_bytes": 1000,
        "disk_free_bytes": 250, "disk_used_bytes": 750, "disk_free_pct": 25.0,
        "disks": [
            {"device": "C:", "label": None, "fs": "NTFS", "size_bytes": 1000, "free_bytes": 250,
             "used_bytes": 750, "free_pct": 25.0},
            {"device": "D:", "label": None, "fs": None, "size_bytes": None, "free_bytes": None,
             "used_bytes": None, "free_pct": None},
        ],
        "physical_disks": [{"disk": 0, "model": "Samsung SSD", "serial": "S3Z1", "size_bytes": 256 * 10**9,
                            "interface": "IDE", "status": "OK"}],
        "smart": [{"disk": 0, "instance": r"SCSI\Disk&Ven_Samsung\4&1a2b&0&000000_0", "power_cycles": 200,
                   "power_on_hours": 10_000, "predicted_failure": False}],
        "bytes_received": 2**64 - 1, "bytes_sent": 700, "bytes_received_per_s": None, "bytes_sent_per_s": None,
        "nics": [{"name": "Intel[R] I219 _2", "mac": "00:1e:67:00:00:01", "addresses": "10.0.0.1 fe80::1",
                  "bandwidth_bps": 10**9, "bytes_received": 2**64 - 1, "bytes_sent": 700,
                  "stamp_ticks": 134_398_468_973_600_000, "bytes_received_per_s": None, "bytes_sent_per_s": None}],
        "occupied": True, "n_sessions": 1,
        "sessions": [{"session_id": 1, "user": "Ana", "domain": "LAB", "start": "2026-11-22T09:30:04.25Z",
                      "uptime_s": 1796.25, "kind": "console"}],
    }  # fmt: skip


def test_one_desktop_and_a_healthy_sata_drive_need_no_further_question(probe) -> None:
    _, connection = probe(PC)
    assert connection.asked == [query.name for query in QUERIES if not query.when_needed]


def test_every_field_is_in_the_codebook_and_every_field_of_the_codebook_comes(probe) -> None:
    output, _ = probe(PC)
    assert list(output.data) == [field.name for field in fields_of("")]
    for table in {field.table for field in CODEBOOK} - {""}:
        for row in output.data[table]:
            assert list(row) == [field.name for field in fields_of(table)], table


def test_values_are_of_the_type_the_codebook_says(probe) -> None:
    types = {"text": str, "time": str, "integer": int, "number": (int, float), "truth": bool, "list": list}
    output, _ = probe(PC)
    rows = [("", output.data)]
    rows += [
        (field.name, row)
        for field in fields_of("")
        if field.type == "list"
        for row in output.data[field.name]
    ]
    for table, row in rows:
        for field in fields_of(table):
            assert row[field.name] is None or isinstance(row[field.name], types[field.type]), field
            assert field.type != "integer" or not isinstance(row[field.name], bool), field


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_alone_brings_its_fields_and_asks_nothing_else(probe, section) -> None:
    output, connection = probe(PC, {"sections": section})
    whole, _ = probe(PC)
    assert list(output.data) == [field.name for field in fields_of("", (section,))]
    assert {name: value for name, value in output.data.items() if name != "queries"} == {
        name: whole.data[name] for name in output.data if name != "queries"
    }
    assert set(connection.asked) <= {query.name for query in queries_for((section,))}


@pytest.mark.parametrize("missing", [query.name for query in QUERIES if not query.when_needed])
def test_a_query_that_fails_makes_its_fields_null_and_the_rest_stays(probe, missing) -> None:
    whole = probe(PC)[0].data
    output, _ = probe({name: rows for name, rows in PC.items() if name != missing})
    assert output.reason is None
    (cost,) = [row for row in output.data["queries"] if row["query"] == missing]
    assert (cost["rows"], cost["note"]) == (None, NO_CLASS.message)
    changed = {name for name in whole if name != "queries" and whole[name] != output.data[name]}
    assert changed, "its fields are null"
    own = next(query for query in QUERIES if query.name == missing).sections
    assert changed <= {field.name for field in fields_of("", own)}


def test_only_when_every_query_fails_the_attempt_failed(probe) -> None:
    output, connection = probe({})
    assert (output.reason, output.data, output.stdout) == (Reason.WQL, None, b"")
    assert "no such class" in output.detail
    assert not output.accepted
    assert len(connection.asked) > 10


def test_a_namespace_closed_to_the_account_is_asked_once(probe) -> None:
    answers = {**PC, "smart_status": ACCESS, "smart_data": ACCESS, "health": ACCESS, "reliability": ACCESS}
    output, connection = probe(answers)
    assert output.reason is None
    assert output.data["smart"] is None
    assert connection.asked[-2:] == ["smart_status", "health"]
    notes = {row["query"]: row["note"] for row in output.data["queries"]}
    assert notes["smart_data"] == "not asked: no access to root/wmi"


def test_an_account_that_may_read_nothing_is_refused_once_per_namespace(probe) -> None:
    output, connection = probe({query.name: ACCESS for query in QUERIES})
    assert (output.reason, output.data) == (Reason.WQL, None)
    assert connection.asked == ["system", "smart_status", "health"]
    closed = {**PC, "product": ACCESS}
    assert probe(closed)[1].asked == [query.name for query in QUERIES if not query.when_needed]


def test_a_lost_connection_keeps_what_came_before_it(probe) -> None:
    output, connection = probe({**PC, "volumes": RESET})
    assert (output.reason, output.connection_lost) == (Reason.TRANSPORT, True)
    assert output.data["computer_name"] == "LAB01-PC01"
    assert (output.data["disks"], output.data["os_build"]) == (None, 19045)
    assert connection.asked[-1] == "volumes"
    assert orjson.loads(output.stdout) == output.data


def test_one_slow_class_costs_its_own_time_only(probe) -> None:
    slow = FaultError("timeout", "query of Win32_DiskDrive: not answered after 20 s")
    output, _ = probe({**PC, "drives": slow})
    assert output.reason is None
    assert output.data["physical_disks"] is None
    assert output.data["smart"][0]["power_cycles"] == 200


@pytest.mark.parametrize("users", ["hash", "count"])
def test_no_user_name_leaves_the_probe(probe, users) -> None:
    output, _ = probe(PC, {"users": users}, users_key=b"k" * 32)
    assert b"ana" not in output.stdout.lower()
    assert "ana" not in str(output).lower()
    (session,) = output.data["sessions"]
    assert (output.data["occupied"], output.data["n_sessions"]) == (True, 1)
    assert re.fullmatch("[0-9a-f]{16}", session["user"]) if users == "hash" else session["user"] is None


def test_a_hash_is_the_same_person_in_one_experiment_and_nobody_in_another(probe) -> None:
    def user(written: str, key: object) -> str:
        output, _ = probe({**PC, "computer": [{**PC["computer"][0], "UserName": written}]}, users_key=key)
        return output.data["sessions"][0]["user"]

    assert user(r"LAB\Ana", b"one") == user(r"lab\ANA", UsersKey(b"one"))
    assert len({user(r"LAB\Ana", b"one"), user(r"LAB\Ana", b"two"), user(r"LAB\Rui", b"one")}) == 3
    assert "one" not in repr(UsersKey(b"one"))
    assert pickle.loads(pickle.dumps(UsersKey(b"one"))) == UsersKey(b"one")


def test_plan_shows_the_queries_and_neither_key_nor_star() -> None:
    spec = ProbeSpec("usage", "w32probe", {"sections": ["smart"]}, options={"users_key": b"secret-key"})
    shown = W32Probe().command_line(spec)
    assert "[root/wmi] smart_data: SELECT InstanceName,VendorSpecific" in shown
    assert "health (when needed)" in shown
    assert "secret" not in shown
    assert "*" not in W32Probe().command_line(ProbeSpec("usage", "w32probe", None))


@pytest.mark.parametrize(
    "body", ["x", {"users": "clear"}, {"sections": []}, {"sections": ["disk"]}, {"user": 1}, []]
)
def test_what_is_no_option_is_refused(body) -> None:
    with pytest.raises(UsageError, match="usage"):
        W32Probe().command_line(ProbeSpec("usage", "w32probe", body))


def test_the_page_shows_the_codebook_and_the_queries_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "w32probe.md").read_text(encoding="utf-8")
    titles = {
        "": "### The sample",
        **{table: f"### Rows of `{table}`" for table in ("disks", "physical_disks")},
    }
    titles |= {table: f"### Rows of `{table}`" for table in ("smart", "nics", "sessions", "queries")}
    assert set(titles) == {field.table for field in CODEBOOK}
    for table, title in titles.items():
        section = page.split(f"\n{title}\n")[1].split("\n### ")[0]
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        assert rows == [
            f"| `{field.name}` | {field.type} | {field.unit or NONE} | {field.source} | {field.section or 'all'} |"
            f" {('static; ' * field.static + field.note).rstrip('; ') or NONE} |"
            for field in fields_of(table)
        ]
    for query in QUERIES:
        needed = " (*when needed*)" if query.when_needed else ""
        assert f"| {query.name}{needed} | {query.namespace} | `{query.wql}` |" in page
