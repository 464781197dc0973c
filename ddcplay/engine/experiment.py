"""The life of one play: open its directory, mend what a crash left, make its iterations, close it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from ddcplay.engine.events import (
    ExperimentEnded,
    ExperimentStarted,
    IterationClosed,
    Notice,
    WaitingForNext,
)
from ddcplay.engine.iteration import Iteration, Pass, Services
from ddcplay.engine.pipeline import Closing, Pipeline
from ddcplay.engine.roster import Roster
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.model.result import Reason
from ddcplay.planning.timetable import Slot, iteration_id, next_slot, should_continue
from ddcplay.store.archive import Archive
from ddcplay.store.base import IterationRecord, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store
from ddcplay.store.trace import TraceFiles

BACKLOG_CHECK_S = 0.5
"""How often a full backlog is looked at before the next iteration may open."""


@dataclass(frozen=True, slots=True)
class ExperimentSetup:
    """Everything one experiment runs with.

    Args:
        play: the play.
        plan: its hosts and probes, rendered.
        directory: `<data>/<experiment>`.
        provenance: what is recorded with each iteration.
        database: SQLAlchemy URL, None for a file in `directory`.
        durability: `full` or `batch`.
        max_backlog: attempts waiting for the pipeline beyond which no new iteration opens.
        iterations: at most this many in this process, None for no limit.
        at_once: the first iteration does not wait for its slot (`--once`).
    """

    play: Play
    plan: Plan
    directory: Path
    provenance: Provenance = field(default_factory=Provenance)
    database: str | None = field(default=None, repr=False)
    durability: str = "full"
    max_backlog: int = 10_000
    iterations: int | None = None
    at_once: bool = False


class Experiment:
    """Runs one experiment until its schedule ends or the user stops it.

    Args:
        setup: what to run.
        services: what the process shares.
    """

    def __init__(self, setup: ExperimentSetup, services: Services) -> None:
        self._setup = setup
        self._services = services
        self._play = setup.play
        self._plan = setup.plan
        self._clock = services.clock
        self._tell = services.observers.handle
        self._made = 0

    def run(self) -> IterationClosed | None:
        """Run to the end.

        Returns:
            The last iteration closed in this process, None when none was.

        Raises:
            ExperimentBusyError: another coordinator runs it.
            StoreError: results cannot be stored.
        """
        setup = self._setup
        store = open_store(
            setup.directory,
            setup.plan.experiment,
            play=self._play.name,
            clock_now=self._clock.now(),
            url=setup.database,
            durability=setup.durability,
        )
        try:
            pipeline = self._pipeline(store)
            try:
                pipeline.recover()
                self._announce()
                why = self._iterate(store, pipeline)
            finally:
                pipeline.close()
            pipeline.check()
            self._tell(ExperimentEnded(setup.plan.experiment, self._made, why))
            return pipeline.last_closed
        finally:
            store.close()

    def _pipeline(self, store: ExperimentStore) -> Pipeline:
        return Pipeline(
            self._plan.experiment,
            store,
            Archive(self._setup.directory, store),
            TraceFiles(self._setup.directory),
            keep={probe.name: str(probe.options.get("keep", "always")) for probe in self._play.probes},
            observers=self._services.observers,
            clock=self._clock,
            threaded=self._services.threaded,
        )

    def _announce(self) -> None:
        rooms: dict[str, list[str]] = {}
        for host in self._plan.hosts:
            rooms.setdefault(host.room, []).append(host.host)
        self._tell(
            ExperimentStarted(
                self._plan.experiment,
                self._play.name,
                rooms,
                self._plan.probe_names,
                self._play.schedule.every_s,
                str(self._setup.directory),
            )
        )
        for warning in self._plan.warnings:
            self._tell(Notice("warning", warning, self._plan.experiment))

    def _iterate(self, store: ExperimentStore, pipeline: Pipeline) -> str:
        """Make iterations; returns why there are no more."""
        last = self._take_up(store, pipeline)
        while True:
            if self._services.stop.finish.is_set():
                return "stopped"
            if self._made and self._play.schedule.one_pass:
                return "done"
            if self._setup.iterations is not None and self._made >= self._setup.iterations:
                return "iterations"
            slot = self._next_slot(store, last)
            if slot is None:
                return "until"
            if not self._wait_until(slot.starts_at) or not self._wait_for_room(pipeline):
                return "stopped"
            last = self._open(store, last, slot.missed)
            if not self._pass(pipeline, last, frozenset()):
                return "stopped"
            last = _ended(last, self._clock.now())

    def _take_up(self, store: ExperimentStore, pipeline: Pipeline) -> IterationRecord | None:
        """Continue the iteration a stopped coordinator left open, or close it (design §9.7)."""
        last = store.last_iteration()
        if last is None or last.state != "open":
            return last
        done = store.recorded_pairs(last.id)
        if should_continue(self._play.schedule, last.started_at, self._clock.now()):
            self._pass(pipeline, last, done)
            return _ended(last, self._clock.now())
        roster = Roster(self._plan, last.id, done)
        for row in roster.skips(done, self._clock.now()):
            pipeline.put(row)
        for host in roster.hosts():
            for row in roster.close_all(
                host.host,
                Reason.INTERRUPTED,
                "the coordinator was stopped in this iteration",
                on=None,
                at=self._clock.now(),
            ):
                pipeline.put(row)
        pipeline.put(Closing(last.id, last.started_at, last.remote_s or 0.0, "interrupted"))
        return last

    def _next_slot(self, store: ExperimentStore, last: IterationRecord | None) -> Slot | None:
        fresh = self._play.schedule.one_pass or (self._setup.at_once and not self._made)
        return next_slot(
            self._play.schedule,
            self._play.timezone,
            self._clock.now(),
            began_at=store.began_at,
            last_started_at=None if last is None or fresh else last.started_at,
            last_ended_at=None if last is None or fresh else last.closed_at,
        )

    def _wait_until(self, starts_at: float) -> bool:
        """Wait for a slot; False when the user stopped the run meanwhile."""
        if starts_at > self._clock.now():
            self._tell(WaitingForNext(self._plan.experiment, starts_at))
        while (pause := starts_at - self._clock.now()) > 0:
            if self._clock.wait(self._services.stop.finish, pause):
                return False
        return True

    def _wait_for_room(self, pipeline: Pipeline) -> bool:
        """Hold the next iteration while too much waits for the pipeline (design §9.10)."""
        told = False
        while pipeline.backlog() > self._setup.max_backlog:
            pipeline.check()
            if not told:
                text = f"{pipeline.backlog()} attempts wait for their filters; the next iteration waits too"
                self._tell(Notice("warning", text, self._plan.experiment))
                told = True
            if self._clock.wait(self._services.stop.finish, BACKLOG_CHECK_S):
                return False
        return True

    def _open(self, store: ExperimentStore, last: IterationRecord | None, missed: int) -> IterationRecord:
        now = self._clock.now()
        record = IterationRecord(
            id=iteration_id(now, None if last is None else last.id),
            started_at=now,
            pairs=sum(len(host.probes) + len(host.skips) for host in self._plan.hosts),
            missed=missed,
        )
        store.open_iteration(
            record,
            self._setup.provenance,
            [host.host for host in self._plan.hosts],
            self._plan.probe_names,
        )
        return record

    def _pass(self, pipeline: Pipeline, record: IterationRecord, done: frozenset[tuple[str, str]]) -> bool:
        """Make one pass; False when it was left in the middle."""
        self._made += 1
        this = Pass(record.id, record.started_at, done, self._ends_at(record))
        return Iteration(self._play, self._plan, this, pipeline, self._services).run()

    def _ends_at(self, record: IterationRecord) -> float | None:
        """Return when visits must be over: the next slot of a periodic play, rounded to its schedule."""
        if self._play.schedule.every_s is None:
            return None
        slot = next_slot(
            self._play.schedule,
            self._play.timezone,
            record.started_at + math.ulp(record.started_at),
            began_at=record.started_at,
            last_started_at=record.started_at,
            last_ended_at=record.started_at,
        )
        return None if slot is None else slot.starts_at


def _ended(record: IterationRecord, now: float) -> IterationRecord:
    return IterationRecord(
        record.id, record.started_at, now, "closed", record.pairs, now - record.started_at, record.missed
    )
