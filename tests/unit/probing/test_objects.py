"""Rows out of PowerShell's JSON: both spellings of dates, both wrappings, and nothing but our error."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.objects import date_text, read_objects
from ddcplay.probing.powershell import PowerShellProbe
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

# Recorded shapes of Windows PowerShell 5.1, byte for byte.
HOTFIXES = (
    rb'[{"HotFixID":"KB5040427","InstalledOn":"\/Date(1728864000000)\/"},'
    rb'{"HotFixID":"KB5","InstalledOn":null}]'
)
GET_DATE = (
    rb'[{"value":"\/Date(1418045420123)\/","DisplayHint":2,"DateTime":"Monday, December 8, 2014 1:30:20 PM"}]'
)


def rows(text: bytes) -> list[object]:
    return read_objects(text, "utf-8")


def test_dates_of_5_1_become_utc_and_nulls_stay() -> None:
    assert rows(HOTFIXES) == [
        {"HotFixID": "KB5040427", "InstalledOn": "2024-10-14T00:00:00Z"},
        {"HotFixID": "KB5", "InstalledOn": None},
    ]


def test_a_date_that_get_date_made_is_a_date() -> None:
    assert rows(GET_DATE) == ["2014-12-08T13:30:20.123Z"]
    assert rows(b'[{"When":' + GET_DATE[1:-1] + b"}]") == [{"When": "2014-12-08T13:30:20.123Z"}]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2014-12-08T14:30:20.1234567+01:00", "2014-12-08T13:30:20.123456Z"),
        ("2014-12-08T13:30:20Z", "2014-12-08T13:30:20Z"),
        ("/Date(-62135596800000)/", "0001-01-01T00:00:00Z"),
        ("/Date(1418045420000+0100)/", "2014-12-08T13:30:20Z"),
        ("/Date(999999999999999999)/", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2014-12-08T13:30:20", None),
        ("2014-13-08T13:30:20Z", None),
        ("at 2014-12-08T13:30:20Z", None),
        ("/Date(x)/", None),
    ],
)
def test_a_date_is_known_by_its_form(written, expected) -> None:
    assert date_text(written) == expected


def test_one_object_is_one_row_and_nothing_none() -> None:
    assert rows(b'[{"a":1}]\r\n') == [{"a": 1}]
    assert rows(b"[]") == []


def test_an_array_that_was_wrapped_by_5_1_is_an_array() -> None:
    assert rows(b'[{"ips":{"value":["10.0.0.1","::1"],"Count":2}}]') == [{"ips": ["10.0.0.1", "::1"]}]
    assert rows(b'[{"value":[1],"Count":1,"more":0}]') == [{"value": [1], "Count": 1, "more": 0}]


def test_numbers_are_exact_or_text() -> None:
    text = b"[18446744073709551615,18446744073709551616,-9223372036854775809,1.5,NaN,Infinity]"
    expected = [2**64 - 1, "18446744073709551616", "-9223372036854775809", 1.5, None, None]
    assert rows(text) == expected


def test_what_write_host_printed_stands_before_the_rows() -> None:
    assert rows('\ufeffhello [1]\r\n\r\n[{"n":"\\u0027ação\\u0027"}]\r\n\r\n'.encode()) == [{"n": "'ação'"}]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no json",
        b"[1",
        b'{"a":1}',
        b"[" * 100_000,
        b"[" * 60 + b"]" * 60,
        b"[1]\r\nhello",
        b"[1,]",
        b"\xff",
    ],
)
def test_what_is_no_list_of_objects_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"."):
        rows(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("/Date(1)/"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("value"), inner)
    ),
    max_leaves=20,
)


@given(st.lists(JSON))
def test_every_json_gives_rows_that_can_be_stored(value) -> None:
    orjson.dumps(rows(json.dumps(value).encode()))


def test_half_a_character_is_replaced_where_it_could_not_be_stored() -> None:
    found = rows(rb'["a\ud800b", {"\udfff": "\ud83d\ude00"}]')
    assert found == ["a?b", {"?": "\U0001f600"}]


@given(st.binary(max_size=200))
def test_whatever_comes_only_a_value_error_leaves(text: bytes) -> None:
    try:
        rows(b"[" + text)
    except ValueError:
        return


class Saying:
    """A connection on which every command answers the same."""

    def __init__(self, output: ProbeOutput) -> None:
        self.output = output
        self.commands: list[Command] = []

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.commands.append(command)
        return self.output


def probe(body: str, output: ProbeOutput, **more: object) -> tuple[ProbeOutput, Command]:
    connection = Saying(output)
    spec = ProbeSpec("p", "powershell", body, priority="normal", options={"output": "objects"}, **more)
    return PowerShellProbe().run(spec, connection, Deadline.after(SystemClock(), 5)), connection.commands[0]


def ended(stdout: bytes = b"[]", stderr: bytes = b"", code: int = 0) -> ProbeOutput:
    return ProbeOutput(exit_code=code, stdout=stdout, stderr=stderr, accepted=True)


def test_a_short_script_is_turned_into_json_on_a_line_a_person_can_read() -> None:
    output, command = probe("Get-HotFix | Select-Object HotFixID", ended(HOTFIXES))
    assert command.line == (
        'powershell.exe -NoProfile -NonInteractive -Command "ConvertTo-Json -InputObject '
        '@(& {Get-HotFix | Select-Object HotFixID}) -Depth 4 -Compress"'
    )
    assert output.stdout == HOTFIXES
    assert isinstance(output.data, list)
    assert len(output.data) == 2


@pytest.mark.parametrize("body", ["Get-Date # now", "Get-Date\nGet-Date", 'Get-Date -Format "d"'])
def test_other_scripts_go_through_stdin_inside_the_same_frame(body) -> None:
    _, command = probe(body, ended())
    assert (
        command.stdin
        == (
            "$ProgressPreference = 'SilentlyContinue'\n"
            f"ConvertTo-Json -InputObject @(& {{\n{body}\n}}) -Depth 4 -Compress\n"
        ).encode()
    )


def test_an_answer_without_objects_fails_and_is_never_repeated() -> None:
    output, _ = probe("exit 0", ended(b"hello\r\n"))
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, True)
    assert "no objects came back" in output.detail
    assert "exit 0" in output.hint


def test_a_script_that_failed_is_judged_by_its_exit_code() -> None:
    output, _ = probe("throw 'x'", ended(b"", b"x", 1))
    assert (output.reason, output.data, output.exit_code) == (None, None, 1)


def test_objects_beside_a_bad_exit_code_are_kept() -> None:
    output, _ = probe("1", ended(b"[1]", b"", 3), ok_codes=(0, 3))
    assert (output.reason, output.data) == (None, [1])


def test_powershell_2_is_told_what_it_lacks() -> None:
    said = b"<S S=\"Error\">The term 'ConvertTo-Json' is not recognized as the name of a cmdlet</S>"
    frame = b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    output, _ = probe("1", ended(b"", frame + said + b"</Objs>", 1))
    assert output.reason is Reason.EXIT_CODE
    assert "PowerShell 2" in output.detail


def test_an_expired_script_stays_expired() -> None:
    late = ProbeOutput(reason=Reason.TIMEOUT, stdout=b"[1", accepted=True)
    assert probe("1", late)[0].reason is Reason.TIMEOUT


def test_the_console_code_page_is_the_one_the_json_is_read_in() -> None:
    output, _ = probe("1", ended('["ação"]'.encode("cp850")), codepage=850)
    assert output.data == ["ação"]
