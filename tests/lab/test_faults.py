"""Every fault that can be planted does what it says, seen by a foreign client or on the wire."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from ddcplay.lab.fleet import Fault, RunningLab

pytestmark = pytest.mark.lab


def run(client: Protocol, line: str = "echo hi") -> tuple[bytes, bytes, int]:
    shell = client.open_shell(codepage=65001)
    command = client.run_command(shell, line)
    output = client.get_command_output(shell, command)
    client.close_shell(shell)
    return output


def test_slow_delays_one_operation(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("slow", "create", value=0.3))
    began = time.monotonic()
    assert run(protocol(faulty, "pc"))[2] == 0
    assert 0.3 <= time.monotonic() - began < 2


def test_a_slow_login_delays_the_first_request_only(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("slow", "login", times=1, value=0.3))
    began = time.monotonic()
    assert run(protocol(faulty, "pc", "ntlm"))[2] == 0
    assert 0.3 <= time.monotonic() - began < 2


def test_a_busy_service_says_so_before_it_asks_who_is_there(
    faulty: RunningLab, post: Callable[..., Any]
) -> None:
    faulty.set_fault("pc", Fault("busy_503", value=3))
    answer = post(faulty, "pc", b"", Authorization="")
    assert (answer.status, answer.all("Retry-After"), answer.all("Connection")) == (503, ["3"], ["close"])


def test_hang_never_ends_but_prints_what_it_has(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("hang"))
    client = protocol(faulty, "pc")
    shell = client.open_shell()
    command = client.run_command(shell, "echo hi")
    assert client.get_command_output_raw(shell, command)[0] == b"hi\r\n"
    with pytest.raises(WinRMOperationTimeoutError):
        client.get_command_output_raw(shell, command)
    client.close_shell(shell)
    assert faulty.stats("pc")["open_shells"] == 0


def test_mute_takes_the_connection_and_says_nothing(faulty: RunningLab, post: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("mute"))
    with socket.create_connection(faulty.endpoint("pc"), timeout=0.3) as client:
        client.sendall(b"POST /wsman HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_mute_can_begin_at_one_operation(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("mute", "receive", times=1))
    client = protocol(faulty, "pc")
    client.transport.read_timeout_sec = 0.3
    shell = client.open_shell()
    command = client.run_command(shell, "ver")
    with pytest.raises(requests.ReadTimeout):
        client.get_command_output_raw(shell, command)
    assert client.get_command_output(shell, command)[2] == 0
    client.close_shell(shell)


def test_trickle_sends_byte_by_byte(faulty: RunningLab) -> None:
    faulty.set_fault("pc", Fault("trickle", value=0.03))
    with socket.create_connection(faulty.endpoint("pc"), timeout=2) as client:
        client.sendall(b"POST /wsman HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert [client.recv(10) for _ in range(4)] == [b"H", b"T", b"T", b"P"]


def test_reset_comes_after_so_many_bytes(faulty: RunningLab) -> None:
    faulty.set_fault("pc", Fault("reset", value=5))
    with socket.create_connection(faulty.endpoint("pc"), timeout=2) as client:
        client.sendall(b"POST /wsman HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert client.recv(100) == b"HTTP/"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_unauthorized_looks_like_a_wrong_password(
    faulty: RunningLab, protocol: Callable[..., Any], transport: str
) -> None:
    faulty.set_fault("pc", Fault("unauthorized", "login"))
    with pytest.raises(InvalidCredentialsError):
        run(protocol(faulty, "pc", transport))
    assert faulty.stats("pc")["logins_refused"] >= 1


def test_unauthorized_can_strike_in_mid_session(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("unauthorized", "receive"))
    with pytest.raises(InvalidCredentialsError):
        run(protocol(faulty, "pc"))
    assert faulty.stats("pc")["logins_refused"] == 0


def test_bad_request_comes_after_silence_only(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("bad_request", "command", value=0.2))
    client = protocol(faulty, "pc")
    shell = client.open_shell()
    client.run_command(shell, "ver")
    time.sleep(0.25)  # the fault is about silence; there is no other way to make some
    with pytest.raises(WinRMTransportError) as caught:
        client.run_command(shell, "ver")
    assert caught.value.code == 400


@pytest.mark.parametrize(("kind", "status"), [("empty_500", 500), ("busy_503", 503)])
def test_http_errors_have_no_soap(
    faulty: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], kind: str, status: int
) -> None:
    faulty.set_fault("pc", Fault(kind, value=7))
    answer = post(faulty, "pc", envelope("x"))
    assert (answer.status, answer.body) == (status, b"")
    assert answer.all("Retry-After") == (["7"] if status == 503 else [])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("quota_shells", 2150859173),
        ("quota_operations", 2150859174),
        ("quota_operations_wmi", 2150859174),
        ("access_denied", 5),
        ("shell_gone", 2150858843),
    ],
)
def test_refusals_carry_their_code_in_their_form(
    faulty: RunningLab, protocol: Callable[..., Any], kind: str, code: int
) -> None:
    faulty.set_fault("pc", Fault(kind))
    with pytest.raises(WSManFaultError) as caught:
        run(protocol(faulty, "pc"))
    wmi_form = kind in ("quota_shells", "quota_operations_wmi")
    assert (caught.value.wmierror_code if wmi_form else caught.value.wsman_fault_code) == code


def test_timed_out_is_swallowed_by_a_patient_client(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("timed_out", times=3))
    assert run(protocol(faulty, "pc")) == (b"hi\r\n", b"", 0)
    assert faulty.stats("pc")["receives"] == 4


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("wrong_xml", Exception),
        ("truncated", requests.RequestException),
        ("missing_elements", StopIteration),
    ],
)
def test_broken_answers_break_a_trusting_client(
    faulty: RunningLab, protocol: Callable[..., Any], kind: str, error: type[Exception]
) -> None:
    faulty.set_fault("pc", Fault(kind, "create"))
    with pytest.raises(error):
        protocol(faulty, "pc").open_shell()


def test_wrong_relates_to_names_another_message(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("wrong_relates_to", "delete"))
    client = protocol(faulty, "pc")
    shell = client.open_shell()
    with pytest.raises(AssertionError):
        client.close_shell(shell)


def test_done_without_streams_and_without_exit_code(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("no_streams"))
    assert run(protocol(faulty, "pc")) == (b"", b"", 0)
    faulty.set_fault("pc", Fault("no_exit_code"))
    with pytest.raises(StopIteration):
        run(protocol(faulty, "pc"))


def test_huge_output_comes_whole(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("huge_output", value=6))
    out, _, code = run(protocol(faulty, "pc", timeout_s=20))
    assert (len(out), code) == (6 * 2**20 + 4, 0)
    assert faulty.stats("pc")["receives"] > 50


def test_a_character_cut_across_answers_comes_whole(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("split_utf8"))
    assert run(protocol(faulty, "pc"), "echo ü€")[0] == "ü€\r\n".encode()
    assert faulty.stats("pc")["receives"] >= 7


def test_an_idle_connection_is_closed(faulty: RunningLab) -> None:
    faulty.set_fault("pc", Fault("close_idle", value=0.05))
    with socket.create_connection(faulty.endpoint("pc"), timeout=2) as client:
        assert client.recv(1) == b""


def test_keep_alive_can_be_taken_away(faulty: RunningLab) -> None:
    faulty.set_fault("pc", Fault("close_each"))
    with socket.create_connection(faulty.endpoint("pc"), timeout=2) as client:
        client.sendall(b"POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        received = b""
        while piece := client.recv(1000):
            received += piece
    assert received.startswith(b"HTTP/1.1 404 ")


def test_a_clear_answer_to_a_sealed_request(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("not_sealed", "create"))
    client = protocol(faulty, "pc", "ntlm")
    shell = client.open_shell()  # pywinrm takes it; a careful client does not
    client.close_shell(shell)


def test_a_fault_for_the_first_times_goes_away(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("access_denied", "create", times=1))
    client = protocol(faulty, "pc")
    with pytest.raises(WSManFaultError):
        client.open_shell()
    assert run(client)[2] == 0


def test_clear_faults_makes_a_host_well_again(faulty: RunningLab, protocol: Callable[..., Any]) -> None:
    faulty.set_fault("pc", Fault("empty_500"))
    faulty.clear_faults("pc")
    assert run(protocol(faulty, "pc"))[2] == 0


def test_an_unknown_fault_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"there are .*slow"):
        Fault("sloow")
