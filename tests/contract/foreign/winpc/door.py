"""TCP, TLS, HTTP and authentication of the fake PC, byte by byte: every habit of a server can be shown."""

from __future__ import annotations

import base64
import re
import select
import socket
import socketserver
import ssl
import struct
import time
from dataclasses import dataclass, field

import spnego
from room import Room
from shapes import fault

_SEALED = re.compile(rb'protocol="(application/HTTP-[A-Za-z]+-session-encrypted)"')
_SOAP = "application/soap+xml;charset=UTF-8"
USER, PASSWORD = "lab", "lab-Passw0rd-ü"


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Told:
    status: int
    body: bytes = b""
    kind: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    close: bool = False


class Door(socketserver.BaseRequestHandler):
    """One TCP connection, which is what gets authenticated."""

    server: Site

    def handle(self) -> None:
        self.room: Room = self.server.room
        self.dialect = self.room.dialect
        self.context: spnego.ContextProxy | None = None
        self.known = False
        self.buffer = b""
        with self.room.lock:
            self.room.journal.connections += 1
        self.server.open_sockets.add(self.request)
        try:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.dialect.mute:
                while self.request.recv(4096):
                    pass
                return
            if self.server.tls is not None:
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
                self.server.open_sockets.add(self.request)
            self._converse()
        except OSError:
            pass
        finally:
            self.request.close()

    def _converse(self) -> None:
        while (asked := self._read()) is not None:
            told = self._answer(asked)
            if told is None:
                return
            if self._more_came():
                self.room.journal.complain("a second request before the first was answered")
            self._tell(told)
            if told.close:
                return

    def _fill(self) -> bool:
        try:
            data = self.request.recv(65536)
        except (OSError, ValueError):
            return False
        self.buffer += data
        return bool(data)

    def _read(self) -> Asked | None:
        while b"\r\n\r\n" not in self.buffer:
            if not self._fill():
                return None
            if not self.buffer[:1].isalpha():  # a TLS hello: HTTP.sys says 400 at once
                self._tell(Told(400, close=True))
                return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or parts[2] != "HTTP/1.1":
            self.room.journal.complain(f"request line {first[:80]!r}")
            return None
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() in headers:
                self.room.journal.complain(f"header {name} twice")
            headers[name.lower()] = value.strip()
        self._judge(parts, headers)
        size = int(headers.get("content-length", "0"))
        while len(self.buffer) < size:
            if not self._fill():
                self.room.journal.complain("a body shorter than its Content-Length")
                return None
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return Asked(parts[0], parts[1], headers, body)

    def _judge(self, parts: list[str], headers: dict[str, str]) -> None:
        journal = self.room.journal
        if headers.get("host") not in self.server.hosts:
            journal.complain(f"Host {headers.get('host')!r} instead of {self.server.hosts}")
        if "content-length" not in headers or "transfer-encoding" in headers or "expect" in headers:
            journal.complain(f"body framing: {headers}")
        if parts[0] != "POST" or parts[1] != "/wsman":
            journal.complain(f"{parts[0]} {parts[1]}")

    def _more_came(self) -> bool:
        if self.buffer:
            return True
        if isinstance(self.request, ssl.SSLSocket):
            return self.request.pending() > 0
        readable = select.select([self.request], [], [], 0)[0]
        return bool(readable) and bool(self.request.recv(1, socket.MSG_PEEK))

    def _answer(self, asked: Asked) -> Told | None:
        if asked.method != "POST":
            return Told(405, headers=[("Allow", "POST")], close=True)
        if asked.path.partition("?")[0] != "/wsman":
            return Told(404, close=True)
        refused = self._admit(asked)
        if refused is not None:
            return refused
        kind = asked.headers.get("content-type", "")
        if kind.startswith("multipart/"):
            return self._sealed(asked, kind)
        if not kind.lower().replace(" ", "").startswith("application/soap+xml"):
            return Told(415, close=True)
        if self.context is not None and self.server.tls is None and not self.dialect.allow_unencrypted:
            return self._bare()
        return self._soap(asked.body, None)

    def _bare(self) -> Told:
        offers = list(self.dialect.offers)
        if self.dialect.offers_in_one_line:
            offers = [", ".join(offers)]
        return Told(401, headers=[("WWW-Authenticate", offer) for offer in offers], close=True)

    def _admit(self, asked: Asked) -> Told | None:
        given = asked.headers.get("authorization")
        if self.known:
            if given is not None:
                self.room.journal.complain("Authorization on a connection that is logged on")
            return None
        if given is None:
            return self._bare()
        with self.room.lock:
            self.room.journal.credentials += 1
        scheme, _, value = given.partition(" ")
        if scheme == "Basic" and any(offer.startswith("Basic") for offer in self.dialect.offers):
            right = base64.b64decode(value) == f"{USER}:{PASSWORD}".encode()
            in_clear = self.server.tls is None and not self.dialect.allow_unencrypted
            return None if right and not in_clear else self._bare()
        if scheme != "Negotiate" or "Negotiate" not in self.dialect.offers:
            return self._bare()
        return self._negotiate(base64.b64decode(value), asked)

    def _negotiate(self, token: bytes, asked: Asked) -> Told | None:
        raw = token.startswith(b"NTLMSSP\0")
        if raw and not self.dialect.ntlm:
            return self._bare()
        try:
            if self.context is None or token[8:12] == b"\1\0\0\0":
                self.context = spnego.server(protocol="ntlm" if raw else "negotiate")
            out = self.context.step(token)
        except Exception:  # noqa: BLE001 - whatever is wrong with a token, Windows says 401
            return self._bare()
        reply = [("WWW-Authenticate", f"Negotiate {base64.b64encode(out).decode()}")] if out else []
        if not self.context.complete:
            return Told(401, headers=reply)
        self.known = True
        with self.room.lock:
            self.room.journal.logons += 1
        if not self.dialect.allowed:
            return Told(500, fault(5, "uuid:0", self.dialect.language, wmi=False).encode(), _SOAP)
        return None if asked.body else Told(200, headers=reply)

    def _sealed(self, asked: Asked, kind: str) -> Told | None:
        if self.context is None or not self.known:
            return Told(401, close=True)
        protocol = _SEALED.search(kind.encode())
        try:
            assert protocol is not None
            plain = self._open(asked.body, protocol[1])
        except Exception:  # noqa: BLE001 - 3.x and 2.11: a body that cannot be opened is a bare 400
            self.room.journal.complain("a sealed body that cannot be opened")
            return Told(400, close=True)
        return self._soap(plain, protocol[1])

    def _open(self, body: bytes, protocol: bytes) -> bytes:
        assert self.context is not None
        parts = body.split(b"--Encrypted Boundary")
        assert len(parts) == 4, "two parts and an end"
        assert (parts[0], parts[3]) == (b"", b"--\r\n")
        length = re.fullmatch(
            rb"\r\n\t?Content-Type: "
            + protocol
            + rb"\r\n\t?OriginalContent: type=application/soap\+xml;charset=UTF-8;Length=(\d+)\r\n",
            parts[1],
        )
        start = re.match(rb"\r\n\t?Content-Type: application/octet-stream\r\n", parts[2])
        assert length
        assert start
        data = parts[2][start.end() :]
        size = struct.unpack("<i", data[:4])[0]
        assert size == 16
        plain = self.context.unwrap_winrm(data[4 : 4 + size], data[4 + size :])
        if len(plain) != int(length[1]):
            self.room.journal.complain(f"Length={length[1]!r}, {len(plain)} bytes came")
        return plain

    def _seal(self, body: bytes, protocol: bytes) -> bytes:
        assert self.context is not None
        sealed = self.context.wrap_winrm(body)
        tab = b"\t" if self.dialect.tab else b""
        return (
            b"--Encrypted Boundary\r\n"
            + tab
            + b"Content-Type: "
            + protocol
            + b"\r\n"
            + tab
            + b"OriginalContent: type=application/soap+xml;charset=UTF-8;Length="
            + str(len(body) + sealed.padding_length).encode()
            + b"\r\n--Encrypted Boundary\r\n"
            + tab
            + b"Content-Type: application/octet-stream\r\n"
            + struct.pack("<i", len(sealed.header))
            + sealed.header
            + sealed.data
            + b"--Encrypted Boundary--\r\n"
        )

    def _soap(self, plain: bytes, protocol: bytes | None) -> Told | None:
        try:
            status, body, trouble = self.room.serve(plain)
        except Exception as error:  # noqa: BLE001 - a request that breaks this server is a finding
            self.room.journal.complain(f"the server broke on it: {error!r}")
            return Told(500, close=True)
        if trouble in ("400", "401", "500", "503"):
            return self._bare() if trouble == "401" else Told(int(trouble), close=True)
        if trouble in ("cut", "cut_after"):
            self.request.shutdown(socket.SHUT_RDWR)
            return None
        if trouble == "no_xml":
            body = b"<html>proxy</html"
        told = Told(status, body, _SOAP, close=self.dialect.close_each)
        if protocol is not None and trouble != "clear":
            told.body = self._seal(body, protocol)
            told.kind = f'multipart/encrypted;protocol="{protocol.decode()}";boundary="Encrypted Boundary"'
        if trouble == "truncated":
            told.headers.append(("X-Cut", "1"))
        return told

    def _tell(self, told: Told) -> None:
        lines = [("Content-Type", told.kind)] if told.body else []
        lines += told.headers
        lines += [("Server", "Microsoft-HTTPAPI/2.0"), ("Date", "Sun, 22 Nov 2026 16:00:00 GMT")]
        if told.close:
            lines.append(("Connection", "close"))
        lines.append(("Content-Length", str(len(told.body))))
        case = {"lower": str.lower, "upper": str.upper}.get(self.dialect.header_case, str)
        reason = "Whatever" if self.dialect.reason else ""
        head = (
            f"HTTP/1.1 {told.status} {reason}\r\n" + "".join(f"{case(n)}: {v}\r\n" for n, v in lines) + "\r\n"
        )
        body = told.body
        if ("X-Cut", "1") in told.headers:
            body = body[: len(body) // 2]
            told.close = True
        data = head.encode("latin-1") + body
        step = max(1, -(-len(data) // self.dialect.segments))
        pieces = [data[at : at + step] for at in range(0, len(data), step)]
        if self.dialect.segments == 2:
            pieces = [head.encode("latin-1"), body]  # header and body apart
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(0.002)
            self.request.sendall(piece)


class Site(socketserver.ThreadingTCPServer):
    """One listening port with its own room."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_address = True

    def __init__(self, room: Room, tls: ssl.SSLContext | None) -> None:
        self.room = room
        self.tls = tls
        self.open_sockets: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in room.dialect.host else socket.AF_INET
        super().__init__((room.dialect.host, room.dialect.port), Door)
        port = self.server_address[1]
        scheme = "https" if tls is not None else "http"
        names = ["[::1]"] if self.address_family == socket.AF_INET6 else [room.dialect.host, "localhost"]
        self.hosts = {f"{name}:{port}" for name in names}
        room.urls = {f"{scheme}://{name}/wsman" for name in self.hosts}
        room.urls.add("http://windows-host:5985/wsman")  # what pywinrm always writes; Windows does not mind

    def hang_up(self) -> None:
        """Close every connection, as HTTP.sys does with idle ones."""
        for each in list(self.open_sockets):
            try:
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            except OSError:
                continue
        self.open_sockets.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        self.room.journal.complain("the server broke")
