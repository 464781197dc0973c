"""What goes over the wire, byte by byte, as recorded from Windows."""

from __future__ import annotations

import base64
import http.client
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ddcplay.lab.fleet import RunningLab

pytestmark = pytest.mark.lab
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
IDENTIFY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"'
    b' xmlns:i="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"><s:Header/><s:Body><i:Identify/>'
    b"</s:Body></s:Envelope>"
)


def fault_code(body: bytes) -> int:
    match = re.search(rb'WSManFault [^>]*Code="(\d+)"|error_Code[^>]*>(\d+)<', body)
    assert match, body
    return int(match[1] or match[2])


def command(line: str) -> str:
    return f"<sh:CommandLine><sh:Command>{line}</sh:Command></sh:CommandLine>"


def receive(command_id: str) -> str:
    wanted = f'<sh:DesiredStream CommandId="{command_id}">stdout stderr</sh:DesiredStream>'
    return f"<sh:Receive>{wanted}</sh:Receive>"


@pytest.fixture
def start(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> Callable[..., tuple[str, str]]:
    """Run a command line in a new shell; returns shell id and command id."""

    def run(line: str, host: str = "clear") -> tuple[str, str]:
        shell = open_shell(lab, host)
        answer = post(lab, host, envelope(f"{SHELL}/Command", command(line), shell))
        assert answer.status == 200, answer.body
        return shell, answer.body.decode().partition("<rsp:CommandId>")[2].partition("<")[0]

    return run


def test_strangers_may_ask_who_is_there(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "ntlm", IDENTIFY, Authorization="", WSMANIDENTIFY="unauthenticated")
    assert answer.status == 200
    assert b"OS: 0.0.0 SP: 0.0 Stack: 3.0" in answer.body


def test_the_anonymous_path_identifies_too(lab: RunningLab, post: Callable[..., Any]) -> None:
    assert post(lab, "ntlm", IDENTIFY, path="/wsman-anon/identify", Authorization="").status == 200


def test_identify_tells_the_version_to_those_who_log_on(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "clear", IDENTIFY)
    assert f"OS: {lab.machine('clear').system[1]}".encode() in answer.body


def test_a_bare_post_is_answered_like_windows_does(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "ntlm", b"", Authorization="")
    assert answer.status_line == "HTTP/1.1 401 "
    names = [name for name, _ in answer.headers]
    assert names == ["WWW-Authenticate", "WWW-Authenticate", "Server", "Date", "Connection", "Content-Length"]
    assert answer.all("WWW-Authenticate") == ["Negotiate", 'Basic realm="WSMAN"']


def test_get_is_not_allowed(lab: RunningLab, send_raw: Callable[..., Any]) -> None:
    answer = send_raw(lab, "clear", b"GET /wsman HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (answer.status, answer.all("Allow"), answer.all("Connection")) == (405, ["POST"], ["close"])


def test_another_path_is_not_found(lab: RunningLab, post: Callable[..., Any]) -> None:
    assert post(lab, "clear", b"x", path="/other").status == 404


def test_a_query_behind_the_path_is_ignored(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any]
) -> None:
    answer = post(lab, "clear", envelope(f"{SHELL}/Nonsense"), path="/wsman?PSVersion=5.1")
    assert fault_code(answer.body) == 2150858771


def test_another_content_type_is_unsupported(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "clear", b"<x/>", Content_Type="text/xml")
    assert (answer.status, answer.body) == (415, b"")


def test_a_body_beyond_the_envelope_limit_is_too_large(lab: RunningLab, post: Callable[..., Any]) -> None:
    assert post(lab, "clear", b" " * 600_000).status == 413


def test_a_sealed_body_without_tabs_is_taken(lab: RunningLab, protocol: Callable[..., Any]) -> None:
    client = protocol(lab, "ntlm", "ntlm")
    client.transport.build_session()
    session, endpoint = client.transport.session, client.transport.endpoint
    prepared = client.transport.encryption.prepare_encrypted_request(session, endpoint, IDENTIFY)
    prepared.body = prepared.body.replace(b"\tContent-Type", b"Content-Type").replace(b"\tOrig", b"Orig")
    prepared.headers["Content-Length"] = str(len(prepared.body))
    answer = session.send(prepared)
    assert answer.status_code == 200
    assert b"\tContent-Type: application/octet-stream\r\n" in answer.content
    assert b"ProductVersion" in client.transport.encryption.parse_encrypted_response(answer)


def test_an_empty_body_of_a_known_user_is_fine(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "clear", b"")
    assert (answer.status, answer.all("Content-Type"), answer.body) == (200, [], b"")


def test_a_raw_ntlm_scheme_is_refused(lab: RunningLab, post: Callable[..., Any]) -> None:
    answer = post(lab, "ntlm", b"", Authorization="NTLM TlRMTVNTUAABAAAA")
    assert (answer.status, answer.all("Connection")) == (401, ["close"])


def test_a_sealed_body_on_a_fresh_connection_is_a_401(lab: RunningLab, post: Callable[..., Any]) -> None:
    kind = (
        'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";'
        'boundary="Encrypted Boundary"'
    )
    answer = post(lab, "ntlm", b"--Encrypted Boundary\r\n", Authorization="", Content_Type=kind)
    assert (answer.status, answer.all("Connection"), answer.body) == (401, ["close"], b"")


def test_a_sealed_body_of_another_context_is_a_400(lab: RunningLab, protocol: Callable[..., Any]) -> None:
    client = protocol(lab, "ntlm", "ntlm")
    client.transport.build_session()
    encryption = client.transport.encryption
    stranger = protocol(lab, "ntlm", "ntlm")
    stranger.transport.build_session()
    prepared = encryption.prepare_encrypted_request(
        stranger.transport.session, client.transport.endpoint, b"<x/>"
    )
    answer = stranger.transport.session.send(prepared)
    assert (answer.status_code, answer.content) == (400, b"")


@pytest.mark.parametrize("body", [b"no xml", b"<a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'])
def test_what_is_no_envelope_is_a_schema_fault(
    lab: RunningLab, post: Callable[..., Any], body: bytes
) -> None:
    answer = post(lab, "clear", body)
    assert (answer.status, fault_code(answer.body)) == (500, 2150858817)


def test_an_unknown_action_is_a_fault_that_relates_to_the_request(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any]
) -> None:
    answer = post(lab, "clear", envelope("http://example.org/Nonsense", message_id="uuid:AbC"))
    assert (answer.status, fault_code(answer.body)) == (500, 2150858771)
    assert b"<a:RelatesTo>uuid:AbC</a:RelatesTo>" in answer.body
    assert answer.body.startswith(b'<s:Envelope xml:lang="en-US" xmlns:s=')


def test_a_bad_operation_timeout_is_a_fault(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any]
) -> None:
    answer = post(lab, "clear", envelope(f"{TRANSFER}/Create", timeout="PT-1S"))
    assert fault_code(answer.body) == 2150858767


def test_a_mandatory_header_nobody_knows_is_not_understood(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any]
) -> None:
    extra = '<q:Foo xmlns:q="urn:foo" soap:mustUnderstand="true"/>'
    answer = post(lab, "clear", envelope(f"{TRANSFER}/Create", extra=extra))
    assert answer.status == 500
    assert b"<s:Value>s:MustUnderstand</s:Value>" in answer.body
    assert b"NotUnderstood" in answer.body


def test_must_understand_without_the_soap_namespace_means_nothing(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "clear", extra='<ws:Foo mustUnderstand="true"/>')
    assert post(lab, "clear", envelope(f"{TRANSFER}/Delete", shell_id=shell)).status == 200


def test_create_answers_with_selector_and_properties(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any]
) -> None:
    body = "<sh:Shell><sh:IdleTimeOut>PT60S</sh:IdleTimeOut></sh:Shell>"
    answer = post(lab, "clear", envelope(f"{TRANSFER}/Create", body)).body.decode()
    shell = re.search(r'<w:Selector Name="ShellId">([0-9A-F-]{36})</w:Selector>', answer)
    assert shell
    assert "<a:Address>http://pc:5985/wsman</a:Address>" in answer
    assert "<rsp:IdleTimeOut>PT60.000S</rsp:IdleTimeOut>" in answer
    got = post(lab, "clear", envelope(f"{TRANSFER}/Get", shell_id=shell[1].lower()))
    assert shell[1].encode() in got.body
    assert post(lab, "clear", envelope(f"{TRANSFER}/Delete", shell_id=shell[1])).status == 200


@pytest.mark.parametrize(
    ("inside", "extra", "code"),
    [
        ("<sh:IdleTimeOut>PT5S</sh:IdleTimeOut>", "", 2150859250),
        ("", '<ws:OptionSet><ws:Option Name="WINRS_CODEPAGE">99999</ws:Option></ws:OptionSet>', 2150859072),
    ],
)
def test_create_refuses_what_windows_refuses(
    lab: RunningLab,
    post: Callable[..., Any],
    envelope: Callable[..., Any],
    inside: str,
    extra: str,
    code: int,
) -> None:
    body = f"<sh:Shell>{inside}</sh:Shell>"
    assert fault_code(post(lab, "clear", envelope(f"{TRANSFER}/Create", body, extra=extra)).body) == code


def test_receive_ends_with_both_streams_and_the_exit_code(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], start: Callable[..., Any]
) -> None:
    shell, command_id = start("echo out&amp; echo err&gt;&amp;2&amp; exit 9")
    text = ""
    while "/Done" not in text:
        text = post(lab, "clear", envelope(f"{SHELL}/Receive", receive(command_id), shell)).body.decode()
    assert (
        f'<rsp:Stream Name="stdout" CommandId="{command_id}">{base64.b64encode(b"out").decode()[:3]}' in text
    )
    assert text.endswith(
        f'<rsp:Stream Name="stdout" CommandId="{command_id}" End="true"></rsp:Stream>'
        f'<rsp:Stream Name="stderr" CommandId="{command_id}" End="true"></rsp:Stream>'
        f'<rsp:CommandState CommandId="{command_id}" State="{SHELL}/CommandState/Done">'
        "<rsp:ExitCode>9</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse></s:Body></s:Envelope>"
    )
    again = post(lab, "clear", envelope(f"{SHELL}/Receive", receive(command_id), shell))
    assert fault_code(again.body) == 2150858843


def test_a_silent_receive_times_out_after_the_operation_timeout(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], start: Callable[..., Any]
) -> None:
    shell, command_id = start("sleep 60")
    began = time.monotonic()
    answer = post(lab, "clear", envelope(f"{SHELL}/Receive", receive(command_id), shell, timeout="PT0.2S"))
    assert fault_code(answer.body) == 2150858793
    assert 0.2 <= time.monotonic() - began < 2
    post(lab, "clear", envelope(f"{TRANSFER}/Delete", shell_id=shell))


def test_delete_aborts_a_pending_receive(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], start: Callable[..., Any]
) -> None:
    shell, command_id = start("sleep 60")
    body = envelope(f"{SHELL}/Receive", receive(command_id), shell, timeout="PT20S")
    token = base64.b64encode(b"lab:lab-Passw0rd").decode()
    waiting = http.client.HTTPConnection(*lab.endpoint("clear"), timeout=10)
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/soap+xml;charset=UTF-8"}
    waiting.request("POST", "/wsman", body, headers)
    assert post(lab, "clear", envelope(f"{TRANSFER}/Delete", shell_id=shell)).status == 200
    answer = waiting.getresponse()
    assert (answer.status, fault_code(answer.read())) == (500, 995)
    waiting.close()


def test_a_long_line_is_answered_by_cmd(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], start: Callable[..., Any]
) -> None:
    shell, command_id = start("echo " + "x" * 9000)
    answer = post(lab, "clear", envelope(f"{SHELL}/Receive", receive(command_id), shell)).body
    assert base64.b64encode(b"The command line is too long.\r\n") in answer
    assert b"<rsp:ExitCode>1<" in answer


def test_a_receive_without_command_id_is_an_invalid_parameter(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "clear")
    body = "<sh:Receive><sh:DesiredStream>stdout</sh:DesiredStream></sh:Receive>"
    assert fault_code(post(lab, "clear", envelope(f"{SHELL}/Receive", body, shell)).body) == 87


def test_a_program_that_is_none_cannot_be_started_without_cmd(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "clear")
    extra = '<ws:OptionSet><ws:Option Name="WINRS_SKIP_CMD_SHELL">TRUE</ws:Option></ws:OptionSet>'
    answer = post(lab, "clear", envelope(f"{SHELL}/Command", command("echo x"), shell, extra))
    assert fault_code(answer.body) == 2147942402


def test_the_shell_quota_counts_and_frees(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shells = [open_shell(lab, "small") for _ in range(3)]
    refused = post(lab, "small", envelope(f"{TRANSFER}/Create", "<sh:Shell/>"))
    assert fault_code(refused.body) == 2150859173
    assert b"maximum number of 3 concurrent shells" in refused.body
    assert b"RelatesTo" not in refused.body
    for shell in shells:
        assert post(lab, "small", envelope(f"{TRANSFER}/Delete", shell_id=shell)).status == 200
    post(lab, "small", envelope(f"{TRANSFER}/Delete", shell_id=open_shell(lab, "small")))


def test_processes_of_a_shell_are_counted(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "small")
    codes = [
        post(lab, "small", envelope(f"{SHELL}/Command", command("sleep 60"), shell)).status for _ in range(3)
    ]
    assert codes == [200, 200, 500]
    assert post(lab, "small", envelope(f"{TRANSFER}/Delete", shell_id=shell)).status == 200


def test_operations_are_counted_until_the_shell_goes(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "small")
    answers = [post(lab, "small", envelope(f"{SHELL}/Command", command("ver"), shell)) for _ in range(9)]
    assert [answer.status for answer in answers] == [200] * 8 + [500]
    assert fault_code(answers[-1].body) == 2150859174
    assert post(lab, "small", envelope(f"{TRANSFER}/Delete", shell_id=shell)).status == 200


def test_an_idle_shell_dies(
    lab: RunningLab, post: Callable[..., Any], envelope: Callable[..., Any], open_shell: Callable[..., Any]
) -> None:
    shell = open_shell(lab, "brief", "<sh:IdleTimeOut>PT0.1S</sh:IdleTimeOut>")
    until = time.monotonic() + 5
    while lab.stats("brief")["open_shells"] and time.monotonic() < until:
        time.sleep(0.05)
    answer = post(lab, "brief", envelope(f"{TRANSFER}/Delete", shell_id=shell))
    assert fault_code(answer.body) == 2150858843


def test_a_silent_host_does_not_answer_a_connect(lab: RunningLab) -> None:
    with socket.socket() as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.connect(lab.endpoint("off"))


def test_a_refusing_host_refuses_a_connect(lab: RunningLab) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(lab.endpoint("refusing"), timeout=2)
