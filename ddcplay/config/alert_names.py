"""One name, one rule: two `alert` filters of a play must not share a name.

An alert is known by experiment, name, host and key (design §5). Two rules of one name would take turns in
writing one alert: each good observation of the one would resolve what the other found.
"""

from __future__ import annotations

from collections.abc import Mapping

from ddcplay.config.reading import Reading
from ddcplay.model.playbook import FilterEntry, Play, ProbeEntry


def refuse_shared_names(reading: Reading, play: Play) -> None:
    """Note every `alert` filter whose name another one of the play has, with the place of both."""
    seen: dict[str, tuple[ProbeEntry, FilterEntry]] = {}
    told: set[int] = set()
    for probe in play.probes:
        for entry in probe.filters:
            name = _rule(entry)
            if name is None:
                continue
            first_probe, first = seen.setdefault(name, (probe, entry))
            if (first_probe, first) == (probe, entry) or id(entry) in told:
                continue
            told.add(id(entry))
            if first.place == entry.place:  # a chain of `defaults`, taken by several probes
                words = f"probes {first_probe.name!r} and {probe.name!r} both take the alert {name!r}"
                hint = "they would share one alert; write it at each probe, with a name of its own"
            else:
                words = f"there is an alert {name!r} already, of probe {first_probe.name!r} ({first.place})"
                hint = "two rules of one name would share one alert; give each a name of its own"
            reading.report(entry.place, words, hint)


def _rule(entry: FilterEntry) -> str | None:
    if not entry.builtin or entry.name != "alert" or not isinstance(entry.options, Mapping):
        return None
    name = entry.options.get("name")
    return name if isinstance(name, str) else None
