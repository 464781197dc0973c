"""A single shot against a simulated fleet, as a program of its own, killed and started again."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing

import orjson
import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.store.trace import parse_line

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PLAYBOOK = """\
- name: Shot
  hosts: all
  experiment: shot
  ping: {{method: tcp}}
  schedule:
    single_shot: {shot}
  probes:
    - name: first
      command: "{first}"
      timeout: 20s
    - name: second
      command: hostname
      timeout: 20s
"""


class Shot:
    """A project directory, a lab, and the program run in it."""

    def __init__(self, path, lab):
        self.path, self.lab = path, lab
        (path / "lab.yml").write_text(lab.inventory_yaml())

    def playbook(self, first="sleep 0.2 & hostname", shot="{retry_every: 1s}"):
        (self.path / "shot.yml").write_text(PLAYBOOK.format(first=first, shot=shot))
        return self

    def start(self, *arguments):
        line = [sys.executable, "-m", "ddcplay", "run", "shot.yml", "-i", "lab.yml", "--json", *arguments]
        return subprocess.Popen(
            line, cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments):
        program = self.start(*arguments)
        self.out, self.err = program.communicate(timeout=120)
        self.code = program.returncode
        self.attempts = [orjson.loads(line) for line in self.out.splitlines()]
        return self

    @property
    def data(self):
        return self.path / "data" / "shot"

    def query(self, sql):
        if not (self.data / "experiment.db").exists():
            return []
        with closing(sqlite3.connect(self.data / "experiment.db")) as database:
            try:
                return database.execute(sql).fetchall()
            except sqlite3.OperationalError:  # a program that has just started is still making its tables
                return []

    def ran_on(self):
        """Count how often each host really ran the first probe, as the host itself tells."""
        names = [host.name for host in self.lab.config.hosts]
        counts = {name: sum("sleep" in line for line in self.lab.stats(name)["commands"]) for name in names}
        return Counter({name: count for name, count in counts.items() if count})

    def status(self):
        line = [sys.executable, "-m", "ddcplay", "status", "--json"]
        return orjson.loads(subprocess.run(line, cwd=self.path, capture_output=True, check=True).stdout)[0]


@pytest.fixture
def shot(tmp_path, lab_factory):
    made = []

    def make(*hosts):
        lab = lab_factory(LabConfig(hosts))
        made.append(lab)
        return Shot(tmp_path, lab).playbook()

    yield make
    for lab in made:
        lab.stop()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def fleet(on, off):
    names = [f"pc{number:02}" for number in range(on + off)]
    return [LabHost(name, ("labs",), power="on" if i < on else "off") for i, name in enumerate(names)]


def test_hosts_that_appear_later_are_all_done_across_five_kills(shot):
    """40 hosts of which half come later, 5 kill -9: no debt is lost, none paid twice but those in flight."""
    there = shot(*fleet(20, 20))
    draw = random.Random(20261122)
    late = [f"pc{number:02}" for number in range(20, 40)]
    draw.shuffle(late)
    settled = Counter()
    for _ in range(5):
        for name in (late.pop() for _ in range(3)):
            there.lab.set_power(name, True)
        before = len(there.query("select 1 from attempt"))
        program = there.start()
        wanted = before + draw.randrange(1, 6)  # three new hosts bring six rows
        while len(there.query("select 1 from attempt")) < wanted:
            assert program.poll() is None, program.communicate()
            time.sleep(0.01)
        time.sleep(draw.random() * 0.04)
        acknowledged = set(there.query("select iteration, host, probe, outcome from attempt"))
        program.send_signal(signal.SIGKILL)
        program.communicate()
        rows = there.query("select iteration, host, probe, outcome from attempt")
        assert acknowledged <= set(rows)
        ran = there.ran_on()
        settled |= Counter({host: ran[host] for _, host, probe, _ in rows if probe == "first"})
    appearing = threading.Timer(2.5, lambda: [there.lab.set_power(name, True) for name in late])
    appearing.start()
    there.run()
    appearing.join()
    assert there.code == 0, there.err
    debts = there.query("select host, probe, paid_at, paid_by, given_up_at from debt")
    assert len(debts) == 80
    assert all(paid_at and not given_up for _, _, paid_at, _, given_up in debts)
    rows = there.query("select host, probe, outcome, reason, id from attempt")
    paid = Counter(row[:2] for row in rows if row[2] == "ok")
    assert len(paid) == 80
    assert set(paid.values()) == {1}, "a debt that was paid is not paid again"
    paid_by = {(host, probe): int(by) for host, probe, _, by, _ in debts}
    assert paid_by == {row[:2]: row[4] for row in rows if row[2] == "ok"}
    ran = there.ran_on()
    assert len(ran) == 40
    assert {host: ran[host] for host in settled} == settled, "what was paid ran no more after a kill"
    assert not [row for row in rows if row[2] == "unavailable"], "silent hosts have no row"
    lines = [parse_line(line) for line in (there.data / "second.trace").read_text().splitlines()]
    assert sum(line.ok for line in lines) == 40
    assert sum(line.unavailable for line in lines) == 0


def test_a_finished_one_says_so_and_again_runs_one_probe_once_more(shot):
    there = shot(*fleet(3, 0))
    assert there.run().code == 0
    assert len(there.attempts) == 6
    assert there.run().code == 0
    assert (there.attempts, "finished before: 6 done" in there.err) == ([], True)
    assert there.run("--again", "second").code == 0
    assert sorted((each["host"], each["probe"]) for each in there.attempts) == [
        (f"pc{number:02}", "second") for number in range(3)
    ]
    assert there.run("--again", "nonsense").code == 2
    assert "first, second" in there.err


def test_limit_leaves_other_debts_and_status_tells_what_is_owed_since_when(shot):
    there = shot(*fleet(2, 1))
    assert there.run("--limit", "pc00").code == 0
    assert {each["host"] for each in there.attempts} == {"pc00"}
    assert "4 more are owed outside of --limit" in there.err
    assert there.run("--iterations", "2").code == 0
    assert {each["host"] for each in there.attempts} == {"pc01"}
    status = there.status()
    assert (status["owed"], status["given_up"]) == (2, 0)
    assert status["owed_since"]


def test_giving_up_ends_with_exit_code_4(shot):
    there = shot(*fleet(1, 1)).playbook(shot="{retry_every: 1s, give_up_after: 2s}")
    there.run()
    assert there.code == 4, there.err
    assert "1 given up" not in there.out
    assert there.status()["given_up"] == 2
    assert there.run().code == 0


def test_a_host_that_appears_while_another_is_visited_is_visited_in_the_same_window(shot):
    there = shot(*fleet(1, 1)).playbook(first="sleep 5 & hostname")
    program = there.start()
    wait_for(there.ran_on)
    there.lab.set_power("pc01", True)
    wait_for(lambda: there.ran_on()["pc01"])
    assert there.query("select 1 from attempt where host = 'pc00'") == [], "pc00 is still busy"
    program.communicate(timeout=60)
    assert program.returncode == 0
    assert len(there.query("select id from iteration")) == 1


def test_a_pc_that_boots_while_others_are_visited_is_in_the_iteration_all_the_same(shot):
    there = shot(*fleet(2, 2))
    text = (there.path / "shot.yml").read_text().replace("single_shot: {retry_every: 1s}", "every: 1h")
    (there.path / "shot.yml").write_text(text.replace("sleep 0.2", "sleep 3"))
    program = there.start("--once")
    wait_for(there.ran_on)
    there.lab.set_power("pc02", True)
    program.communicate(timeout=60)
    rows = there.query("select host, outcome, count(*) from attempt group by host, outcome")
    assert sorted(rows) == [
        ("pc00", "ok", 2),
        ("pc01", "ok", 2),
        ("pc02", "ok", 2),
        ("pc03", "unavailable", 2),
    ]
