"""The examples of the design, as written: the playbook of §3 and the user filter of §5, against a lab."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.lab.machine import Machine
from ddcplay.store.blocks import read_blocks
from ddcplay.store.trace import parse_line

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PLAYBOOK = """\
- name: Classroom usage                  # required
  hosts: labs:!maintenance               # required; string or list; Ansible patterns (: , & ! globs ~regex [0:9])
  experiment: classroom-usage            # required with a schedule; else slug of name; one owner per data directory
  vars: {drive: "C:"}
  vars_files: [vars/common.yml]
  timezone: Europe/Lisbon                # of the schedule and of reports; default UTC
  schedule:                              # default: one pass over the pool, then stop
    every: 15m                           # start-to-start; DDC's interval; at least 1s
    min_gap: 30s                         # least pause when an iteration overran
  # schedule: {cron: "*/15 8-20 * * 1-5"}
  # schedule: {single_shot: {retry_every: 2m, give_up_after: 14d}}
  probes:
    - name: usage                        # file-name safe, unique in the play
      w32probe: {users: hash}            # exactly one kind
      timeout: 30s
      filters:
        - store
        - alert:
            name: low_disk
            each: data.disks             # one check per row; without it the record as a whole
            key: device
            when: "item.free_pct < 10"
            after: 3                     # attempts in a row that reached the host
            severity: warning
            message: "{{ host.name }} {{ item.device }}: {{ item.free_pct }} % free"
    - name: disks
      wmi: "SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType=3"
    - name: bench
      exe: tools/bench.exe
      args: ["--quick", "{{ drive }}"]
      every: 24h                         # slower than the play's own
      exclusive: true
  alerts:
    email: {to: [it@example.edu]}
    repeat_interval: 4h
  report:
    every: 24h
    file: report.html
    email: {to: [it@example.edu], attach: [trace]}
"""  # noqa: E501 - as it stands in the design

# As in §5, with what the dots stand for.
LOW_DISK = """\
from ddcplay import Filter, Record, FilterContext, DropRecord
class LowDisk(Filter):
    class Options(Filter.Options):           # pydantic
        min_pct: float = 10
    def process(self, record: Record, context: FilterContext) -> Record:
        if not record.data:
            raise DropRecord("no disks")
        for row in record.data:
            free = 100 * int(row["FreeSpace"]) / int(row["Size"])
            context.alert("full", f"{free:.0f} %", firing=free < self.options.min_pct, key=row["DeviceID"])
        context.state["records"] = context.state.get("records", 0) + 1
        return record
    def iteration_end(self, context):
        context.state["iterations"] = context.state.get("iterations", 0) + 1
"""

MONTH_END = 2_592_000 * 680 - 200_000.0
"""The night of a day on which the disks of the lab are nearly as full as they get."""


def is_low(disk):
    return 100 * disk.free_bytes / disk.size_bytes < 10


def pool():
    """Four PCs, two of which have a disk below 10 %, and a third such one in maintenance."""
    names = [f"lab01-pc{number:02}" for number in range(1, 400)]
    low = [name for name in names if any(map(is_low, Machine(1, name, "lab01").disks(MONTH_END)))]
    good = [name for name in names if name not in low]
    hosts = [LabHost(name, ("labs", "lab01")) for name in (*low[:2], *good[:2])]
    broken = LabHost(low[2], ("labs", "lab01", "maintenance"))
    return LabConfig((*hosts, broken), seed=1, starts_at=MONTH_END)


class Project:
    """A project directory, its lab, and what the program left behind."""

    def __init__(self, path: Path, lab) -> None:
        self.path, self.lab = path, lab
        (path / "lab.yml").write_text(lab.inventory_yaml())
        for name in ("vars", "tools", "filters"):
            (path / name).mkdir()
        (path / "vars" / "common.yml").write_text("site: Lisbon\n")
        (path / "tools" / "bench.exe").write_bytes(b"MZ" + bytes(2000))

    def run(self, playbook: str, *more: str, code: int = 0) -> str:
        (self.path / "usage.yml").write_text(playbook)
        line = [sys.executable, "-m", "ddcplay", "run", "usage.yml", "-i", "lab.yml", "--once", *more]
        done = subprocess.run(line, cwd=self.path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def data(self) -> Path:
        return self.path / "data" / "classroom-usage"

    def rows(self, query: str):
        with sqlite3.connect(self.data / "experiment.db") as database:
            return database.execute(query).fetchall()

    def trace(self, probe: str):
        return [parse_line(line) for line in (self.data / f"{probe}.trace").read_text().splitlines()]

    def low(self) -> set[tuple[str, str]]:
        """Return (host, drive) of every disk of the pool that is below 10 %."""
        hosts = [host.name for host in self.lab.config.hosts if "maintenance" not in host.groups]
        return {
            (name, disk.device)
            for name in hosts
            for disk in self.lab.machine(name).disks(self.lab.now())
            if is_low(disk)
        }


@pytest.fixture
def project(tmp_path, lab_factory):
    lab = lab_factory(pool())
    yield Project(tmp_path, lab)
    lab.stop()


def test_the_playbook_of_section_3_runs_as_written(project, smtp_server):
    server = smtp_server(tls="none")
    settings = f"smtp: {{host: 127.0.0.1, port: {server.port}, from: ddcplay@example.edu, tls: none}}\n"
    (project.path / "ddcplay.yml").write_text(settings)
    pool = [host.name for host in project.lab.config.hosts if "maintenance" not in host.groups]
    for host in pool:
        project.lab.set_user(host, "")  # `exclusive` waits for nobody to be logged on
    project.run(PLAYBOOK)
    project.run(PLAYBOOK)
    assert project.rows("select * from alert where status = 'firing'") == []
    assert server.messages() == []
    shown = project.run(PLAYBOOK)
    assert project.lab.stats(project.lab.config.hosts[-1].name)["connections"] == 0

    assert project.rows("select probe, outcome, count(*) from attempt group by 1, 2 order by 1, 2") == [
        ("bench", "ok", 4),  # once a day
        ("disks", "ok", 12),
        ("usage", "ok", 12),
    ]
    for probe, lines in (("usage", 3), ("disks", 3), ("bench", 1)):
        assert [(line.ok, line.failed, line.unavailable) for line in project.trace(probe)] == [
            (4, 0, 0)
        ] * lines
    block = next(iter(read_blocks(project.data / pool[0] / "bench.stdout")))
    assert b"--quick" in block.content
    assert b"C:" in block.content

    samples = [json.loads(row[0]) for row in project.rows("select data from sample where probe = 'usage'")]
    assert len(samples) == 12
    assert all(sample["disks"] for sample in samples)
    firing = set(project.rows("select host, key from alert where status = 'firing'"))
    assert firing == project.low()
    assert len(firing) >= 2
    assert "low_disk" in shown

    (mail,) = server.messages()
    assert mail["To"] == "it@example.edu"
    text = mail.get_body(("plain",)).get_content()
    assert all(host in text for host, _ in firing)


CHAINS = r"""- name: Chains
  hosts: labs:!maintenance
  experiment: classroom-usage
  probes:
    - name: disks
      wmi: "SELECT DeviceID,Size,FreeSpace FROM Win32_LogicalDisk WHERE DriveType=3"
      filters:
        - low_disk.py:LowDisk: {{min_pct: 10.0}}
        - set: {{used: "{{{{ item.Size | int - item.FreeSpace | int }}}}"}}
        - pick: {{device: DeviceID, used: used, size: Size}}
        - omit: [size]
        - store: device
        - textfile:
            metrics:
              disk_used_bytes: {{each: "@", value: used, labels: {{device: device}}}}
          on: [ok, failed, unavailable]
    - name: facts
      command: hostname & ver
      filters:
        - parse: {{format: regex, pattern: '^(?P<name>[\w-]+)\s+Microsoft Windows', rows: false}}
        - static: [name]
        - when: "static.name is undefined or data | length > 0"
        - store
        - email: "{{{{ host.name }}}} calls itself {{{{ data.name }}}}"
        - notify: {{url: "{push}", text: "{{{{ host.name }}}}"}}
    - name: net
      wmi: "SELECT Name,BytesReceivedPersec FROM Win32_PerfRawData_Tcpip_NetworkInterface"
      filters:
        - rate: {{fields: [BytesReceivedPersec], each: data, key: Name}}
        - store: Name
        - alert: {{name: busy, each: data, key: Name, when: "item.BytesReceivedPersec | int < 0"}}
  alerts:
    email: {{to: [it@example.edu]}}
"""


def test_the_user_filter_of_section_5_and_every_built_in_filter_run_as_written(project, smtp_server):
    server = smtp_server(tls="none")
    settings = f"smtp: {{host: 127.0.0.1, port: {server.port}, from: ddcplay@example.edu, tls: none}}\n"
    (project.path / "ddcplay.yml").write_text(settings)
    (project.path / "filters" / "low_disk.py").write_text(LOW_DISK)
    playbook = CHAINS.format(push="plain:json://127.0.0.1:9/")
    hosts = [host.name for host in project.lab.config.hosts if "maintenance" not in host.groups]
    project.run(playbook)
    project.run(playbook)

    assert project.rows("select distinct outcome, detail from attempt") == [("ok", "")]
    samples = [
        (host, probe, json.loads(data), json.loads(key))
        for host, probe, data, key in project.rows(
            "select host, probe, data, key from sample order by attempt"
        )
    ]
    disks = [each for each in samples if each[1] == "disks"]
    assert len(disks) == 8
    assert all(set(row) == {"device", "used"} for _, _, rows, _ in disks for row in rows)
    assert {key for *_, key in disks} == {"device"}
    facts = [each for each in samples if each[1] == "facts"]
    assert sorted(each[0] for each in facts) == sorted(hosts), "the second time nothing is new"
    assert all(data == {"name": project.lab.machine(host).computer_name} for host, _, data, _ in facts)
    assert len(project.rows("select * from static where valid_to is null")) == 4
    rates = [
        row["BytesReceivedPersec_per_s"] for _, probe, rows, _ in samples if probe == "net" for row in rows
    ]
    assert None in rates
    assert any(rate is not None and rate >= 0 for rate in rates)

    full = project.rows("select host, key from alert where name = 'full' and status = 'firing'")
    assert set(full) == project.low()
    label = "low_disk.py:LowDisk"
    states = dict(project.rows(f"select host, value from filter_state where label = '{label}'"))
    assert {host: json.loads(value) for host, value in states.items()} == {
        "": {"iterations": 2},
        **{host: {"records": 2} for host in hosts},
    }
    prom = (project.data / "ddcplay_classroom-usage_disks.prom").read_text()
    assert all(f'disk_used_bytes{{host="{host}",' in prom for host in hosts)
    (mail,) = server.messages()  # the second time nothing is new
    assert "calls itself" in mail.get_body(("plain",)).get_content()
    pushed = project.rows("select kind, count(*) from notification group by kind")
    assert ("push", 4) in pushed


FACTS = """\
- name: Facts
  hosts: labs
  experiment: classroom-usage
  probes:
    - name: facts
      command: hostname
      filters:
        - parse: {format: csv, header: [name]}
        - set: {name: "{{ item.name }}", room: "lab01"}
        - pick: "[0]"
        - static: [name]
    - name: later
      command: echo {{ 1 + 1 }}
      when: "static.name is defined and static.name == inventory_hostname | upper"
"""


def test_when_of_a_probe_sees_the_static_facts_that_the_last_run_stored(project):
    project.run(FACTS)
    first = project.rows("select count(*) from attempt where probe = 'later' and outcome = 'ok'")
    assert first == [(0,)]
    project.run(FACTS)
    second = project.rows("select distinct host from attempt where probe = 'later' and outcome = 'ok'")
    assert {row[0] for row in second} == {host.name for host in project.lab.config.hosts}
