"""Whatever stands under `filters`, `alerts` and `report`, it is read or refused, with a place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.config.alerts_document import ALERTS, REPORT
from ddcplay.config.filter_entry import BUILT_IN
from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import read_playbook
from ddcplay.errors import ConfigError
from ddcplay.model.playbook import Playbook
from ddcplay.model.result import Outcome

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from(
    [
        *("key", "name", "when", "each", "text", "to", "url", "share", "of", "over", "severity", "fields"),
        *("file", "metrics", "format", "after", "for", "message", "value", "columns", "pattern", "types"),
        *("data.disks", "item.x < 3", "{{ data.x }}", "{{ x", "json", "regex", "(", "a[", "a.b", "env:A"),
        *("30%", "4h", "it@example.edu", "a\nb", "ok", "f.py:F", "f.py:G", "a.b:C", "x:y", "", "never"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from([*BUILT_IN, "f.py:F", "json.decoder:JSONDecoder", "alret"]) | WORDS
ENTRIES = (
    NAMES
    | VALUES
    | st.builds(lambda name, options: {name: options}, NAMES, VALUES)
    | st.builds(
        lambda name, options, on: {name: options, "on": on},
        NAMES,
        VALUES,
        VALUES | st.lists(st.sampled_from([*Outcome, "any"])),
    )
)
ALERT_KEYS = st.sampled_from(
    [*ALERTS.known_keys(), *(key for level in ALERTS.inside.values() for key in level.known_keys())]
)
POLICIES = st.recursive(VALUES, lambda inner: st.dictionaries(ALERT_KEYS, inner, max_size=4), max_leaves=6)


def either_reads_or_refuses(folder: Path, play: dict[str, Any]) -> None:
    (folder / "f.py").write_text("class F: pass\n")
    path = folder / "p.yml"
    path.write_text(json.dumps([{"name": "x", "hosts": "a", **play}]), encoding="utf-8")
    try:
        book = read_playbook(path, render=lambda text, variables, place: text)
    except ConfigError as error:
        refused = error
    else:
        well_read(book)
        return
    assert refused.problems
    assert all(problem.place.line for problem in refused.problems)


def well_read(book: Playbook) -> None:
    check_playbook(book, smtp=False)
    for probe in book.plays[0].probes:
        labels = [entry.label for entry in probe.filters]
        assert len(labels) == len(set(labels))
        assert all(entry.on for entry in probe.filters)


@QUICK
@given(own=st.lists(ENTRIES, max_size=3), common=st.lists(ENTRIES, max_size=2))
def test_arbitrary_chains_are_read_or_refused(tmp_path: Path, own: list[Any], common: list[Any]) -> None:
    probes = [{"name": "p", "command": "ver", "filters": own}, {"name": "q", "command": "ver"}]
    either_reads_or_refuses(tmp_path, {"defaults": {"filters": common}, "probes": probes})


@QUICK
@given(
    alerts=POLICIES | st.dictionaries(ALERT_KEYS, POLICIES, max_size=4),
    report=VALUES | st.dictionaries(st.sampled_from(REPORT.known_keys()), POLICIES, max_size=3),
)
def test_arbitrary_policies_are_read_or_refused(tmp_path: Path, alerts: Any, report: Any) -> None:
    probes = [{"name": "p", "command": "ver"}]
    either_reads_or_refuses(tmp_path, {"alerts": alerts, "report": report, "probes": probes})
