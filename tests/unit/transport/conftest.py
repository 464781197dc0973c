"""A small WinRM stand-in of these tests alone: raw sockets, recorded shapes, and every way to misbehave.

It shares no code with the client or with the lab, so that a mistake of theirs cannot hide here.
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import spnego

from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.transport.winrm import WinRMConnection, WinRMTransport
from ddcplay.units import Deadline, SystemClock

S = "http://www.w3.org/2003/05/soap-envelope"
A = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
X = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
W = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
P = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
RSP = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
SOAP_TYPE = "application/soap+xml;charset=UTF-8"
SEALED_TYPE = (
    'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
)
PASSWORD = "Sesame-4711-geheim"
COMMAND_ID = "C0FFEE00-1111-2222-3333-444455556666"


@dataclass
class Call:
    """One request as it arrived."""

    name: str
    text: str
    headers: dict[str, str]
    message_id: str
    connection: int


@dataclass
class Http:
    """An answer by hand."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = SOAP_TYPE
    headers: tuple[str, ...] = ()
    close: bool = False
    seal: bool = True


@dataclass
class Soap:
    """A body inside a recorded envelope."""

    body: str
    status: int = 200
    relates: str | None = "same"
    close_after: bool = False


@dataclass
class Cut:
    """Say this much and close."""

    said: bytes = b""


@dataclass
class Mute:
    """Say nothing at all."""


@dataclass
class Trickle:
    """One byte now and then, for ever."""

    start: bytes = b"HTTP/1.1 200 \r\nX-Slow: "
    pause_s: float = 0.03


Answer = Http | Soap | Cut | Mute | Trickle
Script = Answer | Callable[[Call], Answer]


def fault(code: int, subcode: str = "w:InternalError", text: str = "It went wrong. ") -> Soap:
    """The first of the two recorded forms."""
    return Soap(
        f"<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" '
        f'Machine="PC01"><f:Message>{text}</f:Message></f:WSManFault></s:Detail></s:Fault>',
        status=500,
    )


def wmi_fault(code: int, text: str) -> Soap:
    """The second form: MSFT_WmiError, without RelatesTo."""
    return Soap(
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>w:QuotaLimit</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="">{text}</s:Text></s:Reason><s:Detail>'
        '<p:MSFT_WmiError b:IsCIM_Error="true" '
        'xmlns:b="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd" '
        'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/MSFT_WmiError" '
        'xmlns:cim="http://schemas.dmtf.org/wbem/wscim/1/common">'
        f'<p:error_Code xsi:type="cim:cimUnsignedInt" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{code}'
        f"</p:error_Code><p:error_Type>HRESULT</p:error_Type><p:Message>{text}</p:Message>"
        "<p:error_WindowsErrorMessage/></p:MSFT_WmiError></s:Detail></s:Fault>",
        status=500,
        relates=None,
    )


def output(
    stdout: bytes = b"", stderr: bytes = b"", *, done: int | str | None = None, state: str = "Running"
) -> Soap:
    """An answer to Receive."""
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{COMMAND_ID}">{base64.b64encode(data).decode()}</rsp:Stream>'
        for name, data in (("stdout", stdout), ("stderr", stderr))
        if data
    )
    if done is None:
        end = f'<rsp:CommandState CommandId="{COMMAND_ID}" State="{RSP}/CommandState/{state}"/>'
    else:
        code = f"<rsp:ExitCode>{done}</rsp:ExitCode>" if done != "" else ""
        state = f"{RSP}/CommandState/Done"
        end = f'<rsp:CommandState CommandId="{COMMAND_ID}" State="{state}">{code}</rsp:CommandState>'
    return Soap(f"<rsp:ReceiveResponse>{streams}{end}</rsp:ReceiveResponse>")


def created(shell_id: str | None = None) -> Soap:
    """An answer to Create with what pywinrm and we need: the selector."""
    chosen = shell_id or str(uuid.uuid4()).upper()
    return Soap(
        f"<x:ResourceCreated><a:Address>http://pc:5985/wsman</a:Address><a:ReferenceParameters>"
        f'<w:ResourceURI>{RSP}/cmd</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{chosen}'
        "</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>"
    )


def started(command_id: str = COMMAND_ID) -> Soap:
    return Soap(f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>")


DEFAULTS: dict[str, Callable[[], Answer]] = {
    "Create": created,
    "Command": started,
    "Receive": lambda: output(b"hello\r\n", done=0),
    "Send": lambda: Soap("<rsp:SendResponse/>"),
    "Signal": lambda: Soap("<rsp:SignalResponse/>"),
    "Delete": lambda: Soap(""),
    "Get": lambda: fault(2150858771, "w:ActionNotSupported"),
    "Enumerate": lambda: fault(2150858752, "w:ActionNotSupported"),
    "Identify": lambda: Soap(
        '<wsmid:IdentifyResponse xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd">'
        "<wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
        "<wsmid:ProductVersion>OS: 10.0.19045 SP: 0.0 Stack: 3.0</wsmid:ProductVersion>"
        "</wsmid:IdentifyResponse>",
        relates=None,
    ),
}


@dataclass
class Peer:
    """State of one TCP connection: WinRM authenticates connections, not requests."""

    number: int
    wire: socket.socket
    reader: Any
    context: Any = None
    ready: bool = False


@dataclass
class Standin:
    """The server.

    Args:
        auth: `ntlm` (sealed unless the client sends plain), `basic` or `none`.
        script: per request name what to answer, used up front to back; then the default.
        tls: server context.
        drop_after: names after whose answer the connection is closed without a word (idle drop).
    """

    auth: str = "ntlm"
    tls: ssl.SSLContext | None = None
    script: dict[str, list[Script]] = field(default_factory=dict)
    drop_after: list[str] = field(default_factory=list)
    challenge: list[Answer] = field(default_factory=list)
    use_tab: bool = True
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    logons: int = 0
    replays: int = 0
    family: socket.AddressFamily = socket.AF_INET
    at: tuple[str, int] = ("127.0.0.1", 0)
    dropped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> Standin:
        self._stop = threading.Event()
        self._peers: list[socket.socket] = []
        self._listener = socket.socket(self.family)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("::1", 0) if self.family == socket.AF_INET6 else self.at)
        self._listener.listen(50)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)
        self._thread.join(2)

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def _accept(self) -> None:
        threads = []
        while not self._stop.is_set():
            try:
                wire, _ = self._listener.accept()
            except OSError:
                break
            self.connections += 1
            self._peers.append(wire)
            thread = threading.Thread(target=self._serve, args=(wire, self.connections), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(2)
        for wire in self._peers:
            wire.close()

    def _serve(self, wire: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError, EOFError):
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                wire = self.tls.wrap_socket(wire, server_side=True)
                self._peers.append(wire)
            with wire, wire.makefile("rb") as reader:
                peer = Peer(number, wire, reader)
                while not self._stop.is_set() and self._one(peer):
                    pass

    def _one(self, peer: Peer) -> bool:
        if peer.reader.peek(1)[:1] == b"\x16":  # a TLS greeting on a plain port
            return self._reply(peer, Http(400, b"", None, close=True), None)
        line = peer.reader.readline()
        if not line:
            return False
        headers: dict[str, str] = {}
        while (header := peer.reader.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = peer.reader.read(int(headers.get("content-length", "0")))
        refusal = self._authenticate(peer, headers)
        if refusal is not None:
            self.replays += bool(body) and headers.get("content-type", "").startswith("multipart/")
            return self._reply(peer, refusal, None)
        if not body:
            return self._reply(peer, Http(200, b"", None), None)
        sealed = headers.get("content-type", "").startswith("multipart/encrypted")
        if sealed:
            try:
                body = _open(peer.context, body)
            except Exception:  # noqa: BLE001 - whatever spnego says, HTTP.sys says 400
                self.replays += 1
                return self._reply(peer, Http(400, b"", None, close=True), None)
        call = _call(body, headers, peer.number)
        self.calls.append(call)
        waiting = self.script.get(call.name, [])
        chosen: Script = waiting.pop(0) if waiting else DEFAULTS[call.name]()
        answer = chosen(call) if callable(chosen) else chosen
        go_on = self._reply(peer, answer, call, sealed=sealed)
        if call.name in self.drop_after:
            self.drop_after.remove(call.name)
            socket.socket.shutdown(peer.wire, socket.SHUT_RDWR)
            self.dropped.set()
            return False
        return go_on

    def _authenticate(self, peer: Peer, headers: dict[str, str]) -> Answer | None:
        given = headers.get("authorization", "")
        if self.auth == "none":
            return None
        if self.auth == "basic":
            wanted = base64.b64encode(f"lab:{PASSWORD}".encode()).decode()
            if given == f"Basic {wanted}":
                return None
            return Http(401, b"", None, ('WWW-Authenticate: Basic realm="WSMAN"',), close=True)
        if peer.ready and not given:
            return None
        if self.challenge:
            return self.challenge.pop(0)
        bare = Http(401, b"", None, ("WWW-Authenticate: Negotiate", "WWW-Authenticate: Kerberos"), close=True)
        if not given.startswith("Negotiate "):
            return bare
        token = base64.b64decode(given[10:])
        if peer.context is None or token[8:9] == b"\x01":
            peer.context = spnego.server(protocol="ntlm")
        try:
            back = peer.context.step(token)
        except Exception:  # noqa: BLE001 - whatever spnego says, HTTP.sys says 401
            return bare
        if peer.context.complete:
            peer.ready = True
            self.logons += 1
            return None
        return Http(401, b"", None, (f"WWW-Authenticate: Negotiate {base64.b64encode(back).decode()}",))

    def _reply(self, peer: Peer, answer: Answer, call: Call | None, *, sealed: bool = False) -> bool:
        if isinstance(answer, Mute):
            self._stop.wait(30)
            return False
        if isinstance(answer, Cut):
            peer.wire.sendall(answer.said)
            return False
        if isinstance(answer, Trickle):
            peer.wire.sendall(answer.start)
            while not self._stop.wait(answer.pause_s):
                peer.wire.sendall(b"x")
            return False
        http = answer if isinstance(answer, Http) else Http(answer.status, _envelope(answer, call))
        body, kind = http.body, http.content_type
        if sealed and http.seal and body:
            body, kind = _seal(peer.context, body, use_tab=self.use_tab), SEALED_TYPE
        lines = [f"HTTP/1.1 {http.status} "]
        if body and kind:
            lines.append(f"Content-Type: {kind}")
        lines += [*http.headers, "Server: Microsoft-HTTPAPI/2.0"]
        if http.close:
            lines.append("Connection: close")
        if not any(line.lower().startswith("content-length") for line in http.headers):
            lines.append(f"Content-Length: {len(body)}")
        peer.wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return not http.close


def _call(body: bytes, headers: dict[str, str], number: int) -> Call:
    text = body.decode()
    action = re.search(r"<a:Action[^>]*>[^<]*/(\w+)</a:Action>", text)
    message = re.search(r"<a:MessageID>([^<]*)</a:MessageID>", text)
    return Call(action[1] if action else "Identify", text, headers, message[1] if message else "", number)


def _envelope(answer: Soap, call: Call | None) -> bytes:
    relates = call.message_id if answer.relates == "same" and call else answer.relates
    related = f"<a:RelatesTo>{relates}</a:RelatesTo>" if relates else ""
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{S}" xmlns:a="{A}" xmlns:x="{X}" xmlns:w="{W}" '
        f'xmlns:rsp="{RSP}" xmlns:p="{P}"><s:Header><a:Action>urn:answer</a:Action>'
        f"<a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID><a:To>{A}/role/anonymous</a:To>{related}"
        f"</s:Header><s:Body>{answer.body}</s:Body></s:Envelope>"
    ).encode()


def _open(context: Any, body: bytes) -> bytes:
    data = body.split(b"application/octet-stream\r\n", 1)[1]
    data = data[: data.rindex(b"--Encrypted Boundary--")]
    size = struct.unpack("<i", data[:4])[0]
    return bytes(context.unwrap_winrm(data[4 : 4 + size], data[4 + size :]))


def _seal(context: Any, body: bytes, *, use_tab: bool) -> bytes:
    sealed = context.wrap_winrm(body)
    tab = "\t" if use_tab else ""
    head = (
        f"--Encrypted Boundary\r\n{tab}Content-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
        f"{tab}OriginalContent: type=application/soap+xml;charset=UTF-8;Length={len(body)}\r\n"
        f"--Encrypted Boundary\r\n{tab}Content-Type: application/octet-stream\r\n"
    ).encode()
    return (
        head
        + struct.pack("<i", len(sealed.header))
        + sealed.header
        + sealed.data
        + b"--Encrypted Boundary--\r\n"
    )


@pytest.fixture(scope="session", autouse=True)
def _accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    users = tmp_path_factory.mktemp("ntlm") / "users"
    users.write_text(f":lab:{PASSWORD}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NTLM_USER_FILE", str(users))
        yield


@pytest.fixture
def standin() -> Iterator[Callable[..., Standin]]:
    """Start a stand-in with these settings; stopped at the end of the test."""
    running: list[Standin] = []

    def start(**settings: Any) -> Standin:
        running.append(Standin(**settings).start())
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def transport() -> WinRMTransport:
    return WinRMTransport(lambda ref: ref.value, SystemClock())


@pytest.fixture
def target_for() -> Callable[..., Target]:
    def build(server: Standin, **changes: Any) -> Target:
        settings: dict[str, Any] = {
            "host": "pc01",
            "address": "127.0.0.1",
            "port": server.port,
            "scheme": "https" if server.tls else "http",
            "user": "lab",
            "password": SecretRef("plain", PASSWORD),
            "auth": ("ntlm",),
        }
        if server.auth == "basic":
            settings |= {"auth": ("basic",), "message_encryption": "never"}
        return Target(**(settings | changes))

    return build


@pytest.fixture
def connected(
    transport: WinRMTransport, target_for: Callable[..., Target]
) -> Iterator[Callable[..., WinRMConnection]]:
    """Connect to a stand-in; closed at the end of the test."""
    open_now: list[WinRMConnection] = []

    def connect(server: Standin, seconds: float = 5, **changes: Any) -> WinRMConnection:
        connection = transport.connect(target_for(server, **changes), within(seconds))
        open_now.append(connection)
        return connection

    yield connect
    for connection in open_now:
        connection.close()


def within(seconds: float) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


@pytest.fixture
def budget() -> Callable[[float], Deadline]:
    return within


@pytest.fixture
def say() -> Any:
    """The building blocks of scripts, for test files (which do not import each other)."""

    class Say:
        fault = staticmethod(fault)
        wmi_fault = staticmethod(wmi_fault)
        output = staticmethod(output)
        created = staticmethod(created)
        started = staticmethod(started)
        soap, http, cut, mute, trickle = Soap, Http, Cut, Mute, Trickle
        password, command_id = PASSWORD, COMMAND_ID

    return Say


@pytest.fixture
def stopwatch() -> Callable[[], Callable[[], float]]:
    def start() -> Callable[[], float]:
        began = time.monotonic()
        return lambda: time.monotonic() - began

    return start


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path
