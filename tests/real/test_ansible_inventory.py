"""Inventories and patterns must mean what they mean to Ansible: compared with the real programs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ddcplay.config.inventory_files import load_inventory
from ddcplay.config.inventory_ranges import RangeError, expand_range, split_port
from ddcplay.config.inventory_views import inventory_graph, inventory_list
from ddcplay.planning.pattern import select_hosts

PROJECT = Path(__file__).parents[2]
INVENTORIES = PROJECT / "tests/data/inventories"
NAMES = sorted(path.name for path in INVENTORIES.iterdir())

PATTERNS = [
    "all",
    "*",
    "labs",
    "room1",
    "pc01",
    "pc01,pc13",
    "pc01:pc13",
    "labs:!room2",
    "labs,!room2",
    "!room2:labs",
    "room1:room2:&windows",
    "windows:&room1:!pc02",
    "pc1*",
    "pc?1",
    "pc[01]1",
    "*.example.edu",
    "room*",
    "~pc[0-9]3",
    "~^room[12]$",
    "~(pc01|pc02)",
    "labs[0]",
    "labs[-1]",
    "labs[1:3]",
    "labs[2:]",
    "room1[0:99]",
    "all[4]",
    "2001:db8::1",
    "2001:db8::1,pc01",
    "!room1",
    "labs:!pc01:!pc02",
    "all:!~pc.*",
    "ungrouped",
    "office:labs",
    "room-3",
    "pc*:&room2",
    "staff[0],room1[1]",
]
PATTERN_INVENTORY = """\
stray1
stray2
[room1]
pc[01:05]
[room2]
pc[11:15]
pc01
[room-3]
srv.example.edu
[labs:children]
room2
room1
[windows]
pc01
pc02
pc13
2001:db8::1
[office:children]
staff
[staff]
mgr.example.edu
pc03
"""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        importlib.util.find_spec("ansible") is None,
        reason="ansible-core is not installed (pip install ansible-core)",
    ),
]

Run = Callable[..., str]


@pytest.fixture
def ansible(tmp_path: Path) -> Run:
    """Run one of Ansible's programs in an empty directory, free of the user's own settings."""

    def run(program: str, *arguments: str) -> str:
        path = shutil.which(
            program, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        )
        assert path is not None, f"{program} is missing although ansible-core is installed"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        environment = kept | {"ANSIBLE_LOCALHOST_WARNING": "0", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        finished = subprocess.run(
            [path, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Unable to parse" not in finished.stderr, finished.stderr
        return finished.stdout

    return run


def _shape(listing: Mapping[str, object]) -> Mapping[str, object]:
    """Drop what the programs print about themselves, and normalise what JSON cannot tell apart."""
    text = json.dumps(listing, default=str)
    shape: dict[str, dict[str, object]] = json.loads(text)
    shape["_meta"].pop("profile", None)
    return shape


@pytest.mark.parametrize("name", NAMES)
def test_inventory_means_the_same_to_ansible(name: str, ansible: Run) -> None:
    source = str(INVENTORIES / name)
    theirs = _shape(json.loads(ansible("ansible-inventory", "-i", source, "--list")))
    ours = _shape(inventory_list(load_inventory([source])))
    assert ours == theirs
    assert list(ours["_meta"]["hostvars"]) or not theirs["_meta"]["hostvars"]  # type: ignore[call-overload,index]


def test_graph_is_drawn_as_ansible_draws_it(ansible: Run) -> None:
    source = str(INVENTORIES / "nested.yaml")
    assert (
        inventory_graph(load_inventory([source]))
        == ansible("ansible-inventory", "-i", source, "--graph").rstrip()
    )


def test_several_sources_and_a_playbook_directory_merge_as_in_ansible(tmp_path: Path, ansible: Run) -> None:
    play = tmp_path / "play"
    (play / "group_vars").mkdir(parents=True)
    (play / "host_vars").mkdir()
    (play / "group_vars/all.yml").write_text("v2: playall\nv9: playall\nx: playall\n")
    (play / "group_vars/lab.yml").write_text("v6: playlab\n")
    (play / "host_vars/pc1.yml").write_text("hv: play\n")
    sources = [str(INVENTORIES / "tree"), "pc1,extra:5986,pc[1:2],", str(INVENTORIES / "beside/hosts.ini")]
    flags = [word for source in sources for word in ("-i", source)]
    theirs = _shape(json.loads(ansible("ansible-inventory", *flags, "--playbook-dir", str(play), "--list")))
    assert _shape(inventory_list(load_inventory(sources, playbook_dir=play))) == theirs


@pytest.mark.parametrize("name", ["labs.yml", "office.ini"])
def test_example_inventories_are_valid_for_ansible(name: str, ansible: Run) -> None:
    source = str(PROJECT / "inventories" / name)
    theirs = json.loads(ansible("ansible-inventory", "-i", source, "--list"))
    ours = load_inventory([source])
    assert list(ours.hosts) == list(theirs["_meta"]["hostvars"]) or set(ours.hosts) == set(
        theirs["_meta"]["hostvars"]
    )
    listed = inventory_list(ours)
    assert {key: listed[key] for key in listed if key != "_meta"} == {
        key: theirs[key] for key in theirs if key != "_meta"
    }


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_means_the_same_to_ansible(pattern: str, tmp_path: Path, ansible: Run) -> None:
    source = tmp_path / "hosts.ini"
    source.write_text(PATTERN_INVENTORY)
    listed = ansible("ansible", "-i", str(source), pattern, "--list-hosts").splitlines()
    theirs = [line.strip() for line in listed[1:]]
    ours = select_hosts(load_inventory([str(source)]), pattern)
    assert {host.name for host in ours.hosts} == set(theirs)


@pytest.mark.parametrize("limit", ["room1", "room1:!pc01", "pc*,&windows", "~pc1", "room1[0:1]"])
def test_limit_means_the_same_to_ansible(limit: str, tmp_path: Path, ansible: Run) -> None:
    source = tmp_path / "hosts.ini"
    source.write_text(PATTERN_INVENTORY)
    listed = ansible("ansible", "-i", str(source), "labs", "--list-hosts", "--limit", limit).splitlines()
    ours = select_hosts(load_inventory([str(source)]), "labs", limit)
    assert {host.name for host in ours.hosts} == {line.strip() for line in listed[1:]}


_bound = st.one_of(
    st.integers(0, 25).map(str), st.sampled_from(["00", "01", "007", "019", "a", "c", "z", "A", "Z", ""])
)
_range = st.builds(
    lambda first, last, step: f"[{first}:{last}{step}]",
    _bound,
    _bound,
    st.sampled_from(["", ":1", ":2", ":7"]),
)
_piece = st.one_of(_range, st.sampled_from(["pc", "-", ".lab", "x", "é", "_", ":5986", ":"]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(_piece, min_size=1, max_size=4).map("".join).filter(lambda text: text.count("[") < 3))
def test_ranges_expand_as_in_ansible(text: str) -> None:
    from ansible.plugins.inventory import BaseInventoryPlugin  # noqa: PLC0415 - only where Ansible is installed

    class Plugin(BaseInventoryPlugin):
        pass

    # A leading range with a port is an IPv6 address to Ansible: [1:3]:5986 is port 3 of host 1. Not to us.
    assume(not (text.startswith("[") and text.count(":") > text.count("[")))
    try:
        expected = Plugin()._expand_hostpattern(text)
    except Exception:  # noqa: BLE001 - Ansible raises several kinds for one broken range
        expected = None
    name, port = split_port(text)
    try:
        found = (expand_range(name), port)
    except RangeError:
        # We refuse a range that runs backwards, which Ansible takes for no host at all.
        assert expected is None or not expected[0]
        return
    assume(expected is not None)
    assert found == expected
