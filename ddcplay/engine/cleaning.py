"""`ddcplay clean`: visits the hosts on which an experiment left something, and no others.

It is a pass of its own with the same sweep, credential gate and visits as a run, in a scratch directory;
what it achieved is written to the debts of the experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from ddcplay.config.settings import Settings
from ddcplay.engine.adhoc import Answers
from ddcplay.engine.database import database_url
from ddcplay.engine.events import Observer
from ddcplay.engine.experiment import ExperimentSetup
from ddcplay.engine.leftovers import KIND
from ddcplay.engine.process import run_side_by_side
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import UsageError
from ddcplay.model.inventory import Host, Inventory
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.model.result import AttemptResult
from ddcplay.planning.planner import plan_play
from ddcplay.planning.rooms import owners_of_secrets
from ddcplay.store.experiment_store import DATABASE_FILE, ExperimentStore, open_store
from ddcplay.store.leftovers import Leftover
from ddcplay.store.queries import open_reader
from ddcplay.transport.sweep import sweep
from ddcplay.units import SystemClock

_BUDGET_S = 30.0


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What became of an experiment's leftovers.

    Args:
        removed: gone from their hosts.
        owed: still there.
        why: host → why it is still owed, as far as it was visited.
    """

    removed: tuple[Leftover, ...] = ()
    owed: tuple[Leftover, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CleaningMeans:
    """What a cleaning works with.

    Args:
        settings: of the project.
        inventory: where hosts are looked up.
        limit: names of the hosts that may be visited, None for all.
        extra_vars: `-e`.
        observers: told of progress.
        stop: how the user stops it.
    """

    settings: Settings
    inventory: Inventory
    limit: frozenset[str] | None
    extra_vars: Mapping[str, object]
    observers: Sequence[Observer]
    stop: StopRequest


def clean(directory: Path, means: CleaningMeans) -> Cleaning:
    """Remove what an experiment left on its targets.

    Args:
        directory: the experiment's.
        means: see there.

    Raises:
        ExperimentBusyError: it runs just now.
        StoreError: its database cannot be read or written.
        ConfigError: a host's connection variables are wrong.
    """
    settings, clock = means.settings, SystemClock()
    url = database_url(settings)
    if url is None and not (directory / DATABASE_FILE).is_file():
        raise UsageError(f"{directory} holds no {DATABASE_FILE}", "name an experiment that was run here")
    if url is not None:
        open_reader(directory, url).close()  # what the database does not know must not begin here
    store = open_store(directory, directory.name, play=directory.name, clock_now=clock.now(), url=url)
    try:
        owed = store.leftovers.owed()
        hosts = _hosts(owed, means)
        results = _visit(owed, hosts, means) if hosts else {}
        return _settle(store, owed, results, _strangers(owed, means), clock.now())
    finally:
        store.close()


def _hosts(owed: Sequence[Leftover], means: CleaningMeans) -> list[Host]:
    names = {item.host for item in owed if means.limit is None or item.host in means.limit}
    return [host for name, host in means.inventory.hosts.items() if name in names]


def _strangers(owed: Sequence[Leftover], means: CleaningMeans) -> dict[str, str]:
    return {
        item.host: "the inventory does not have this host any more"
        for item in owed
        if item.host not in means.inventory.hosts
    }


def _visit(
    owed: Sequence[Leftover], hosts: Sequence[Host], means: CleaningMeans
) -> Mapping[str, AttemptResult]:
    directories: dict[str, list[str]] = {}
    for item in owed:
        directories.setdefault(item.host, []).extend(item.directories)

    def build(entry: ProbeEntry, _rendered: Mapping[str, object], host: str) -> ProbeSpec:
        return ProbeSpec(entry.name, KIND, tuple(dict.fromkeys(directories[host])), _BUDGET_S)

    # A template keeps the planner from sharing one probe among all hosts.
    play = Play("clean", "all", "clean", (ProbeEntry(KIND, KIND, "{{ inventory_hostname }}"),))
    plan = plan_play(
        play,
        hosts,
        room_of=means.inventory.room,
        build_probe=build,
        extra_vars=means.extra_vars,
        per_host_secret=owners_of_secrets(means.inventory),
    )
    answers = Answers(sweep, lambda _answer, _result: None)
    with TemporaryDirectory(prefix="ddcplay-") as scratch:
        setup = ExperimentSetup(
            play, plan, Path(scratch) / "clean", durability="batch", at_once=True, silent=True
        )
        run_side_by_side(
            means.settings, [setup], [answers, *means.observers], means.stop, sweep=answers.sweep
        )
    return answers.results


def _settle(
    store: ExperimentStore,
    owed: Sequence[Leftover],
    results: Mapping[str, AttemptResult],
    why: dict[str, str],
    now: float,
) -> Cleaning:
    """Pay what is gone, note why the rest is not."""
    removed: list[Leftover] = []
    for item in owed:
        result = results.get(item.host)
        if result is None:
            continue
        if result.reason is None or (result.left and not set(item.directories) & set(result.left)):
            removed.append(item)
        else:
            why[item.host] = f"{result.outcome}: {result.reason}: {result.detail}"
            store.leftovers.note((item.host, item.probe), result.reason.value)
    store.leftovers.pay([(item.host, item.probe) for item in removed], now, "clean")
    return Cleaning(tuple(removed), store.leftovers.owed(), why)
