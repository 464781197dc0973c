from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.store.names import collision_key, directory_name

RESERVED = {"con", "prn", "aux", "nul", "com1", "lpt9", "com0", "conin$"}
ODD = st.sampled_from(
    ["CON", "nul.txt", "..", ".", "", "a/b", "a\\b", "x.", "x ", "COM¹", "é", "e\u0301", "ﬁ", "İ", "ß"]
)
NAMES = st.one_of(st.text(max_size=300), ODD, st.from_regex(r"[A-Za-z0-9.\-]{1,12}", fullmatch=True))


@pytest.mark.parametrize("host", ["pc01", "m12.classroom.example.edu", "LAB-7_x", "máquina", "10.0.0.7"])
def test_a_name_that_is_safe_everywhere_stays_as_it_is(host: str) -> None:
    assert directory_name(host) == host


@pytest.mark.parametrize(
    "host",
    [
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
        "CON",
        "nul.txt",
        "com1.lab",
        "LPT¹",
        "pc.",
        "pc ",
        "fe80::1%eth0",
        ".lock",
        "experiment.db",
        "usage.trace",
        "report.html",
        "a\0b",
        "a\nb",
        "-rf",
        "x" * 300,
    ],
)
def test_a_dangerous_name_is_changed(host: str) -> None:
    assert directory_name(host) != host


def test_hosts_that_differ_by_case_alone_get_two_directories() -> None:
    first = directory_name("PC1")
    second = directory_name("pc1", {collision_key(first)})
    assert collision_key(first) != collision_key(second)


def test_the_same_odd_host_gets_the_same_directory_in_every_experiment() -> None:
    assert directory_name("a/b") == directory_name("a/b") != directory_name("a\\b")


@given(NAMES)
def test_any_host_gets_a_component_every_file_system_accepts(host: str) -> None:
    name = directory_name(host)
    assert name == Path(name).name
    assert name not in ("", ".", "..")
    assert len(name.encode()) <= 255
    assert not any(c in '<>:"/\\|?*' or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
    assert name[-1] not in ". "
    assert name[0] not in ".- "
    assert name.split(".")[0].casefold() not in RESERVED
    assert unicodedata.is_normalized("NFC", name)


@given(st.lists(NAMES, unique=True, max_size=30))
def test_no_two_hosts_share_a_directory(hosts: list[str]) -> None:
    taken: set[str] = set()
    for host in hosts:
        key = collision_key(directory_name(host, taken))
        assert key not in taken
        taken.add(key)
