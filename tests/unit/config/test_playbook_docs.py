"""The page about the language says what the reader does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ddcplay import plugins
from ddcplay.config.alerts_document import ALERTS, REPORT
from ddcplay.config.documents import DEFAULTS, KINDS, PLAY, PROBE, SCHEDULE
from ddcplay.config.filter_entry import BUILT_IN, GROUP
from ddcplay.config.playbook_file import read_playbook
from ddcplay.config.words import LATER

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "playbook.md").read_text(encoding="utf-8")
FILTERS = (ROOT / "docs" / "filters.md").read_text(encoding="utf-8")


def keys_of(section: str) -> tuple[set[str], set[str]]:
    """Return the keys that a section's tables call working, and those they call not yet."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    working, later = set(), set()
    for row in re.findall(r"^\| (`.*)$", text, re.MULTILINE):
        cell, _, rest = row.partition(" |")
        (later if rest.endswith("*not yet* |") else working).update(re.findall(r"`(\w+)`", cell))
    return working, later


def test_every_key_of_a_play_is_described() -> None:
    assert keys_of("Keys of a play") == (set(PLAY.known_keys()), set(LATER["play"]))


def test_every_key_of_a_schedule_is_described() -> None:
    assert keys_of("Schedule") == (set(SCHEDULE.known_keys()), set(LATER["schedule"]))


def test_every_key_of_alerts_is_described() -> None:
    assert keys_of("Alerts") == (set(ALERTS.known_keys()), set())


def test_every_key_of_a_report_is_described() -> None:
    assert keys_of("Reports") == (set(REPORT.known_keys()), set())


def test_every_built_in_filter_is_described() -> None:
    text = FILTERS.split("\n## Built-in filters\n")[1].split("\n## ")[0]
    described = set(re.findall(r"^\| \[`(\w+)`\]", text, re.MULTILINE))
    assert described == set(BUILT_IN)


def test_built_in_filters_are_those_that_are_installed_with_the_program() -> None:
    code = {name: plugins.source(GROUP, name) or "" for name in plugins.names(GROUP)}
    ours = {name for name, where in code.items() if where.startswith("ddcplay.")}
    assert ours == set(BUILT_IN)


def test_every_key_of_a_probe_is_described() -> None:
    working, later = keys_of("Probes")
    assert later == {*LATER["probe"], *LATER["kind"]}
    assert working == {*PROBE.known_keys(), *DEFAULTS.known_keys(), *KINDS} - {"name"} - set(LATER["probe"])


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(- name: .*?)```", PAGE + FILTERS, re.DOTALL))
def test_every_playbook_on_the_page_can_be_read(tmp_path: Path, block: str) -> None:
    path = tmp_path / "p.yml"
    path.write_text(block, encoding="utf-8")
    assert read_playbook(path, render=None).plays
