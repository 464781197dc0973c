"""Killed again and again in the middle of its filters, a run loses nothing and doubles nothing."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from ddcplay.lab.blueprint import LabHost
from ddcplay.store.blocks import read_blocks

pytestmark = [pytest.mark.lab, pytest.mark.slow]

COUNT = """\
import time
from ddcplay import Filter

class Count(Filter):
    def process(self, record, context):
        context.state["n"] = context.state.get("n", 0) + 1
        context.alert("third", firing=context.state["n"] % 3 == 0)
        time.sleep(0.01)  # so that kills find chains that are still to run
        return record.with_data({"n": context.state["n"], "word": record.stdout.strip(), "ticks": 7})
"""

PLAY = """\
- name: Road
  experiment: road
  hosts: all
  ping: tcp
  concurrency: 6
  schedule: {every: 4s}
  probes:
    - name: first
      command: hostname
      filters:
        - count.py:Count
        - rate: {fields: [n]}
        - static: [word]
        - store
        - alert: {name: always, when: "data.n > 0", after: 2}
    - name: second
      command: echo second
"""

KILLS = 10
HOSTS = 12
TABLES = {
    "sample": "iteration, host, label, at, data",
    "static": "host, field, valid_from, valid_to, value",
    "filter_state": "host, label, value",
    "alert": "name, host, key, status, fired_at, state, at",
    "event": "iteration, at, host, payload",
}


def tables(there, data=None):
    return {name: sorted(there.rows(f"select {what} from {name}", data)) for name, what in TABLES.items()}


def test_ten_kills_among_filters_double_no_sample_lose_none_and_leave_every_state_consistent(project):
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    there = project(*(LabHost(f"pc{number:02}") for number in range(HOSTS)))
    there.write("count.py", COUNT)
    there.write("road.yml", PLAY)
    acknowledged = set()
    for _ in range(KILLS):
        program = there.start("run", "road.yml", "-i", "lab.yml", "--json")
        for _ in range(draw.randint(1, 40)):
            line = program.stdout.readline()
            assert line, (seed, program.communicate()[1])
            row = json.loads(line)
            acknowledged.add((row["iteration"], row["host"], row["probe"], row["outcome"]))
        program.kill()
        program.communicate()
    there.run("run", "road.yml", "-i", "lab.yml", "--iterations", "1", "--fail-on", "alert=critical")

    attempts = there.rows("select iteration, host, probe, outcome from attempt")
    assert acknowledged <= set(attempts), seed
    assert there.rows("select count(*) from attempt where chain != 'done' or not archived") == [(0,)], seed
    assert there.rows("select count(*) from iteration where state = 'open'") == [(0,)], seed
    ok = sorted(
        (iteration, host)
        for iteration, host, probe, outcome in attempts
        if (probe, outcome) == ("first", "ok")
    )
    samples = there.samples()
    assert sorted((sample[0], sample[1]) for sample in samples) == ok, seed

    by_host = {
        host: [sample[4]["n"] for sample in samples if sample[1] == host] for host in {each[1] for each in ok}
    }
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_host.values()), seed
    states = there.rows("select host, value from filter_state where label = 'count.py:Count'")
    assert {host: json.loads(value)["n"] for host, value in states} == {
        h: len(n) for h, n in by_host.items()
    }, seed
    fired = Counter(
        host
        for host, payload in there.rows("select host, payload from event where kind = 'alert'")
        if '"always"' in payload
    )
    assert fired == Counter(host for host, numbers in by_host.items() if len(numbers) >= 2), seed

    for probe in ("first", "second"):
        blocks = [
            (block.iteration, path.parent.name)
            for path in there.data.glob(f"*/{probe}.stdout")
            for block in read_blocks(path)
        ]
        kept = [(i, host) for i, host, name, outcome in attempts if (name, outcome) == (probe, "ok")]
        assert sorted(blocks) == sorted(kept), seed
        lines = there.trace(probe)
        counted = Counter(row[0] for row in attempts if row[2:] == (probe, "ok"))
        assert [(line.iteration, line.ok) for line in lines] == [
            (row[0], counted[row[0]]) for row in there.rows("select id from iteration order by id")
        ], seed

    # What a run without kills would have made of the same outputs.
    out, _ = there.run("replay", "-i", "lab.yml", "--json")
    made = Path(json.loads(out)[0]["database"]).parent
    was, now = tables(there), tables(there, made)
    for name in TABLES:
        assert now[name] == was[name], (seed, name)
