"""Trouble as Windows makes it: each is named rightly, nothing runs twice, no shell is left behind."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import winrm

from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.result import Reason
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

PASSWORD = "lab-Passw0rd-ü"


def within(seconds: float) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


def settled(there: Any) -> dict[str, Any]:
    for connection in there.connections:
        connection.close()
    journal: dict[str, Any] = there.journal()
    assert sorted(journal["created"]) == sorted(journal["deleted"])
    return journal


def test_the_server_is_no_mirror_pywinrm_works_with_it_too(pc) -> None:
    there = pc()
    protocol = winrm.Protocol(
        f"http://127.0.0.1:{there.port}/wsman",
        transport="ntlm",
        username="lab",
        password=PASSWORD,
        ca_trust_path="",
        proxy=None,
    )
    shell = protocol.open_shell(codepage=65001)
    command = protocol.run_command(shell, "out hi ;; exit 3")
    assert protocol.get_command_output(shell, command) == (b"hi", b"", 3)
    protocol.cleanup_command(shell, command)
    protocol.close_shell(shell)


@pytest.mark.parametrize(
    "dialect",
    [{}, {"tls": "good"}, {"offers": ("Negotiate",)}, {"offers": ("Kerberos", "Negotiate")}],
    ids=["http", "https", "negotiate-only", "kerberos-first"],
)
def test_a_wrong_password_is_auth_and_shown_once(pc, dialect) -> None:
    there = pc(**dialect)
    with pytest.raises(FaultError) as caught:
        there.connect(password=SecretRef("plain", "wrong"))
    assert caught.value.reason == "auth"
    assert there.journal()["credentials"] == 2  # the two legs of one NTLM logon


def test_ntlm_switched_off_is_auth_with_what_is_offered(pc) -> None:
    there = pc(ntlm=False)
    with pytest.raises(FaultError) as caught:
        there.connect()
    assert caught.value.reason == "auth"
    assert "NTLM" in caught.value.message + str(caught.value.hint)


def test_an_account_without_the_right_to_use_winrm_is_auth_and_says_so(pc) -> None:
    with pytest.raises(FaultError) as caught:
        pc(allowed=False, language="de-DE").connect()
    assert caught.value.reason == "auth"
    assert "Remote Management Users" in caught.value.hint


def test_basic_alone_is_not_tried_without_being_written(pc) -> None:
    there = pc(offers=('Basic realm="WSMAN"',))
    with pytest.raises(FaultError) as caught:
        there.connect()
    assert caught.value.reason == "auth"
    assert "Basic" in caught.value.message
    assert there.journal()["logons"] == 0


@pytest.mark.parametrize(
    "dialect", [{"tls": "good"}, {"tls": "good", "host": "::1"}, {"allow_unencrypted": True}]
)
def test_basic_works_where_it_is_written(pc, dialect) -> None:
    there = pc(**dialect)
    never = {} if "tls" in dialect else {"message_encryption": "never"}
    connection = there.connect(auth=("basic",), **never)
    assert connection.run(Command("out b"), within(10)).stdout == b"b"
    there.hang_up()
    assert connection.run(Command("out c"), within(10)).stdout == b"c"
    assert settled(there)["commands"] == ["out b", "out c"]


@pytest.mark.parametrize("kind", ["name", "expired", "stranger"])
def test_a_bad_certificate_gets_no_credentials(pc, kind) -> None:
    there = pc(tls=kind)
    with pytest.raises(FaultError) as caught:
        there.connect()
    assert caught.value.reason == "transport"
    wanted = {"name": "another address", "expired": "expired", "stranger": "self-signed"}[kind]
    assert wanted in caught.value.message
    assert there.journal()["credentials"] == 0


@pytest.mark.parametrize(("tls", "scheme"), [(None, "https"), ("good", "http")])
def test_the_wrong_protocol_on_a_port_gets_no_credentials(pc, tls, scheme) -> None:
    there = pc(tls=tls)
    with pytest.raises(FaultError) as caught:
        there.connect(scheme=scheme)
    assert caught.value.reason == "transport"
    assert there.journal()["credentials"] == 0
    if scheme == "http":
        assert "TLS" in caught.value.message + str(caught.value.hint)


def test_an_idle_connection_that_was_closed_is_rebuilt_and_the_shell_kept(pc) -> None:
    there = pc()
    connection = there.connect()
    connection.run(Command("out a"), within(10))
    there.hang_up()
    again = connection.run(Command("out b"), within(10))
    assert (again.reason, again.stdout) == (None, b"b"), again.detail
    journal = settled(there)
    assert len(journal["created"]) == 1
    assert journal["commands"] == ["out a", "out b"]


@pytest.mark.parametrize("what", ["400", "401"])
@pytest.mark.parametrize("operation", ["Create", "Command", "Receive", "Signal", "Delete"])
def test_a_session_forgotten_by_the_target_is_rebuilt(pc, what, operation) -> None:
    there = pc(troubles=((operation, 1, what),))
    connection = there.connect()
    output = connection.run(Command("out once"), within(10))
    assert (output.reason, output.stdout) == (None, b"once"), output.detail
    journal = settled(there)
    assert journal["commands"] == ["out once"]
    assert journal["logons"] == 2


def test_401_for_ever_after_a_good_logon_ends_soon_and_says_what_may_be_missing(pc) -> None:
    there = pc(troubles=tuple(("Create", number, "401") for number in range(1, 20)))
    output = there.connect().run(Command("out never"), within(10))
    assert (output.reason, output.accepted) == (Reason.AUTH, False)
    assert "Remote Management Users" in output.hint
    assert there.journal()["logons"] <= 2


@pytest.mark.parametrize("what", ["cut", "cut_after", "500", "no_xml", "truncated", "relates", "clear"])
def test_a_command_whose_answer_is_lost_is_never_sent_again(pc, what) -> None:
    there = pc(troubles=(("Command", 1, what),))
    connection = there.connect()
    output = connection.run(Command("out one"), within(10))
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, True)
    assert connection.run(Command("out two"), within(10)).stdout == b"two"
    journal = settled(there)
    assert journal["commands"] in (["out two"], ["out one", "out two"])


def test_503_is_transport_and_the_next_probe_is_fine(pc) -> None:
    there = pc(troubles=(("Create", 1, "503"),))
    connection = there.connect()
    assert connection.run(Command("out a"), within(10)).reason == Reason.TRANSPORT
    assert connection.run(Command("out b"), within(10)).stdout == b"b"
    assert settled(there)["commands"] == ["out b"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fault:5", Reason.AUTH),
        ("fault:2150859173", Reason.QUOTA),
        ("wmi_fault:2150859173", Reason.QUOTA),
        ("wmi_fault:2150859174", Reason.QUOTA),
        ("fault:2147942405", Reason.AUTH),
        ("fault:2150858793", Reason.TIMEOUT),
        ("fault:995", Reason.TRANSPORT),
    ],
)
@pytest.mark.parametrize("dialect", [{}, {"language": "de-DE", "shape": "other"}], ids=["english", "german"])
def test_faults_of_create_are_named_in_any_language(pc, fault, reason, dialect) -> None:
    there = pc(troubles=(("Create", 1, fault),), **dialect)
    output = there.connect().run(Command("out x"), within(10))
    assert (output.reason, output.accepted) == (reason, False), output.detail
    if dialect:
        assert "Größenüberschreitung" in output.detail


def test_windows_7_out_of_shells_is_quota(pc) -> None:
    there = pc(shape="w7", max_shells=1)
    first, second = there.connect(), there.connect()
    assert first.run(Command("out a"), within(10)).stdout == b"a"
    refused = second.run(Command("out b"), within(10))
    assert (refused.reason, "2150859173" in refused.detail) == (Reason.QUOTA, True)
    settled(there)


@pytest.mark.parametrize("shape", ["w7", "w2016"])
def test_twenty_commands_run_where_fifteen_operations_are_allowed(pc, shape) -> None:
    there = pc(shape=shape, max_operations=15)
    connection = there.connect()
    for number in range(20):
        assert connection.run(Command(f"out {number}"), within(10)).stdout == str(number).encode()
    journal = settled(there)
    assert len(journal["created"]) == 2
    assert len(journal["commands"]) == 20


def test_a_full_shell_is_replaced(pc) -> None:
    there = pc(troubles=(("Command", 1, "fault:2150859238"),))
    assert there.connect().run(Command("out x"), within(10)).stdout == b"x"
    assert len(settled(there)["created"]) == 2


def test_a_shell_that_vanished_is_replaced_before_the_command_is_accepted(pc) -> None:
    there = pc()
    connection = there.connect()
    connection.run(Command("out a"), within(10))
    there.lose_shells()
    assert connection.run(Command("out b"), within(10)).stdout == b"b"
    assert there.journal()["commands"] == ["out a", "out b"]


def test_a_shell_is_kept_when_only_the_ended_command_is_forgotten(pc) -> None:
    # 2150858843 says "shell or command not found": after Done the command may be gone, the shell not.
    there = pc(forgets_ended_commands=True)
    connection = there.connect()
    assert connection.run(Command("out a"), within(10)).stdout == b"a"
    assert connection.run(Command("out b"), within(10)).stdout == b"b"
    assert len(settled(there)["created"]) == 1


def test_a_command_forgotten_under_way_leaves_no_shell(pc) -> None:
    there = pc(troubles=(("Receive", 1, "fault:2150858843"),))
    connection = there.connect()
    assert connection.run(Command("out a"), within(10)).reason == Reason.TRANSPORT
    settled(there)


@pytest.mark.parametrize("operation", ["Receive", "Delete", "Signal"])
def test_a_connection_cut_after_acceptance_costs_nothing_more_than_it_must(pc, operation) -> None:
    there = pc(troubles=((operation, 1, "cut"),))
    connection = there.connect()
    assert connection.run(Command("out a"), within(10)).stdout == b"a"
    connection.close()
    journal = there.journal()
    assert journal["commands"] == ["out a"]


_LISTENER = r"""
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
caller, _ = listener.accept()
asked = caller.recv(65536)
print(asked.count(b"TlRMTVNTUAAD") + asked.count(b"Basic"), flush=True)
caller.sendall(b"220 mail ready\r\n")
"""


def test_the_wrong_port_is_no_place_for_credentials(pc) -> None:
    # The first leg of NTLM (type 1) tells nothing of user or password; the third would.
    with subprocess.Popen([sys.executable, "-c", _LISTENER], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        with pytest.raises(FaultError) as caught:
            pc().connect(port=port, scheme="http")
        assert caught.value.reason == "transport"
        assert other.stdout.readline().strip() == "0"
