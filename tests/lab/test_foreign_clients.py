"""Clients this project did not write must take the lab for a Windows PC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pypsrp.client import Client
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm.exceptions import InvalidCredentialsError, WinRMError

from ddcplay.lab.fleet import LabConfig, LabHost, RunningLab

pytestmark = pytest.mark.lab
USER, PASSWORD = "lab", "lab-Passw0rd"


@pytest.mark.parametrize(("host", "transport"), [("ntlm", "ntlm"), ("clear", "ntlm"), ("clear", "basic")])
def test_pywinrm_runs_a_command_over_http(
    lab: RunningLab, session: Callable[..., Any], host: str, transport: str
) -> None:
    result = session(lab, host, transport).run_cmd("hostname")
    assert (result.status_code, result.std_out, result.std_err) == (0, host.upper().encode() + b"\r\n", b"")


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_pywinrm_runs_a_command_over_https_with_a_checked_certificate(
    lab: RunningLab, session: Callable[..., Any], transport: str
) -> None:
    result = session(lab, "tls", transport, ca_trust_path=str(lab.ca_path)).run_cmd("hostname")
    assert result.std_out == b"TLS\r\n"


def test_pywinrm_refuses_the_certificate_it_does_not_know(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    with pytest.raises(OSError, match="certificate verify failed"):
        session(lab, "tls", "basic").run_cmd("hostname")


def test_pywinrm_logs_on_with_a_client_certificate(lab: RunningLab, session: Callable[..., Any]) -> None:
    certificate, key = lab.client_certificate
    client = session(
        lab,
        "tls",
        "certificate",
        cert_pem=str(certificate),
        cert_key_pem=str(key),
        ca_trust_path=str(lab.ca_path),
    )
    assert client.run_cmd("hostname").std_out == b"TLS\r\n"


def test_strict_channel_binding_takes_a_token_with_binding(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    client = session(lab, "strict", "ntlm", ca_trust_path=str(lab.ca_path), send_cbt=True)
    assert client.run_cmd("hostname").status_code == 0


def test_strict_channel_binding_refuses_a_token_without_binding(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    client = session(lab, "strict", "ntlm", ca_trust_path=str(lab.ca_path), send_cbt=False)
    with pytest.raises(InvalidCredentialsError):
        client.run_cmd("hostname")


def test_relaxed_channel_binding_takes_a_token_without_binding(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    client = session(lab, "tls", "ntlm", ca_trust_path=str(lab.ca_path), send_cbt=False)
    assert client.run_cmd("hostname").status_code == 0


@pytest.mark.parametrize("user", ["lab", "LAB\\lab", "lab@LAB", ".\\lab", "NTLM\\lab"])
def test_every_form_of_the_account_is_taken(lab: RunningLab, session: Callable[..., Any], user: str) -> None:
    assert session(lab, "ntlm", user=user).run_cmd("ver").status_code == 0


@pytest.mark.parametrize(("host", "transport"), [("ntlm", "ntlm"), ("clear", "basic")])
def test_a_wrong_password_is_a_401(
    lab: RunningLab, session: Callable[..., Any], host: str, transport: str
) -> None:
    with pytest.raises(InvalidCredentialsError):
        session(lab, host, transport, password="wrong").run_cmd("hostname")


def test_basic_in_clear_is_refused_unless_the_host_allows_it(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidCredentialsError):
        session(lab, "ntlm", "basic").run_cmd("hostname")


def test_a_clear_body_over_http_is_refused_unless_the_host_allows_it(
    lab: RunningLab, session: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidCredentialsError):
        session(lab, "ntlm", "ntlm", message_encryption="never").run_cmd("hostname")


def test_pywinrm_reads_a_powershell_error_out_of_clixml(lab: RunningLab, session: Callable[..., Any]) -> None:
    result = session(lab, "ntlm").run_ps("Write-Output 'x'\nWrite-Error 'bad thing'\nexit 3")
    assert (result.status_code, result.std_out) == (3, b"x\r\n")
    assert b"bad thing" in result.std_err
    assert b"CLIXML" not in result.std_err


def test_pywinrm_sends_input(lab: RunningLab, protocol: Callable[..., Any]) -> None:
    client = protocol(lab, "ntlm", "ntlm", 5)
    shell = client.open_shell(codepage=65001)
    command = client.run_command(shell, "more", console_mode_stdin=False)
    client.send_command_input(shell, command, "grün\r\n".encode())
    client.send_command_input(shell, command, b"two\r\n", end=True)
    assert client.get_command_output(shell, command) == ("grün\r\ntwo\r\n".encode(), b"", 0)
    client.close_shell(shell)


@pytest.mark.parametrize(
    ("page", "encoding"), [(437, "cp437"), (850, "cp850"), (1252, "cp1252"), (65001, "utf-8")]
)
def test_output_comes_in_the_code_page_of_the_shell(
    lab: RunningLab, protocol: Callable[..., Any], page: int, encoding: str
) -> None:
    client = protocol(lab, "clear", timeout_s=5)
    shell = client.open_shell(codepage=page)
    command = client.run_command(shell, "echo Grüße")
    assert client.get_command_output(shell, command)[0] == "Grüße\r\n".encode(encoding)
    client.close_shell(shell)


def test_environment_and_directory_of_the_shell_are_the_commands_own(
    lab: RunningLab, protocol: Callable[..., Any]
) -> None:
    client = protocol(lab, "clear", timeout_s=5)
    shell = client.open_shell(env_vars={"ROOM": "lab 1"}, working_directory="C:\\Windows")
    command = client.run_command(shell, "echo %ROOM% %UNKNOWN% & cd")
    assert client.get_command_output(shell, command)[0] == b"lab 1 %UNKNOWN% \r\nC:\\Windows\r\n"
    client.close_shell(shell)


def test_a_missing_working_directory_shows_at_the_command(
    lab: RunningLab, protocol: Callable[..., Any]
) -> None:
    client = protocol(lab, "clear", timeout_s=5)
    shell = client.open_shell(working_directory="C:\\no\\such")
    with pytest.raises(WinRMError) as caught:
        client.run_command(shell, "ver")
    assert caught.value.wsman_fault_code == 2147942667
    client.close_shell(shell)


def test_a_shell_outlives_its_connection(lab: RunningLab, protocol: Callable[..., Any]) -> None:
    first, second = protocol(lab, "ntlm", "ntlm", 5), protocol(lab, "ntlm", "ntlm", 5)
    shell = first.open_shell()
    first.transport.close_session()
    command = second.run_command(shell, "hostname")
    assert second.get_command_output(shell, command)[0] == b"NTLM\r\n"
    second.close_shell(shell)


@pytest.mark.parametrize("auth", ["ntlm", "negotiate"])
def test_pypsrp_runs_a_command_with_sealed_messages(lab: RunningLab, auth: str) -> None:
    address, port = lab.endpoint("ntlm")
    with Client(address, port=port, username=USER, password=PASSWORD, ssl=False, auth=auth) as client:
        assert client.execute_cmd("hostname") == ("NTLM\r\n", "", 0)


def test_pypsrp_runs_a_command_over_https(lab: RunningLab) -> None:
    address, port = lab.endpoint("tls")
    options = {"ssl": True, "cert_validation": str(lab.ca_path), "auth": "negotiate"}
    with Client(address, port=port, username=USER, password=PASSWORD, **options) as client:
        assert client.execute_cmd("echo out& echo err>&2& exit 5") == ("out\r\n", "err\r\n", 5)


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
def test_pypsrp_processes_take_input_and_signals(lab: RunningLab, auth: str) -> None:
    address, port = lab.endpoint("clear")
    options = {"auth": auth, "encryption": "never"} if auth == "basic" else {"auth": auth}
    with (
        WSMan(address, port=port, username=USER, password=PASSWORD, ssl=False, **options) as wsman,
        WinRS(wsman, codepage=65001) as shell,
    ):
        reader = Process(shell, "more", no_shell=False)
        reader.begin_invoke()
        reader.send(b"abc", end=True)
        reader.end_invoke()
        assert (reader.rc, reader.stdout) == (0, b"abc")
        endless = Process(shell, "sleep", ["3600"])
        endless.begin_invoke()
        endless.signal(SignalCode.CTRL_C)
        endless.poll_invoke()
        assert endless.rc == 0xC000013A


def test_ansible_runs_raw_commands(lab: RunningLab, tmp_path: Path) -> None:
    inventory = tmp_path / "lab.yml"
    inventory.write_text(lab.inventory_yaml(), encoding="utf-8")
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE")},
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }
    ansible = Path(sys.executable).with_name("ansible")
    done = subprocess.run(
        [str(ansible), "ntlm:tls", "-i", str(inventory), "-m", "ansible.builtin.raw", "-a", "hostname"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NTLM" in done.stdout
    assert "TLS" in done.stdout


def test_every_shell_a_client_created_was_deleted(
    lab_factory: Callable[[LabConfig], RunningLab], session: Callable[..., Any]
) -> None:
    with lab_factory(LabConfig((LabHost("pc"),))) as own:
        for _ in range(3):
            session(own, "pc").run_cmd("ver")
        stats = own.stats("pc")
    assert (stats["shells_created"], stats["shells_deleted"], stats["open_shells"]) == (3, 3, 0)
    assert stats["commands"] == ["ver"] * 3
    assert stats["logins_accepted"] == 3
