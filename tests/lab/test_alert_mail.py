"""Alerts of `ddcplay run` as mails at a real server that breaks off sessions, over kills and restarts."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.store.blocks import read_blocks

pytestmark = pytest.mark.lab

SETTINGS = """\
smtp:
  host: localhost
  port: {port}
  from: ddcplay@example.edu
  username: ddcplay
  password: plain:mail-Passw0rd
  ca_trust_path: {ca}
"""

PLAYBOOK = """\
- name: Units
  hosts: all
  experiment: units
  ping: {method: tcp}
  late_sweep: false
  schedule: {every: 1s, min_gap: 0.1s}
  probes:
    - name: clock
      command: "echo %TIME%"
      timeout: 5s
      filters:
        - units.py:Units
        - alert:
            name: unit_down
            each: data.units
            key: unit
            when: "item.down"
            message: "<<{{ host.name }} {{ item.unit }} {{ item.second }}>>"
  alerts:
    email: {to: [it@example.edu]}
    repeat_interval: never
    max_hosts: 1000
"""

TOLD = re.compile(r"<<(pc\d+) (\d) (\d+)>>")

# The answer of a PC (its clock) decides which of its five units are down: each changes every 13 seconds.
FILTER = """\
from ddcplay import Filter


class Units(Filter):
    def process(self, record, context):
        hours, minutes, seconds = record.stdout.strip().split(":")
        second = int(hours) * 3600 + int(minutes) * 60 + int(float(seconds))
        number = int(context.host.name[2:])
        units = [
            {"unit": unit, "second": second, "down": (second + 3 * number + 7 * unit) // 13 % 2 == 1}
            for unit in range(5)
        ]
        return record.with_data({"units": units})
"""


def is_down(host, unit, text):
    hours, minutes, seconds = text.strip().split(":")
    second = int(hours) * 3600 + int(minutes) * 60 + int(float(seconds))
    return (second + 3 * int(host[2:]) + 7 * unit) // 13 % 2 == 1


class Mailing:
    """A project whose alerts go to a mail server, and the program run in it."""

    def __init__(self, path: Path, lab, server) -> None:
        self.path, self.lab, self.server = path, lab, server
        self.told_as: dict[tuple[str, str, int, str], tuple[str, str, str, str]] = {}
        self.started: list[subprocess.Popen[bytes]] = []
        (path / "lab.yml").write_text(lab.inventory_yaml())
        (path / "ddcplay.yml").write_text(SETTINGS.format(port=server.port, ca=server.ca))
        (path / "units.yml").write_text(PLAYBOOK)
        (path / "units.py").write_text(FILTER)
        self.data = path / "data" / "units"
        self.log = path / "log.txt"

    def start(self, *arguments):
        line = [sys.executable, "-m", "ddcplay", *arguments]
        with self.log.open("a") as log:
            self.started.append(subprocess.Popen(line, cwd=self.path, stdout=log, stderr=log))
        return self.started[-1]

    def run(self, iterations):
        # A slow machine may not get all PCs into one second; their alerts then stay as they are.
        options = ["--iterations", str(iterations), "--fail-on", "failed>100%"]
        return self.start("run", "units.yml", "-i", "lab.yml", *options)

    def ask(self, query):
        if not (self.data / "experiment.db").exists():
            return []
        with closing(sqlite3.connect(self.data / "experiment.db")) as database:
            return database.execute(query).fetchall()

    def closed(self):
        if not self.ask("select 1 from sqlite_master where name = 'iteration'"):
            return 0
        return self.ask("select count(*) from iteration where closed_at is not null")[0][0]

    def wait_until_closed(self, number, program):
        until = time.monotonic() + 60
        while self.closed() < number:
            assert time.monotonic() < until, self.log.read_text()[-3000:]
            assert program.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def flush(self):
        """Send what waits; sessions that the server breaks off are tried again, as a service would."""
        for _ in range(10):
            if self.start("mail", "flush").wait(timeout=60) == 0:
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def transitions(self):
        """Say what must have been told, from what the PCs answered alone: (host, unit, iteration, what)."""
        found = []
        for host in self.lab.config.hosts:
            blocks = list(read_blocks(self.data / host.name / "clock.stdout"))
            for unit in range(5):
                down = False
                for block in blocks:
                    if block.outcome != "ok":
                        continue
                    now = is_down(host.name, unit, block.content.decode())
                    if now != down:
                        found.append((host.name, str(unit), block.iteration, "fired" if now else "resolved"))
                    down = now
        return Counter(found)

    def events(self):
        """Return what the database says was to be told, each with the second its message names."""
        found = Counter()
        for iteration, payload in self.ask("select iteration, payload from event order by id"):
            event = orjson.loads(payload)
            ((host, unit, second),) = TOLD.findall(event["message"])
            found[host, unit, iteration, event["what"]] += 1
            self.told_as[host, unit, iteration, event["what"]] = (event["what"], host, unit, second)
        return found


def told_in(mail):
    """Return the alerts a mail tells of: (what, host, unit, second)."""
    found, what = [], ""
    for line in mail.get_body(("plain",)).get_content().splitlines():
        if line.strip() in {"Fired", "Resolved"}:
            what = line.strip().lower()
        found += [(what, *match) for match in TOLD.findall(line)]
    return found


@pytest.fixture
def mailing(tmp_path, lab_factory, smtp_server):
    def make(config, **server):
        options = {"tls": "starttls", "user": "ddcplay", "password": "mail-Passw0rd", **server}
        made.append(Mailing(tmp_path, lab_factory(config), smtp_server(**options)))
        return made[-1]

    made = []
    yield make
    for each in made:
        for program in each.started:
            program.kill()
            program.wait()
        each.lab.stop()


@pytest.mark.slow
def test_no_event_goes_unmailed_while_sessions_break_off_and_the_coordinator_is_killed(
    mailing,
):
    there = mailing(LabConfig(tuple(LabHost(f"pc{n}", ("labs",)) for n in range(10))), drop=0.1, seed=257)
    dice, kills, wanted = random.Random(), 3, 60
    began = time.monotonic()
    for number in range(1, kills + 1):
        program = there.run(wanted)
        there.wait_until_closed(number * wanted // (kills + 1), program)
        time.sleep(dice.random())
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
    program = there.run(max(1, wanted - there.closed()))
    assert program.wait(timeout=90) == 0, there.log.read_text()[-3000:]
    there.flush()
    took = time.monotonic() - began
    events, mails = there.events(), there.server.messages()
    drops = there.server.drops()
    print(  # noqa: T201 - figures for docs/tested.md, seen with -s
        f"{there.closed()} iterations in {took:.0f} s: {sum(events.values())} events, {len(mails)} mails,"
        f" sessions broken off at {drops}, {kills} kills"
    )
    assert there.closed() >= wanted
    assert sum(events.values()) >= 200
    assert events == there.transitions(), "what the PCs answered, by their archived outputs alone"
    arrived = {mail["Message-ID"]: mail for mail in mails}
    told = Counter(line for mail in arrived.values() for line in told_in(mail))
    assert told == Counter(there.told_as.values())
    due = {number for (number,) in there.ask("select distinct told_by from event")}
    sent = there.ask("select id, message_id from notification where sent_at is not null")
    assert {number for number, _ in sent} == due
    assert {message_id for _, message_id in sent} == arrived.keys()
    with_news = len({iteration for _, _, iteration, _ in events})
    assert with_news - kills <= len(arrived) <= with_news, "one digest per iteration; a kill may join two"
    assert len(mails) - len(arrived) <= len(drops) + kills
    assert drops
    seconds = [max(int(line[3]) for line in told_in(mail)) for mail in arrived.values()]
    assert seconds == sorted(seconds), "in the order in which it happened"
