"""The life of one play: open its directory, mend what a crash left, make its iterations, close it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from ddcplay.engine.chains import Chains
from ddcplay.engine.due import Due
from ddcplay.engine.events import (
    Backlog,
    ExperimentEnded,
    ExperimentStarted,
    IterationClosed,
    Notice,
)
from ddcplay.engine.iteration import Iteration
from ddcplay.engine.pace import Pace
from ddcplay.engine.pipeline import Closing, Pipeline, Places
from ddcplay.engine.reporting import Reporting, WriteReport
from ddcplay.engine.retention import Housekeeping
from ddcplay.engine.roster import Pair, Roster
from ddcplay.engine.services import Services
from ddcplay.engine.single_shot import SingleShot
from ddcplay.engine.telling import Telling
from ddcplay.engine.users_key import with_users_key
from ddcplay.engine.window import Pass
from ddcplay.errors import StoreError
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.model.result import Reason
from ddcplay.planning.timetable import iteration_id, next_slot, should_continue
from ddcplay.store.archive import Archive
from ddcplay.store.base import IterationRecord, Provenance
from ddcplay.store.experiment_store import ExperimentStore, open_store
from ddcplay.store.trace import TraceFiles
from ddcplay.store.views import refresh_views_of

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
        pool: every host of the play, whatever `--limit` left in the plan; None when nothing was left out.
        again: probes of a single shot that are owed anew on all hosts of the plan.
        silent: nothing leaves the house: no mail, no push, no heartbeat.
        write_report: writes the HTML file of `report:`.
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
    pool: Collection[str] | None = None
    again: tuple[str, ...] = ()
    silent: bool = False
    write_report: WriteReport | None = None


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
        self._recorded = 0

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
            self._plan = with_users_key(self._plan, setup.directory)
            pipeline = self._pipeline(store)
            try:
                pipeline.recover()
                self._announce()
                why = self._iterate(store, pipeline)
            finally:
                pipeline.close()
            pipeline.check()
            self._refresh_views()
            self._tell(ExperimentEnded(setup.plan.experiment, self._recorded, why))
            return pipeline.last_closed
        finally:
            store.close()

    def _refresh_views(self) -> None:
        """Make the SQL views of stored samples; a run is no worse for it when that fails."""
        if self._setup.silent or not any(probe.filters for probe in self._play.probes):
            return
        try:
            refresh_views_of(self._setup.directory, self._setup.database)
        except StoreError as error:
            text = f"the views of samples could not be made: {error}"
            self._tell(Notice("warning", text, self._plan.experiment))

    def _pipeline(self, store: ExperimentStore) -> Pipeline:
        setup, services = self._setup, self._services
        post = None if setup.silent else services.post
        reporting = Reporting(
            self._play,
            {host.host: host.room for host in self._plan.hosts},
            store,
            setup.directory,
            None if post is None else post.sender,
            notice=lambda text: self._tell(Notice("warning", text, setup.plan.experiment)),
            write=setup.write_report,
            redact=str if post is None else post.redact,
        )
        telling = Telling(
            self._play,
            self._plan,
            store,
            post,
            reporting,
            observers=services.observers,
            clock=self._clock,
            pool=setup.pool,
        )
        filters = services.filters.begin()
        chains = Chains(
            self._play,
            self._plan,
            setup.directory,
            store,
            telling,
            observers=services.observers,
            make=filters.make,
            end=filters.close,
        )
        archive, kept = Archive(setup.directory, store), None if setup.silent else services.kept
        keep = {probe.name: str(probe.options.get("keep", "always")) for probe in self._play.probes}
        return Pipeline(
            self._plan.experiment,
            Places(
                store,
                archive,
                TraceFiles(setup.directory, sync=setup.durability != "batch"),
                keep,
                None if kept is None else Housekeeping(store, archive, kept, self._clock),
            ),
            chains,
            telling,
            observers=services.observers,
            clock=self._clock,
            threaded=services.threaded,
            gathers=services.gathers,
            pays_debts=self._play.schedule.single_shot is not None,
            leaving=services.stop.leave.is_set,
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
                repeats=not self._play.schedule.one_pass,
            )
        )
        for warning in self._plan.warnings:
            self._tell(Notice("warning", warning, self._plan.experiment))

    def _iterate(self, store: ExperimentStore, pipeline: Pipeline) -> str:
        """Make iterations; returns why there are no more."""
        pace = self._pace = Pace(
            self._play, store.began_at, self._clock, self._services.stop, self._services.observers
        )
        self._due = Due(self._play, self._plan, store)
        self._take_up(store, pipeline)
        shot = self._single_shot(store)
        while True:
            if self._services.stop.finish.is_set():
                return "stopped"
            if shot is not None and not shot.owed:
                return "gave_up" if shot.gave_up else "done"
            if self._made and self._play.schedule.one_pass:
                return "done"
            if self._setup.iterations is not None and self._made >= self._setup.iterations:
                return "iterations"
            if not self._made and (self._play.schedule.one_pass or shot):
                pace.forget()
            missed = 0
            if self._made or not self._setup.at_once:
                slot = pace.wait(quiet=shot is not None and not shot.changed)
                if isinstance(slot, str):
                    return slot
                missed = slot.missed
            if not self._wait_for_room(pipeline) or not self._make(store, pipeline, missed, shot):
                return "stopped"

    def _single_shot(self, store: ExperimentStore) -> SingleShot | None:
        if self._play.schedule.single_shot is None:
            return None
        pool = self._setup.pool
        shot = SingleShot(
            self._play,
            self._plan,
            [host.host for host in self._plan.hosts] if pool is None else pool,
            store.debts,
            clock=self._clock,
            observers=self._services.observers,
        )
        shot.begin(self._setup.again)
        return shot

    def _take_up(self, store: ExperimentStore, pipeline: Pipeline) -> None:
        """Continue the iteration a stopped coordinator left open, or close it (design §9.7)."""
        last = store.last_iteration()
        if last is None:
            return
        self._pace.resume(last.started_at, last.closed_at)
        if last.state != "open":
            return
        done = store.recorded_pairs(last.id)
        ends_at = self._ends_at(last)
        if should_continue(self._play.schedule, last.started_at, self._clock.now(), self._play.timezone):
            plan = self._due.plan(last.id, last.started_at, ends_at)
            self._recorded += 1
            self._run(pipeline, plan, self._pass_of(last, done, ends_at))
            self._pace.resume(last.started_at, self._clock.now())
            return
        if self._play.schedule.single_shot is None:
            self._interrupt(pipeline, self._due.plan(last.id, last.started_at, ends_at), last.id, done)
        pipeline.put(Closing(last.id, last.started_at, last.remote_s or 0.0, "interrupted"))
        pipeline.acknowledged()

    def _interrupt(self, pipeline: Pipeline, plan: Plan, iteration: int, done: frozenset[Pair]) -> None:
        """Close the pairs that have no row; those of a single shot stay owed instead."""
        roster = Roster(plan, iteration, done)
        now = self._clock.now()
        for row in roster.skips(done, now):
            pipeline.put(row)
        why = "the coordinator was stopped in this iteration"
        for host in roster.hosts():
            for row in roster.close_all(host.host, Reason.INTERRUPTED, why, on=None, at=now):
                pipeline.put(row)

    def _wait_for_room(self, pipeline: Pipeline) -> bool:
        """Hold the next iteration while too much waits for the pipeline (design §9.10)."""
        pipeline.acknowledged()  # what `recover` relies on: only the last open iteration can lack rows
        told = False
        while (waiting := pipeline.backlog()) > self._setup.max_backlog:
            pipeline.check()
            self._tell(Backlog(self._plan.experiment, waiting))
            if not told:
                text = f"{waiting} attempts wait for their filters; the next iteration waits too"
                self._tell(Notice("warning", text, self._plan.experiment))
                told = True
            if self._clock.wait(self._services.stop.finish, BACKLOG_CHECK_S):
                return False
        if told:
            self._tell(Backlog(self._plan.experiment, 0))
        return True

    def _make(self, store: ExperimentStore, pipeline: Pipeline, missed: int, shot: SingleShot | None) -> bool:
        """Make one iteration; False when it was left in the middle."""
        last = store.last_iteration()
        now = self._clock.now()
        record = IterationRecord(iteration_id(now, None if last is None else last.id), now, missed=missed)
        self._pace.note_start(now)
        if shot is not None:
            plan = shot.plan()
            window = shot.window(lambda: self._open(store, record, plan))
            whole = self._run(pipeline, plan, Pass(record.id, now, window=window))
            if whole:
                pipeline.acknowledged()
                shot.review(window)
        else:
            ends_at = self._ends_at(record)
            plan = self._due.plan(record.id, now, ends_at)
            self._open(store, record, plan)
            whole = self._run(pipeline, plan, self._pass_of(record, frozenset(), ends_at))
        self._pace.note_end()
        return whole

    def _open(self, store: ExperimentStore, record: IterationRecord, plan: Plan) -> None:
        pairs = sum(len(host.probes) + len(host.skips) for host in plan.hosts)
        self._recorded += 1  # windows of a single shot in which nothing ran never come here
        store.open_iteration(
            replace(record, pairs=pairs),
            self._setup.provenance,
            [host.host for host in self._plan.hosts],
            self._plan.probe_names,
        )

    def _pass_of(self, record: IterationRecord, done: frozenset[Pair], ends_at: float | None) -> Pass:
        late_sweep = self._play.late_sweep and not self._play.schedule.one_pass
        return Pass(record.id, record.started_at, done, ends_at, late_sweep)

    def _run(self, pipeline: Pipeline, plan: Plan, this: Pass) -> bool:
        self._made += 1
        return Iteration(self._play, plan, this, pipeline, self._services).run()

    def _ends_at(self, record: IterationRecord) -> float | None:
        """Return when visits must be over: the next slot of a periodic play, rounded to its schedule."""
        schedule = self._play.schedule
        # With `--once` no slot follows, and a cron slot may be a second away.
        alone = schedule.cron is not None and self._setup.at_once
        if schedule.one_pass or schedule.single_shot is not None or alone:
            return None
        slot = next_slot(
            schedule,
            self._play.timezone,
            record.started_at + math.ulp(record.started_at),
            began_at=record.started_at,
            last_started_at=record.started_at,
            last_ended_at=record.started_at,
        )
        return None if slot is None else slot.starts_at
