"""What every `Connection` promises, held against the simulated fleet; and how WinRM's own trouble shows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ddcplay.errors import FaultError
from ddcplay.lab.fleet import Fault, LabConfig, LabHost, RunningLab
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.result import Reason
from ddcplay.transport.base import Command, Connection, RowsLimitError
from ddcplay.transport.winrm import WinRMTransport
from ddcplay.units import Deadline, SystemClock

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("winrm-contract")]

PASSWORD = "lab-Passw0rd"
WAYS: dict[str, dict[str, Any]] = {
    "ntlm-sealed": {"host": "plain", "auth": ("ntlm",)},
    "nothing-written": {"host": "plain"},
    "ntlm-https": {"host": "tls", "auth": ("ntlm",)},
    "ntlm-https-sealed": {"host": "tls", "auth": ("ntlm",), "message_encryption": "always"},
    "ntlm-https-strict-binding": {"host": "strict", "auth": ("ntlm",)},
    "basic-https": {"host": "tls", "auth": ("basic",)},
    "basic-clear-as-written": {"host": "clear", "auth": ("basic",), "message_encryption": "never"},
}


@pytest.fixture(scope="module")
def lab(lab_factory: Callable[[LabConfig], RunningLab]) -> RunningLab:
    return lab_factory(
        LabConfig(
            (
                LabHost("plain"),
                LabHost("tls", https=True),
                LabHost("strict", https=True, cbt="strict"),
                LabHost("clear", allow_unencrypted=True),
                LabHost("mutual", https=True, schemes=("negotiate", "certificate")),
                LabHost("sick"),
            )
        )
    )


@pytest.fixture
def connect(lab: RunningLab) -> Iterator[Callable[..., Connection]]:
    transport = WinRMTransport(lambda ref: ref.value, SystemClock())
    made: list[Connection] = []

    def build(host: str = "plain", **changes: Any) -> Connection:
        address, port = lab.endpoint(host)
        secure = lab.host(host).https
        settings: dict[str, Any] = {
            "port": port,
            "scheme": "https" if secure else "http",
            "user": "lab",
            "password": SecretRef("plain", PASSWORD),
            "ca_trust_path": str(lab.ca_path) if secure else None,
        }
        made.append(transport.connect(Target(host, address, **(settings | changes)), within(10)))
        return made[-1]

    yield build
    for connection in made:
        connection.close()


@pytest.fixture
def sick(lab: RunningLab) -> Iterator[Callable[..., None]]:
    """Plant faults in host `sick`; they are gone after the test."""

    def plant(*faults: Fault) -> None:
        lab.set_fault("sick", *faults)

    yield plant
    lab.clear_faults("sick")


def within(seconds: float) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


@pytest.mark.parametrize("way", WAYS)
def test_two_commands_run_over_every_kind_of_logon(connect, lab, way) -> None:
    connection = connect(**WAYS[way])
    first = connection.run(Command("hostname"), within(10))
    second = connection.run(Command("hostname", last=True), within(10))
    assert (first.exit_code, first.reason, first.accepted) == (0, None, True)
    assert first.stdout.strip()
    assert second.stdout == first.stdout
    assert second.round_trips < first.round_trips
    assert connection.facts()["encryption"] in ("message", "tls", "none")


def test_a_client_certificate_logs_on_without_a_password(connect, lab) -> None:
    certificate, key = lab.client_certificate
    connection = connect(
        "mutual",
        auth=("certificate",),
        cert_pem=str(certificate),
        cert_key_pem=str(key),
        password=None,
        user=None,
    )
    assert connection.run(Command("hostname"), within(10)).reason is None
    assert connection.facts()["auth"] == "certificate"


def test_no_shell_is_left_behind(connect, lab) -> None:
    connection = connect()
    connection.run(Command("hostname"), within(10))
    connection.close()
    connection.close()
    stats = lab.stats("plain")
    assert (stats["open_shells"], stats["shells_expired"]) == (0, 0)
    assert stats["shells_created"] == stats["shells_deleted"] > 0


def test_exit_codes_are_not_judged(connect) -> None:
    output = connect().run(Command("exit 3"), within(10))
    assert (output.exit_code, output.reason) == (3, None)


def test_a_wrong_password_is_auth_for_every_kind_of_logon(connect) -> None:
    for way in ("ntlm-sealed", "basic-https"):
        with pytest.raises(FaultError) as caught:
            connect(**WAYS[way], password=SecretRef("plain", "wrong"))
        assert caught.value.reason == "auth"


def test_an_unknown_authority_is_refused(connect) -> None:
    with pytest.raises(FaultError, match="TLS") as caught:
        connect("tls", ca_trust_path=None)
    assert caught.value.reason == "transport"


@pytest.mark.parametrize("kind", ["hang", "mute", "trickle"])
def test_run_returns_at_the_latest_5_s_after_its_deadline(connect, sick, kind) -> None:
    connection = connect("sick")
    connection.run(Command("hostname"), within(5))
    sick(Fault(kind, "receive" if kind == "trickle" else None, value=0.2))
    began = time.monotonic()
    output = connection.run(Command("hostname"), within(0.5))
    assert time.monotonic() - began < 5.5
    assert output.reason is Reason.TIMEOUT
    assert output.accepted
    assert output.connection_lost == (kind != "hang")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("quota_shells", "create"), Reason.QUOTA),
        (Fault("quota_operations", "create"), Reason.QUOTA),
        (Fault("quota_operations_wmi", "create"), Reason.QUOTA),
        (Fault("access_denied", "create"), Reason.AUTH),
        (Fault("empty_500", "create"), Reason.TRANSPORT),
        (Fault("busy_503", "create"), Reason.TRANSPORT),
        (Fault("wrong_xml", "create"), Reason.TRANSPORT),
        (Fault("truncated", "create"), Reason.TRANSPORT),
        (Fault("missing_elements", "create"), Reason.TRANSPORT),
        (Fault("wrong_relates_to", "create"), Reason.TRANSPORT),
        (Fault("not_sealed", "create"), Reason.TRANSPORT),
        (Fault("missing_elements", "command"), Reason.TRANSPORT),
        (Fault("reset", "command"), Reason.TRANSPORT),
        (Fault("timed_out", "command"), Reason.TIMEOUT),
        (Fault("no_exit_code"), Reason.TRANSPORT),
        (Fault("shell_gone", "receive"), Reason.TRANSPORT),
    ],
    ids=lambda value: f"{value.kind}-{value.operation}" if isinstance(value, Fault) else str(value),
)
def test_trouble_of_the_host_is_data_with_a_reason_and_a_hint(connect, sick, fault, reason) -> None:
    connection = connect("sick")
    sick(fault)
    output = connection.run(Command("hostname"), within(5))
    assert output.reason is reason
    assert output.detail
    assert len(output.detail) <= 300
    assert PASSWORD not in repr(output)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("timed_out", "receive", times=3),
        Fault("no_streams"),
        Fault("close_each", "receive"),
        Fault("unauthorized", "receive", times=1),
        Fault("bad_request", "receive", times=1),
        Fault("split_utf8"),
        Fault("slow", "receive", value=0.05),
    ],
    ids=lambda fault: fault.kind,
)
def test_what_can_be_survived_is_survived(connect, sick, fault) -> None:
    connection = connect("sick")
    sick(fault)
    output = connection.run(Command("hostname"), within(10))
    assert (output.reason, output.exit_code) == (None, 0), output.detail


def test_too_much_output_ends_the_command_and_keeps_what_came(connect, sick) -> None:
    connection = connect("sick")
    sick(Fault("huge_output", value=1))
    output = connection.run(Command("hostname", max_output_bytes=50_000), within(10))
    assert (output.reason, len(output.stdout)) == (Reason.OUTPUT_LIMIT, 50_000)


def test_nothing_changes_in_the_environment_of_this_process(connect) -> None:
    before = dict(os.environ)
    connect().run(Command("hostname"), within(10))
    assert dict(os.environ) == before


@pytest.mark.parametrize("way", WAYS)
def test_a_query_needs_no_shell_over_every_kind_of_logon(connect, lab, way) -> None:
    connection = connect(**WAYS[way])
    host = WAYS[way]["host"]
    before = lab.stats(host)["shells_created"]
    (row,) = connection.query("SELECT Name,TotalPhysicalMemory FROM Win32_ComputerSystem", within(10))
    machine = lab.machine(host)
    assert row == {"Name": machine.computer_name, "TotalPhysicalMemory": machine.ram_bytes}
    assert lab.stats(host)["shells_created"] == before


def test_both_forms_of_rows_bring_the_same_values(connect) -> None:
    connection = connect()
    where = "FROM Win32_NetworkAdapterConfiguration"
    named = connection.query(f"SELECT IPAddress,DHCPEnabled,MACAddress {where}", within(10))
    every = connection.query(f"SELECT * {where}", within(10))
    chosen = ("IPAddress", "DHCPEnabled", "MACAddress")
    assert [dict(row) for row in named] == [{name: row[name] for name in chosen} for row in every]
    assert isinstance(named[0]["IPAddress"], list)
    assert named[1]["IPAddress"] is None


def test_rows_come_in_the_order_of_the_target(connect) -> None:
    rows = connect().query("SELECT * FROM Win32_Process", within(10))
    assert [row["Name"] for row in rows][:2] == ["System Idle Process", "System"]


def test_rows_beyond_the_bound_are_cut_and_the_connection_goes_on(connect) -> None:
    connection = connect()
    with pytest.raises(RowsLimitError) as caught:
        connection.query("SELECT * FROM Win32_Process", within(10), max_bytes=900)
    assert 0 < len(caught.value.rows) < 10
    assert connection.run(Command("hostname", last=True), within(10)).exit_code == 0


@pytest.mark.parametrize(
    ("wql", "namespace", "told"),
    [
        ("SELECT * FROM Win32_Nothing", "root/cimv2", "WBEM_E_INVALID_CLASS"),
        ("SELECT Nothing FROM Win32_Process", "root/cimv2", "WBEM_E_INVALID_QUERY"),
        ("SELECT * FROM Win32_Process", "root/nothing", "no namespace root/nothing"),
    ],
)
def test_a_query_that_wmi_refuses_says_why_and_the_connection_goes_on(connect, wql, namespace, told) -> None:
    connection = connect()
    with pytest.raises(FaultError, match=told) as caught:
        connection.query(wql, within(10), namespace)
    assert caught.value.reason == "wql"
    assert connection.query("SELECT Name FROM Win32_ComputerSystem", within(10))


def test_a_target_that_turns_mute_at_a_query_costs_its_deadline(connect, sick) -> None:
    connection = connect("sick")
    sick(Fault("mute"))
    began = time.monotonic()
    with pytest.raises(FaultError) as caught:
        connection.query("SELECT Name FROM Win32_Process", within(0.4))
    assert time.monotonic() - began < 5
    assert caught.value.reason == "timeout"
