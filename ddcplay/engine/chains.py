"""The filter chains of one experiment: what the filters of each probe make of its attempts.

Filters give values; here these become what commit 2 writes. State, static facts and alerts are kept in memory
between attempts as the database has them, so that a chain that runs again after a crash starts from the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from ddcplay.engine.events import Notice, Observers
from ddcplay.engine.successive import LABEL, Successive
from ddcplay.engine.telling import Telling
from ddcplay.filtering.base import Filter, FilterContext, HostView, Record
from ddcplay.filtering.chain import Chain, ChainResult, Gathered
from ddcplay.model.alert import AlertCheck
from ddcplay.model.effects import Effect, MailItem, Push, Sample, StaticFact
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import FilterEntry, Play
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store.base import ChainDone, PendingAttempt
from ddcplay.store.experiment_store import ExperimentStore

MakeFilter = Callable[[FilterEntry], Filter]
_STORE = "store"


@dataclass(slots=True)
class _Effects:
    """The effects of one attempt, by where they go."""

    samples: list[Sample] = field(default_factory=list)
    statics: list[StaticFact] = field(default_factory=list)
    checks: list[AlertCheck] = field(default_factory=list)
    items: list[MailItem] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)


class Chains:
    """Runs chains one attempt after another; used by one thread at a time.

    Args:
        play: its probes and their filters.
        plan: its hosts.
        directory: the experiment's.
        store: what is known of states and static facts.
        telling: what becomes of alerts, mails and pushes.
        observers: told of filters that fail outside an attempt.
        make: turns an entry into its filter; called once per probe and entry.
        end: called when no filter will be used any more.
    """

    def __init__(  # noqa: PLR0913 - what the experiment has at hand
        self,
        play: Play,
        plan: Plan,
        directory: Path,
        store: ExperimentStore,
        telling: Telling,
        *,
        observers: Observers,
        make: MakeFilter,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._experiment = plan.experiment
        self._directory = directory
        self._store = store
        self._telling = telling
        self._observers = observers
        self._end = end
        self._log = logging.getLogger(f"ddcplay.filters.{plan.experiment}")
        self._chains = {
            probe.name: Chain(probe.name, probe.filters, make) for probe in play.probes if probe.filters
        }
        self._successive = Successive(play)
        self._hosts = {
            host.host: HostView(host.host, host.groups, host.vars, host.room) for host in plan.hosts
        }
        self._codepages = {
            (host.host, probe.name): probe.codepage for host in plan.hosts for probe in host.probes
        }
        self._unwritten: dict[tuple[str, str], object] = {}
        self._warned: set[str] = set()
        self._places = {"": directory}
        self._states = store.states() if self._chains else {}
        self._statics = store.statics() if self._chains else {}

    def open(self) -> None:
        """Open the filters that are not open; a filter that cannot be opened fails its probe's attempts."""
        for probe, chain in self._chains.items():
            gathered = chain.open(self._pool_contexts(probe, 0))
            self._keep(probe, gathered.states)
            self._note(probe, gathered)

    def run(self, pending: PendingAttempt) -> ChainDone:
        """Send one attempt through its chain.

        Returns:
            What commit 2 has to write; a filter's failure is in it.
        """
        result = pending.result
        self._telling.note(result)
        chain = self._chains.get(result.probe)
        if chain is None:
            return ChainDone(pending.attempt_id)
        view = self._hosts.get(result.host) or HostView(result.host)
        before = self._states.get((result.host, result.probe, LABEL))
        record, kept = self._successive.derive(self._record(result), before)
        ended = chain.run(record, lambda label: self._context(view, result.probe, label, result.iteration))
        ended = replace(ended, states={**ended.states, **kept}) if kept else ended
        if ended.failure is not None:
            return ChainDone(
                pending.attempt_id, Reason.FILTER, ended.failure.message, ended.failure.hint, of=result
            )
        return self._done(pending, ended)

    def iteration_end(self, iteration: int) -> Mapping[tuple[str, str], object]:
        """Tell all filters that an iteration is over; filters that could not be opened are tried again.

        Returns:
            (probe, filter label) → state that changed.
        """
        for probe, chain in self._chains.items():
            contexts = self._pool_contexts(probe, iteration)
            for call in (chain.iteration_end, chain.open):
                gathered = call(contexts)
                self._keep(probe, gathered.states)
                self._note(probe, gathered)
        states, self._unwritten = self._unwritten, {}
        return states

    def close(self, *, at_once: bool = False) -> None:
        """Close the filters and their process; `at_once` only ends the process."""
        for probe, chain in self._chains.items() if not at_once else ():
            self._note(probe, chain.close(self._pool_contexts(probe, 0)))
        self._end()

    # --- inside

    def _record(self, result: AttemptResult) -> Record:
        return Record(
            result.host,
            result.probe,
            result.iteration,
            result.started_at,
            outcome=result.outcome,
            reason=result.reason,
            exit_code=result.exit_code,
            elapsed_s=result.elapsed_s,
            stdout_bytes=result.stdout,
            stderr_bytes=result.stderr,
            data=_lists(result.data),
            codepage=self._codepages.get((result.host, result.probe), 65001),
            stderr_text=result.stderr_text,
        )

    def _context(self, view: HostView, probe: str, label: str, iteration: int) -> FilterContext:
        place = self._places.get(view.name)
        if place is None:  # twice for each record otherwise, and paths are slow to make
            place = self._places[view.name] = self._directory / self._store.directory_name(view.name)
        state = self._states.get((view.name, probe, label))
        return FilterContext(
            view,
            self._experiment,
            place,
            dict(state) if isinstance(state, Mapping) else {},
            self._log,
            static=self._statics.get(view.name, {}),
            iteration=iteration,
        )

    def _pool_contexts(self, probe: str, iteration: int) -> Callable[[str], FilterContext]:
        return lambda label: self._context(HostView(""), probe, label, iteration)

    def _keep(self, probe: str, states: Mapping[str, object]) -> None:
        """Take over states of the pool; the end of the iteration writes them."""
        for label, state in states.items():
            self._states["", probe, label] = self._unwritten[probe, label] = state

    def _note(self, probe: str, gathered: Gathered) -> None:
        if gathered.effects and probe not in self._warned:
            self._warned.add(probe)
            text = (
                f"probe {probe!r}: what {gathered.effects[0][0]!r} wants done outside process() is not done;"
                " keep it in context.state and say it with the next record"
            )
            self._observers.handle(Notice("warning", text, self._experiment))
        for failure in gathered.failures:
            text = f"probe {probe!r}: {failure.message}"
            self._observers.handle(Notice("warning", text, self._experiment))

    def _done(self, pending: PendingAttempt, ended: ChainResult) -> ChainDone:
        result = pending.result
        for label, state in ended.states.items():
            self._states[result.host, result.probe, label] = state
        effects = _sorted(ended.effects)
        if effects.statics:
            facts = self._statics.setdefault(result.host, {})
            facts.update({fact.field: fact.value for fact in effects.statics})
        told = self._telling.attempt(result, effects.checks, effects.items, effects.pushes)
        return ChainDone(
            pending.attempt_id,
            of=result,
            samples=tuple(effects.samples),
            statics=tuple(effects.statics),
            states=ended.states,
            alerts=told.updates,
            events=told.events,
            items=told.items,
            outgoing=told.outgoing,
        )


def _lists(data: object) -> object:
    """Make lists of tuples, so that a filter sees what it would see of an attempt read from the database."""
    if isinstance(data, list | tuple):
        parts = cast("Sequence[object]", data)
        return [part if type(part) in _SCALARS else _lists(part) for part in parts]
    if isinstance(data, Mapping):
        pairs = cast("Mapping[str, object]", data).items()
        return {key: part if type(part) in _SCALARS else _lists(part) for key, part in pairs}
    return data


_SCALARS = frozenset({str, int, float, bool, type(None)})


def _sorted(labelled: Sequence[tuple[str, Effect]]) -> _Effects:
    """Sort effects by where they go; samples get labels that are unique within the attempt."""
    found = _Effects()
    taken: set[str] = set()
    for label, effect in labelled:
        match effect:
            case Sample():
                name = effect.label or ("" if label == _STORE else label)
                number = 2
                while name in taken:
                    name, number = f"{label}#{number}", number + 1
                taken.add(name)
                found.samples.append(Sample(effect.data, effect.key, name))
            case StaticFact():
                found.statics.append(effect)
            case AlertCheck():
                found.checks.append(effect)
            case MailItem():
                found.items.append(effect)
            case Push():
                found.pushes.append(effect)
            case _:
                pass  # a Metric is the textfile filter's own business
    return found
