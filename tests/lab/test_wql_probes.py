"""`wmi`, `exclusive` and `output: objects` of the real program against a simulated fleet."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost, school
from ddcplay.lab.fleet import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("wql-probes")]

FIVE = """\
- name: Five
  hosts: all
  ping: {method: tcp}
  vars: {fixed: "3"}
  probes:
    - name: classes
      timeout: 120s
      wmi:
        os: SELECT Caption,Version,LastBootUpTime,FreePhysicalMemory FROM Win32_OperatingSystem
        model: SELECT * FROM Win32_ComputerSystem
        disks: SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType={{ fixed | wql_quote }}
        network: >-
          SELECT Name,BytesReceivedPersec,Timestamp_Sys100NS
          FROM Win32_PerfRawData_Tcpip_NetworkInterface
    - name: processes
      timeout: 120s
      wmi: SELECT * FROM Win32_Process
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[tuple[str, str], dict[str, Any]]]:
    """Run a playbook against a lab; return the attempts by host and probe."""

    def go(lab: RunningLab, playbook: str, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
        (tmp_path / "lab.yml").write_text(lab.inventory_yaml())
        (tmp_path / "p.yml").write_text(playbook)
        line = [sys.executable, "-m", "ddcplay", "run", "p.yml", "-i", "lab.yml", "--json", *arguments]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, timeout=200, check=False)
        assert done.returncode in {0, 3}, done.stderr.decode()
        attempts = [orjson.loads(line) for line in done.stdout.splitlines()]
        return {(each["host"], each["probe"]): each for each in attempts}

    return go


@pytest.mark.slow
def test_five_queries_on_169_hosts_open_no_shell_and_cost_one_request_each(lab_factory, run) -> None:
    lab = lab_factory(school(169, seed=4))
    attempts = run(lab, FIVE, "-f", "60")
    assert len(attempts) == 338
    assert {each["outcome"] for each in attempts.values()} == {"ok"}
    trips = {probe: {each["round_trips"] for (_, name), each in attempts.items() if name == probe}
             for probe in ("classes", "processes")}  # fmt: skip
    assert trips == {"classes": {4}, "processes": {1}}
    now = lab.now()
    logons = {}
    for host, counted in lab.stats_by_host().items():
        assert (counted["shells_created"], counted["queries"], counted["commands"]) == (0, 5, []), host
        # Beside the queries: the bare request, the challenge and, on one canary, a visit of its own.
        logons[host] = counted["requests"] - 5
        machine = lab.machine(host)
        rows = attempts[host, "classes"]["data"]
        assert rows["disks"] == [
            {"DeviceID": disk.device, "Size": disk.size_bytes, "FreeSpace": row["FreeSpace"]}
            for disk, row in zip(machine.disks(now), rows["disks"], strict=True)
        ]
        assert rows["model"][0]["TotalPhysicalMemory"] == machine.ram_bytes
        assert rows["model"][0]["PartOfDomain"] is True
        assert rows["os"][0]["LastBootUpTime"].endswith("Z")
        assert rows["network"][0]["Timestamp_Sys100NS"] > 2**56
        assert len(attempts[host, "processes"]["data"]) >= 20
        assert orjson.loads(attempts[host, "classes"]["stdout"]) == rows
    assert min(logons.values()) == 2
    assert sum(count > 2 for count in logons.values()) <= 2
    lab.stop()


@pytest.fixture(scope="module")
def pcs(lab_factory: Callable[[LabConfig], RunningLab]) -> RunningLab:
    return lab_factory(LabConfig((LabHost("free"), LabHost("taken"), LabHost("later")), seed=2))


EXCLUSIVE = """\
- name: Bench
  hosts: all
  ping: {method: tcp}
  probes:
    - name: bench
      command: "echo started & ping -n 60 127.0.0.1"
      timeout: 100s
      exclusive: true
      recheck: 1s
    - name: after
      wmi: SELECT Name FROM Win32_ComputerSystem
"""


def test_an_exclusive_probe_leaves_people_alone(pcs: RunningLab, run) -> None:
    pcs.set_user("free", "")
    pcs.set_user("later", "")
    pcs.set_user("taken", "student1")
    pcs.reset_stats()
    arrive = threading.Thread(target=_log_on_once_it_runs, args=(pcs, "later"), daemon=True)
    arrive.start()
    attempts = run(pcs, EXCLUSIVE, "-l", "taken:later")
    arrive.join()
    busy, ended = attempts["taken", "bench"], attempts["later", "bench"]
    assert (busy["outcome"], busy["reason"], busy["stdout"]) == ("skipped", "busy", "")
    assert (ended["outcome"], ended["reason"]) == ("failed", "user_logged_on")
    assert ended["stdout"].startswith("started")
    assert ended["elapsed_s"] < 20
    assert "student" not in str([attempts[key] for key in attempts])
    assert pcs.stats("taken")["shells_created"] == 0
    assert pcs.stats("later")["open_shells"] == 0
    assert {attempts[host, "after"]["outcome"] for host in ("taken", "later")} == {"ok"}


def _log_on_once_it_runs(lab: RunningLab, host: str) -> None:
    end = time.monotonic() + 60
    while not lab.stats(host)["receives"] and time.monotonic() < end:
        time.sleep(0.05)
    lab.set_user(host, "student2")


@pytest.mark.parametrize(
    "keys",
    [
        "command: hostname",
        "powershell: hostname",
        "powershell: hostname\n      output: objects",
        "wmi: SELECT Name FROM Win32_ComputerSystem",
    ],
)
def test_every_kind_can_be_exclusive(pcs: RunningLab, run, keys) -> None:
    pcs.set_user("free", "")
    pcs.set_user("taken", "student1")
    book = f"- name: P\n  hosts: free:taken\n  probes:\n    - name: p\n      exclusive: true\n      {keys}\n"
    attempts = run(pcs, book)
    found = {host: (each["outcome"], each["reason"]) for (host, _), each in attempts.items()}
    assert found == {"free": ("ok", None), "taken": ("skipped", "busy")}
    assert "FREE" in attempts["free", "p"]["stdout"]


def test_powershell_objects_are_typed_rows(pcs: RunningLab, run) -> None:
    book = """\
- name: Objects
  hosts: free
  defaults: {output: objects}
  probes:
    - name: disks
      powershell: >-
        Get-CimInstance Win32_LogicalDisk -Filter 'DriveType=3' |
        Select-Object DeviceID,Size,FileSystem
    - name: system
      powershell: |
        # two objects, and a greeting that is none
        Write-Host 'hello'
        Get-CimInstance -ClassName Win32_OperatingSystem | Select-Object Caption,LastBootUpTime
        (Get-Date)
    - name: none
      powershell: Get-CimInstance Win32_LogicalDisk -Filter "DriveType=9"
    - name: thrown
      powershell: throw 'broken'
    - name: silent
      powershell: exit 0
"""
    attempts = {probe: each for (_, probe), each in run(pcs, book).items()}
    disk = pcs.machine("free").disks(pcs.now())[0]
    assert attempts["disks"]["data"][0] == {"DeviceID": "C:", "Size": disk.size_bytes, "FileSystem": "NTFS"}
    assert orjson.loads(attempts["disks"]["stdout"]) == attempts["disks"]["data"]
    system, date = attempts["system"]["data"]
    assert system["LastBootUpTime"].endswith("Z")
    assert date[:4].isdigit()
    assert attempts["system"]["stdout"].startswith("hello")
    assert "\\/Date(" in attempts["system"]["stdout"]
    assert (attempts["none"]["outcome"], attempts["none"]["data"]) == ("ok", [])
    assert (attempts["thrown"]["reason"], attempts["thrown"]["exit_code"]) == ("exit_code", 1)
    assert "broken" in attempts["thrown"]["detail"]
    assert attempts["silent"]["reason"] == "transport"
