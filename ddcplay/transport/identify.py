"""Anonymous WS-Man Identify: proof that WinRM answers, without a credential (DSP0226 §11)."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import warnings

from ddcplay.model.plan import Target
from ddcplay.transport.names import Address

_BODY = (
    b'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    b'xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
    b"<s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>"
)
_MOST_BYTES = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
_SECURE_PORT_IS_NOT = 5985


def unchecked_tls() -> ssl.SSLContext:
    """Return a TLS context that accepts any certificate and any version.

    No credential and nothing secret flows through it, and a machine with an expired certificate or an old
    Windows is on all the same; the transport checks what it must before it logs on.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is all that Windows 2008 R2 offers
        context.minimum_version = ssl.TLSVersion.TLSv1
    return context


async def identify(target: Target, address: Address, port: int, timeout_s: float, tls: ssl.SSLContext) -> str:
    """Ask one open port for WS-Man Identify.

    Args:
        target: for its scheme, path and name; without a scheme, 5985 is plain and any other port TLS, as in
            Ansible.
        address: where it answered.
        port: which was open.
        timeout_s: for connect, TLS and answer together.
        tls: what `unchecked_tls` made, shared by the sweep.

    Returns:
        "" when WinRM answered, else one line that says what did not; never text of the target.
    """
    plain = target.scheme == "http" or (target.scheme is None and port == _SECURE_PORT_IS_NOT)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library's signature
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(sock, address.at(port))
            answer = await _exchange(sock, _request(target, port), None if plain else tls, address.text)
    except TimeoutError:
        return f"WS-Man Identify was not answered in {timeout_s:.1f} s"
    except ssl.SSLError as error:
        return f"it does not speak TLS ({error.reason or 'handshake failed'})"
    except (OSError, ValueError):
        return "it hung up on WS-Man Identify"
    finally:
        sock.close()
    return judge(answer)


def judge(answer: bytes) -> str:
    """Say what is wrong with the bytes of an answer to Identify, "" when they prove that WinRM is there."""
    status = _STATUS.match(answer)
    if status is None:
        return "it does not speak HTTP"
    if status[1] == b"200" and b"IdentifyResponse" in answer:
        return ""
    if status[1] == b"401":  # a listener that wants a login even for Identify is alive
        return ""
    if status[1] == b"503":
        return "WinRM is starting or overloaded (HTTP 503)"
    return f"what answers there is not WinRM (HTTP {status[1].decode('ascii')})"


def _request(target: Target, port: int) -> bytes:
    host = f"[{target.address}]" if ":" in target.address else target.address
    # Whatever an inventory holds, a header stays one line of plain text.
    line = re.sub(r"[^\x21-\x7e]", "", f"/{target.path.lstrip('/')}")
    name = re.sub(r"[^\x21-\x7e]", "", host)
    return (
        f"POST {line} HTTP/1.1\r\nHost: {name}:{port}\r\nUser-Agent: ddcplay\r\n"
        "WSMANIDENTIFY: unauthenticated\r\nContent-Type: application/soap+xml;charset=UTF-8\r\n"
        f"Content-Length: {len(_BODY)}\r\nConnection: close\r\n\r\n"
    ).encode("ascii") + _BODY


async def _exchange(sock: socket.socket, request: bytes, tls: ssl.SSLContext | None, name: str) -> bytes:
    if tls is None:
        reader, writer = await asyncio.open_connection(sock=sock)
    else:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
    try:
        writer.write(request)
        return await _read_answer(reader)
    finally:
        writer.transport.abort()


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _MOST_BYTES:
        piece = await reader.read(8192)
        answer += piece
        status = _STATUS.match(answer)
        # A server that keeps the connection open in spite of `close` must not cost the whole budget.
        proven = status is not None and (status[1] != b"200" or b"IdentifyResponse" in answer)
        if not piece or proven or (status is None and len(answer) >= 12):
            break
    return answer
