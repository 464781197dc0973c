"""Every fault of the lab at every operation, in one run: what an admin reads, and what others pay."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from ddcplay.cli.program import build_program
from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.lab.faults import _KINDS, Fault

pytestmark = [pytest.mark.lab, pytest.mark.slow]

TIMEOUT_S = 8
OURS = ("visit", "sweep", "pipeline", "abort", "table", "look-up")
OPERATIONS = ("login", "create", "command", "send", "receive", "signal", "delete")
VALUES = {"slow": 1, "trickle": 1, "reset": 40, "huge_output": 3, "busy_503": 1}
PLAYBOOK = f"""\
- name: Table
  hosts: all
  ping: {{method: tcp}}
  concurrency: 300
  visit_timeout: 60s
  probes:
    - name: first
      command: "sort"
      stdin: "b\\na\\n"
      timeout: {TIMEOUT_S}s
    - name: second
      command: hostname
      timeout: {TIMEOUT_S}s
"""

OK = "ok", "ok"
BROKEN = "transport", "transport"
QUOTA = "quota", "quota"
ONCE = "transport", "ok"
"""`second` feeds nothing, so what goes wrong in Send costs `first` alone."""
GONE = "timeout", "transport"
"""The peer fell silent: its later probes fail at once."""

EXPECTED = {
    ("access_denied", "create"): ("auth", "auth"),
    ("access_denied", "command"): ("auth", "auth"),
    ("access_denied", "send"): ("auth", "ok"),
    ("access_denied", "receive"): ("auth", "auth"),
    ("close_each", "login"): BROKEN,
    ("hang", "command"): ("timeout", "timeout"),
    ("huge_output", "command"): ("output_limit", "output_limit"),
    ("missing_elements", "create"): BROKEN,
    ("missing_elements", "command"): BROKEN,
    ("missing_elements", "receive"): BROKEN,
    ("mute", "signal"): ("ok", "transport"),
    ("no_exit_code", "receive"): BROKEN,
    ("reset", "login"): BROKEN,
    ("shell_gone", "create"): BROKEN,
    ("timed_out", "create"): ("timeout", "timeout"),
    ("timed_out", "command"): ("timeout", "timeout"),
    ("timed_out", "send"): ("timeout", "ok"),
    ("timed_out", "receive"): ("timeout", "timeout"),
    ("trickle", "signal"): ("ok", "transport"),
    ("truncated", "login"): BROKEN,
    ("unauthorized", "login"): ("auth", "auth"),
}
for _kind in ("mute", "trickle"):
    EXPECTED |= {(_kind, each): GONE for each in ("login", "create", "command", "send", "receive")}
for _kind in ("quota_shells", "quota_operations", "quota_operations_wmi"):
    EXPECTED |= {(_kind, each): QUOTA for each in ("create", "command", "receive")}
    EXPECTED[_kind, "send"] = "quota", "ok"
_DAMAGE = "bad_request busy_503 empty_500 not_sealed reset truncated unauthorized wrong_relates_to wrong_xml"
for _kind in _DAMAGE.split():
    EXPECTED |= {(_kind, each): BROKEN for each in ("create", "command", "receive")}
    EXPECTED[_kind, "send"] = ONCE
EXPECTED["unauthorized", "create"] = "auth", "auth"  # again after a fresh logon: no right to use WinRM
EXPECTED |= {("shell_gone", each): BROKEN for each in ("command", "receive")}
EXPECTED["shell_gone", "send"] = ONCE

RACING = {"close_each", "close_idle"}
"""The end of the connection may cross the next request, of which nobody then knows whether it was taken."""

LEAKS = {
    *(
        (kind, "create")
        for kind in ["missing_elements", "not_sealed", "reset", "truncated", "wrong_relates_to", "wrong_xml"]
    ),
    # Each request costs three logons there; on a busy machine the clean-up's four seconds are over first.
    *(
        (kind, operation)
        for kind in ("bad_request", "unauthorized", "close_each")
        for operation in OPERATIONS
    ),
    *(("shell_gone", operation) for operation in ("command", "send", "receive", "signal")),
    *((kind, operation) for kind in ("mute", "trickle") for operation in OPERATIONS),
}
"""Where the peer does not let us delete: the shell's name never came, it lied that it is gone, it is mute."""


def host_of(kind: str, operation: str, **fault) -> LabHost:
    planted = Fault(kind, operation, value=VALUES.get(kind, 0), **fault)
    return LabHost(f"{kind}-{operation}".replace("_", "-"), ("trouble",), faults=(planted,))


def project(path: Path, lab) -> Path:
    (path / "lab.yml").write_text(lab.inventory_yaml())
    (path / "table.yml").write_text(PLAYBOOK)
    (path / "ddcplay.yml").write_text("ramp: 60/s\nworkers: 300\n")
    return path


def by_host(out: str):
    rows = defaultdict(dict)
    for each in map(orjson.loads, out.splitlines()):
        rows[each["host"]][each["probe"]] = each
    return rows


def told(row) -> tuple[str, str]:
    return row["first"]["reason"] or "ok", row["second"]["reason"] or "ok"


def test_every_fault_at_every_operation_costs_its_host_only_and_is_named_rightly(tmp_path, lab_factory):
    cases = {
        host_of(kind, operation): (kind, operation) for kind in sorted(_KINDS) for operation in OPERATIONS
    }
    good = [LabHost(f"good{n:02}", ("good",)) for n in range(20)]
    lab = lab_factory(LabConfig((*cases, *good)))
    line = [sys.executable, "-m", "ddcplay", "run", "table.yml", "-i", "lab.yml", "--json"]
    done = subprocess.run(
        line, cwd=project(tmp_path, lab), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3, done.stderr
    rows, stats = by_host(done.stdout), lab.stats_by_host()
    lab.stop()

    found = {case: told(rows[host.name]) for host, case in cases.items()}
    for case in [each for each in found if each[0] in RACING and each not in EXPECTED]:
        assert set(found.pop(case)) <= {"ok", "transport"}, case
    assert found == {case: EXPECTED.get(case, OK) for case in found}
    assert {told(rows[host.name]) for host in good} == {OK}
    assert all(each["elapsed_s"] <= TIMEOUT_S + 5 for row in rows.values() for each in row.values())
    again = {
        name: row["commands"]
        for name, row in stats.items()
        if max(Counter(row["commands"]).values(), default=0) > 1
    }
    assert again == {}, "a Command was sent twice"
    left = {
        case
        for host, case in cases.items()
        if stats[host.name]["shells_created"] != stats[host.name]["shells_deleted"]
    }
    assert {case for case in left if case[1] != "delete"} <= LEAKS
    assert all(row["shells_created"] == row["shells_deleted"] for row in (stats[host.name] for host in good))


def test_a_fault_that_passes_costs_nothing_where_asking_again_is_safe(tmp_path, lab_factory):
    passing = [
        host_of(kind, "receive", times=1) for kind in ("close_each", "reset", "unauthorized", "bad_request")
    ]
    lab = lab_factory(LabConfig(tuple(passing)))
    line = [sys.executable, "-m", "ddcplay", "run", "table.yml", "-i", "lab.yml", "--json"]
    done = subprocess.run(
        line, cwd=project(tmp_path, lab), capture_output=True, text=True, timeout=120, check=False
    )
    rows = by_host(done.stdout)
    lab.stop()
    assert {name: row["second"]["outcome"] for name, row in rows.items()} == dict.fromkeys(rows, "ok")


def test_trouble_leaves_no_thread_and_no_socket_behind(tmp_path, lab_factory, monkeypatch):
    kinds = [
        "reset-receive",
        "mute-create",
        "truncated-command",
        "hang-command",
        "unauthorized-login",
        "trickle-receive",
    ]
    hosts = [host_of(*each.split("-")) for each in kinds]
    lab = lab_factory(LabConfig((*hosts, *(LabHost(f"good{n}", ("good",)) for n in range(5)))))
    monkeypatch.chdir(project(tmp_path, lab))

    def run() -> tuple[int, int]:
        done = CliRunner().invoke(build_program(), ["run", "table.yml", "-i", "lab.yml", "--json"])
        assert done.exit_code == 3, done.stderr
        return done.exit_code, len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files are counted in /proc")
    first, second = run(), run()
    lab.stop()
    assert second[1] <= first[1], "open files"
    until = time.monotonic() + 10  # workers end by themselves, a moment later
    while left := [t.name for t in threading.enumerate() if t.name.startswith(OURS)]:
        assert time.monotonic() < until, left
        time.sleep(0.02)
