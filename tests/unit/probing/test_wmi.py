"""Probe kind `wmi`: which texts are queries, and what rows, faults and bounds become."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from ddcplay.errors import FaultError, UsageError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.probing.wmi import WmiProbe
from ddcplay.transport.base import Command, RowsLimitError
from ddcplay.units import Deadline, SystemClock

DISKS = "SELECT DeviceID FROM Win32_LogicalDisk"
SYSTEM = "SELECT Caption FROM Win32_OperatingSystem"
WITHIN = Deadline.after(SystemClock(), 60)


class Answering:
    """A connection that answers queries from a table; a fault in it is raised."""

    def __init__(self, answers: dict[str, object]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, int]] = []

    def query(self, wql, deadline, namespace="root/cimv2", *, max_bytes=0):
        self.asked.append((wql, namespace, max_bytes))
        answer = self.answers[wql]
        if isinstance(answer, FaultError):
            raise answer
        return answer

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        raise AssertionError("no process is started")

    def facts(self):
        return {"round_trips": len(self.asked)}


@pytest.fixture
def ask() -> Callable[..., tuple[ProbeOutput, Answering]]:
    def run(body: object, answers: dict[str, object], **more: object) -> tuple[ProbeOutput, Answering]:
        connection = Answering(answers)
        return WmiProbe().run(ProbeSpec("p", "wmi", body, **more), connection, WITHIN), connection

    return run


def test_one_query_gives_a_list_of_rows_as_json_and_as_data(ask) -> None:
    output, connection = ask(DISKS, {DISKS: ({"DeviceID": "C:", "Size": 2**64 - 1},)})
    assert output.data == ({"DeviceID": "C:", "Size": 2**64 - 1},)
    assert output.stdout == b'[{"DeviceID":"C:","Size":18446744073709551615}]'
    assert (output.reason, output.exit_code, output.round_trips) == (None, None, 1)
    assert connection.asked == [(DISKS, "root/cimv2", 1024 * 1024)]


def test_no_row_is_an_empty_list(ask) -> None:
    output, _ = ask(DISKS, {DISKS: ()})
    assert (output.stdout, output.reason) == (b"[]", None)


def test_named_queries_give_an_object_in_the_order_written(ask) -> None:
    output, connection = ask(
        {"os": f"{SYSTEM} ;\n", "disks": DISKS},
        {DISKS: ({"a": 1},), SYSTEM: ({"b": "x"},)},
        options={"namespace": r"root\wmi"},
    )
    assert output.stdout == b'{"os":[{"b":"x"}],"disks":[{"a":1}]}'
    assert orjson.dumps(output.data) == output.stdout
    assert [asked[:2] for asked in connection.asked] == [(SYSTEM, "root/wmi"), (DISKS, "root/wmi")]


def test_a_refused_query_names_itself_and_leaves_the_others_their_turn(ask) -> None:
    output, connection = ask(
        {"os": SYSTEM, "disks": DISKS}, {SYSTEM: FaultError("wql", "no such class", "look"), DISKS: ()}
    )
    assert (output.reason, output.detail, output.hint) == (Reason.WQL, "os: no such class", "look")
    assert output.stdout == b'{"disks":[]}'
    assert len(connection.asked) == 2


@pytest.mark.parametrize("reason", ["timeout", "transport", "quota"])
def test_other_trouble_ends_the_probe_and_keeps_the_rows_so_far(ask, reason) -> None:
    trouble = FaultError(reason, "gone", connection_lost=True)
    output, connection = ask({"os": SYSTEM, "disks": DISKS, "more": DISKS}, {SYSTEM: (), DISKS: trouble})
    assert (output.reason, output.detail, output.connection_lost) == (reason, "disks: gone", True)
    assert output.stdout == b'{"os":[]}'
    assert len(connection.asked) == 2


def test_a_failing_single_query_has_no_output(ask) -> None:
    output, _ = ask(DISKS, {DISKS: FaultError("wql", "no such class")})
    assert (output.stdout, output.data, output.detail) == (b"", None, "no such class")


def test_too_many_rows_are_cut_and_said(ask) -> None:
    output, _ = ask(DISKS, {DISKS: RowsLimitError("too many", "ask for less", ({"a": 1},))})
    assert (output.reason, output.stdout, output.data) == (Reason.OUTPUT_LIMIT, b'[{"a":1}]', ({"a": 1},))


def test_the_bound_holds_for_all_queries_together(ask) -> None:
    rows = ({"a": "x" * 50},)
    _, connection = ask({"os": SYSTEM, "disks": DISKS}, {SYSTEM: rows, DISKS: ()}, max_output_bytes=100)
    assert [asked[2] for asked in connection.asked] == [100, 40]


@pytest.mark.parametrize(
    "wql",
    [
        "select * from Win32_BIOS",
        "SELECT Name\nFROM Win32_Process\nWHERE Name='a, b; join'",
        'SELECT a FROM b WHERE c = "x;y" ;',
        r"SELECT a FROM b WHERE c = 'it\'s; from a, b'",
        "SELECT __CLASS FROM meta_class WHERE __this ISA 'Win32_Thing'",
    ],
)
def test_what_is_a_query_is_asked_as_written(wql) -> None:
    shown = WmiProbe().command_line(ProbeSpec("p", "wmi", wql))
    assert shown == wql.rstrip("; ")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "empty"),
        (" ; ", "empty"),
        ({}, "empty"),
        ({"a": " "}, "query a: the query is empty"),
        ("DELETE FROM x", "no WQL query"),
        ("SELECT FROM x", "no WQL query"),
        ("ASSOCIATORS OF {Win32_Disk.Id='C:'}", "no WQL query"),
        ("SELECT a FROM b; SELECT c FROM d", "several statements"),
        ("SELECT a FROM b, c", "no joins"),
        ("SELECT a FROM b INNER JOIN c ON d", "no joins"),
        ("SELECT a FROM b JOIN c ON d", "no joins"),
    ],
)
def test_what_wql_cannot_answer_is_refused_before_anything_is_sent(body, told) -> None:
    with pytest.raises(UsageError, match=told):
        WmiProbe().command_line(ProbeSpec("p", "wmi", body))


def test_a_plan_shows_every_query_with_its_name_and_namespace() -> None:
    spec = ProbeSpec("p", "wmi", {"os": SYSTEM, "disks": DISKS}, options={"namespace": "root/wmi"})
    assert WmiProbe().command_line(spec) == f"[root/wmi] os: {SYSTEM}\n[root/wmi] disks: {DISKS}"


def test_a_wrong_namespace_is_refused() -> None:
    with pytest.raises(UsageError, match="no WMI namespace"):
        WmiProbe().command_line(ProbeSpec("p", "wmi", DISKS, options={"namespace": "cimv2"}))
