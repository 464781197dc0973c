"""From files to something that can run: settings, inventory and playbooks read, plays planned for every host.

Nothing is contacted here. `app` calls this for every command that needs a plan.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ddcplay.config.inventory_files import discover_inventory, load_inventory_with_warnings, read_limit
from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import build_probe, find_playbook, read_playbook
from ddcplay.config.probe_file import ProbeFiles, slow_files
from ddcplay.config.settings import Settings, load_settings
from ddcplay.engine.adhoc import LOGIN
from ddcplay.engine.database import database_url
from ddcplay.errors import ConfigError, PatternError, Place, Problem, SecretError, StoreError, UsageError
from ddcplay.filtering.user_process import FilterProblem, UserProcess
from ddcplay.model.inventory import Host, Inventory
from ddcplay.model.options import Options
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import FilterEntry, Play, Playbook
from ddcplay.planning.pattern import select_hosts
from ddcplay.planning.planner import plan_play
from ddcplay.planning.refusals import (
    refuse_doubles,
    refuse_unknown_groups,
    refuse_unknown_tags,
    refuse_wrong_again,
)
from ddcplay.planning.rooms import owners_of_secrets, rooms_of
from ddcplay.plugins import load_once
from ddcplay.store.queries import open_reader
from ddcplay.templating.environment import render_value


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


def prepare(playbooks: Sequence[str], options: Options) -> Prepared:
    """Read settings, inventory and playbooks, and plan every play for every host.

    Raises:
        ConfigError: files are wrong; all problems at once.
        UsageError: no such file, pattern, tag or inventory.
    """
    settings = read_settings(options)
    sources = sources_of(settings, options)
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
                path,
                extra_vars=options.extra_vars,
                render=render_value,
                project_root=settings.project_root,
                check_user_filters=partial(_user_filters, settings),
            )
            loaded = load_inventory_with_warnings(sources, playbook_dir=path.parent)
            inventory = loaded.inventory
            has_smtp = settings.smtp is not None
            warnings += [*map(str, loaded.warnings), *check_playbook(playbook, smtp=has_smtp)]
            for written in playbook.plays:
                play = with_flags(written, options)
                plan, hints = plan_for(play, inventory, options)
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


def sources_of(settings: Settings, options: Options) -> tuple[str, ...]:
    """Return where the inventory is read from: `-i`, the setting, or `inventories/` of the project."""
    if options.inventory:
        return options.inventory
    return (settings.inventory or discover_inventory(settings.project_root),)


def selected(
    inventory: Inventory, pattern: str, options: Options, place: Place | None = None
) -> tuple[tuple[Host, ...], tuple[str, ...]]:
    """Pick hosts by pattern and `--limit`; returns them with warnings.

    Raises:
        PatternError: something unknown, or nothing left; with `place` where the pattern stands.
    """
    try:
        select_hosts(inventory, pattern)
    except PatternError as error:
        raise PatternError(error.message, error.hint, place) from None
    limit = None if options.limit is None else read_limit(options.limit)
    chosen = select_hosts(inventory, pattern, limit)
    return chosen.hosts, chosen.warnings


def plan_for(play: Play, inventory: Inventory, options: Options) -> tuple[Plan, tuple[str, ...]]:
    """Plan a play; returns it with the warnings of its pattern."""
    hosts, warnings = selected(inventory, play.hosts, options, play.place if play.place.file else None)
    refuse_unknown_groups(play, inventory)
    plan = plan_play(
        play,
        hosts,
        room_of=rooms_of(play, inventory),
        build_probe=partial(build_probe, files=ProbeFiles(_file_folders(play, options), play.experiment)),
        extra_vars=options.extra_vars,
        tags=options.tags,
        skip_tags=options.skip_tags,
        per_host_secret=owners_of_secrets(inventory),
        static=_stored_facts(play, options),
    )
    _check_probes(play, plan)
    return plan, (*warnings, *slow_files(plan))


def _user_filters(settings: Settings, entries: Sequence[FilterEntry]) -> list[FilterProblem]:
    """Import filters that are user code, and check their options, in a process of their own."""
    process = UserProcess(
        filter_folders(settings),
        timeout_s=settings.filter_timeout_s,
        log=logging.getLogger("ddcplay.filters"),
        directory=settings.project_root,
    )
    try:
        return process.check(entries)
    finally:
        process.close()


def filter_folders(settings: Settings) -> tuple[Path, ...]:
    """Return where modules of filters are looked for."""
    return (settings.project_root, settings.project_root / "filters")


def _stored_facts(play: Play, options: Options) -> Mapping[str, Mapping[str, object]]:
    """Return host → its static facts as the last run stored them, where a `when` asks for them."""
    if not any("static" in text for probe in play.probes for text in probe.when):
        return {}
    settings = read_settings(options)
    try:
        with open_reader(settings.data_dir / play.experiment, database_url(settings)) as reader:
            return reader.statics()
    except (StoreError, SecretError):
        return {}  # nothing was stored yet, or a run will bring the database up to date first


def _file_folders(play: Play, options: Options) -> tuple[Path, ...]:
    """Return where probe files are looked for: beside the playbook, then in the project root (design §4)."""
    beside = (Path(play.place.file).parent,) if play.place.file else ()
    return (*beside, read_settings(options).project_root)


def _pool(play: Play, inventory: Inventory, options: Options) -> frozenset[str] | None:
    """Return all hosts of the play when `--limit` leaves some out: their debts and alerts are not void."""
    if options.limit is None:
        return None
    hosts, _ = selected(inventory, play.hosts, replace(options, limit=None))
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


def with_flags(play: Play, options: Options) -> Play:
    """Return a play as the flags of the command line change it."""
    return play if options.concurrency is None else replace(play, concurrency=options.concurrency)


def read_settings(options: Options) -> Settings:
    """Read `ddcplay.yml`, `DDCPLAY_*` and flags.

    Raises:
        ConfigError: everything that is wrong in them.
    """
    overrides = dict(options.overrides)
    if options.directory is not None:
        overrides["project_root"] = options.directory
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise UsageError("the current directory was removed", "cd to the project first") from None
    return load_settings(here, os.environ, overrides)
