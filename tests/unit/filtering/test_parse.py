"""`parse`: what Windows prints becomes rows and fields, or a message that names the line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddcplay.filtering.trouble import DataError

WMIC_CSV = "\r\r\nNode,DeviceID,FreeSpace,Size\r\r\nPC1,C:,53687091200,107374182400\r\r\nPC1,D:,,\r\r\n\r\r\n"
WMIC_VALUE = (
    "\r\r\n\r\r\nDeviceID=C:\r\r\nFreeSpace=5\r\r\n\r\r\n\r\r\nDeviceID=D:\r\r\nFreeSpace=\r\r\n\r\r\n"
)
WMIC_TABLE = (
    "Caption  FreeSpace    Size          \r\r\n"
    "C:       53687091200  107374182400  \r\r\n"
    "D:                                  \r\r\n\r\r\n"
)
IPCONFIG = """
Windows IP Configuration

   Host Name . . . . . . . . . . . . : PC01

Ethernet adapter Ethernet:

   Connection-specific DNS Suffix  . :
   Link-local IPv6 Address . . . . . : fe80::1%4(Preferred)
   DNS Servers . . . . . . . . . . . : fe80::1
                                       10.0.0.1
   NetBIOS over Tcpip. . . . . . . . : Enabled
"""
SYSTEMINFO = """
Host Name:                 PC01
Windows Directory:         C:\\Windows
Hotfix(s):                 2 Hotfix(s) Installed.
                           [01]: KB1
                           [02]: KB2
"""
GET_PROCESS = """
Handles  NPM(K)    PM(K)     CPU(s)     Id ProcessName
-------  ------    -----     ------     -- -----------
    412      25    14560       1.23   1234 chrome
   1412      25  1114560             11234 Idle proc x

"""
TASKLIST = """
Image Name                     PID Session Name        Session#    Mem Usage
========================= ======== ================ =========== ============
System Idle Process              0 Services                   0          8 K
a.exe                        12345 Console                    1     12,345 K
"""
QUSER = """ USERNAME              SESSIONNAME        ID  STATE   IDLE TIME  LOGON TIME
>ana                   console             1  Active      none   11/22/2026 8:00 AM
 bob                                       2  Disc     1+02:13   11/21/2026 9:12 PM
"""
DISKPART = """
  Disk ###  Status         Size     Free     Dyn  Gpt
  --------  -------------  -------  -------  ---  ---
  Disk 0    Online          238 GB  1024 KB        *
"""
DATES = "d\n20240102030405.000000+060\n2024-01-02T03:04:05+01:00\n/Date(1700000000000)/\n2024-01-02 03:04\n\n"


@pytest.mark.parametrize(
    ("written", "output", "expected"),
    [
        ("json", '\ufeff{"a": 18446744073709551615, "b": [1.5]}\r\n', {"a": 2**64 - 1, "b": [1.5]}),
        ("json", '{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
        ("json", r'{"a": "\ud800"}', {"a": "?"}),
        ({"format": "json", "rows": True}, '{"a": 1}', [{"a": 1}]),
        ({"format": "json", "rows": True}, "\r\n", []),
        (
            {"format": "json", "types": {"n": "str", "d": "datetime"}},
            '[{"n": 5, "d": "/Date(0)/"}]',
            [{"n": "5", "d": "1970-01-01T00:00:00Z"}],
        ),
        (
            "csv",
            WMIC_CSV,
            [
                {"Node": "PC1", "DeviceID": "C:", "FreeSpace": 53687091200, "Size": 107374182400},
                {"Node": "PC1", "DeviceID": "D:", "FreeSpace": None, "Size": None},
            ],
        ),
        (
            {"format": "csv", "decimal": ",", "types": {"serial": "str"}},
            '#TYPE X\r\n"Name";"Free";"serial";\r\n"a";"1,5";"007";\r\n"b; c";"2";"8";\r\n',
            [{"Name": "a", "Free": 1.5, "serial": "007"}, {"Name": "b; c", "Free": 2, "serial": "8"}],
        ),
        ({"format": "csv", "header": ["a", "b"]}, "1,2\n3,4\n", [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ({"format": "csv", "header": False}, "1\t2\n", [{"column_1": 1, "column_2": 2}]),
        ({"format": "csv", "rows": False}, "a,a\n1,2\n", {"a": 1, "a_2": 2}),
        (
            {"format": "csv", "skip": 1, "ignore": "^The command"},
            "junk\na\n1\nThe command completed.\n",
            [{"a": 1}],
        ),
        ("csv", 'a,b\n"x\ny",2\n', [{"a": "x\ny", "b": 2}]),
        ("csv", "a,b\n", []),
        (
            {"format": "csv", "types": {"d": "datetime"}},
            DATES,
            [
                {"d": "2024-01-02T02:04:05Z"},
                {"d": "2024-01-02T02:04:05Z"},
                {"d": "2023-11-14T22:13:20Z"},
                {"d": "2024-01-02T03:04:00"},
            ],
        ),
        (
            {"format": "csv", "types": {"d": "datetime"}, "datetime_format": "%d/%m/%Y"},
            "d\n31/12/2025\n",
            [{"d": "2025-12-31T00:00:00"}],
        ),
        (
            {"format": "csv", "types": {"t": "bool", "f": "float"}},
            "t,f\nTRUE,nan\nno,5\n",
            [{"t": True, "f": None}, {"t": False, "f": 5.0}],
        ),
        (
            {"format": "kv", "rows": True},
            WMIC_VALUE,
            [{"DeviceID": "C:", "FreeSpace": 5}, {"DeviceID": "D:", "FreeSpace": None}],
        ),
        (
            "kv",
            IPCONFIG,
            {
                "Windows IP Configuration": {"Host Name": "PC01"},
                "Ethernet adapter Ethernet": {
                    "Connection-specific DNS Suffix": None,
                    "Link-local IPv6 Address": "fe80::1%4(Preferred)",
                    "DNS Servers": ["fe80::1", "10.0.0.1"],
                    "NetBIOS over Tcpip": "Enabled",
                },
            },
        ),
        (
            {"format": "kv", "rows": True},
            IPCONFIG.replace("Tcpip. . . . . . . . : Enabled", "x. : 1"),
            [
                {"section": "Windows IP Configuration", "Host Name": "PC01"},
                {
                    "section": "Ethernet adapter Ethernet",
                    "Connection-specific DNS Suffix": None,
                    "Link-local IPv6 Address": "fe80::1%4(Preferred)",
                    "DNS Servers": ["fe80::1", "10.0.0.1"],
                    "NetBIOS over x": 1,
                },
            ],
        ),
        (
            "kv",
            SYSTEMINFO,
            {
                "Host Name": "PC01",
                "Windows Directory": "C:\\Windows",
                "Hotfix(s)": ["2 Hotfix(s) Installed.", "[01]: KB1", "[02]: KB2"],
            },
        ),
        ({"format": "kv", "delimiter": "->"}, "a -> 1\nb -> x=y\n", {"a": 1, "b": "x=y"}),
        (
            {"format": "kv", "decimal": ",", "thousands": "."},
            "a: 1.234,5\nb: 1.234\nc: 12.34\n",
            {"a": 1234.5, "b": 1234, "c": "12.34"},
        ),
        (
            {"format": "kv", "thousands": " ", "decimal": ","},
            "a: 1\u202f234,5\nb: 1\u00a0234\n",
            {"a": 1234.5, "b": 1234},
        ),
        (
            "kv",
            "a: 007\nb: +351912\nc: 1E5\nd: 1.5E+03\ne: -3\nf: 123456789012345678901\ng: 1.2.3\nh: -0\n",
            {
                "a": "007",
                "b": "+351912",
                "c": "1E5",
                "d": 1500.0,
                "e": -3,
                "f": "123456789012345678901",
                "g": "1.2.3",
                "h": "-0",
            },
        ),
        (
            "table",
            GET_PROCESS,
            [
                {
                    "Handles": 412,
                    "NPM(K)": 25,
                    "PM(K)": 14560,
                    "CPU(s)": 1.23,
                    "Id": 1234,
                    "ProcessName": "chrome",
                },
                {
                    "Handles": 1412,
                    "NPM(K)": 25,
                    "PM(K)": 1114560,
                    "CPU(s)": None,
                    "Id": 11234,
                    "ProcessName": "Idle proc x",
                },
            ],
        ),
        (
            "table",
            TASKLIST,
            [
                {
                    "Image Name": "System Idle Process",
                    "PID": 0,
                    "Session Name": "Services",
                    "Session#": 0,
                    "Mem Usage": "8 K",
                },
                {
                    "Image Name": "a.exe",
                    "PID": 12345,
                    "Session Name": "Console",
                    "Session#": 1,
                    "Mem Usage": "12,345 K",
                },
            ],
        ),
        (
            "table",
            WMIC_TABLE,
            [
                {"Caption": "C:", "FreeSpace": 53687091200, "Size": 107374182400},
                {"Caption": "D:", "FreeSpace": None, "Size": None},
            ],
        ),
        (
            "table",
            QUSER,
            [
                {
                    "USERNAME": ">ana",
                    "SESSIONNAME": "console",
                    "ID": 1,
                    "STATE": "Active",
                    "IDLE TIME": "none",
                    "LOGON TIME": "11/22/2026 8:00 AM",
                },
                {
                    "USERNAME": "bob",
                    "SESSIONNAME": None,
                    "ID": 2,
                    "STATE": "Disc",
                    "IDLE TIME": "1+02:13",
                    "LOGON TIME": "11/21/2026 9:12 PM",
                },
            ],
        ),
        (
            "table",
            DISKPART,
            [
                {
                    "Disk ###": "Disk 0",
                    "Status": "Online",
                    "Size": "238 GB",
                    "Free": "1024 KB",
                    "Dyn": None,
                    "Gpt": "*",
                }
            ],
        ),
        ({"format": "table", "header": ["Name", "Id"]}, "Name Id\nab    5\n", [{"Name": "ab", "Id": 5}]),
        (
            {"format": "regex", "pattern": r"^(?P<n>\w+) (?P<ms>\d+)?"},
            "a 5\r\nb \r\n",
            [{"n": "a", "ms": 5}, {"n": "b", "ms": None}],
        ),
        ({"format": "regex", "pattern": r"(?P<n>nothing)"}, "a 5", []),
        ({"format": "jc", "parser": "csv", "types": {"a": "int"}}, "a,b\n1,2\n", [{"a": 1, "b": "2"}]),
    ],
)
def test_an_output_becomes_data(bench: Any, written: object, output: str, expected: object) -> None:
    assert bench("parse", written).data(stdout_bytes=output.encode()) == expected


def test_stderr_and_utf_16_are_read_too(bench: Any) -> None:
    assert bench("parse", {"format": "kv", "of": "stderr"}).data(stderr_bytes=b"a=1") == {"a": 1}
    raw = b"\xff\xfe" + "ol\u00e9=1\r\n".encode("utf-16-le")
    assert bench("parse", "kv").data(stdout_bytes=raw) == {"ol\u00e9": 1}
    assert bench("parse", "kv").data(stdout_bytes=b"ol\x82=1", codepage=850) == {"ol\u00e9": 1}


@pytest.mark.parametrize(
    ("written", "output", "message"),
    [
        ("json", "", "printed nothing on stdout"),
        ("json", '{"a": 1,\n "b": }', "line 2, column 7"),
        ("json", "[" * 100_000, "nested too deep"),
        ("json", "[" * 200 + "]" * 200, "nested more than 100"),
        ("json", "1" * 5000, "thousands of digits"),
        ("csv", "a,b\n1,2\nfoo\n", "line 3: 1 fields, and 2 expected: 'foo'"),
        ("csv", "a,b\n1,2,3\n", "line 2: 3 fields"),
        (
            {"format": "csv", "types": {"n": "int"}},
            "n\n5\nn/a\n",
            "line 3: the field 'n' must be int, and is 'n/a'",
        ),
        ({"format": "csv", "types": {"n": "datetime"}}, "n\n02/01/2024\n", "must be datetime"),
        ({"format": "csv", "types": {"n": "bool"}}, "n\nmaybe\n", "must be bool"),
        ({"format": "csv", "rows": False}, "a\n1\n2\n", "2 rows, and rows: false expects exactly one"),
        ({"format": "csv", "ignore": "."}, "a\n1\n", "no line is left"),
        ("kv", "a=1\nfoo\n", "line 2: there is no ':' or '=' in it: 'foo'"),
        ("kv", "=1\n", "line 1: nothing stands before"),
        ("kv", "evil \x1b[31m\n", r"\\x1b"),
        ("table", "Name  Id\n----  --\nabcdefgh\n", "run into each other|no blank between"),
        ({"format": "table", "header": ["Name", "Pid"]}, "Name Id\nab 5\n", "'Pid' is not there"),
        ({"format": "jc", "parser": "xml"}, "<a", "jc's 'xml' cannot read the output"),
    ],
)
def test_an_output_that_is_not_as_expected_is_told_with_its_line(
    bench: Any, written: object, output: str, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        bench("parse", written).data(stdout_bytes=output.encode())
    assert caught.value.hint
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (None, "required"),
        ("yaml", "json"),
        ({"format": "csv", "delimeter": ";"}, "not permitted"),
        ({"format": "csv", "delimiter": ";;"}, "one character"),
        ({"format": "json", "header": ["a"]}, "'header' has no meaning for format json"),
        ({"format": "csv", "header": "a"}, "header is a list"),
        ({"format": "csv", "types": {"a": "integer"}}, "int"),
        ({"format": "csv", "thousands": ".", "skip": -1}, "greater than or equal"),
        ({"format": "kv", "thousands": ",", "decimal": ","}, "same mark"),
        ({"format": "regex"}, "needs a pattern"),
        ({"format": "regex", "pattern": "(a"}, "not a regular expression"),
        ({"format": "regex", "pattern": "(a)"}, "no named group"),
        ({"format": "jc"}, "needs a parser"),
        ({"format": "jc", "parser": "nope"}, "no parser 'nope'"),
        ({"format": "jc", "parser": "csv_s"}, "streaming"),
    ],
)
def test_options_that_cannot_work_are_refused(bench: Any, written: object, message: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=message):
        bench("parse", written)


@pytest.mark.parametrize(
    "written",
    [
        {"format": "regex", "pattern": "^(?P<n>(a|a)*)$"},
        {"format": "csv", "ignore": "^(a|a)*$"},
    ],
)
def test_a_pattern_that_would_run_for_ever_is_stopped(bench: Any, written: object) -> None:
    with pytest.raises(DataError, match="was stopped"):
        bench("parse", written).data(stdout_bytes=b"a" * 60 + b"!\n" + b"a" * 60 + b"!")


@given(
    output=st.one_of(
        st.binary(max_size=200), st.text("ab:=,;. -\r\n\t\"'1\ufeff", max_size=200).map(str.encode)
    ),
    written=st.sampled_from(
        [
            "json",
            "csv",
            "kv",
            "table",
            {"format": "kv", "rows": True},
            {"format": "csv", "header": False},
            {"format": "regex", "pattern": r"(?P<a>\d+)|(?P<b>.)"},
        ]
    ),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_output_is_data_or_a_message(bench: Any, output: bytes, written: object) -> None:
    try:
        bench("parse", written).data(stdout_bytes=output)
    except DataError as error:
        assert error.message  # noqa: PT017 - other outputs are fine
        assert error.hint  # noqa: PT017 - as above


@given(number=st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(-1e15, 1e15)))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_printed_number_is_read_as_itself(bench: Any, number: float) -> None:
    found = bench("parse", "kv").data(stdout_bytes=f"n: {number!r}".encode())["n"]
    assert found == number or repr(number) == "-0.0"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("written", ["json", "csv", "kv", "table", {"format": "kv", "rows": True}])
@pytest.mark.parametrize(
    "output",
    [
        b"\r" * 500_000,
        b"a," * 250_000 + b"\n" + b"1\n" * 100_000,
        b"a  " * 150_000 + b"\n" + b"x\n" * 100_000,
        b"-- " * 150_000 + b"\n" + b"-\n" * 100_000,
        b"a=1\n" * 100_000,
        b"a:\n b: 1\n" * 50_000,
        b" " * 500_000 + b"x",
        b"1" * 500_000,
        b'"' * 500_001,
        b"[" * 500_000,
    ],
    ids=[
        "returns",
        "commas",
        "headings",
        "dashes",
        "keys",
        "sections",
        "blanks",
        "digits",
        "quotes",
        "brackets",
    ],
)
def test_half_a_megabyte_of_malice_costs_seconds_at_most(bench: Any, written: object, output: bytes) -> None:
    try:
        bench("parse", written).data(stdout_bytes=output)
    except DataError as error:
        assert error.hint  # noqa: PT017 - being read is fine too
