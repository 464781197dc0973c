"""A playbook file to a `Playbook`: every play read, everything wrong in it told at once with its place."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from pydantic import BaseModel

from ddcplay.config.alert_names import refuse_shared_names
from ddcplay.config.alerts_document import alert_policy, report_policy, without_lookups
from ddcplay.config.documents import PLAY, PlayDocument
from ddcplay.config.filter_entry import CheckUserFilters, FilterSources, check_user_code, filter_folders
from ddcplay.config.probe_entry import build_probe, read_probes
from ddcplay.config.reading import Reading, Render, UnrenderedError, as_mapping, stop_on
from ddcplay.config.schedule_document import ScheduleDocument
from ddcplay.config.validation import refuse_later, validate
from ddcplay.config.values import check_file_name
from ddcplay.config.vars_files import read_vars_files
from ddcplay.config.words import WrongValueError, describe, nearest
from ddcplay.config.yaml_marks import Loc, is_file, read_yaml
from ddcplay.errors import UsageError
from ddcplay.model.playbook import AlertPolicy, PingMethod, PingPolicy, Play, Playbook, Schedule
from ddcplay.units import format_duration

__all__ = ["build_probe", "find_playbook", "read_playbook"]

_UNRENDERED_KEYS = frozenset({"vars", "vars_files", "probes", "defaults"})
_NO_VARS: Mapping[str, object] = MappingProxyType({})
_SCHEDULE_NAMES = {"every": "every_s", "min_gap": "min_gap_s", "until": "until_s"}
_PING_NAMES = {"timeout": "timeout_s"}
_RESERVED_EXPERIMENTS = {"simulated"}


def read_playbook(
    path: Path,
    *,
    extra_vars: Mapping[str, object] = _NO_VARS,
    render: Render | None,
    project_root: Path | None = None,
    check_user_filters: CheckUserFilters | None = None,
) -> Playbook:
    """Read and check a playbook.

    Args:
        path: the file; messages name it as it is given here.
        extra_vars: `-e`; wins over play vars where name, experiment, hosts and schedule are rendered.
        render: `render(text, variables, place)`; called once for each template of the play's own keys and of
            probe names and tags. None refuses templates there.
        project_root: where `vars_files` and filters are looked for after the playbook's own directory.
        check_user_filters: imports filters that are user code and checks their options, in a process of
            their own; called once with all of them. None leaves them unchecked.

    Raises:
        ConfigError: everything that is wrong, in file order.
    """
    marked = read_yaml(path)
    reading = Reading(marked, render, list(marked.problems))
    plays = []
    for index, raw in enumerate(_plays_of(reading)):
        play = _read_play(reading, raw, (index,), extra_vars, (path.parent, project_root or path.parent))
        if play is not None:
            plays.append(play)
    _refuse_same_experiments(reading, plays)
    check_user_code(reading, check_user_filters)
    stop_on(reading.problems, marked.file)
    return Playbook(str(path), marked.text, tuple(plays))


def _plays_of(reading: Reading) -> list[object]:
    data = reading.marked.data
    if isinstance(data, list) and data:
        return data
    place = reading.marked.place(())
    if data is None or data == []:
        reading.report(place, "the playbook is empty", "write - name: ..., hosts: ... and probes: ...")
    else:
        hint = (
            "put '- ' before its first key" if isinstance(data, Mapping) else "write - name: ..., hosts: ..."
        )
        reading.report(place, f"a playbook must be a list of plays, not {describe(data)}", hint)
    return []


def _read_play(
    reading: Reading, raw: object, loc: Loc, extra_vars: Mapping[str, object], folders: tuple[Path, Path]
) -> Play | None:
    written = as_mapping(raw)
    if written is None:
        reading.report(
            reading.marked.place(loc), f"a play must be a mapping, not {describe(raw)}", "write - name: ..."
        )
        return None
    data = refuse_later("play", written, reading, loc)
    schedule = as_mapping(data.get("schedule"))
    if schedule is not None:
        data["schedule"] = refuse_later("schedule", schedule, reading, (*loc, "schedule"))
    own_vars = as_mapping(data.get("vars")) or {}
    from_files = read_vars_files(
        reading, data.get("vars_files"), (*loc, "vars_files"), {**own_vars, **extra_vars}, folders
    )
    play_vars = {**own_vars, **{name: value for part in from_files.values() for name, value in part.items()}}
    variables = {**play_vars, **extra_vars}
    if "alerts" in data:
        data["alerts"] = without_lookups(data["alerts"])
    data, failed = _rendered(reading, data, loc, variables)
    document = cast("PlayDocument | None", validate(PLAY, data, reading, loc, failed))
    probes = read_probes(reading, data, loc, FilterSources(variables, filter_folders(*folders)))
    if document is None:
        return None
    experiment = _experiment(reading, document, loc)
    if experiment is None:
        return None
    names = {file: tuple(part) for file, part in from_files.items()}
    play = Play(
        experiment=experiment,
        probes=probes,
        vars=play_vars,
        vars_files=names,
        place=reading.marked.place(loc),
        **_settings(document),
    )
    play = replace(play, alerts=_placed(reading, play.alerts, (*loc, "alerts")))
    _refuse_paces(reading, play)
    refuse_shared_names(reading, play)
    return play


def _rendered(
    reading: Reading, data: Mapping[Any, Any], loc: Loc, variables: Mapping[str, object]
) -> tuple[dict[Any, Any], set[str]]:
    """Render the play's own keys; those that failed (and were noted) are left out and named."""
    result, failed = {}, set()
    for key, value in data.items():
        try:
            result[key] = (
                value if key in _UNRENDERED_KEYS else reading.rendered(value, (*loc, key), variables)
            )
        except UnrenderedError:
            failed.add(key)
    return result, failed


def _experiment(reading: Reading, document: PlayDocument, loc: Loc) -> str | None:
    written = "experiment" in document.model_fields_set
    name = str(document.experiment) if written else slug(document.name)
    place = reading.marked.place((*loc, "experiment" if written else "name"))
    if document.schedule is not None and not written:
        place = reading.marked.key_place((*loc, "schedule"))
        message = "a play with a schedule needs an experiment, the name its data is kept under"
        reading.report(place, message, f"write experiment: {name or 'NAME'}")
        return None
    if name.casefold() in _RESERVED_EXPERIMENTS:
        reading.report(
            place, f"experiment {name!r} is kept for simulations", "write experiment: with another name"
        )
        return None
    try:
        return check_file_name(name)
    except WrongValueError:
        message = f"no experiment name can be made of {document.name[:40]!r}"
        reading.report(place, message, "write experiment: with letters and digits")
        return None


def slug(name: str) -> str:
    """Make a file-name safe word of a play's name: `Classroom usage` → `classroom-usage`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:64].rstrip("-")


def _refuse_same_experiments(reading: Reading, plays: list[Play]) -> None:
    seen: dict[str, Play] = {}
    for play in plays:
        first = seen.setdefault(play.experiment.casefold(), play)
        if first is not play:
            hint = f"the play in line {first.place.line} has it; give each play an experiment: of its own"
            reading.report(play.place, f"two plays have the experiment {play.experiment!r}", hint)


def _settings(document: PlayDocument) -> dict[str, Any]:
    """Gather what was written; the rest keeps the defaults of `Play`."""
    result: dict[str, Any] = {"name": str(document.name), "hosts": ":".join(document.hosts)}
    names = {"connect_timeout": "connect_timeout_s", "visit_timeout": "visit_timeout_s"}
    for key in document.model_fields_set & {"timezone", "concurrency", "late_sweep", "rooms", *names}:
        result[names.get(key, key)] = getattr(document, key)
    if document.schedule is not None:
        result["schedule"] = _schedule(document.schedule)
    result["alerts"] = alert_policy(document.alerts)
    result["report"] = report_policy(document.report) if document.report is not None else None
    if "ping" in document.model_fields_set:
        values = _written(document.ping, _PING_NAMES)
        if "method" in values:
            values["method"] = PingMethod(values["method"])
        result["ping"] = PingPolicy(**values)
    return result


def _placed(reading: Reading, policy: AlertPolicy, loc: Loc) -> AlertPolicy:
    """Note where the rules about the pool stand: their groups are looked for once the inventory is read."""
    place, absent, vanish = reading.marked.place, policy.absent, policy.vanish
    return replace(
        policy,
        absent=absent and replace(absent, place=place((*loc, "absent", "of"))),
        vanish=vanish and replace(vanish, place=place((*loc, "vanish", "of"))),
    )


def _schedule(document: ScheduleDocument) -> Schedule:
    values = _written(document, _SCHEDULE_NAMES)
    shot = document.single_shot
    if shot is not None:
        give_up_s = shot.give_up_after if "give_up_after" in shot.model_fields_set else None
        values["single_shot"] = (shot.retry_every, give_up_s)
    return Schedule(**values)


def _refuse_paces(reading: Reading, play: Play) -> None:
    """Refuse an `every` of a probe that its play cannot keep."""
    every_s = play.schedule.every_s
    for probe in play.probes:
        place = probe.places.get("every", probe.place)
        if probe.every_s is None:
            continue
        if play.schedule.one_pass or play.schedule.single_shot is not None:
            what = "runs each probe once" if play.schedule.single_shot else "makes one pass"
            hint = "remove it, or give the play a schedule with every or cron"
            reading.report(place, f"probe {probe.name!r} has an 'every', but its play {what}", hint)
        elif every_s is not None and probe.every_s < every_s:
            words = f"'every' of probe {probe.name!r} is shorter than the play's, {format_duration(every_s)}"
            reading.report(place, words, "write a longer one, remove it, or make the play faster")


def _written(document: BaseModel, names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): getattr(document, key) for key in sorted(document.model_fields_set)}


def find_playbook(name: str, project_root: Path, cwd: Path, *, project_first: bool = False) -> Path:
    """Find a playbook by path or by name.

    Args:
        name: a path, or a name under `playbooks/`; `.yml` or `.yaml` may be left out.
        project_root: looked in after `cwd`.
        cwd: where the user stands.
        project_first: the user named the project (`-C DIR`), so it is looked in before `cwd`.

    Returns:
        The path as one would type it: relative below the current directory, else absolute.

    Raises:
        UsageError: nothing found, with what was looked at and near names.
    """
    order = (project_root, cwd) if project_first else (cwd, project_root)
    folders = dict.fromkeys(folder for start in order for folder in (start, start / "playbooks"))
    candidates = list(
        dict.fromkeys(folder / (name + end) for folder in folders for end in ("", ".yml", ".yaml"))
    )
    found = next((path for path in candidates if name and is_file(path)), None)
    if found is not None:
        return _as_typed(found, cwd)
    folder = next((path for path in candidates if name and os.path.isdir(path)), None)  # noqa: PTH112 - as is_file
    if folder is not None:
        raise UsageError(f"{folder} is a directory, not a playbook", "name one of the files in it")
    known = {path.stem for folder in folders for end in ("yml", "yaml") for path in folder.glob(f"*.{end}")}
    close = nearest(Path(name).stem, known)
    looked = ", ".join(str(folder) for folder in folders)
    near = f"did you mean {close!r}? " if close else ""
    raise UsageError(
        f"there is no playbook {name!r}", f"{near}looked for {name}, {name}.yml and {name}.yaml in {looked}"
    )


def _as_typed(path: Path, cwd: Path) -> Path:
    """Shorten a path for messages, where the short form still opens the file."""
    return path.relative_to(cwd) if cwd == Path.cwd() and path.is_relative_to(cwd) else path
