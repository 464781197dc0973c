"""The HTTP layer of a lab host: HTTP.sys as clients see it, one object per TCP connection.

It reads requests, hands them to the service one after another, and writes answers with the header order, the
empty reason phrase and the missing headers of Windows. Faults of the network act here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import cast

from ddcplay.lab.faults import PlantedFaults

_log = logging.getLogger(__name__)
_HEAD_LIMIT = 65_536
_BODY_LIMIT = 8 * 1024 * 1024
SOAP_TYPE = "application/soap+xml;charset=UTF-8"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request: method, path without query, headers by lower-case name, body, seconds idle before it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    idle_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer.

    Args:
        status: code; the reason phrase stays empty.
        body: bytes.
        content_type: empty leaves the header out.
        authenticate: values of WWW-Authenticate, one header line each.
        extra: further header lines.
        close: say `Connection: close` and close.
        operation: which operation it answers, for faults that pick one.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    authenticate: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    close: bool = False
    operation: str = field(default="", compare=False)

    def head(self) -> bytes:
        """Write status line and headers in the order Windows uses."""
        lines = [f"HTTP/1.1 {self.status} "]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"WWW-Authenticate: {value}" for value in self.authenticate]
        lines += ["Server: Microsoft-HTTPAPI/2.0", f"Date: {formatdate(usegmt=True)}", *self.extra]
        if self.close:
            lines.append("Connection: close")
        lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Serve = Callable[["HttpConnection", HttpRequest], Awaitable[HttpAnswer | None]]
"""Answers one request; None means silence for ever."""


class HttpConnection(asyncio.Protocol):
    """One TCP (or TLS) connection.

    Args:
        serve: answers requests.
        faults: returns what is planted in the host right now.
        on_open: called with the connection once it is up.
        on_lost: called when it is gone.
        idle_s: HTTP.sys closes a connection that was silent for so long.
    """

    def __init__(
        self,
        serve: Serve,
        faults: Callable[[], PlantedFaults],
        on_open: Callable[[HttpConnection], None],
        on_lost: Callable[[HttpConnection], None],
        idle_s: float = 120.0,
    ) -> None:
        self._serve = serve
        self._faults = faults
        self._on_open = on_open
        self._on_lost = on_lost
        self._idle_s = idle_s
        self._buffer = bytearray()
        self._busy: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._frozen = False
        self._last = 0.0
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.session: object = None

    @property
    def peer(self) -> str:
        """Address of the client."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if name else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over."""
        self.transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._last = asyncio.get_running_loop().time()
        self._on_open(self)
        self._watch_idle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio gives it
        """Drop what was going on."""
        if self._idle:
            self._idle.cancel()
        if self._busy:
            self._busy.cancel()
        self._on_lost(self)

    def freeze(self) -> None:
        """Go silent for ever without closing, as a PC whose power is cut."""
        self._frozen = True
        if self._busy:
            self._busy.cancel()
        if self._idle:
            self._idle.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole."""
        if self._frozen:
            return
        self._buffer += data
        self._next()

    def _next(self) -> None:
        if self._busy or self._frozen:
            return
        try:
            request = self._take_request()
        except ValueError:
            self._buffer.clear()
            self.transport.write(HttpAnswer(400, close=True).head())
            self.transport.close()
            return
        if request is None:
            return
        if self._idle:
            self._idle.cancel()
        self._busy = asyncio.get_running_loop().create_task(self._answer(request))

    def _take_request(self) -> HttpRequest | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise ValueError("endless head")
            return None
        first, *rows = self._buffer[:end].decode("latin-1").split("\r\n")
        method, target, _version = first.split(" ", 2)
        headers = {}
        for row in rows:
            name, _, value = row.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= _BODY_LIMIT or "transfer-encoding" in headers:
            raise ValueError("length")
        if len(self._buffer) < end + 4 + length:
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        idle = asyncio.get_running_loop().time() - self._last
        return HttpRequest(method, target.partition("?")[0], headers, body, idle)

    async def _answer(self, request: HttpRequest) -> None:
        try:
            answer = await self._serve(self, request)
            if answer is None:
                self.freeze()
                return
            await self._write(answer)
            if answer.close or request.headers.get("connection", "").lower() == "close":
                self.transport.close()
        except ConnectionResetError:
            self.reset()
        except Exception:  # noqa: BLE001 - any bug: it is logged below
            # A bug of the lab must not look like a mute host: say it in lab.log and end the connection.
            _log.exception("the lab failed to answer %s %s", request.method, request.path)
            self.transport.abort()
        finally:
            self._busy = None
        self._last = asyncio.get_running_loop().time()
        self._watch_idle()
        if self._buffer and not self.transport.is_closing():
            self._next()

    async def _write(self, answer: HttpAnswer) -> None:
        data = answer.head() + answer.body
        faults = self._faults()
        if faults:
            if fault := faults.take("reset", answer.operation):
                self.transport.write(data[: int(fault.value)])
                await asyncio.sleep(0.01)
                raise ConnectionResetError
            if faults.take("truncated", answer.operation):
                self.transport.write(data[: len(data) - max(1, len(answer.body) // 2)])
                self.transport.close()
                return
            if fault := faults.take("trickle", answer.operation):
                for index in range(len(data)):
                    self.transport.write(data[index : index + 1])
                    await asyncio.sleep(fault.value)
                return
        self.transport.write(data)
        if faults and faults.take("close_each", answer.operation):
            self.transport.close()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _watch_idle(self) -> None:
        if self.transport.is_closing() or self._frozen:
            return
        fault = self._faults().peek("close_idle")
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(fault.value if fault else self._idle_s, self._idle_end)

    def _idle_end(self) -> None:
        if self._busy:
            return
        self._faults().take("close_idle")
        self.transport.close()
