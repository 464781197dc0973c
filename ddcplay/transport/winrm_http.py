"""urllib3 and requests over our own sockets, so that every wait ends in time and every answer is bounded.

The timeouts of requests bound one wait, so a peer that trickles a byte a second is waited for without end.
Here each read asks the deadline anew. requests sees an ordinary adapter.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ddcplay.errors import FaultError
from ddcplay.transport.winrm_faults import MuteError, translated
from ddcplay.transport.winrm_wire import Wire


class _BoundedReader(io.RawIOBase):
    """Reads a socket under the limits of a `Wire`."""

    def __init__(self, raw: Any, wire: Wire) -> None:
        super().__init__()
        self._raw = raw
        self._sock = raw._sock  # noqa: SLF001 - requests-ntlm looks for the channel binding under this name
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wire.before_wait(self._sock)
        try:
            size: int | None = self._raw.readinto(buffer)
        except TimeoutError as error:
            raise MuteError("the target") from error
        self._wire.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *positional: Any, wire: Wire, **named: Any) -> None:
        super().__init__(sock, *positional, **named)
        reader: Any = self.fp
        self.fp = io.BufferedReader(_BoundedReader(reader.detach(), wire))


class _WireMixin:
    """What both kinds of connection share."""

    wire: Wire
    sock: Any

    def _destination(self, proxy: Any) -> tuple[str, int] | None:
        return None if proxy is None else (str(proxy.host), int(proxy.port or 8080))

    def _limit_send(self) -> None:
        if self.sock is not None:
            self.wire.before_wait(self.sock)

    def _refuse_encoding(self, response: Any) -> None:
        # We never ask for one; a few KB of gzip could become gigabytes.
        if (response.headers.get("Content-Encoding") or "identity").lower() != "identity":
            raise FaultError("transport", "the answer has a content encoding nobody asked for")


class _HttpConnection(_WireMixin, HTTPConnection):
    def __init__(self, *positional: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.wire = wire
        self.response_class = functools.partial(_BoundedResponse, wire=wire)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return self.wire.new_socket(self._destination(self.proxy))

    def send(self, data: Any) -> None:
        self._limit_send()
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._refuse_encoding(response)
        return response


class _HttpsConnection(_WireMixin, HTTPSConnection):
    def __init__(self, *positional: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.wire = wire
        self.response_class = functools.partial(_BoundedResponse, wire=wire)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return self.wire.new_socket(self._destination(self.proxy))

    def connect(self) -> None:
        with translated("TLS"):
            super().connect()
        self.wire.adopt(self.sock)

    def send(self, data: Any) -> None:
        self._limit_send()
        super().send(data)

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._refuse_encoding(response)
        return response


class _HttpPool(HTTPConnectionPool):
    def __init__(self, *positional: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.ConnectionCls = functools.partial(_HttpConnection, wire=wire)  # type: ignore[assignment]


class _HttpsPool(HTTPSConnectionPool):
    def __init__(self, *positional: Any, wire: Wire, **named: Any) -> None:
        super().__init__(*positional, **named)
        self.ConnectionCls = functools.partial(_HttpsConnection, wire=wire)  # type: ignore[assignment]

    def _validate_conn(self, conn: Any) -> None:
        # Not the parent's: it would warn on every request that the user switched validation off, as written.
        if conn.is_closed:
            conn.connect()


class WireAdapter(HTTPAdapter):
    """Mounts a `Wire` under a requests session: one connection, no retries, our TLS context.

    Args:
        wire: the sockets.
        context: TLS context, None for plain HTTP.
    """

    def __init__(self, wire: Wire, context: ssl.SSLContext | None) -> None:
        self._wire = wire
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def _own_pools(self, manager: Any) -> Any:
        manager.pool_classes_by_scheme = {
            "http": functools.partial(_HttpPool, wire=self._wire),
            "https": functools.partial(_HttpsPool, wire=self._wire),
        }
        return manager

    def init_poolmanager(self, *positional: Any, **named: Any) -> None:
        """Build the pool manager over our connections."""
        super().init_poolmanager(*positional, ssl_context=self._context, **named)
        self._own_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        """Build a proxy manager over our connections."""
        return self._own_pools(super().proxy_manager_for(proxy, ssl_context=self._context, **named))

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:  # noqa: ARG002 - the parent's signature
        """Leave trust to the context: requests would add certifi's authorities to it on every connection."""
        conn.cert_reqs = "CERT_REQUIRED" if verify else "CERT_NONE"
