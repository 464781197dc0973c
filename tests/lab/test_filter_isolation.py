"""Filters that are slow, wrong, stuck or greedy: what they cost a run, and what they do not."""

from __future__ import annotations

import json
import signal
import time

import pytest

from ddcplay.lab.blueprint import LabHost
from ddcplay.store.blocks import read_blocks

pytestmark = [pytest.mark.lab, pytest.mark.slow]

SLEEPER = """\
import time
from pathlib import Path
from ddcplay import Filter

class Sleeper(Filter):
    class Options(Filter.Options):
        seconds: float = 5

    def process(self, record, context):
        context.state["records"] = context.state.get("records", 0) + 1
        with Path("began").open("a") as file:
            file.write(record.host + "\\n")
        if context.state["records"] == 1 and not Path("awake").exists():
            time.sleep(self.options.seconds)
        return record.with_data({"records": context.state["records"]})

    def iteration_end(self, context):
        context.state["ends"] = context.state.get("ends", 0) + 1
"""

TROUBLE = """\
import time
from ddcplay import Filter

class Trouble(Filter):
    def process(self, record, context):
        context.state["calls"] = context.state.get("calls", 0) + 1
        context.email(f"{record.host} was here")
        if record.host == "raises":
            raise ValueError("no such thing")
        if record.host == "hangs":
            time.sleep(600)
        if record.host == "eats":
            bytearray(2 * 1024**3)
        return record.with_data({"name": record.stdout.strip()})
"""

OWN_FILE = """\
from ddcplay import Filter

class OwnFile(Filter):
    def process(self, record, context):
        with (context.output_dir / "mine.txt").open("a") as file:
            file.write(f"{record.iteration} {record.stdout.strip()}\\n")
        return record
"""

PLAY = """\
- name: Road
  experiment: road
  hosts: all
  ping: tcp
  {schedule}
  probes:
    - name: first
      command: hostname
      filters: {filters}
"""


def play(filters="[]", schedule="concurrency: 20"):
    return PLAY.format(filters=filters, schedule=schedule)


def wait_for(condition, seconds=30.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.02)


def test_a_filter_that_sleeps_5_s_lengthens_no_iteration_and_the_next_one_waits_visibly(project):
    there = project(LabHost("pc1"), LabHost("pc2"))
    there.write("road.yml", play())
    there.run("run", "road.yml", "-i", "lab.yml", "--once", "--data-dir", "without")
    there.data, real = there.path / "without" / "road", there.data
    ((without,), there.data) = there.trace("first"), real

    there.write("slow.py", SLEEPER)
    there.write("ddcplay.yml", "max_backlog: 1\n")
    there.write("road.yml", play("[slow.py:Sleeper, store]", "schedule: {every: 3s}"))
    program = there.start("run", "road.yml", "-i", "lab.yml", "--iterations", "2", "--json")
    for _ in range(2):
        assert program.stdout.readline()
    assert there.rows("select count(*) from attempt where chain = 'pending'") == [(2,)]
    assert there.trace("first") == []
    _, err = program.communicate(timeout=60)
    assert program.returncode == 0, err

    first, second = there.trace("first")
    assert first.elapsed_s < without.elapsed_s + 2
    assert (first.ok, second.ok) == (2, 2)
    started = [row[0] for row in there.rows("select started_at from iteration order by id")]
    assert started[1] - started[0] > 4.5, "one of two chains must be through"
    assert "2 attempts wait for their filters; the next iteration waits too" in err
    assert [sample[4] for sample in there.samples()] == [{"records": n} for n in (1, 1, 2, 2)]


def test_a_filter_that_raises_hangs_or_eats_2_gb_costs_only_its_own_attempts(project, smtp_server):
    server = smtp_server(tls="none")
    good = [f"pc{number}" for number in range(8)]
    there = project(*map(LabHost, [*good[:4], "raises", "hangs", "eats", *good[4:]]))
    there.write("trouble.py", TROUBLE)
    smtp = f"smtp: {{host: 127.0.0.1, port: {server.port}, from: d@example.edu, tls: none}}"
    there.write("ddcplay.yml", f"filter_timeout: 2s\n{smtp}\n")
    alerts = "alerts: {email: {to: [it@example.edu]}}"
    there.write("road.yml", play("[trouble.py:Trouble, store]", alerts))
    there.run("run", "road.yml", "-i", "lab.yml", code=3)

    rows = there.rows("select host, outcome, reason, detail from attempt where reason is not null")
    details = {
        host: detail for host, outcome, reason, detail in rows if (outcome, reason) == ("failed", "filter")
    }
    assert details.keys() == {"raises", "hangs", "eats"} == {row[0] for row in rows}
    assert "no such thing" in details["raises"]
    assert "took longer than 2s" in details["hangs"]
    assert "512 MiB" in details["eats"]
    assert {(sample[1], sample[4]["name"]) for sample in there.samples()} == {(pc, pc.upper()) for pc in good}
    states = there.rows("select host, value from filter_state where label = 'trouble.py:Trouble'")
    assert {host: json.loads(value) for host, value in states} == {pc: {"calls": 1} for pc in good}
    (mail,) = server.messages()
    text = mail.get_body(("plain",)).get_content()
    assert [pc for pc in [*good, *details] if f"{pc} was here" in text] == good
    blocks = {path.parent.name for path in there.data.glob("*/first.stdout") for _ in read_blocks(path)}
    assert blocks == {*good, *details}, "outputs of failed chains are kept"


def test_the_first_ctrl_c_writes_the_trace_after_the_chains_of_slow_filters(project):
    there = project(*(LabHost(f"pc{number}") for number in range(6)))
    there.write("slow.py", SLEEPER)
    there.write("road.yml", play("[slow.py:Sleeper: {seconds: 0.4}, store]", "schedule: {every: 1h}"))
    program = there.start("run", "road.yml", "-i", "lab.yml", "--json")
    for _ in range(6):
        assert program.stdout.readline()
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130, err
    assert there.rows("select chain, count(*) from attempt group by 1") == [("done", 6)]
    assert [line.ok for line in there.trace("first")] == [6]
    assert len(there.samples()) == 6


def test_the_second_ctrl_c_does_not_wait_for_a_filter_and_the_next_start_goes_on(project):
    there = project(*(LabHost(f"pc{number}") for number in range(6)))
    there.write("slow.py", SLEEPER)
    there.write("ddcplay.yml", "filter_timeout: 60s\n")
    there.write("road.yml", play("[slow.py:Sleeper: {seconds: 30}, store]", "schedule: {every: 1h}"))
    program = there.start("run", "road.yml", "-i", "lab.yml", "--json")
    for _ in range(6):
        assert program.stdout.readline()
    wait_for((there.path / "began").exists)
    program.send_signal(signal.SIGINT)
    time.sleep(0.05)
    began = time.monotonic()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=60)
    left_s = time.monotonic() - began
    assert program.returncode == 130
    assert left_s < 4
    assert there.rows("select chain, outcome, count(*) from attempt group by 1, 2") == [("pending", "ok", 6)]
    assert (there.trace("first"), there.samples()) == ([], [])

    there.write("awake", "")
    there.run("run", "road.yml", "-i", "lab.yml", "--iterations", "1")
    assert there.rows("select chain, outcome, count(*) from attempt group by 1, 2") == [("done", "ok", 6)]
    assert [line.ok for line in there.trace("first")] == [6]
    assert [sample[4] for sample in there.samples()] == [{"records": 1}] * 6
    ((ends,),) = there.rows("select value from filter_state where host = ''")
    assert json.loads(ends) == {"ends": 1}


def test_iterations_that_waited_for_their_filters_at_a_kill_are_all_closed_by_the_next_start(project):
    there = project(LabHost("pc1"), LabHost("pc2"))
    there.write("slow.py", SLEEPER)
    there.write("ddcplay.yml", "filter_timeout: 60s\n")
    there.write("road.yml", play("[slow.py:Sleeper: {seconds: 30}, store]", "schedule: {every: 3s}"))
    program = there.start("run", "road.yml", "-i", "lab.yml", "--json")
    for _ in range(6):
        assert program.stdout.readline()
    program.kill()
    program.communicate()
    assert len(there.rows("select * from iteration where state = 'open'")) >= 3

    waited = there.rows("select count(*) from attempt")
    program = there.start("run", "road.yml", "-i", "lab.yml", "--json")
    assert program.stdout.readline(), "what waits for its filters delays no visit"
    program.kill()
    program.communicate()
    assert there.rows("select count(*) from attempt where chain = 'pending'") > waited

    there.write("awake", "")
    there.run("run", "road.yml", "-i", "lab.yml", "--iterations", "1")
    assert there.rows("select * from iteration where state = 'open'") == []
    lines = there.trace("first")
    assert [line.iteration for line in lines] == [row[0] for row in there.rows("select id from iteration")]
    assert [line.ok for line in lines[:3]] == [2, 2, 2]
    ((ends,),) = there.rows("select value from filter_state where host = ''")
    assert json.loads(ends) == {"ends": len(lines)}


def test_a_filter_that_writes_its_own_file_replaces_the_default_archive(project):
    there = project(LabHost("pc1"))
    there.write("own.py", OWN_FILE)
    there.write("road.yml", play("[own.py:OwnFile]\n      keep: never"))
    there.run("run", "road.yml", "-i", "lab.yml")
    there.run("run", "road.yml", "-i", "lab.yml")
    lines = (there.data / "pc1" / "mine.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines] == ["PC1", "PC1"]
    assert list(there.data.glob("pc1/first.*")) == []
    assert there.rows("select count(*) from output") == [(0,)]


def test_keep_rules_see_what_filters_made_of_an_attempt(project):
    there = project(LabHost("raises"), LabHost("pc1"))
    there.write("trouble.py", TROUBLE)
    there.write("road.yml", play("[trouble.py:Trouble, store]\n      keep: on_failure"))
    there.run("run", "road.yml", "-i", "lab.yml", code=3)
    assert [path.parent.name for path in there.data.glob("*/first.stdout")] == ["raises"]
    there.write("road.yml", play("[trouble.py:Trouble, store]\n      keep: on_change"))
    for _ in range(2):
        there.run("run", "road.yml", "-i", "lab.yml", code=3)
    counts = {path.parent.name: len(list(read_blocks(path))) for path in there.data.glob("*/first.stdout")}
    assert counts == {"raises": 1, "pc1": 1}, "what failed is compared like all else"
