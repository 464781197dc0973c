from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.plan import Target
from ddcplay.model.playbook import PingMethod, PingPolicy
from ddcplay.transport.identify import identify, judge, unchecked_tls
from ddcplay.transport.names import Address
from ddcplay.transport.sweep import SweepAnswer, sweep

RESPONSE = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><wsmid:IdentifyResponse '
    b'xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    b"<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>"
    b"</wsmid:IdentifyResponse></s:Body></s:Envelope>"
)
WINRM = b"HTTP/1.1 200 \r\nContent-Length: %d\r\n\r\n" % len(RESPONSE) + RESPONSE


@contextmanager
def answering(
    answer: bytes, tls: ssl.SSLContext | None = None, *, keep_open: bool = False
) -> Iterator[list[bytes]]:
    """A server that reads one whole request per connection and sends `answer`; yields port and requests."""
    requests: list[bytes] = []
    kept: list[socket.socket] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            try:
                client.settimeout(5)
                talk = tls.wrap_socket(client, server_side=True) if tls else client
                request = b""
                while b"</s:Envelope>" not in request and (piece := talk.recv(4096)):
                    request += piece
                if request:
                    requests.append(request)
                    talk.sendall(answer)
                if keep_open:
                    kept.append(talk)
                else:
                    talk.close()
            except OSError:
                client.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    requests.append(str(server.getsockname()[1]).encode())
    try:
        yield requests
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
        for sock in kept:
            sock.close()


def identified(requests: list[bytes], scheme: str | None = "http") -> SweepAnswer:
    answers: list[SweepAnswer] = []
    target = Target("pc", "127.0.0.1", port=int(requests[0]), scheme=scheme)
    sweep([target], PingPolicy(PingMethod.IDENTIFY, timeout_s=0.5, attempts=1), answers.append)
    return answers[0]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that is expired, self-signed and for another name, as on many a PC."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other.example")])
    began = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(began)
        .not_valid_after(began + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_an_identify_answer_proves_winrm_without_a_credential() -> None:
    with answering(WINRM) as requests:
        answer = identified(requests)
    assert (answer.state, answer.on, answer.open_ports) == ("up", True, (int(requests[0]),))
    head, _, body = requests[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /wsman HTTP/1.1\r\n")
    assert b"\r\nWSMANIDENTIFY: unauthenticated\r\n" in head
    assert b"authorization" not in head.lower()
    assert b"<wsmid:Identify/>" in body


def test_an_expired_certificate_does_not_hide_a_machine(tls: ssl.SSLContext) -> None:
    with answering(WINRM, tls) as requests:
        assert identified(requests, "https").state == "up"
        assert identified(requests, None).state == "up", "an unknown port without a scheme is TLS"


def test_a_server_that_keeps_the_connection_does_not_cost_the_budget() -> None:
    with answering(WINRM, keep_open=True) as requests:
        answer = identified(requests)
    assert answer.state == "up"
    assert answer.elapsed_s < 1.5


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "starting"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "HTTP 404"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>a printer</html>", "HTTP 200"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HTTP"),
        (b"", "HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000_000, "HTTP 200"),
    ],
)
def test_an_open_port_without_winrm_is_a_machine_that_is_on(answer: bytes, said: str) -> None:
    with answering(answer) as requests:
        found = identified(requests)
    assert (found.state, found.on, found.open_ports) == ("port_closed", True, ())
    assert said in found.detail


def test_a_mute_server_costs_a_bounded_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        for scheme in ("http", "https"):
            target = Target("pc", "127.0.0.1", port=port, scheme=scheme)
            asked = identify(target, Address("127.0.0.1", 4), port, 0.05, unchecked_tls())
            assert asyncio.run(asked) == "WS-Man Identify was not answered in 0.1 s"


def test_a_plain_server_on_a_tls_port_is_named() -> None:
    # Nothing ends a plain server's reading of a TLS hello but its own answer, so this one speaks first.
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            for _ in range(2):  # the knock, then Identify
                client, _address = server.accept()
                with client:
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    client.settimeout(5)
                    try:
                        while client.recv(4096):
                            pass
                    except OSError:
                        continue

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        found = identified([str(server.getsockname()[1]).encode()], "https")
        thread.join(5)
    assert found.state == "port_closed"
    assert "TLS" in found.detail


def test_a_login_wanted_is_a_sign_of_life() -> None:
    assert judge(b"HTTP/1.1 401 \r\nWWW-Authenticate: Negotiate\r\n\r\n") == ""


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"HTTP/1.1 500 " + tail))
def test_what_a_target_sends_never_comes_back_as_text(answer: bytes) -> None:
    said = judge(answer)
    assert said.isprintable()
    assert len(said) < 80
