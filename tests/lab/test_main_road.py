"""`ddcplay run` against a simulated fleet, as a program of its own: what the product promises, measured."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost, school
from ddcplay.lab.faults import Fault
from ddcplay.store.blocks import read_blocks
from ddcplay.store.trace import parse_line

pytestmark = pytest.mark.lab

PLAYBOOK = """\
- name: Road
  hosts: all
  ping: {{method: tcp}}
  visit_timeout: 60s
  {schedule}
  probes:
    - name: first
      command: "{first}"
      timeout: {timeout}
    - name: second
      command: hostname
      timeout: {timeout}
"""


class Road:
    """A project directory, a lab, and the program run in it."""

    def __init__(self, path: Path, lab) -> None:
        self.path, self.lab = path, lab
        (path / "lab.yml").write_text(lab.inventory_yaml())

    def playbook(self, first="hostname", timeout="10s", schedule="concurrency: 100"):
        (self.path / "road.yml").write_text(PLAYBOOK.format(first=first, timeout=timeout, schedule=schedule))
        return self

    def start(self, *arguments, **more):
        line = [sys.executable, "-m", "ddcplay", "run", "road.yml", "-i", "lab.yml", "--json", *arguments]
        return subprocess.Popen(
            line, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
        )

    def run(self, *arguments):
        program = self.start(*arguments)
        self.out, self.err = program.communicate(timeout=120)
        self.code = program.returncode
        assert self.code in {0, 3}, self.err
        self.attempts = [orjson.loads(line) for line in self.out.splitlines()]
        return self

    def of(self, host):
        return {each["probe"]: each for each in self.attempts if each["host"] == host}

    @property
    def data(self):
        return self.path / "data" / "road"

    def rows(self):
        with sqlite3.connect(self.data / "experiment.db") as database:
            return database.execute(
                "select iteration, host, probe, outcome, reason, started_at + elapsed_s, stdout_end"
                " from attempt"
            ).fetchall()

    def remote_s(self):
        with sqlite3.connect(self.data / "experiment.db") as database:
            return database.execute("select max(remote_s) from iteration").fetchone()[0]

    def trace(self, probe):
        path = self.data / f"{probe}.trace"
        return [parse_line(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def road(tmp_path, lab_factory):
    def make(config):
        lab = lab_factory(config)
        made.append(lab)
        return Road(tmp_path, lab).playbook()

    made = []
    yield make
    for lab in made:
        lab.stop()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def fleet(count, *special, **host):
    good = (LabHost(f"pc{n:03}", ("labs",), **host) for n in range(count))
    return LabConfig((*special, *good))


@pytest.mark.slow
def test_an_iteration_over_a_school_takes_seconds_and_leaks_nothing(road):
    there = road(school(pcs=169, rooms=11, off_share=0.3)).playbook(first="sleep 1 & hostname")
    there.run()
    if there.remote_s() > 8:  # other programs may have the processors: one quiet moment shows what it takes
        shutil.rmtree(there.data)
        there.lab.reset_stats()
        there.run()
    outcomes = Counter((each["outcome"], each["reason"]) for each in there.attempts)
    off = sum(not there.lab.is_on(host.name) for host in there.lab.config.hosts)
    assert off in range(45, 56)
    assert outcomes == {("ok", None): 2 * (169 - off), ("unavailable", "no_answer"): 2 * off}
    stats = there.lab.stats()
    assert (stats["shells_created"], stats["open_shells"]) == (stats["shells_deleted"], 0)
    assert there.trace("first")[0].ok == 169 - off
    assert there.remote_s() <= 8, "DDC took 387 s"


TROUBLES = [
    ("hung", Fault("hang"), {"first": "timeout", "second": "timeout"}),
    ("hung-once", Fault("hang", times=1), {"first": "timeout", "second": None}),
    ("mute", Fault("mute", "receive"), {"first": "timeout", "second": "transport"}),
    ("mute-at-login", Fault("mute"), {"first": "transport", "second": "transport"}),
    ("reset", Fault("reset", "command"), {"first": "transport", "second": "transport"}),
    ("full", Fault("quota_shells", "create"), {"first": "quota", "second": "quota"}),
    ("busy", Fault("quota_operations", "command"), {"first": "quota", "second": "quota"}),
    ("busy-wmi", Fault("quota_operations_wmi", "command"), {"first": "quota", "second": "quota"}),
    ("huge", Fault("huge_output", value=3), {"first": "output_limit", "second": "output_limit"}),
    ("trickle", Fault("trickle", "receive", value=1), {"first": "timeout", "second": None}),
    ("broken", Fault("wrong_xml", "create"), {"first": "transport", "second": "transport"}),
    ("refusing", Fault("unauthorized", "login"), {"first": "auth", "second": "auth"}),
]


@pytest.mark.slow
def test_trouble_on_one_host_costs_that_host_only_and_ends_in_time(road):
    special = tuple(LabHost(name, ("trouble",), faults=(fault,)) for name, fault, _ in TROUBLES)
    there = road(fleet(20, *special)).playbook(timeout="4s")
    began = time.monotonic()
    there.run()
    elapsed = time.monotonic() - began
    good = [each for each in there.attempts if each["host"].startswith("pc")]
    assert {(each["outcome"], each["exit_code"]) for each in good} == {("ok", 0)}
    assert len(good) == 40
    for name, _, wanted in TROUBLES:
        found = there.of(name)
        if name not in {"mute-at-login", "trickle"}:
            assert {probe: each["reason"] for probe, each in found.items()} == wanted, name
        assert found["first"]["reason"] is not None, name
        assert all(each["elapsed_s"] <= 4 + 5 for each in found.values()), name
    assert elapsed < 2 * (4 + 5) + 10
    assert there.code == 3


@pytest.mark.slow
def test_a_wrong_password_meets_two_hosts_of_two_hundred(road):
    there = road(fleet(200))
    text = there.path.joinpath("lab.yml").read_text()
    there.path.joinpath("lab.yml").write_text(text.replace("lab-Passw0rd", "wrong-Passw0rd"))
    there.run()
    reasons = Counter((each["outcome"], each["reason"], each["host"]) for each in there.attempts)
    assert {key[:2] for key in reasons} == {("failed", "auth"), ("failed", "auth_blocked")}
    assert len({key[2] for key in reasons}) == 200
    assert there.lab.stats()["logins_refused"] <= 2
    assert there.lab.stats()["shells_created"] == 0
    assert "wrong-Passw0rd" not in there.out + there.err


@pytest.mark.slow
def test_five_refusing_hosts_side_by_side_among_two_hundred_cost_only_themselves(road):
    bad = tuple(LabHost(f"bad{n}", ("labs",), password="another-1") for n in range(5))
    config = fleet(195, *bad)
    there = road(config)
    text = there.path.joinpath("lab.yml").read_text()
    there.path.joinpath("lab.yml").write_text(text.replace("another-1", "lab-Passw0rd"))
    there.run()
    assert Counter(each["outcome"] for each in there.attempts) == {"ok": 390, "failed": 10}
    assert {each["reason"] for each in there.attempts if each["outcome"] == "failed"} == {"auth"}


def kill_in_mid_iteration(there, *arguments, after=20):
    program = there.start(*arguments)
    for _ in range(after):
        assert program.stdout.readline()
    program.send_signal(signal.SIGKILL)
    program.wait()
    program.stdout.close()
    program.stderr.close()


def agree(there, iterations):
    """Rows, cumulative files and trace tell the same, once each."""
    rows = there.rows()
    assert len({row[:3] for row in rows}) == len(rows)
    ran = {(row[0], row[1]) for row in rows if row[2] == "first" and row[6] is not None}
    assert ran >= {(row[0], row[1]) for row in rows if row[2] == "first" and row[3] == "ok"}
    blocks = [
        (block.iteration, path.parent.name)
        for path in there.data.glob("*/first.stdout")
        for block in read_blocks(path)
    ]
    assert sorted(blocks) == sorted(ran)
    lines = there.trace("first")
    assert [line.iteration for line in lines] == sorted({row[0] for row in rows})
    assert len(lines) == iterations
    for line in lines:
        counted = Counter(row[3] for row in rows if row[0] == line.iteration and row[2] == "first")
        assert (line.ok, line.failed, line.unavailable) == (
            counted["ok"],
            counted["failed"],
            counted["unavailable"],
        )


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_a_killed_pass_is_continued_and_nothing_acknowledged_is_lost(road, kills):
    # Few at a time: on a busy machine a wide run would be over before the kill reaches it.
    there = road(fleet(60)).playbook(first="sleep 0.3 & hostname", schedule="concurrency: 8")
    for _ in range(kills):
        kill_in_mid_iteration(there, after=10)
    before = {row[:4] for row in there.rows()}
    assert len(before) >= 10 * kills
    there.run()
    assert before <= {row[:4] for row in there.rows()}
    assert len(there.rows()) == 120
    assert {row[3] for row in there.rows()} == {"ok"}
    agree(there, iterations=1)


@pytest.mark.slow
def test_a_killed_iteration_of_a_periodic_play_is_closed_when_its_interval_is_over(road):
    # Few at a time, so that the kill comes long before the end.
    periodic = "experiment: road\n  concurrency: 4\n  schedule: {every: 4s}"
    there = road(fleet(60)).playbook(first="sleep 0.3 & hostname", schedule=periodic)
    kill_in_mid_iteration(there, "--iterations", "1")
    first = there.rows()[0][0]
    while time.time() < first + 4.05:
        time.sleep(0.05)
    there.playbook(schedule="experiment: road\n  schedule: {every: 4s}")
    there.run("--once")
    reasons = Counter(row[4] for row in there.rows() if row[0] == first)
    assert reasons["interrupted"] > 0
    assert sum(reasons.values()) == 120
    agree(there, iterations=2)


@pytest.mark.slow
def test_the_first_ctrl_c_finishes_what_flies_and_the_run_exits_130(road):
    there = road(fleet(40)).playbook(first="sleep 1 & hostname", schedule="concurrency: 10")
    program = there.start()
    for _ in range(4):
        program.stdout.readline()
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=30)
    assert program.returncode == 130, err
    rows = there.rows()
    assert len(rows) == 80
    assert Counter(row[4] for row in rows)["interrupted"] > 0
    assert {row[3] for row in rows} == {"ok", "skipped"}
    agree(there, iterations=1)
    assert there.lab.stats()["open_shells"] == 0


@pytest.mark.slow
def test_the_second_ctrl_c_leaves_at_once_and_the_pass_can_go_on(road):
    there = road(fleet(20)).playbook(first="sleep 20 & hostname", timeout="40s")
    program = there.start()
    wait_for(lambda: len(there.lab.stats()["commands"]) == 20)
    program.send_signal(signal.SIGINT)
    time.sleep(0.05)
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert program.returncode == 130
    assert time.monotonic() - began < 8
    there.playbook(first="hostname").run()
    assert {row[3] for row in there.rows()} == {"ok"}
    agree(there, iterations=1)


@pytest.mark.slow
def test_sigterm_ends_politely_with_exit_code_0(road):
    there = road(fleet(10)).playbook(schedule="experiment: road\n  schedule: {every: 1h}")
    program = there.start()
    for _ in range(20):
        program.stdout.readline()
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=30)
    assert program.returncode == 0
    agree(there, iterations=1)


@pytest.mark.slow
def test_the_same_experiment_twice_is_refused_and_the_first_goes_on(road):
    there = road(fleet(10)).playbook(first="sleep 8 & hostname")
    first = there.start()
    wait_for(lambda: there.lab.stats()["commands"])
    second = subprocess.run(
        [sys.executable, "-m", "ddcplay", "run", "road.yml", "-i", "lab.yml"],
        cwd=there.path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert "road" in second.stderr
    assert str(first.pid) in second.stderr
    first.communicate(timeout=60)
    assert first.returncode == 0
    agree(there, iterations=1)


@pytest.mark.slow
def test_two_plays_on_the_same_hosts_run_side_by_side_and_never_meet(road):
    there = road(fleet(10))
    there.path.joinpath("road.yml").write_text(
        "".join(
            f"- name: {name}\n  hosts: all\n  ping: tcp\n"
            "  probes:\n    - name: p\n      command: sleep 1 & hostname\n"
            for name in ("One", "Two")
        )
    )
    there.run()
    assert Counter((each["experiment"], each["outcome"]) for each in there.attempts) == {
        ("one", "ok"): 10,
        ("two", "ok"): 10,
    }
    spans = sorted(
        (row[5], row[4])
        for name in ("one", "two")
        for row in sqlite3.connect(there.path / "data" / name / "experiment.db").execute(
            "select 0, 0, 0, host, started_at, started_at + elapsed_s from attempt"
        )
    )
    assert spans[-1][0] - min(start for _, start in spans) >= 2, "visits to one host are one after another"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.slow
def test_what_is_written_is_readable_by_its_owner_only(road):
    there = road(fleet(2)).run()
    for path in [there.path / "data", *(there.path / "data").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.slow
def test_a_password_that_cannot_be_looked_up_is_told_once_and_nobody_is_contacted(road):
    there = road(fleet(5))
    text = there.path.joinpath("lab.yml").read_text()
    there.path.joinpath("lab.yml").write_text(text.replace("lab-Passw0rd", "env:DDCPLAY_TEST_NOT_SET"))
    program = there.start()
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (1, "")
    assert err.count("DDCPLAY_TEST_NOT_SET is not set") == 1
    assert there.lab.stats()["connections"] == 0
