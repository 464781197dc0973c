"""Rows of many hosts on the screen and as CSV: one table, hostile cells harmless, nothing left out."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.ui.rows import print_rows, write_csv


def result(host, data=None, outcome=Outcome.OK, reason=None, detail=""):
    return AttemptResult("probe", 1, host, "wmi", outcome, reason, detail, data=data)


DISKS = result("pc1", [{"Name": "C:", "Size": 10}, {"Name": "D:", "Size": None, "More": ["a", "b"]}])
EMPTY = result("pc2", [])
REFUSED = result("pc3", None, Outcome.FAILED, Reason.WQL, "no such class")
PARTIAL = result("pc4", ({"Name": "X:"},), Outcome.FAILED, Reason.OUTPUT_LIMIT, "too many")


@pytest.fixture
def shown():
    def show(*results, full=False):
        stream = io.StringIO()
        print_rows(Console(file=stream, width=100), results, full=full)
        return stream.getvalue()

    return show


def test_the_rows_of_all_hosts_are_one_table(shown) -> None:
    text = shown(DISKS, EMPTY, REFUSED, PARTIAL)
    lines = text.splitlines()
    assert lines[0].split() == ["host", "Name", "Size", "More"]
    assert lines[1].split() == ["pc1", "C:", "10"]
    assert lines[2].split() == ["pc1", "D:", "a,", "b"]
    assert lines[3].split() == ["pc4", "X:"]
    assert "no rows: pc2" in text
    assert "no such class" in text
    assert "4 hosts  2 ok  2 failed" in text


def test_without_rows_the_failures_are_told(shown) -> None:
    assert shown(REFUSED).splitlines()[0].startswith("pc3  failed wql")


def test_a_row_cannot_draw_on_the_terminal(shown) -> None:
    text = shown(result("pc1", [{"\x1b[2J": "\x1b]0;x\x07", "[red]": "[bold]b"}]))
    assert "\x1b" not in text
    assert "[red]" in text
    assert "[bold]b" in text


def test_many_rows_are_cut_unless_all_are_asked_for(shown) -> None:
    many = result("pc1", [{"n": number} for number in range(600)])
    assert "… 100 more rows (-v)" in shown(many)
    assert "more rows" not in shown(many, full=True)


def test_csv_has_a_line_per_row_and_one_per_host_without() -> None:
    stream = io.StringIO()
    write_csv(stream, [DISKS, EMPTY, REFUSED, PARTIAL])
    assert list(csv.reader(io.StringIO(stream.getvalue()))) == [
        ["host", "outcome", "reason", "detail", "Name", "Size", "More"],
        ["pc1", "ok", "", "", "C:", "10", ""],
        ["pc1", "ok", "", "", "D:", "", "a, b"],
        ["pc2", "ok", "", "", "", "", ""],
        ["pc3", "failed", "wql", "no such class", "", "", ""],
        ["pc4", "failed", "output_limit", "too many", "X:", "", ""],
    ]


def test_csv_cells_are_no_formulas_and_values_keep_their_spelling() -> None:
    stream = io.StringIO()
    row = {"=a": "=1+1", "n": -5, "t": True, "big": 2**64 - 1, "deep": {"k": [{"x": None}]}}
    write_csv(stream, [result("pc1", [row])])
    head, cells = csv.reader(io.StringIO(stream.getvalue()))
    assert head[4:] == ["'=a", "n", "t", "big", "deep"]
    assert cells[4:] == ["'=1+1", "-5", "true", "18446744073709551615", '{"k":[{"x":null}]}']
