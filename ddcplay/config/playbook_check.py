"""What is allowed in a playbook but seldom meant: the warnings of `check`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ddcplay.config.chain_check import chain_warnings
from ddcplay.config.values import is_template
from ddcplay.errors import Place
from ddcplay.model.playbook import Play, Playbook, ProbeEntry
from ddcplay.units import format_duration, parse_duration

_DAY_S = 86400
_CMD_LENGTH = 8191
_UNC = re.compile(r"(?<![\\\w:])\\\\(?![.?]\\)[\w.$-]+\\[\w$]")
_ALL_OF_PROCESSOR = re.compile(r"\bselect\s+\*\s+from\s+win32_processor\b", re.IGNORECASE)
_SLOW_CLASS = re.compile(r"\bwin32_product\b", re.IGNORECASE)


def check_playbook(playbook: Playbook, *, smtp: bool = True) -> tuple[str, ...]:
    """Look for what will probably not do what its author wants.

    Args:
        playbook: as it was read; nothing is rendered, so values that are templates are left out.
        smtp: the setting `smtp` is there; without it plays that mail are told.

    Returns:
        One line per warning, each with its place, in file order.
    """
    return tuple(
        f"{place}: {text}"
        for play in playbook.plays
        for place, text in (*_play_warnings(play, playbook.text), *chain_warnings(play, smtp=smtp))
    )


def _play_warnings(play: Play, text: str) -> Iterator[tuple[Place, str]]:
    yield from ((play.place, words) for words in _pace_warnings(play))
    for probe in play.probes:
        yield from ((probe.places.get(probe.kind, probe.place), words) for words in _probe_warnings(probe))
    for file, names in play.vars_files.items():
        if not any(_mentions(text, name) or _used_in(play, name) for name in names):
            yield play.place, f"vars file {file!r}: none of its variables is used by this playbook"


def _pace_warnings(play: Play) -> Iterator[str]:
    every_s = play.schedule.every_s
    if every_s is None:
        return
    every, visit_s = format_duration(every_s), visit_budget_s(play)
    if visit_s > every_s:
        words = f"a visit may take {format_duration(visit_s)}, longer than every: {every}"
        yield f"{words}; visits unfinished when the next pass starts end as timeout"
    if play.schedule.align and _DAY_S % every_s:
        yield f"align: a day is no multiple of every: {every}"


def visit_budget_s(play: Play) -> float:
    """Return the longest time a visit may take, in seconds, templates counted with the default timeout."""
    if play.visit_timeout_s is not None:
        return play.visit_timeout_s
    return play.connect_timeout_s + sum(_probe_budget_s(probe) for probe in play.probes)


def _probe_budget_s(probe: ProbeEntry) -> float:
    timeout_s = _seconds(probe, "timeout", 60.0)
    retries = probe.options.get("retries", 0)
    tries = retries if isinstance(retries, int) else 0
    return timeout_s + tries * (timeout_s + _seconds(probe, "retry_delay", 5.0))


def _seconds(probe: ProbeEntry, key: str, default: float) -> float:
    value = probe.options.get(key, default)
    return (
        default if is_template(value) or not isinstance(value, str | int | float) else parse_duration(value)
    )


def _probe_warnings(probe: ProbeEntry) -> Iterator[str]:
    body = probe.body if isinstance(probe.body, str) else ""
    if isinstance(probe.body, Mapping):
        body = "\n".join(str(query) for query in probe.body.values())
    name = f"probe {probe.name!r}"
    if _UNC.search(body):
        yield (
            f"{name} opens a network path; over WinRM the logon cannot be passed on to a second machine "
            "(double hop) unless the ticket is delegated"
        )
    if _SLOW_CLASS.search(body):
        yield (
            f"{name} asks Win32_Product, which checks and may repair every installed package; "
            "read the Uninstall keys of the registry instead"
        )
    if _ALL_OF_PROCESSOR.search(body):
        yield (
            f"{name} asks every property of Win32_Processor, of which LoadPercentage takes a second per "
            "processor; name the properties"
        )
    if probe.kind == "command" and len(body) > _CMD_LENGTH:
        yield f"{name} has {len(body)} characters before rendering; cmd.exe takes {_CMD_LENGTH}"


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _used_in(play: Play, name: str) -> bool:
    return any(is_template(value) and _mentions(str(value), name) for value in play.vars.values())
