"""`w32probe` of the real program against PCs of four Windows versions, compared with what is true of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import xmltodict
from lxml import etree
from winrm.protocol import Protocol

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.lab.fleet import RunningLab
from ddcplay.lab.machine import Machine
from ddcplay.probing.w32probe_queries import CIMV2, QUERIES, STORAGE
from ddcplay.probing.w32probe_rates import carried, since_last

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("w32probe")]

VERSIONS = ("7", "10", "11", "server")
TUESDAY_11 = 1_792_494_000.0  # 2026-10-20 11:00 UTC, in the middle of lessons
PLAYBOOK = """\
- name: Usage
  hosts: all
  ping: {method: tcp}
  probes:
    - name: usage
      w32probe: {users: OPTION}
      timeout: 120s
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Run the playbook against a lab; return the attempts by host."""

    def go(lab: RunningLab, users: str = "hash", *arguments: str) -> dict[str, dict[str, Any]]:
        (tmp_path / "lab.yml").write_text(lab.inventory_yaml())
        (tmp_path / "p.yml").write_text(PLAYBOOK.replace("OPTION", users))
        line = [sys.executable, "-m", "ddcplay", "run", "p.yml", "-i", "lab.yml", "--json", *arguments]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=200, check=False)
        assert done.returncode in {0, 3}, done.stderr.decode()
        attempts = [orjson.loads(line) for line in done.stdout.splitlines()]
        return {each["host"]: each for each in attempts}

    return go


def unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def assert_true(data: dict[str, Any], machine: Machine) -> None:
    """Compare a sample with the machine at the moment the machine itself told."""
    now = unix(data["local_time"])
    assert (data["uuid"], data["serial"], data["macs"]) == (machine.uuid, machine.serial, machine.mac)
    assert (data["os_name"], data["os_version"]) == (machine.system[0].strip(), machine.system[1])
    assert (data["os_service_pack"], data["cpu_name"]) == (int(machine.windows == "7"), machine.cpu[0])
    assert unix(data["boot_time"]) == pytest.approx(machine.booted_at(now), abs=0.001)
    assert data["uptime_s"] == pytest.approx(machine.uptime_s(now), abs=0.002)
    # The counters are read some milliseconds after the clock.
    idle = 100 * machine.idle_s(now) / machine.uptime_s(now)
    assert data["cpu_idle_boot_pct"] == pytest.approx(idle, abs=0.01)
    used = machine.ram_bytes - machine.free_memory_bytes(now)
    assert data["ram_load_pct"] == pytest.approx(100 * used / machine.ram_bytes, abs=0.001)
    swap = 100 - 100 * machine.free_swap_bytes(now) / machine.swap_bytes
    assert data["swap_load_pct"] == pytest.approx(swap, abs=0.001)
    assert [row["device"] for row in data["disks"]] == [disk.device for disk in machine.disks(now)]
    for row, disk in zip(data["disks"], machine.disks(now), strict=True):
        assert row["size_bytes"] == disk.size_bytes
        assert row["free_pct"] == pytest.approx(100 * disk.free_bytes / disk.size_bytes, abs=0.001)
    received, sent = machine.nic_bytes(now)
    assert data["bytes_received"] == pytest.approx(received, rel=0.01, abs=100_000)
    assert data["bytes_sent"] == pytest.approx(sent, rel=0.01, abs=100_000)
    assert_true_people(data, machine, now)
    assert_true_drives(data, machine, now)


def assert_true_people(data: dict[str, Any], machine: Machine, now: float) -> None:
    there = machine.sessions(now)
    assert (data["occupied"], data["n_sessions"]) == (bool(there), len(there))
    found = {row["session_id"]: (row["user"], row["kind"], row["domain"]) for row in data["sessions"]}
    assert found == {session.number: (session.user, session.kind, machine.domain) for session in there}
    starts = {session.number: session.desktop_at(now) for session in there}
    for row in data["sessions"]:
        assert unix(row["start"]) == pytest.approx(starts[row["session_id"]], abs=1)


def assert_true_drives(data: dict[str, Any], machine: Machine, now: float) -> None:
    drives = machine.drives(now)
    assert [row["serial"] for row in data["physical_disks"]] == [drive.serial for drive in drives]
    smart = {row["disk"]: row for row in data["smart"]}
    assert sorted(smart) == [drive.index for drive in drives]
    for drive in drives:
        row = smart[drive.index]
        # On a busy machine the drive is asked seconds after the clock, and an hour may have passed its end.
        assert row["power_on_hours"] == pytest.approx(drive.power_on_hours, abs=1)
        assert row["power_cycles"] == (drive.power_cycles if drive.bus == "sata" else None)
        assert row["predicted_failure"] is drive.is_failing


@pytest.mark.slow
def test_169_pcs_of_four_windows_versions_tell_the_truth_without_a_shell(lab_factory, run) -> None:
    hosts = tuple(
        LabHost(f"pc{number:03d}", ("labs", f"lab{number // 16:02d}"), windows=VERSIONS[number % 4])
        for number in range(169)
    )
    lab = lab_factory(LabConfig(hosts, seed=9, starts_at=TUESDAY_11))
    attempts = run(lab, "name", "-f", "60")
    assert {each["outcome"] for each in attempts.values()} == {"ok"}
    assert len(attempts) == 169
    stats = lab.stats_by_host()
    trips = {}
    for host, attempt in attempts.items():
        assert (stats[host]["shells_created"], stats[host]["commands"]) == (0, [])
        data = attempt["data"]
        assert orjson.loads(attempt["stdout"]) == data
        assert_true(data, lab.machine(host))
        trips[host] = attempt["round_trips"]
        assert trips[host] == sum(row["round_trips"] for row in data["queries"])
        # Two for the logon; one canary has a visit of its own before.
        assert stats[host]["requests"] - trips[host] <= 4
    assert max(trips.values()) <= 22
    by_version = {version: [trips[h.name] for h in hosts if h.windows == version] for version in VERSIONS}
    # Twelve classes and nothing to add: a PC with SATA drives and at most one desktop.
    assert min(by_version["7"]) == max(by_version["7"]) == 12
    people = {host: attempt["data"]["n_sessions"] for host, attempt in attempts.items()}
    assert max(people.values()) >= 3
    assert min(people.values()) == 0
    crowded = [host for host in people if people[host] > 1]
    assert crowded
    assert all(trips[host] > 12 for host in crowded)
    lab.stop()


@pytest.fixture(scope="module")
def pcs(lab_factory: Callable[[LabConfig], RunningLab]) -> RunningLab:
    return lab_factory(
        LabConfig(
            (
                LabHost("seven", windows="7", schemes=("basic",), allow_unencrypted=True),
                LabHost("server", windows="server", schemes=("basic",), allow_unencrypted=True),
                LabHost("guest", windows="10", admin=False),
            ),
            seed=5,
            starts_at=TUESDAY_11,
        )
    )


def test_an_account_without_rights_loses_the_health_of_drives_and_nothing_else(pcs, run) -> None:
    pcs.set_user("guest", "student1")
    (attempt,) = run(pcs, "hash", "-l", "guest").values()
    assert (attempt["outcome"], attempt["data"]["smart"]) == ("ok", None)
    notes = {row["query"]: row["note"] for row in attempt["data"]["queries"] if row["note"]}
    assert set(notes) == {"smart_status", "smart_data", "health", "reliability"}
    assert "denied" in notes["smart_status"]
    assert "student1" not in str(attempt)
    assert attempt["data"]["occupied"] is True


def test_no_archive_and_no_database_holds_a_user_name(pcs, run, tmp_path: Path) -> None:
    pcs.set_user("guest", "veryprivate")
    run(pcs, "hash", "-l", "guest")
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"veryprivate" not in path.read_bytes(), path


@pytest.mark.parametrize("host", ["seven", "server"])
def test_a_client_that_knows_nothing_of_us_reads_the_same_rows(pcs, run, host) -> None:
    """Every query through pywinrm's own requests, its answers read with nothing but an XML parser."""
    pcs.set_user(host, "student1")
    (attempt,) = run(pcs, "name", "-l", host).values()
    counted = {row["query"]: row["rows"] for row in attempt["data"]["queries"]}
    blueprint = pcs.host(host)
    client = Protocol(pcs.url(host), "basic", blueprint.user, blueprint.password, ca_trust_path=None)
    for query in QUERIES:
        if query.namespace == STORAGE and host == "seven":
            continue
        rows = enumerate_all(client, query.namespace, query.wql)
        asked = query.wql.partition(" FROM ")[0].removeprefix("SELECT ").split(",")
        assert rows, query.name
        for row in rows:
            assert list(dict.fromkeys(row)) == asked, query.name
        if counted.get(query.name) is not None:
            assert len(rows) == counted[query.name], query.name
    assert query.namespace != CIMV2


def enumerate_all(client: Protocol, namespace: str, wql: str) -> list[list[str]]:
    """Return the property names of every row, page after page."""
    base = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
    wsman = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
    resource = f"http://schemas.microsoft.com/wbem/wsman/1/wmi/{namespace}/*"
    body: dict[str, Any] = {
        "n:Enumerate": {
            "@xmlns:n": base,
            "w:OptimizeEnumeration": None,
            "w:MaxElements": "32000",
            "w:Filter": {"@Dialect": "http://schemas.microsoft.com/wbem/wsman/1/WQL", "#text": wql},
        }
    }
    action, rows = f"{base}/Enumerate", []
    while True:
        header = client.build_wsman_header(action, resource)
        root = etree.fromstring(
            client.send_message(xmltodict.unparse({"env:Envelope": {**header, "env:Body": body}}))
        )
        fragments = root.iter(f"{{{wsman}}}XmlFragment")
        rows += [[etree.QName(child).localname for child in fragment] for fragment in fragments]
        context = root.findtext(f".//{{{base}}}EnumerationContext")
        if not context:
            return rows
        action = f"{base}/Pull"
        body = {"n:Pull": {"@xmlns:n": base, "n:EnumerationContext": context, "n:MaxElements": "32000"}}


def test_means_between_two_samples_are_those_of_the_machine(lab_factory, run) -> None:
    lab = lab_factory(LabConfig((LabHost("pc", windows="10"),), seed=5, starts_at=TUESDAY_11, speed=600))
    first, second = (run(lab)["pc"]["data"] for _ in range(2))
    found = since_last(carried(first), second)
    machine = lab.machine("pc")
    stamps = [sample["cpu_stamp_ticks"] / 10**7 - 11_644_473_600 for sample in (first, second)]
    idle = [machine.idle_s(stamp) for stamp in stamps]
    assert first["cpu_idle_pct"] is None
    assert found["cpu_idle_pct"] == pytest.approx(
        100 * (idle[1] - idle[0]) / (stamps[1] - stamps[0]), abs=0.01
    )
    nics = [sample["nics"][0]["stamp_ticks"] / 10**7 - 11_644_473_600 for sample in (first, second)]
    received = [machine.nic_bytes(stamp)[0] for stamp in nics]
    rate = (received[1] - received[0]) / (nics[1] - nics[0])
    assert found["bytes_received_per_s"] == pytest.approx(rate, rel=0.001)
    lab.stop()
