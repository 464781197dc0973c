"""The composition root: the only file that knows all parts.

Every command of the command line comes through one of the functions here; `cli` hands in observers and
options and prints what comes back. Heavy parts are imported inside the function that needs them, so that
`ddcplay --version` and the refusal of a wrong playbook stay quick.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from ddcplay.engine.events import IterationClosed, Observer
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import ConfigError, PatternError, Place, Problem, UsageError
from ddcplay.model.inventory import Host, Inventory
from ddcplay.model.options import Options
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, Playbook, ProbeEntry
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.plugins import load_once

LOGIN = "login"
"""The kind of the probe of `ping --login` (`engine.adhoc.LoginProbe`), which no playbook can name."""

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.engine.adhoc import Answers
    from ddcplay.transport.sweep import SweepAnswer


@dataclass(frozen=True, slots=True)
class PreparedPlay:
    """One play, read, rendered and validated for every one of its hosts; nothing was contacted.

    Args:
        playbook: where it stands.
        play: as read, with the flags of the command line.
        plan: for the hosts that `--limit` leaves.
        pool: every host of the play when `--limit` was written, else None.
    """

    playbook: Playbook
    play: Play
    plan: Plan
    pool: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything a run needs, from files alone.

    Args:
        settings: the project's settings.
        inventory: the whole inventory.
        plays: every play of every playbook named, in order; experiment names are unique.
        warnings: what `check` prints and `run` mentions once.
    """

    settings: Settings
    inventory: Inventory
    plays: tuple[PreparedPlay, ...]
    warnings: tuple[str, ...] = ()


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
    from ddcplay.config.inventory_files import load_inventory_with_warnings
    from ddcplay.config.playbook_check import check_playbook
    from ddcplay.config.playbook_file import find_playbook, read_playbook
    from ddcplay.planning.refusals import refuse_doubles, refuse_unknown_tags, refuse_wrong_again

    settings = read_settings(options)
    sources = _sources(settings, options)
    plays: list[PreparedPlay] = []
    warnings: list[str] = []
    problems: list[Problem] = []
    inventory = Inventory({}, {})
    for name in playbooks:
        try:
            path = find_playbook(
                name, settings.project_root, Path.cwd(), project_first=options.directory is not None
            )
            playbook = read_playbook(
                path, extra_vars=options.extra_vars, render=_render, project_root=settings.project_root
            )
            loaded = load_inventory_with_warnings(sources, playbook_dir=path.parent)
            inventory = loaded.inventory
            warnings += [
                *map(str, loaded.warnings),
                *check_playbook(playbook, smtp=settings.smtp is not None),
            ]
            for written in playbook.plays:
                play = _with_flags(written, options)
                plan, hints = _plan(play, inventory, options)
                warnings += hints
                plays.append(PreparedPlay(playbook, play, plan, _pool(play, inventory, options)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    planned = [(item.play, item.plan) for item in plays]
    refuse_doubles(planned)
    refuse_unknown_tags(planned, options.tags)
    refuse_wrong_again(planned, options.again)
    return Prepared(settings, inventory, tuple(plays), tuple(dict.fromkeys(warnings)))


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
        )
        for item in prepared.plays
    ]
    last = run_side_by_side(settings, setups, observers, stop)
    return RunOutcome(
        last,
        interrupted=stop.finish.is_set(),
        directories={setup.plan.experiment: setup.directory for setup in setups},
    )


def load_inventory(options: Options) -> tuple[Inventory, tuple[str, ...]]:
    """Read the inventory alone; returns it with warnings.

    Raises:
        ConfigError: its files are wrong.
        UsageError: there is none, or more than one.
    """
    from ddcplay.config.inventory_files import load_inventory_with_warnings

    settings = read_settings(options)
    loaded = load_inventory_with_warnings(_sources(settings, options), playbook_dir=settings.project_root)
    return loaded.inventory, tuple(map(str, loaded.warnings))


def select(inventory: Inventory, pattern: str, options: Options) -> tuple[Host, ...]:
    """Pick hosts by pattern and `--limit`.

    Raises:
        PatternError: something unknown, or nothing left.
    """
    return _selected(inventory, pattern, options)[0]


def ping(pattern: str, options: Options, *, login: bool, on_row: Callable[[PingRow], None]) -> int:
    """Sweep hosts (and log on to each with `login`, through the credential gate); tells each as it is known.

    Returns:
        How many hosts answered (with `login`: were logged on to).
    """
    from ddcplay.engine.adhoc import Answers
    from ddcplay.transport.sweep import HostState, sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    play = _ad_hoc_play("ping", pattern, ProbeEntry("login", LOGIN, "", {"timeout": 15}), options)
    plan, _ = _plan(play, inventory, options)
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
    from ddcplay.transport.sweep import sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    entry = ProbeEntry(kind, kind, text, {"timeout": timeout_s, **more})
    play = _ad_hoc_play(save or "probe", pattern, entry, options)
    plan, _ = _plan(play, inventory, options)
    answers = Answers(sweep, lambda _answer, _result: None)
    _run_once(settings, play, plan, answers, observers, stop, save=save)
    return tuple(answers.results[host.host] for host in plan.hosts if host.host in answers.results)


def read_settings(options: Options) -> Settings:
    """Read `ddcplay.yml`, `DDCPLAY_*` and flags.

    Raises:
        ConfigError: everything that is wrong in them.
    """
    from ddcplay.config.settings import load_settings

    overrides = dict(options.overrides)
    if options.directory is not None:
        overrides["project_root"] = options.directory
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory was removed", "cd to the project first") from None
    return load_settings(here, os.environ, overrides)


def _sources(settings: Settings, options: Options) -> tuple[str, ...]:
    from ddcplay.config.inventory_files import discover_inventory

    if options.inventory:
        return options.inventory
    return (settings.inventory or discover_inventory(settings.project_root),)


def _selected(
    inventory: Inventory, pattern: str, options: Options, place: Place | None = None
) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    from ddcplay.config.inventory_files import read_limit
    from ddcplay.planning.pattern import select_hosts

    try:
        select_hosts(inventory, pattern)
    except PatternError as error:
        raise PatternError(error.message, error.hint, place) from None
    limit = None if options.limit is None else read_limit(options.limit)
    chosen = select_hosts(inventory, pattern, limit)
    return chosen.hosts, chosen.warnings


def _plan(play: Play, inventory: Inventory, options: Options) -> tuple[Plan, tuple[str, ...]]:
    """Plan a play; returns it with the warnings of its pattern."""
    from ddcplay.config.playbook_file import build_probe
    from ddcplay.config.probe_file import ProbeFiles, slow_files
    from ddcplay.planning.planner import plan_play
    from ddcplay.planning.rooms import owners_of_secrets, rooms_of

    hosts, warnings = _selected(inventory, play.hosts, options, play.place if play.place.file else None)
    plan = plan_play(
        play,
        hosts,
        room_of=rooms_of(play, inventory),
        build_probe=partial(build_probe, files=ProbeFiles(_file_folders(play, options), play.experiment)),
        extra_vars=options.extra_vars,
        tags=options.tags,
        skip_tags=options.skip_tags,
        per_host_secret=owners_of_secrets(inventory),
    )
    _check_probes(play, plan)
    return plan, (*warnings, *slow_files(plan))


def _file_folders(play: Play, options: Options) -> tuple[Path, ...]:
    """Return where probe files are looked for: beside the playbook, then in the project root (design §4)."""
    beside = (Path(play.place.file).parent,) if play.place.file else ()
    return (*beside, read_settings(options).project_root)


def _pool(play: Play, inventory: Inventory, options: Options) -> frozenset[str] | None:
    """Return all hosts of a single shot when `--limit` leaves some out: their debts are not void."""
    if options.limit is None or play.schedule.single_shot is None:
        return None
    hosts, _ = _selected(inventory, play.hosts, replace(options, limit=None))
    return frozenset(host.name for host in hosts)


def _check_probes(play: Play, plan: Plan) -> None:
    """Let each kind of probe refuse what it cannot run, before anything is contacted."""
    probes = load_once("ddcplay.probes", lambda make: make())
    places = {entry.name: entry.place for entry in play.probes}
    problems: dict[str, Problem] = {}
    for spec in {id(spec): spec for host in plan.hosts for spec in host.probes}.values():
        if spec.kind == LOGIN:
            continue
        try:
            probes(spec.kind).command_line(spec)
        except UsageError as error:
            problems.setdefault(spec.name, Problem(places[spec.name], error.message, error.hint))
    if problems:
        raise ConfigError(tuple(problems.values()))


def _render(text: str, variables: Mapping[str, object], place: Place) -> object:
    from ddcplay.templating.environment import render_value

    return render_value(text, variables, place)


def _with_flags(play: Play, options: Options) -> Play:
    return play if options.concurrency is None else replace(play, concurrency=options.concurrency)


def _ad_hoc_play(name: str, pattern: str, entry: ProbeEntry, options: Options) -> Play:
    return _with_flags(Play(name, pattern, name, (replace(entry, place=Place("command line")),)), options)


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
        setup = ExperimentSetup(play, plan, directory, durability="full" if save else "batch", at_once=True)
        run_side_by_side(settings, [setup], [answers, *observers], stop, sweep=answers.sweep)
