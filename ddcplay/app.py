"""The composition root: the only file that knows all parts.

Every command of the command line comes through one of the functions here; `cli` hands in observers and
options and prints what comes back. Heavy parts are imported inside the function that needs them, so that
`ddcplay --version` and the refusal of a wrong playbook stay quick.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ddcplay.engine.events import IterationClosed, Observer
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import ConfigError, DdcplayError, Place, Problem, UsageError
from ddcplay.model.inventory import Host, Inventory, SecretRef
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play, Playbook, ProbeEntry
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.plugins import load
from ddcplay.units import SystemClock

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.engine.adhoc import Answers
    from ddcplay.engine.events import Observers
    from ddcplay.engine.experiment import ExperimentSetup
    from ddcplay.engine.iteration import Services, Sweep
    from ddcplay.secrets.redact import Redactor
    from ddcplay.transport.sweep import SweepAnswer


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said, before any file is read.

    Args:
        directory: `-C`, None = the current directory.
        inventory: `-i`, as often as written; empty = the setting or the default.
        limit: `-l`, None for all.
        tags: `-t`.
        skip_tags: `--skip-tags`.
        extra_vars: `-e`, already parsed and merged.
        overrides: settings given as flags (`data_dir`, `executor`, `workers`, …).
        concurrency: `-f`, None = the play's.
        once: one iteration, whatever the schedule says.
        iterations: this many iterations, None = the schedule's.
    """

    directory: Path | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    extra_vars: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    concurrency: int | None = None
    once: bool = False
    iterations: int | None = None


@dataclass(frozen=True, slots=True)
class PreparedPlay:
    """One play, read, rendered and validated for every one of its hosts; nothing was contacted."""

    playbook: Playbook
    play: Play
    plan: Plan


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

    settings = read_settings(options)
    sources = _sources(settings, options)
    plays: list[PreparedPlay] = []
    warnings: list[str] = []
    problems: list[Problem] = []
    inventory = Inventory({}, {})
    for name in playbooks:
        try:
            path = find_playbook(name, settings.project_root, Path.cwd())
            playbook = read_playbook(
                path, extra_vars=options.extra_vars, render=_render, project_root=settings.project_root
            )
            loaded = load_inventory_with_warnings(sources, playbook_dir=path.parent)
            inventory = loaded.inventory
            warnings += [*map(str, loaded.warnings), *check_playbook(playbook)]
            for written in playbook.plays:
                play = _with_flags(written, options)
                plan, hints = _plan(play, inventory, options)
                warnings += hints
                plays.append(PreparedPlay(playbook, play, plan))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    _refuse_doubles(plays)
    _refuse_unknown_tags(plays, options)
    return Prepared(settings, inventory, tuple(plays), tuple(dict.fromkeys(warnings)))


def run(prepared: Prepared, options: Options, observers: Sequence[Observer], stop: StopRequest) -> RunOutcome:
    """Run the plays side by side until their schedules end or `stop` is asked.

    Raises:
        ExperimentBusyError: another coordinator runs one of the experiments.
        StoreError: nothing can be written where the results belong.
    """
    from ddcplay.engine.experiment import ExperimentSetup
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
        )
        for item in prepared.plays
    ]
    last = _run_setups(settings, setups, observers, stop)
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
    from ddcplay.engine.adhoc import Answers, LoginProbe
    from ddcplay.transport.sweep import HostState, sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    play = _ad_hoc_play("ping", pattern, ProbeEntry("login", LoginProbe.kind, "", {"timeout": 15}), options)
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
) -> tuple[AttemptResult, ...]:
    """Run one command or script once on the hosts of a pattern, with the same engine as `run`.

    Args:
        pattern: which hosts.
        kind: `command` or `powershell`.
        text: what to run.
        options: limit, inventory, settings.
        observers: who is told of progress.
        stop: how to stop.
        timeout_s: per host.
        save: experiment name to archive under, None to keep nothing.

    Returns:
        One result per host, in inventory order.
    """
    from ddcplay.engine.adhoc import Answers
    from ddcplay.transport.sweep import sweep

    settings = read_settings(options)
    inventory, _ = load_inventory(options)
    entry = ProbeEntry(kind, kind, text, {"timeout": timeout_s})
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
    return load_settings(Path.cwd(), os.environ, overrides)


def _sources(settings: Settings, options: Options) -> tuple[str, ...]:
    from ddcplay.config.inventory_files import discover_inventory

    if options.inventory:
        return options.inventory
    return (settings.inventory or discover_inventory(settings.project_root),)


def _selected(
    inventory: Inventory, pattern: str, options: Options
) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    from ddcplay.config.inventory_files import read_limit
    from ddcplay.planning.pattern import select_hosts

    limit = None if options.limit is None else read_limit(options.limit)
    chosen = select_hosts(inventory, pattern, limit)
    return chosen.hosts, chosen.warnings


def _plan(play: Play, inventory: Inventory, options: Options) -> tuple[Plan, tuple[str, ...]]:
    """Plan a play; returns it with the warnings of its pattern."""
    from ddcplay.config.playbook_file import build_probe
    from ddcplay.planning.planner import plan_play

    hosts, warnings = _selected(inventory, play.hosts, options)
    plan = plan_play(
        play,
        hosts,
        room_of=_rooms(play, inventory),
        build_probe=build_probe,
        extra_vars=options.extra_vars,
        tags=options.tags,
        skip_tags=options.skip_tags,
        per_host_secret=_owners_of_secrets(inventory),
    )
    _check_probes(play, plan)
    return plan, warnings


def _check_probes(play: Play, plan: Plan) -> None:
    """Let each kind of probe refuse what it cannot run, before anything is contacted."""
    from ddcplay.engine.adhoc import LoginProbe

    probes = _loader("ddcplay.probes", lambda make: make(), {LoginProbe.kind: LoginProbe()})
    places = {entry.name: entry.place for entry in play.probes}
    problems: dict[str, Problem] = {}
    for spec in {id(spec): spec for host in plan.hosts for spec in host.probes}.values():
        try:
            probes(spec.kind).command_line(spec)
        except UsageError as error:
            problems.setdefault(spec.name, Problem(places[spec.name], error.message, error.hint))
    if problems:
        raise ConfigError(tuple(problems.values()))


def _rooms(play: Play, inventory: Inventory) -> Callable[[str], str]:
    """Tell each host's room: the first of the play's `rooms` that holds it, else its deepest group."""
    from ddcplay.planning.pattern import select_hosts

    named: dict[str, str] = {}
    for room in play.rooms:
        for host in select_hosts(inventory, room).hosts:
            named.setdefault(host.name, room)
    return lambda host: named.get(host) or inventory.room(host)


def _owners_of_secrets(inventory: Inventory) -> Callable[[str], bool]:
    """Tell which hosts have a password of their own: written for the host, and no other has the same."""
    names = ("ansible_password", "ansible_winrm_password", "ansible_ssh_pass", "ansible_psrp_password")
    uses = Counter(
        (reference.scheme, reference.value)
        for host in inventory.hosts.values()
        for reference in [_first_secret(host, names)]
        if reference is not None
    )
    shared = {
        (value.scheme, value.value)
        for group in inventory.groups.values()
        for name in names
        if isinstance(value := group.vars.get(name), SecretRef)
    }

    def own(host: str) -> bool:
        reference = _first_secret(inventory.hosts[host], names)
        if reference is None:
            return False
        key = (reference.scheme, reference.value)
        return key not in shared and uses[key] == 1 and len(uses) > 1

    return own


def _first_secret(host: Host, names: Sequence[str]) -> SecretRef | None:
    return next((found for name in names if isinstance(found := host.vars.get(name), SecretRef)), None)


def _render(text: str, variables: Mapping[str, object], place: Place) -> object:
    from ddcplay.templating.environment import render_value

    return render_value(text, variables, place)


def _with_flags(play: Play, options: Options) -> Play:
    return play if options.concurrency is None else replace(play, concurrency=options.concurrency)


def _ad_hoc_play(name: str, pattern: str, entry: ProbeEntry, options: Options) -> Play:
    return _with_flags(Play(name, pattern, name, (replace(entry, place=Place("command line")),)), options)


def _refuse_doubles(plays: Sequence[PreparedPlay]) -> None:
    """Refuse one experiment in two playbooks: it has one owner (design §9.9)."""
    seen: dict[str, PreparedPlay] = {}
    for item in plays:
        first = seen.setdefault(item.plan.experiment.casefold(), item)
        if first is not item:
            raise UsageError(
                f"experiment {item.plan.experiment!r} is run twice: {first.play.place} and {item.play.place}",
                "give each play an `experiment:` of its own, or name its playbook once",
            )


def _refuse_unknown_tags(plays: Sequence[PreparedPlay], options: Options) -> None:
    """Refuse `--tags` that choose nothing: a typo must not look like a run without failures."""
    if options.tags and not any(item.plan.probe_names for item in plays):
        known = sorted({tag for item in plays for entry in item.play.probes for tag in entry.tags})
        raise UsageError(
            f"no probe has the tag {', '.join(options.tags)}",
            f"tags of these playbooks: {', '.join(known) or 'none'}",
        )


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

    with TemporaryDirectory(prefix="ddcplay-") as scratch:
        directory = settings.data_dir / save if save else Path(scratch) / plan.experiment
        setup = ExperimentSetup(play, plan, directory, durability="full" if save else "batch", at_once=True)
        _run_setups(settings, [setup], [answers, *observers], stop, sweep=answers.sweep)


def _run_setups(
    settings: Settings,
    setups: Sequence[ExperimentSetup],
    observers: Sequence[Observer],
    stop: StopRequest,
    *,
    sweep: Sweep | None = None,
) -> dict[str, IterationClosed | None]:
    """Run experiments side by side, each in a thread of its own; returns the last iteration of each."""
    from ddcplay.engine.events import Notice, Observers
    from ddcplay.engine.experiment import Experiment
    from ddcplay.engine.redacted import Redacted
    from ddcplay.secrets.redact import Redactor

    redactor = Redactor()
    told = Observers([Redacted(observer, redactor) for observer in observers])
    last: dict[str, IterationClosed | None] = {setup.plan.experiment: None for setup in setups}
    errors: list[BaseException] = []

    def live(setup: ExperimentSetup, services: Services) -> None:
        try:
            last[setup.plan.experiment] = Experiment(setup, services).run()
        except DdcplayError as error:
            errors.append(error)
            told.handle(Notice("error", str(error), setup.plan.experiment))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of the command
            errors.append(error)

    with _services(settings, setups, told, stop, redactor, sweep) as services:
        threads = [
            threading.Thread(target=live, args=(setup, services), name=setup.plan.experiment, daemon=True)
            for setup in setups
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)  # in slices, so that signal handlers run in between
    if errors:
        raise min(errors, key=lambda error: getattr(error, "exit_code", 1))
    return last


@contextmanager
def _services(
    settings: Settings,
    setups: Sequence[ExperimentSetup],
    observers: Observers,
    stop: StopRequest,
    redactor: Redactor,
    sweep: Sweep | None,
) -> Iterator[Services]:
    """Make what all experiments of a process share, and take it down again."""
    from ddcplay.engine.adhoc import LoginProbe
    from ddcplay.engine.dispatcher import Dispatcher
    from ddcplay.engine.events import Notice
    from ddcplay.engine.executors import Means
    from ddcplay.engine.gate import CredentialGate
    from ddcplay.engine.iteration import Services
    from ddcplay.secrets.reference import SecretStore
    from ddcplay.store.ledger import CredentialLedger
    from ddcplay.transport.sweep import sweep as real_sweep

    clock = SystemClock()
    secrets = SecretStore(redactor, root=settings.project_root)
    workers = min(settings.workers, sum(setup.play.concurrency for setup in setups))
    transports = _loader("ddcplay.transports", lambda make: make(secrets.resolve, clock))
    probes = _loader("ddcplay.probes", lambda make: make(), {LoginProbe.kind: LoginProbe()})
    executor = load("ddcplay.executors", settings.executor)(
        Means(transports, probes, clock, secrets.resolve, redactor.text), workers
    )
    ledger = CredentialLedger(settings.data_dir)
    gate = CredentialGate(
        ledger,
        secrets.resolve,
        clock,
        breaker=settings.auth_breaker,
        retry_s=settings.auth_retry_s,
        notice=lambda text: observers.handle(Notice("error", text)),
    )
    dispatcher = Dispatcher(executor, clock, workers, settings.ramp_per_s)
    abort = threading.Thread(target=lambda: stop.leave.wait() and executor.abort(), daemon=True, name="abort")
    abort.start()
    try:
        yield Services(clock, dispatcher, gate, sweep or real_sweep, observers, stop)
    finally:
        executor.shutdown()
        ledger.close()


def _loader(
    group: str, make: Callable[[Any], Any], known: Mapping[str, Any] | None = None
) -> Callable[[str], Any]:
    """Return a function that loads a plug-in by name, once."""
    found = dict(known or {})
    lock = threading.Lock()

    def get(name: str) -> Any:
        with lock:
            if name not in found:
                found[name] = make(load(group, name))
            return found[name]

    return get
