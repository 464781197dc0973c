"""Connecting: what is chosen, what is refused, and how trouble before and after the logon is told apart."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.result import Reason
from ddcplay.transport.base import Command
from ddcplay.transport.winrm_auth import endpoints, kerberos_fits, method_for, url_of
from ddcplay.transport.winrm_login import _Seal


def make_certificate(folder: Path, name: str, *, days: int = 30) -> tuple[ssl.SSLContext, Path]:
    """A self-signed certificate, good as its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=60))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = folder / "server.key"
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem


def test_https_with_the_right_authority_is_used_without_sealing(standin, connected, budget, data_dir) -> None:
    context, pem = make_certificate(data_dir, "127.0.0.1")
    server = standin(tls=context)
    connection = connected(server, ca_trust_path=str(pem))
    assert connection.run(Command("ver"), budget(5)).reason is None
    assert connection.facts()["encryption"] == "tls"
    assert server.calls[0].headers["content-type"].startswith("application/soap+xml")


def test_sealing_inside_https_works_when_it_is_written(standin, connected, budget, data_dir) -> None:
    context, pem = make_certificate(data_dir, "127.0.0.1")
    server = standin(tls=context)
    connection = connected(server, ca_trust_path=str(pem), message_encryption="always")
    assert connection.run(Command("ver"), budget(5)).reason is None
    assert server.calls[0].headers["content-type"].startswith("multipart/encrypted")


@pytest.mark.parametrize(
    ("name", "days", "trusted", "message"),
    [
        ("127.0.0.1", 30, False, "self-signed"),
        ("127.0.0.2", 30, True, "another address"),
        ("127.0.0.1", -1, True, "expired"),
    ],
)
def test_a_bad_certificate_is_named_with_its_fix(
    standin, connected, data_dir, name, days, trusted, message
) -> None:
    context, pem = make_certificate(data_dir, name, days=days)
    with pytest.raises(FaultError, match=message) as caught:
        connected(standin(tls=context), ca_trust_path=str(pem) if trusted else None)
    assert caught.value.reason == "transport"
    assert caught.value.hint


def test_validation_can_be_switched_off_and_nothing_warns(standin, connected, budget, data_dir) -> None:
    context, _ = make_certificate(data_dir, "127.0.0.9", days=-1)
    connection = connected(standin(tls=context), cert_validation=False)
    assert connection.run(Command("ver"), budget(5)).reason is None


def test_plain_http_on_an_https_port_is_said(standin, connected) -> None:
    with pytest.raises(FaultError, match="TLS") as caught:
        connected(standin(), scheme="https")
    assert caught.value.reason == "transport"


def test_ipv6_addresses_work(standin, connected, budget) -> None:
    server = standin(family=socket.AF_INET6)
    connection = connected(server, address="::1")
    assert connection.run(Command("ver"), budget(5)).reason is None
    assert server.calls[0].headers["host"] == f"[::1]:{server.port}"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("::1", "http://[::1]:5985/wsman"),
        ("fe80::1%eth0", "http://[fe80::1]:5985/wsman"),
        ("pc01.lab", "http://pc01.lab:5985/wsman"),
        ("10.0.0.1", "http://10.0.0.1:5985/wsman"),
    ],
)
def test_urls_are_built_right(address, url) -> None:
    target = Target("h", address, scheme="http")
    assert url_of(target, endpoints(target, ())[0]) == url


def test_a_wrong_password_is_auth_and_sent_once(standin, connected) -> None:
    server = standin()
    with pytest.raises(FaultError) as caught:
        connected(server, password=SecretRef("plain", "wrong-secret-1"))
    assert caught.value.reason == "auth"
    assert "wrong-secret-1" not in f"{caught.value}{caught.value.__cause__!r}"
    assert server.connections == 1
    assert server.logons == 0


def test_a_wrong_basic_password_is_auth(standin, connected) -> None:
    with pytest.raises(FaultError) as caught:
        connected(standin(auth="basic"), password=SecretRef("plain", "wrong"))
    assert caught.value.reason == "auth"


def test_a_password_of_any_letters_reaches_basic(standin, connected) -> None:
    with pytest.raises(FaultError) as caught:  # refused by the server, not by an encoder
        connected(standin(auth="basic"), password=SecretRef("plain", "жлоб€"))
    assert caught.value.reason == "auth"


def test_a_bare_401_without_negotiate_names_what_is_offered(standin, connected, say) -> None:
    bare = say.http(401, b"", None, ('WWW-Authenticate: Basic realm="WSMAN"',), close=True)
    with pytest.raises(FaultError, match="Basic") as caught:
        connected(standin(challenge=[bare]))
    assert caught.value.reason == "auth"


def test_a_closed_port_is_port_closed(transport, target_for, standin, budget) -> None:
    server = standin()
    server.stop()
    with pytest.raises(FaultError) as caught:
        transport.connect(target_for(server), budget(5))
    assert caught.value.reason == "port_closed"


def test_a_silent_port_is_no_answer_at_the_deadline(transport, budget, stopwatch) -> None:
    # A full backlog drops further SYNs: a real silent host without any privilege.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        target = Target(
            "h",
            "127.0.0.1",
            port=listener.getsockname()[1],
            scheme="http",
            user="u",
            password=SecretRef("plain", "p"),
        )
        elapsed = stopwatch()
        with pytest.raises(FaultError) as caught:
            transport.connect(target, budget(0.3))
        assert caught.value.reason == "no_answer"
        assert elapsed() < 1
        for filler in fillers:
            filler.close()


def test_an_unknown_name_is_no_name(transport, budget) -> None:
    target = Target("h", "no-such-host.invalid", scheme="http", user="u", password=SecretRef("plain", "p"))
    with pytest.raises(FaultError) as caught:
        transport.connect(target, budget(5))
    assert caught.value.reason == "no_name"


@pytest.mark.parametrize("behaviour", ["mute", "trickle"])
def test_a_peer_that_never_finishes_the_logon_is_left_at_the_deadline(
    standin, connected, say, stopwatch, behaviour
) -> None:
    answer = say.mute() if behaviour == "mute" else say.trickle()
    elapsed = stopwatch()
    with pytest.raises(FaultError) as caught:
        connected(standin(challenge=[answer]), seconds=0.3)
    assert caught.value.reason == "timeout"
    assert elapsed() < 1.5


def test_a_mute_tls_peer_is_left_at_the_deadline(transport, budget, stopwatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        target = Target(
            "h",
            "127.0.0.1",
            port=listener.getsockname()[1],
            scheme="https",
            user="u",
            password=SecretRef("plain", "p"),
        )
        elapsed = stopwatch()
        with pytest.raises(FaultError) as caught:
            transport.connect(target, budget(0.3))
        assert caught.value.reason == "timeout"
        assert elapsed() < 1.5


def test_redirects_are_refused(standin, connected, say) -> None:
    away = say.http(302, b"", None, ("Location: http://127.0.0.1:1/steal",))
    with pytest.raises(FaultError, match="redirect") as caught:
        connected(standin(challenge=[away]))
    assert caught.value.reason == "transport"


def test_the_environment_is_not_asked_for_proxies(standin, connected, budget, monkeypatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    before = dict(os.environ)
    assert connected(standin()).run(Command("ver"), budget(5)).reason is None
    assert dict(os.environ) == before


def test_basic_in_clear_needs_encryption_written_off() -> None:
    target = Target("h", "pc", scheme="http", auth=("basic",))
    with pytest.raises(FaultError, match="plain HTTP") as caught:
        method_for(target, "http")
    assert caught.value.reason == "transport"
    assert "never" in caught.value.hint


def test_nothing_written_means_ntlm_sealed_over_http_and_tls_over_https() -> None:
    target = Target("h", "pc", user="lab")
    assert (method_for(target, "http").name, method_for(target, "http").sealed) == ("ntlm", True)
    assert method_for(target, "https").sealed is False


def test_nothing_written_tries_5986_first_and_only_ports_the_sweep_saw() -> None:
    target = Target("h", "pc")
    assert [place.port for place in endpoints(target, ())] == [5986, 5985]
    assert [place.port for place in endpoints(target, (5985,))] == [5985]
    assert [(p.scheme, p.port) for p in endpoints(Target("h", "pc", port=5985), ())] == [("http", 5985)]
    assert [(p.scheme, p.port) for p in endpoints(Target("h", "pc", port=15986), ())] == [("https", 15986)]


def test_certificates_need_https() -> None:
    with pytest.raises(FaultError, match="HTTPS"):
        method_for(Target("h", "pc", auth=("certificate",)), "http")


def test_an_unknown_authentication_lists_the_known_ones() -> None:
    with pytest.raises(FaultError, match="digest") as caught:
        method_for(Target("h", "pc", auth=("digest",)), "http")
    assert "ntlm" in caught.value.hint


def test_a_missing_password_contacts_nobody(standin, connected) -> None:
    server = standin()
    with pytest.raises(FaultError, match="ansible_password"):
        connected(server, password=None)
    assert server.connections == 0


def test_the_chosen_place_and_the_passed_over_ones_are_told(standin, connected) -> None:
    facts = connected(standin()).facts()
    assert (facts["scheme"], facts["auth"], facts["shells_opened"]) == ("http", "ntlm", 0)
    assert facts["auth_why"]


def test_an_idle_connection_that_was_dropped_is_rebuilt_with_the_same_shell(
    standin, connected, budget
) -> None:
    server = standin(drop_after=["Signal"])
    connection = connected(server)
    assert connection.run(Command("a"), budget(5)).reason is None
    assert server.dropped.wait(2)
    assert connection.run(Command("b"), budget(5)).reason is None
    assert server.replays == 0  # nothing sealed with an old context was sent
    assert server.logons == 2
    assert server.names().count("Create") == 1


@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_on_a_logged_on_connection_is_no_wrong_password(
    standin, connected, budget, say, status
) -> None:
    server = standin(script={"Command": [say.http(status, b"", None, close=True)]})
    connection = connected(server)
    assert connection.run(Command("a"), budget(5)).reason is None
    assert server.logons == 2


def test_a_refusal_that_stays_is_a_transport_fault(standin, connected, budget, say) -> None:
    server = standin(script={"Command": [say.http(401, b"", None, close=True)] * 9})
    output = connected(server).run(Command("a"), budget(5))
    assert output.reason is Reason.TRANSPORT


def test_a_receive_that_was_cut_before_its_answer_is_asked_again_and_said_so(
    standin, connected, budget, say
) -> None:
    server = standin(script={"Receive": [say.cut(), say.output(b"x", done=0)]})
    output = connected(server).run(Command("a"), budget(5))
    assert (output.reason, output.stdout) == (None, b"x")
    assert "may be missing" in output.detail


def test_a_receive_cut_inside_its_answer_is_not_asked_again(standin, connected, budget, say) -> None:
    begun = b"HTTP/1.1 200 \r\nContent-Type: application/soap+xml\r\nContent-Length: 500\r\n\r\n<s:Env"
    server = standin(script={"Receive": [say.cut(begun)]})
    output = connected(server).run(Command("a"), budget(5))
    assert output.reason is Reason.TRANSPORT
    assert server.names().count("Receive") == 1


def test_a_peer_without_tab_in_its_sealed_parts_is_understood(standin, connected, budget) -> None:
    assert connected(standin(use_tab=False)).run(Command("a"), budget(5)).reason is None


def test_an_answer_in_clear_to_a_sealed_request_is_not_trusted(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.http(200, b"<x/>", seal=False)]})
    output = connected(server).run(Command("a"), budget(5))
    assert output.reason is Reason.TRANSPORT
    assert "in clear" in output.detail


def test_a_sealed_answer_without_content_type_is_a_transport_fault(standin, connected, budget, say) -> None:
    server = standin(script={"Receive": [say.http(200, b"x", None, seal=False)]})
    assert connected(server).run(Command("a"), budget(5)).reason is Reason.TRANSPORT


def test_a_damaged_sealed_answer_is_a_transport_fault(standin, connected, budget, say) -> None:
    kind = 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="x"'
    head = (
        b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
        b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=4\r\n--Encrypted Boundary\r\n"
        b"\tContent-Type: application/octet-stream\r\n\x10\x00\x00\x00"
        + b"x" * 20
        + b"--Encrypted Boundary--\r\n"
    )
    for body in (head, b"--Encrypted Boundary\r\n", b"\x00" * 10, head[:150]):
        server = standin(script={"Receive": [say.http(200, body, kind, seal=False)]})
        output = connected(server).run(Command("a"), budget(5))
        assert output.reason is Reason.TRANSPORT


@pytest.mark.parametrize("status", [403, 404, 405, 413, 415, 500, 503, 418])
def test_an_http_status_without_soap_has_a_hint(standin, connected, budget, say, status) -> None:
    server = standin(script={"Create": [say.http(status, b"", None)]})
    output = connected(server).run(Command("a"), budget(5))
    assert (output.reason, output.accepted) == (Reason.TRANSPORT, False)
    assert str(status) in output.detail
    assert output.hint


@pytest.mark.parametrize("body", [b"<html>Bad gateway", b"\x00\x01", b"<a/>", b"", b"plain text"])
def test_a_500_or_200_that_is_not_soap_is_a_transport_fault(standin, connected, budget, say, body) -> None:
    for status in (200, 500):
        server = standin(script={"Create": [say.http(status, body)]})
        output = connected(server).run(Command("a"), budget(5))
        assert output.reason is Reason.TRANSPORT
        assert output.hint


def test_an_endless_or_compressed_answer_is_refused(standin, connected, budget, say) -> None:
    huge = say.http(200, b"x" * 2_000_000, seal=False)
    packed = say.http(200, b"x", headers=("Content-Encoding: gzip",))
    for answer in (huge, packed):
        output = connected(standin(script={"Receive": [answer]})).run(Command("a"), budget(5))
        assert output.reason is Reason.TRANSPORT


def test_quota_faults_of_both_forms_say_what_to_raise(standin, connected, budget, say) -> None:
    text = "The maximum number of concurrent shells for this user has been exceeded."
    for answer in (say.fault(2150859173, "w:QuotaLimit", text), say.wmi_fault(2150859173, text)):
        output = connected(standin(script={"Create": [answer]})).run(Command("a"), budget(5))
        assert output.reason is Reason.QUOTA
        assert "MaxShellsPerUser" in output.hint


@pytest.mark.parametrize("code", [5, 2147942405])
def test_access_denied_is_auth_with_the_missing_right(standin, connected, budget, say, code) -> None:
    server = standin(script={"Create": [say.fault(code, "w:AccessDenied", "Access is denied. ")]})
    output = connected(server).run(Command("a"), budget(5))
    assert output.reason is Reason.AUTH
    assert "Remote Management Users" in output.hint
    assert "LocalAccountTokenFilterPolicy" in output.hint


def test_a_fault_inside_a_200_is_a_fault(standin, connected, budget, say) -> None:
    answer = say.fault(2150859173, "w:QuotaLimit")
    answer.status = 200
    assert connected(standin(script={"Create": [answer]})).run(Command("a"), budget(5)).reason is Reason.QUOTA


def test_fault_messages_are_one_bounded_line(standin, connected, budget, say) -> None:
    text = "evil\n\x1b[31m".replace("\x1b", "&#x85;") + "long " * 500
    output = connected(standin(script={"Create": [say.fault(1, text=text)]})).run(Command("a"), budget(5))
    assert len(output.detail) <= 300
    assert output.detail.isprintable()


def test_eight_connections_in_eight_threads_do_not_disturb_each_other(
    standin, transport, target_for, budget
) -> None:
    server = standin()

    def visit(_: int) -> object:
        connection = transport.connect(target_for(server), budget(10))
        outputs = [connection.run(Command("a"), budget(10)).reason for _ in range(5)]
        connection.close()
        return outputs

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, range(16))) == [[None] * 5] * 16


@pytest.fixture
def address() -> str:
    """A loopback address of this test alone, so that the well-known ports can be used on it."""
    first, second, third = (
        2 + number % 250 for number in os.urandom(3)
    )  # random.* is seeded alike in all workers
    return f"127.{first}.{second}.{third}"


def unwritten(address: str, **changes: object) -> Target:
    settings = {"user": "lab", "password": SecretRef("plain", "Sesame-4711-geheim"), **changes}
    return Target("h", address, **settings)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux listens on all of 127.0.0.0/8")
class TestNothingWritten:
    def test_a_valid_certificate_wins(self, standin, transport, budget, data_dir, address) -> None:
        context, pem = make_certificate(data_dir, address)
        standin(tls=context, at=(address, 5986))
        other = standin(at=(address, 5985))
        connection = transport.connect(unwritten(address, ca_trust_path=str(pem)), budget(5))
        assert connection.facts()["port"] == 5986
        connection.close()
        assert other.connections == 0

    def test_a_bad_certificate_means_5985_with_encryption(
        self, standin, transport, budget, data_dir, address
    ) -> None:
        context, _ = make_certificate(data_dir, address)
        standin(tls=context, at=(address, 5986))
        standin(at=(address, 5985))
        connection = transport.connect(unwritten(address), budget(5))
        facts = connection.facts()
        connection.close()
        assert (facts["port"], facts["encryption"], facts["auth"]) == (5985, "message", "ntlm")
        assert "self-signed" in str(facts["passed_over"])

    def test_a_bad_certificate_is_told_when_5985_is_closed(
        self, standin, transport, budget, data_dir, address
    ) -> None:
        context, _ = make_certificate(data_dir, address)
        standin(tls=context, at=(address, 5986))
        with pytest.raises(FaultError, match="self-signed"):
            transport.connect(unwritten(address), budget(5))

    def test_a_refused_password_is_not_tried_on_the_other_port(
        self, standin, transport, budget, data_dir, address
    ) -> None:
        context, pem = make_certificate(data_dir, address)
        standin(tls=context, at=(address, 5986))
        other = standin(at=(address, 5985))
        wrong = unwritten(address, ca_trust_path=str(pem), password=SecretRef("plain", "wrong"))
        with pytest.raises(FaultError) as caught:
            transport.connect(wrong, budget(5))
        assert caught.value.reason == "auth"
        assert other.connections == 0

    def test_what_the_sweep_saw_closed_is_not_tried(
        self, standin, transport, budget, data_dir, address
    ) -> None:
        context, _ = make_certificate(data_dir, address)
        other = standin(tls=context, at=(address, 5986))
        standin(at=(address, 5985))
        transport.connect(unwritten(address), budget(5), (5985,)).close()
        assert other.connections == 0


def test_the_length_field_of_credssp_over_tls_1_3_is_right() -> None:
    seal = _Seal(SimpleNamespace(auth=None), "credssp")  # type: ignore[arg-type]
    assert seal._get_credssp_trailer_length(100, "TLS_AES_256_GCM_SHA384") == 17
    assert seal._get_credssp_trailer_length(100, "ECDHE-RSA-AES256-GCM-SHA384") == 16


def test_kerberos_is_not_chosen_for_addresses_and_local_accounts() -> None:
    assert not kerberos_fits(Target("h", "10.0.0.1", user="u@LAB.TEST"))
    assert not kerberos_fits(Target("h", "pc01.lab.test", user="lab"))
