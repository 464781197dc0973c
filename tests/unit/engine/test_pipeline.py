"""The road of an attempt behind its visit: what waits, what survives, and in which order it ends."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from ddcplay.engine.chains import Chains
from ddcplay.engine.events import Backlog, FilterFailed, Observers
from ddcplay.engine.pipeline import Closing, Pipeline, Places
from ddcplay.engine.reporting import Reporting
from ddcplay.engine.telling import Telling
from ddcplay.filtering.base import DropRecord, Filter
from ddcplay.model.effects import Sample
from ddcplay.model.plan import HostPlan, Plan, Target
from ddcplay.model.playbook import FilterEntry, Play, ProbeEntry
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.store.archive import Archive
from ddcplay.store.base import IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store
from ddcplay.store.trace import TraceFiles
from ddcplay.units import SystemClock

HOSTS = ("pc1", "pc2", "pc3")


class Count(Filter):
    """Counts records, raises or drops where the output asks for it, and waits where it may not go on."""

    def __init__(self, gate):
        super().__init__(Filter.Options())
        self.gate = gate

    def process(self, record, context):
        self.gate.wait(20)
        if record.stdout == "raise":
            raise ValueError("as asked")
        context.state["n"] = context.state.get("n", 0) + 1
        context.alert("even", firing=context.state["n"] % 2 == 0)
        if record.stdout == "drop":
            raise DropRecord("as asked")
        context.emit(
            Sample({"n": context.state["n"], "bytes": len(record.stdout_bytes), "data": record.data})
        )
        return record

    def iteration_end(self, context):
        context.state["ends"] = context.state.get("ends", 0) + 1


class Road:
    """A pipeline over a store in a directory; made again after every end, as by a new process."""

    def __init__(self, directory: Path, *, threaded=False, leave_after=None):
        self.directory, self.gate = directory / "exp", threading.Event()
        self.gate.set()
        self.events = []
        self.clock = SystemClock()
        entry = FilterEntry("count.py:Count", {}, label="count", builtin=False)
        self.play = Play("Play", "all", "exp", (ProbeEntry("p", "command", "x", {}, filters=(entry,)),))
        self.plan = Plan("exp", ("p",), tuple(HostPlan(h, (), "", Target(h, h), ()) for h in HOSTS))
        self.store = open_store(self.directory, "exp", play="Play", clock_now=1.0, durability="batch")
        observers = Observers([self])
        telling = Telling(
            self.play,
            self.plan,
            self.store,
            None,
            Reporting(self.play, {}, self.store, self.directory, None),
            observers=observers,
            clock=self.clock,
        )
        self.left = leave_after
        chains = Chains(
            self.play,
            self.plan,
            self.directory,
            self.store,
            telling,
            observers=observers,
            make=lambda _entry: Count(self.gate),
        )
        places = Places(self.store, Archive(self.directory, self.store), TraceFiles(self.directory), {})
        self.pipeline = Pipeline(
            "exp",
            places,
            chains,
            telling,
            observers=observers,
            clock=self.clock,
            threaded=threaded,
            leaving=self.is_leaving,
        )

    def handle(self, event):
        self.events.append(event)

    def is_leaving(self):
        """Say yes once it was asked often enough: the user leaves at some point of the road."""
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0

    def open(self, iteration):
        self.store.open_iteration(IterationRecord(iteration, float(iteration)), Provenance(), HOSTS, ["p"])

    def put(self, iteration, outputs):
        for host, output in zip(HOSTS, outputs, strict=False):
            result = AttemptResult(
                "exp",
                iteration,
                host,
                "p",
                Outcome.OK,
                started_at=iteration + 0.5,
                exit_code=0,
                stdout=output,
            )
            self.pipeline.put(result)

    def end(self):
        self.pipeline.close()
        self.pipeline.check()
        self.store.close()

    def rows(self, query):
        with sqlite3.connect(self.directory / "experiment.db") as database:
            return database.execute(query).fetchall()

    def left_behind(self):
        return {
            "samples": self.rows("select iteration, host, data from sample order by attempt"),
            "states": self.rows("select host, label, value from filter_state order by 1, 2"),
            "alerts": self.rows("select name, host, status, fired_at, state from alert where name = 'even'"),
            "events": self.rows("select iteration, host, payload from event order by id"),
            "attempts": self.rows("select host, outcome, reason, chain, archived from attempt order by id"),
            "iterations": self.rows("select id, state from iteration order by id"),
            "trace": [line.split("|")[:4] for line in self.trace()],
        }

    def trace(self):
        path = self.directory / "p.trace"
        return path.read_text().splitlines() if path.exists() else []


def wait_for(condition):
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never happened")


def test_what_a_filter_has_in_hand_counts_as_backlog_until_it_is_committed(tmp_path):
    road = Road(tmp_path, threaded=True)
    road.gate.clear()
    road.pipeline.recover()
    road.open(1)
    road.put(1, [b"a", b"b", b"c"])
    road.pipeline.acknowledged()
    assert road.rows("select count(*) from attempt") == [(3,)]
    assert road.pipeline.backlog() == 3
    road.gate.set()
    wait_for(lambda: road.pipeline.backlog() == 0)
    road.end()
    assert road.rows("select count(*) from sample") == [(3,)]


def test_those_who_wait_at_the_end_are_told_how_many_attempts_still_wait(tmp_path):
    road = Road(tmp_path, threaded=True)
    road.gate.clear()
    road.pipeline.recover()
    road.open(1)
    road.put(1, [b"a", b"b"])
    told = threading.Thread(target=lambda: (wait_for(lambda: road.events), road.gate.set()))
    road.pipeline.acknowledged()
    road.events.clear()
    told.start()
    road.end()
    told.join()
    waiting = [event.waiting for event in road.events if isinstance(event, Backlog)]
    assert (waiting[0], waiting[-1]) == (2, 0)


def test_outputs_too_big_to_wait_in_memory_come_from_the_database_when_their_turn_comes(tmp_path):
    road = Road(tmp_path, threaded=True)
    road.gate.clear()
    road.pipeline.recover()
    big = 33 * 1024 * 1024
    road.open(1)
    road.put(1, [b"x" * big, b"y" * big])  # the second does not fit beside the first
    road.gate.set()
    road.end()
    assert [json.loads(row[0])["bytes"] for row in road.rows("select data from sample order by attempt")] == [
        big
    ] * 2


def test_every_iteration_that_waited_for_its_filters_is_closed_in_order_after_a_crash(tmp_path):
    before = Road(tmp_path, leave_after=0)
    for iteration in (10, 20, 30):
        before.open(iteration)
        before.put(iteration, [b"a", b"raise"])
    before.end()
    assert before.rows("select count(*) from sample") == [(0,)]

    after = Road(tmp_path)
    after.pipeline.recover()
    after.pipeline.put(Closing(30, 30.0, 1.0, "closed"))
    after.end()
    assert [line.split("|")[:3] for line in after.trace()] == [[str(i), "1", "1"] for i in (10, 20, 30)]
    assert {row[1] for row in after.left_behind()["iterations"]} == {"closed"}
    (ends,) = after.rows("select value from filter_state where host = ''")
    assert json.loads(ends[0]) == {"ends": 3}
    assert len([event for event in after.events if isinstance(event, FilterFailed)]) == 3


OUTPUTS = st.lists(st.sampled_from([b"a", b"drop", b"raise"]), min_size=1, max_size=3)


@settings(max_examples=8, deadline=None)
@given(st.lists(OUTPUTS, min_size=1, max_size=3), st.lists(st.integers(0, 25), max_size=3))
def test_leaving_at_any_points_changes_nothing_of_what_is_there_in_the_end(iterations, leaves):
    found = []
    for points in ([], leaves):
        with TemporaryDirectory() as directory:
            work = [(number * 10, outputs) for number, outputs in enumerate(iterations, 1)]
            for point in [*points, None]:
                road = Road(Path(directory), leave_after=point)
                road.pipeline.recover()
                last = road.store.last_iteration()
                if last is not None and last.state == "open":
                    road.pipeline.put(Closing(last.id, last.started_at, 1.0, "closed"))
                while work and (point is None or len(work) > len(iterations) // 2):
                    iteration, outputs = work.pop(0)
                    road.open(iteration)
                    road.put(iteration, outputs)
                    road.pipeline.put(Closing(iteration, float(iteration), 1.0, "closed"))
                road.end()
            found.append(road.left_behind())
    assert found[1] == found[0]
