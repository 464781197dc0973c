"""The door of one host: a listening socket that can be open, refused, or truly silent.

Silence without privileges: on Linux a listening socket whose queue is full drops further SYNs, so a client's
connect gets no answer at all, like a PC without power. Elsewhere a switched-off host refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from ssl import SSLContext

from ddcplay.lab.blueprint import OffMode
from ddcplay.lab.http import HttpConnection

_BACKLOG = 256


class Listener:
    """The listening socket of one host and the connections that came through it.

    Args:
        address: where to listen; port 0 lets the system choose.
        accept: makes the protocol object of a connection.
        tls: TLS context, None for plain HTTP.
        off_mode: what the host looks like while it is off.
    """

    def __init__(
        self,
        address: tuple[str, int],
        accept: Callable[[], HttpConnection],
        tls: SSLContext | None,
        off_mode: OffMode,
    ) -> None:
        self._accept = accept
        self._tls = tls
        self._silent = off_mode == "silent" and sys.platform == "linux"
        self._socket = _bound(address)
        self.address: tuple[str, int] = self._socket.getsockname()
        self._fillers: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: set[HttpConnection] = set()
        self.is_on = False
        self._switch_off()

    def switch(self, *, on: bool) -> None:
        """Switch the host on or off; connections of a host that goes off fall silent or are reset."""
        if on == self.is_on:
            return
        self.is_on = on
        if on:
            self._switch_on()
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        for connection in list(self.connections):
            connection.freeze() if self._silent else connection.reset()
        self._switch_off()

    def close(self) -> None:
        """Close everything."""
        if self.is_on:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._drop_fillers()
        self._socket.close()
        for connection in list(self.connections):
            connection.reset()

    def _switch_on(self) -> None:
        self._drop_fillers()
        self._socket.listen(_BACKLOG)
        with contextlib.suppress(BlockingIOError):
            while True:  # the fillers and whoever came while the host was off
                self._socket.accept()[0].close()
        asyncio.get_running_loop().add_reader(self._socket, self._ready)

    def _switch_off(self) -> None:
        if not self._silent:
            # A bound socket that does not listen refuses, and keeps the port ours.
            self._socket.close()
            self._socket = _bound(self.address)
            return
        self._socket.listen(0)
        for _ in range(2):
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self.address)
            self._fillers.append(filler)

    def _drop_fillers(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _ready(self) -> None:
        for _ in range(_BACKLOG):
            try:
                client, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            task = asyncio.get_running_loop().create_task(self._take(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _take(self, client: socket.socket) -> None:
        client.settimeout(0)
        with contextlib.suppress(
            OSError
        ):  # a failed TLS handshake is the client's affair (SSLError is an OSError)
            await asyncio.get_running_loop().connect_accepted_socket(self._accept, client, ssl=self._tls)


def _bound(address: tuple[str, int]) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform != "win32":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.settimeout(0)
    listening.bind(address)
    return listening
