"""Options of `w32probe` as a playbook writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddcplay.config.playbook_file import read_playbook
from ddcplay.config.probe_entry import build_probe
from ddcplay.errors import ConfigError
from ddcplay.model.codebook import SECTIONS
from ddcplay.probing.w32probe import W32Probe


def entry_of(tmp_path: Path, value: str):
    path = tmp_path / "p.yml"
    path.write_text(f"- name: P\n  hosts: all\n  probes:\n    - name: usage\n      w32probe:{value}\n")
    return read_playbook(path, render=None).plays[0].probes[0]


@pytest.mark.parametrize(
    "value", ["", " {}", " {users: count}", " {sections: cpu}", " {sections: [cpu, smart]}"]
)
def test_options_that_are_fine_are_taken_and_asked(tmp_path: Path, value: str) -> None:
    entry = entry_of(tmp_path, value)
    spec = build_probe(entry, {"w32probe": entry.body}, "pc1")
    assert spec.kind == "w32probe"
    assert "SELECT" in W32Probe().command_line(spec)


def test_options_may_be_templates_and_are_checked_once_rendered(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, ' {users: "{{ users }}"}')
    assert build_probe(entry, {"w32probe": {"users": "name"}}, "pc1").body == {"users": "name"}
    with pytest.raises(ConfigError, match=r"pc1.*the text 'all'; known: hash, count, name"):
        build_probe(entry, {"w32probe": {"users": "all"}}, "pc1")


def test_the_whole_is_every_section(tmp_path: Path) -> None:
    bare, listed = (
        W32Probe().command_line(build_probe(entry, {"w32probe": entry.body}, "pc1"))
        for entry in (entry_of(tmp_path, ""), entry_of(tmp_path, f" {{sections: [{', '.join(SECTIONS)}]}}"))
    )
    assert bare == listed
