"""Cells that no spreadsheet runs, and files that are whole."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.report.pseudonyms import Pseudonyms
from ddcplay.report.table_files import CsvTable, FileColumn, csv_number, csv_text, open_table


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert csv_text(text).strip('"').startswith("'")


def test_numbers_are_never_touched() -> None:
    assert [csv_number(value) for value in (-5, -0.5, 2**64 - 1, True, None)] == [
        "-5", "-0.5", "18446744073709551615", "true", "",
    ]  # fmt: skip


def test_cells_are_quoted_for_both_kinds_of_spreadsheet() -> None:
    assert csv_text("a;=1") == '"a;=1"'
    assert csv_text('say "x", y') == '"say ""x"", y"'
    assert csv_text("") == '""'
    assert csv_text("\x1b[31m\u202e") == r"\x1b[31m\u202e"


@given(st.text())
def test_any_csv_reader_gets_one_cell_back(text: str) -> None:
    cells = (
        next(csv.reader([csv_text(text) + ",end"], strict=True))
        if "\n" not in text and "\r" not in text
        else []
    )
    assert not cells or (len(cells) == 2 and cells[1] == "end")
    assert not csv_text(text).lstrip('"')[:1].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    table = CsvTable(tmp_path / "t.csv", [FileColumn("at", "moment"), FileColumn("n", "number")])
    table.write({"at": [0.5, None], "n": [1.0, None]})
    assert not (tmp_path / "t.csv").exists()
    table.close()
    assert (tmp_path / "t.csv").read_bytes() == b"at,n\r\n1970-01-01T00:00:00.500Z,1.0\r\n,\r\n"


def test_parquet_has_types_and_aware_times(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    kinds = ("moment", "time", "unsigned", "truth", "text")
    table = open_table(tmp_path, "t", "parquet", [FileColumn(kind, kind) for kind in kinds])
    table.write(
        {
            "moment": [0.5, None],
            "time": ["2026-01-01T00:00:00+01:00", "2026-13-01T00:00:00Z"],
            "unsigned": [2**64 - 1, None],
            "truth": [True, None],
            "text": ["=1", None],
        }
    )
    table.close()
    read = parquet.read_table(tmp_path / "t.parquet")
    assert [str(each) for each in read.schema.types] == [
        "timestamp[us, tz=UTC]", "timestamp[us, tz=UTC]", "uint64", "bool", "string",
    ]  # fmt: skip
    assert read["text"].to_pylist() == ["=1", None]  # no spreadsheet reads Parquet
    assert read["time"].to_pylist()[1] is None


def test_a_host_has_one_pseudonym_wherever_its_name_stands() -> None:
    names = Pseudonyms(b"k" * 32, ["pc1.lab.example", "pc2"])
    alias = names.host("pc1.lab.example")
    assert names.text("PC1") == alias
    assert (
        names.text(r"cannot reach \\PC1\share, pc1.lab.example.")
        == rf"cannot reach \\{alias}\share, {alias}."
    )
    assert names.text("pc10 and xpc2") == "pc10 and xpc2"
    assert names.column("serial", ["ABC", None, ""])[1:] == [None, ""]
    assert names.column("serial", ["ABC"]) != ["ABC"]
    assert names.column("computer_name", ["PC2"]) == [names.host("pc2")]
    assert Pseudonyms(b"l" * 32, ["pc2"]).host("pc2") != names.host("pc2")
