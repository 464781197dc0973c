"""`ddcplay replay`: the filters again over what was archived, with nobody to ask and nobody to tell."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ddcplay.lab.blueprint import LabHost
from ddcplay.lab.faults import Fault

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.xdist_group("replay")]

COUNT = """\
from ddcplay import Filter

class Count(Filter):
    class Options(Filter.Options):
        factor: int = 1

    def process(self, record, context):
        context.state["n"] = context.state.get("n", 0) + self.options.factor
        context.alert("third", firing=context.state["n"] >= 3)
        (context.output_dir / "count.txt").write_text(str(context.state["n"]))
        return record.with_data({"n": context.state["n"], "at": record.started_at, "out": record.stdout})

    def iteration_end(self, context):
        context.state["ends"] = context.state.get("ends", 0) + 1
"""

PLAY = """\
- name: Road
  experiment: road
  hosts: all
  ping: tcp
  schedule: {every: 6s}
  vars: {limit: 0}
  probes:
    - name: name
      command: hostname
      keep: on_change
      filters: [count.py:Count, store]
    - name: ver
      command: ver
      filters:
        - parse: {format: regex, pattern: 'Version (?P<version>[\\d.]+)', rows: false}
        - static: [version]
        - store
        - email: {text: "{{ host.name }}", immediate: true}
        - textfile: {metrics: {version_known: "`1`"}}
    - name: rare
      command: echo rare
      every: 1h
      filters: [{parse: {format: csv, header: [word], rows: true}}, store]
    - name: objects
      powershell: "Get-CimInstance Win32_OperatingSystem | Select-Object Caption,LastBootUpTime"
      output: objects
      filters: [store]
    - name: usage
      w32probe: {users: hash}
      filters:
        - rate: {fields: [bytes_received, bytes_sent], each: data.nics, key: device}
        - store: {key: {disks: device, nics: device}}
        - alert:
            name: disk_known
            each: data.disks
            key: device
            when: "item.free_pct > vars.limit"
            after: 2
            message: "{{ item.device }}: {{ item.free_pct }} %"
        - alert: {name: many, when: "data.disks | length > 0", share: {of: all, over: 20%}}
    - name: disks
      wmi: "SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType=3"
      filters: [{store: DeviceID}]
    - name: gone
      command: echo secret
      keep: never
      filters: [{parse: {format: csv, header: [word], rows: true}}, store]
  alerts:
    email: {to: [it@example.edu]}
"""

TABLES = {
    "sample": ("iteration, host, probe, label, at, data, key", "probe != 'gone'", "1, 2, 3"),
    "static": ("host, field, valid_from, valid_to, value, probe", "true", "1, 2, 3"),
    "filter_state": ("host, probe, label, value", "probe != 'gone' and label != 'textfile'", "1, 2, 3"),
    "alert": ("name, host, key, status, fired_at, state, message, at, probe", "true", "1, 2, 3"),
    "event": ("iteration, at, host, probe, payload", "kind = 'alert'", "2, 3, 4, 5"),
    "attempt": ("iteration, host, probe, outcome, reason, detail", "probe != 'gone'", "id"),
    "iteration": ("id, started_at, closed_at, state, remote_s, pairs", "true", "id"),
}


def tables(there, data=None):
    return {
        name: there.rows(f"select {columns} from {name} where {which} order by {order}", data)
        for name, (columns, which, order) in TABLES.items()
    }


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(found.relative_to(path)): found.read_bytes()
        for found in path.rglob("*")
        if found.is_file() and "replay" not in found.parts and not found.name.startswith("experiment.db-")
    }


@pytest.fixture(scope="module")
def ran(project_in, tmp_path_factory):
    """A project whose experiment ran three iterations in two processes; then its lab was stopped."""
    directory = tmp_path_factory.mktemp("ran")
    there = project_in(directory, *(LabHost(f"pc{n}") for n in range(4)), LabHost("off", power="off"))
    there.write("ddcplay.yml", "smtp: {host: 127.0.0.1, port: 9, from: d@e.f, tls: none}\n")
    there.write("count.py", COUNT)
    there.write("road.yml", PLAY)
    there.lab.set_fault("pc3", Fault("unauthorized", "login", times=1))
    there.run("run", "road.yml", "-i", "lab.yml", "--iterations", "2", "--fail-on", "alert=critical")
    there.run("run", "road.yml", "-i", "lab.yml", "--once", "--fail-on", "alert=critical")
    there.lab.stop()
    return there


@pytest.fixture(autouse=True)
def filter_as_it_was(ran):
    ran.write("count.py", COUNT)


def test_unchanged_filters_give_equal_samples_states_and_alerts_and_nothing_leaves_the_house(ran):
    before = tree(ran.data)
    out, _ = ran.run("replay", "-i", "lab.yml", "--json")
    (told,) = json.loads(out)
    made = Path(told["database"]).parent
    assert told["failed"] == 0
    assert told["left_out"].keys() == {"gone"}
    assert "keep: never" in told["left_out"]["gone"]["why"]

    was, now = tables(ran), tables(ran, made)
    assert len(was["sample"]) > 45
    assert len(was["event"]) > 8
    for name in TABLES:
        assert now[name] == was[name], name
    assert ran.rows("select count(*) from notification", made) == [(0,)]
    assert ran.rows("select count(*) from output", made) == [(0,)]
    assert tree(ran.data) == before, "nothing but the new database is written"
    others = {path.name for path in made.rglob("*") if path.is_file() and "experiment.db" not in path.name}
    assert others == {".lock", "count.txt"}, "what the user's own filter writes, and nothing else"

    ran.write("count.py", COUNT.replace("factor: int = 1", "factor: int = 2"))
    out, _ = ran.run("replay", "-i", "lab.yml", "--json")
    other = Path(json.loads(out)[0]["database"]).parent
    assert other != made
    doubled = {
        key: {**data, "n": 2 * data["n"]} if key[2] == "name" else data
        for *key, data, _ in ran.samples(made)
        for key in [tuple(key)]
    }
    assert {tuple(key): data for *key, data, _ in ran.samples(other)} == doubled


def test_hosts_that_left_and_filters_that_fail_do_not_stop_a_replay(ran):
    ran.write(
        "count.py",
        COUNT.replace("process(self, record, context):", "process(self, record, context):\n        1 / 0"),
    )
    inventory = ran.path.joinpath("lab.yml").read_text()
    ran.write("fewer.yml", inventory.replace("pc2:", "newcomer:"))
    out, _ = ran.run("replay", "-i", "fewer.yml", "--json", code=3)
    (told,) = json.loads(out)
    made = Path(told["database"]).parent
    failed = ran.rows("select distinct probe, reason, detail from attempt where reason = 'filter'", made)
    assert [row[0] for row in failed] == ["name"]
    assert "ZeroDivisionError" in failed[0][2]
    assert told["failed"] == len(ran.rows("select * from attempt where reason = 'filter'", made))
    here = [sample for sample in ran.samples() if sample[2] in {"ver", "rare", "objects", "usage", "disks"}]
    assert {sample[1] for sample in here} >= {"pc2"}
    assert ran.samples(made) == here


def test_a_replay_of_nothing_is_refused_with_the_reason_and_one_can_be_interrupted(ran):
    never = "    - name: gone" + PLAY.split("    - name: gone", 1)[1]
    ran.write("never.yml", PLAY.split("    - name: name", 1)[0] + never)
    _, err = ran.run("replay", "-i", "lab.yml", "--playbook", "never.yml", code=2)
    assert "keep: never" in err

    slow = COUNT.replace(
        "process(self, record, context):",
        "process(self, record, context):\n        import time; time.sleep(0.5); open('began', 'w')",
    )
    ran.write("count.py", slow)
    program = ran.start("replay", "-i", "lab.yml", "--json")
    while not (ran.path / "began").exists():
        assert program.poll() is None, program.communicate()
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=30)
    assert program.returncode == 130, err
    assert json.loads(out)[0]["interrupted"] is True
