"""Warnings about filters, alerts and mail: what would be thrown away, and what nobody would hear of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ddcplay.errors import Place
from ddcplay.model.playbook import FilterEntry, Play, ProbeEntry

_KEEPING = frozenset({"alert", "email", "notify", "static", "store", "textfile"})
"""Built-in filters after which something of the attempt remains, or was told to somebody."""
_NEED_DATA = frozenset({"omit", "pick", "rate", "static", "store"})
_TEXT_KINDS = frozenset({"command", "exe", "powershell", "script"})


def chain_warnings(play: Play, *, smtp: bool) -> Iterator[tuple[Place, str]]:
    """Yield what is probably not meant, with its place.

    Args:
        play: as it was read.
        smtp: the setting `smtp` is there.
    """
    for probe in play.probes:
        if probe.options.get("keep") == "never" and not any(map(_keeps, probe.filters)):
            place = probe.places.get("keep", probe.place)
            yield place, f"probe {probe.name!r} has keep: never, and no filter of it keeps anything"
        yield from _text_alone(probe)
    policy = play.alerts
    yield from _active_minutes(play)
    told = bool(policy.email_to or policy.notify)
    if not told:
        yield from _unheard(play)
    if smtp:
        return
    if policy.email_to or (play.report is not None and play.report.email_to):
        yield play.place, "mail is asked for, but the settings have no smtp; nothing will be sent"
    else:
        for probe, entry in _entries(play, "email"):
            about = f"filter {entry.label!r} of probe {probe.name!r} mails, but the settings have no smtp"
            yield entry.place, about


def _text_alone(probe: ProbeEntry) -> Iterator[tuple[Place, str]]:
    """Yield the first filter that needs data where a probe brings text and nothing makes data of it."""
    if probe.kind not in _TEXT_KINDS or probe.options.get("output", "text") != "text":
        return
    for entry in probe.filters:
        if not entry.builtin or entry.name in {"parse", "set"}:  # what user code returns nobody knows
            return
        if entry.name in _NEED_DATA:
            what = f"filter {entry.label!r} of probe {probe.name!r} needs data, and {probe.kind} brings text"
            yield entry.place, f"{what}; put parse before it"
            return


def _active_minutes(play: Play) -> Iterator[tuple[Place, str]]:
    """Yield a window that is a list of minutes: it is looked at when an iteration ends, whenever that is."""
    vanish = play.alerts.vanish
    if vanish is not None and vanish.active and vanish.active.split()[0] != "*":
        words = f"vanish: active {vanish.active!r} holds in single minutes of an hour alone"
        yield vanish.place or play.place, f"{words}; write * as its first field"


def _unheard(play: Play) -> Iterator[tuple[Place, str]]:
    """Yield what would be told, were there anybody to tell it to."""
    fix = "the play has no alerts: {email: {to: [...]}} and no notify"
    for probe, entry in _entries(play, "alert"):
        yield entry.place, f"filter {entry.label!r} of probe {probe.name!r} alerts nobody: {fix}"
    for probe, entry in _entries(play, "email"):
        if not (isinstance(entry.options, Mapping) and entry.options.get("to")):
            yield entry.place, f"filter {entry.label!r} of probe {probe.name!r} mails nobody: {fix}"
    for name, rule in (("absent", play.alerts.absent), ("vanish", play.alerts.vanish)):
        if rule is not None:
            yield play.place, f"{name} alerts nobody: {fix}"


def _entries(play: Play, name: str) -> Iterator[tuple[ProbeEntry, FilterEntry]]:
    """Yield the built-in filters of a name; a chain of `defaults` counts for its first probe alone."""
    seen: set[int] = set()
    for probe in play.probes:
        for entry in probe.filters:
            if entry.builtin and entry.name == name and id(entry) not in seen:
                seen.add(id(entry))
                yield probe, entry


def _keeps(entry: FilterEntry) -> bool:
    # What user code does nobody knows; it may well write files of its own.
    return not entry.builtin or entry.name in _KEEPING
