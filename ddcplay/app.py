"""The composition root: the only file that knows all parts.

Every command of the command line comes through one of the functions here; `cli` hands in observers and
options and prints what comes back. Heavy parts are imported inside the function that needs them, so that
`ddcplay --version` and the refusal of a wrong playbook stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from ddcplay.engine.events import IterationClosed, Observer
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import Place, UsageError
from ddcplay.model.inventory import Host, Inventory
from ddcplay.model.options import Options
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, ProbeEntry
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.model.simulation import SimulationRequest

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.engine.adhoc import Answers
    from ddcplay.engine.preparing import Prepared
    from ddcplay.engine.replay import Replayed
    from ddcplay.engine.reporting import ReportFile
    from ddcplay.transport.sweep import SweepAnswer


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Args:
        last: experiment → its last iteration in this process, None when none closed.
        interrupted: the user stopped it.
        directories: experiment → where its files are.
    """

    last: Mapping[str, IterationClosed | None]
    interrupted: bool = False
    directories: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PingRow:
    """One host of `ddcplay ping`: what the sweep saw and, with `--login`, whether logging on worked."""

    host: str
    answer: SweepAnswer
    login: str = ""
    detail: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def prepare(playbooks: Sequence[str], options: Options) -> Prepared:
    """Read settings, inventory and playbooks, and plan every play for every host.

    Raises:
        ConfigError: files are wrong; all problems at once.
        UsageError: no such file, pattern, tag or inventory.
    """
    from ddcplay.engine.preparing import prepare as prepared_from

    return prepared_from(playbooks, options)


def run(prepared: Prepared, options: Options, observers: Sequence[Observer], stop: StopRequest) -> RunOutcome:
    """Run the plays side by side until their schedules end or `stop` is asked.

    Raises:
        ExperimentBusyError: another coordinator runs one of the experiments.
        StoreError: nothing can be written where the results belong.
    """
    from ddcplay.engine.experiment import ExperimentSetup
    from ddcplay.engine.process import run_side_by_side
    from ddcplay.engine.provenance import provenance_of

    settings = prepared.settings
    setups = [
        ExperimentSetup(
            item.play,
            item.plan,
            settings.data_dir / item.plan.experiment,
            provenance_of(item.playbook),
            durability=settings.durability,
            max_backlog=settings.max_backlog,
            iterations=1 if options.once else options.iterations or item.play.schedule.iterations,
            at_once=options.once,
            pool=item.pool,
            again=options.again,
            write_report=lambda due: _write_report(settings, due),
        )
        for item in prepared.plays
    ]
    last = run_side_by_side(settings, setups, observers, stop)
    return RunOutcome(
        last,
        interrupted=stop.finish.is_set(),
        directories={setup.plan.experiment: setup.directory for setup in setups},
    )


def simulate(
    playbook: str,
    options: Options,
    request: SimulationRequest,
    observers: Sequence[Observer],
    stop: StopRequest,
) -> tuple[RunOutcome, tuple[str, ...]]:
    """Run a playbook on virtual time against simulated PCs, its plays one after another.

    Returns:
        How it ended, and the warnings of reading the playbook.

    Raises:
        ConfigError: files are wrong.
        UsageError: what was simulated before was made with other values.
    """
    from ddcplay.engine.simulating import simulate as run_simulation

    last, directories, warnings = run_simulation(playbook, options, request, observers, stop)
    return RunOutcome(last, interrupted=stop.finish.is_set(), directories=directories), warnings


def replay(
    source: Path,
    target: Path,
    playbook: str | None,
    options: Options,
    observers: Sequence[Observer],
    stop: StopRequest,
) -> Replayed:
    """Run the chains of an experiment's playbook again over what it archived; no host is contacted.

    Args:
        source: the experiment's directory.
        target: directory of the new database.
        playbook: None for the one that the newest iteration was run with.
        options: inventory, settings, extra variables.
        observers: told of alerts and of filters that fail.
        stop: how the user stops it.

    Raises:
        UsageError: the playbook has no such experiment, or nothing of it can be replayed.
        StoreError: the archive was changed, or the new database cannot be written.
    """
    from ddcplay.engine.database import database_url
    from ddcplay.engine.events import Observers
    from ddcplay.engine.filters import FilterMeans
    from ddcplay.engine.preparing import prepare as prepared_from
    from ddcplay.engine.replay import replay as run_again
    from ddcplay.store.queries import open_reader
    from ddcplay.store.replay_reads import recorded_playbook

    settings = read_settings(options)
    with open_reader(source, database_url(settings)) as reader:
        path = playbook or recorded_playbook(reader)
        prepared = prepared_from([path], options)
        plays = {item.plan.experiment: item for item in prepared.plays}
        if reader.experiment not in plays:
            known = ", ".join(plays)
            raise UsageError(
                f"{path} has no experiment {reader.experiment!r}",
                f"it has {known}; name another playbook with --playbook",
            )
        item = plays[reader.experiment]
        root = settings.project_root
        means = FilterMeans((root, root / "filters"), settings.filter_timeout_s, directory=root)
        what = (item.play, item.plan)
        return run_again(reader, source, target, what, means, Observers(observers), stop)


def load_inventory(options: Options) -> tuple[Inventory, tuple[str, ...]]:
    """Read the inventory alone; returns it with warnings.

    Raises:
        ConfigError: its files are wrong.
        UsageError: there is none, or more than one.
    """
    from ddcplay.config.inventory_files import load_inventory_with_warnings
    from ddcplay.engine.preparing import sources_of

    settings = read_settings(options)
    loaded = load_inventory_with_warnings(sources_of(settings, options), playbook_dir=settings.project_root)
    return loaded.inventory, tuple(map(str, loaded.warnings))


def select(inventory: Inventory, pattern: str, options: Options) -> tuple[Host, ...]:
    """Pick hosts by pattern and `--limit`.

    Raises:
        PatternError: something unknown, or nothing left.
    """
    from ddcplay.engine.preparing import selected

    return selected(inventory, pattern, options)[0]


def ping(pattern: str, options: Options, *, login: bool, on_row: Callable[[PingRow], None]) -> int:
    """Sweep hosts (and log on to each with `login`, through the credential gate); tells each as it is known.

    Returns:
        How many hosts answered (with `login`: were logged on to).
    """
    from ddcplay.engine.adhoc import LOGIN, Answers
    from ddcplay.engine.preparing import plan_for
    from ddcplay.transport.sweep import HostState, sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    play = _ad_hoc_play("ping", pattern, ProbeEntry("login", LOGIN, "", {"timeout": 15}), options)
    plan, _ = plan_for(play, inventory, options)
    if not login:
        states: list[HostState] = []

        def tell(answer: SweepAnswer) -> None:
            states.append(answer.state)
            on_row(PingRow(answer.host, answer))

        sweep([host.target for host in plan.hosts], play.ping, tell)
        return states.count(HostState.UP)

    def tell_login(answer: SweepAnswer | None, result: AttemptResult) -> None:
        if answer is not None:
            reached = "" if result.outcome is Outcome.UNAVAILABLE else (result.reason or "ok")
            on_row(PingRow(result.host, answer, reached, result.detail))

    answers = Answers(sweep, tell_login)
    _run_once(settings, play, plan, answers, (), StopRequest(), save=None)
    return answers.ok


def probe(  # noqa: PLR0913 - each is a switch of the command
    pattern: str,
    kind: str,
    text: str,
    options: Options,
    observers: Sequence[Observer],
    stop: StopRequest,
    *,
    timeout_s: float = 60.0,
    save: str | None = None,
    more: Mapping[str, object] = MappingProxyType({}),
) -> tuple[AttemptResult, ...]:
    """Run one command, script or query once on the hosts of a pattern, with the same engine as `run`.

    Args:
        pattern: which hosts.
        kind: `command`, `powershell` or `wmi`.
        text: what to run.
        options: limit, inventory, settings.
        observers: who is told of progress.
        stop: how to stop.
        timeout_s: per host.
        save: experiment name to archive under, None to keep nothing.
        more: further keys of the probe, such as `namespace`.

    Returns:
        One result per host, in inventory order.
    """
    from ddcplay.engine.adhoc import Answers
    from ddcplay.engine.preparing import plan_for
    from ddcplay.transport.sweep import sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    entry = ProbeEntry(kind, kind, text, {"timeout": timeout_s, **more})
    play = _ad_hoc_play(save or "probe", pattern, entry, options)
    plan, _ = plan_for(play, inventory, options)
    answers = Answers(sweep, lambda _answer, _result: None)
    _run_once(settings, play, plan, answers, observers, stop, save=save)
    return tuple(answers.results[host.host] for host in plan.hosts if host.host in answers.results)


def read_settings(options: Options) -> Settings:
    """Read `ddcplay.yml`, `DDCPLAY_*` and flags.

    Raises:
        ConfigError: everything that is wrong in them.
    """
    from ddcplay.engine import preparing

    return preparing.read_settings(options)


def _write_report(settings: Settings, due: ReportFile) -> None:
    """Write the HTML report that a play asks for."""
    from ddcplay.engine.database import database_url
    from ddcplay.reporting import ReportScope, read_study, write_report

    scope = ReportScope(timezone=due.timezone, rooms=due.rooms)
    study = read_study(due.experiment, database_url(settings), scope)
    simulated = "simulated" in due.experiment.absolute().parts[:-1]
    write_report(study, due.file, due.made_at, simulated=simulated)


def _ad_hoc_play(name: str, pattern: str, entry: ProbeEntry, options: Options) -> Play:
    from ddcplay.engine.preparing import with_flags

    play = Play(name, pattern, name, (replace(entry, place=Place("command line")),))
    return with_flags(play, options)


def _run_once(
    settings: Settings,
    play: Play,
    plan: Plan,
    answers: Answers,
    observers: Sequence[Observer],
    stop: StopRequest,
    *,
    save: str | None,
) -> None:
    """Make one pass in a scratch directory, or under an experiment's name when it is to be kept."""
    from ddcplay.engine.experiment import ExperimentSetup
    from ddcplay.engine.process import run_side_by_side

    with TemporaryDirectory(prefix="ddcplay-") as scratch:
        directory = settings.data_dir / save if save else Path(scratch) / plan.experiment
        setup = ExperimentSetup(
            play, plan, directory, durability="full" if save else "batch", at_once=True, silent=True
        )
        run_side_by_side(settings, [setup], [answers, *observers], stop, sweep=answers.sweep)
