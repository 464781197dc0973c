"""WQL conditions choose the rows that WMI would choose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.lab.wql import WqlError, parse

ROW = {"Name": "Spooler", "DriveType": 3, "Size": 2**40, "IPEnabled": True, "UserName": None}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("DriveType=3", True),
        ("drivetype = '3'", True),
        ("DriveType<>3", False),
        ("Size > 1000 AND DriveType >= 3", True),
        ("Size < 1000 OR DriveType <= 3", True),
        ("Size < 1000 AND DriveType = 3", False),
        ("DriveType=4 AND Size>0 OR Name='spooler'", True),
        ("DriveType=4 AND (Size>0 OR Name='spooler')", False),
        ("NOT DriveType=4", True),
        ("Name LIKE 'spo%'", True),
        ("Name LIKE '_pooler'", True),
        ("Name LIKE 'ooler'", False),
        ("IPEnabled=TRUE", True),
        ("IPEnabled=FALSE", False),
        ("UserName IS NULL", True),
        ("UserName IS NOT NULL", False),
        ("UserName='x'", False),
        ("UserName<>'x'", False),
        ('Name="Spooler"', True),
    ],
)
def test_a_condition_is_met_or_not(where: str, expected: bool) -> None:
    assert parse(f"SELECT Name FROM Win32_X WHERE {where}").matches(ROW) is expected


def test_columns_and_class_are_read_whatever_the_case_and_line_ends() -> None:
    query = parse("select Name,\n Size\nfrom Win32_LogicalDisk;")
    assert (query.columns, query.name) == (("Name", "Size"), "Win32_LogicalDisk")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT FROM x",
        "SELECT a b FROM x",
        "SELECT * FROM x WHERE Name=",
        "SELECT * FROM x WHERE Name ~ 1",
    ],
)
def test_what_is_no_query_is_refused(text: str) -> None:
    with pytest.raises(WqlError):
        parse(text).matches(ROW)


@given(st.text(max_size=40))
def test_no_condition_breaks_the_parser(condition: str) -> None:
    try:
        result = parse(f"SELECT * FROM Win32_X WHERE {condition}").matches(ROW)
    except WqlError:
        return
    assert result in (True, False)
