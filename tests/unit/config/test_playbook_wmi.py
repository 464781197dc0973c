"""Queries, exclusive probes and PowerShell's objects as a playbook writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import build_probe, read_playbook
from ddcplay.errors import ConfigError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.playbook import Playbook


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., Playbook]:
    def read(probe: str, defaults: str = "{}") -> Playbook:
        path = tmp_path / "p.yml"
        text = f"- name: P\n  hosts: a\n  defaults: {defaults}\n  probes:\n    - {{name: q, {probe}}}\n"
        path.write_text(text, encoding="utf-8")
        return read_playbook(path, render=None)

    return read


def built(book: Playbook, body: object = None, **more: object) -> ProbeSpec:
    entry = book.plays[0].probes[0]
    rendered: Mapping[str, object] = {entry.kind: entry.body, **entry.options, **more}
    return build_probe(entry, rendered if body is None else {**rendered, entry.kind: body}, "pc1")


def test_a_query_with_its_namespace_arrives(book) -> None:
    spec = built(book(r"wmi: SELECT a FROM b, namespace: root\wmi".replace("a FROM b", "a FROM b")))
    assert (spec.kind, spec.body) == ("wmi", "SELECT a FROM b")
    assert spec.options == {"namespace": r"root\wmi"}


def test_named_queries_keep_their_order(book) -> None:
    spec = built(book("wmi: {z: SELECT a FROM b, a: SELECT c FROM d}"))
    assert isinstance(spec.body, Mapping)
    assert list(spec.body.items()) == [("z", "SELECT a FROM b"), ("a", "SELECT c FROM d")]
    assert spec.options == {}


def test_a_query_that_a_template_turned_into_something_else_is_refused_for_its_host(book) -> None:
    with pytest.raises(
        ConfigError, match=r"probe 'q' on host 'pc1': 'wmi' has a query 'z' that is the number 5"
    ):
        built(book("wmi: {z: '{{ query }}'}"), {"z": 5})


@pytest.mark.parametrize(("written", "exclusive", "recheck_s"), [
    ("", False, 30.0), ("exclusive: true", True, 30.0), ("exclusive: true, recheck: 2m", True, 120.0),
])  # fmt: skip
def test_exclusive_and_its_pace_arrive(book, written, exclusive, recheck_s) -> None:
    spec = built(book(f"command: ver, {written}".rstrip(", ")))
    assert (spec.exclusive, spec.recheck_s) == (exclusive, recheck_s)


def test_defaults_may_hold_what_only_some_kinds_read(book) -> None:
    defaults = "{output: objects, namespace: root/wmi}"
    assert built(book("powershell: Get-Date", defaults)).options["output"] == "objects"
    assert built(book("wmi: SELECT a FROM b", defaults)).options["namespace"] == "root/wmi"


@pytest.mark.parametrize(
    "probe",
    [
        "wmi: select  * from win32_processor",
        "wmi: {x: SELECT a FROM b, y: SELECT * FROM Win32_Processor WHERE a=1}",
    ],
)
def test_every_property_of_the_processor_is_warned_about(book, probe) -> None:
    (warning,) = check_playbook(book(probe))
    assert "LoadPercentage" in warning


def test_win32_product_is_warned_about_in_named_queries_too(book) -> None:
    (warning,) = check_playbook(book("wmi: {x: SELECT Name FROM Win32_Product}"))
    assert "Win32_Product" in warning
