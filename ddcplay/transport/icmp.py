"""ICMP echo for the whole pool over one socket per IP version.

icmplib makes the sockets and the packets. Its own ping functions take a socket per host, and each raw socket
gets a copy of every reply: with 1,000 hosts that is a million packets, hence one shared socket read here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress

from icmplib.exceptions import ICMPLibError
from icmplib.models import ICMPRequest
from icmplib.sockets import ICMPSocket, ICMPv4Socket, ICMPv6Socket

from ddcplay.transport.knock import Paced
from ddcplay.transport.names import Address

_ECHO_REPLY = {4: 0, 6: 129}
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
_MOST_AT_A_TIME = 2000
_SO_RCVBUFFORCE, _SOL_RAW, _ICMP_FILTER = 33, 255, 1  # linux/socket.h, linux/icmp.h; not in Python
_ID = 0xDDC


def icmp_permitted() -> bool:
    """Say whether this process may send ICMP echo requests over IPv4 (found out by opening a socket)."""
    opened = _open(ICMPv4Socket)
    if opened is None:
        return False
    opened.close()  # type: ignore[no-untyped-call]
    return True


def _open(kind: type[ICMPSocket]) -> ICMPSocket | None:
    """Open a raw socket, else a datagram one (Linux: `net.ipv4.ping_group_range`), else None."""
    for privileged in (True, False):
        with suppress(ICMPLibError, OSError):
            return kind(privileged=privileged)
    return None


class Echoes:
    """Sends echo requests and remembers who answered; belongs to the event loop in which it is made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._paced = Paced()
        self._sequence = 0
        self._heard: dict[str, asyncio.Future[None]] = {}
        self._sockets: dict[int, ICMPSocket] = {}
        self._readers: list[asyncio.Task[None]] = []
        for version, kind in ((4, ICMPv4Socket), (6, ICMPv6Socket)):
            opened = _open(kind)
            if opened is not None:
                self._sockets[version] = opened
                opened.blocking = False
                _widen(opened.sock, version)
                if isinstance(self._loop, asyncio.SelectorEventLoop):
                    self._loop.add_reader(opened.sock.fileno(), self._drain, opened.sock, version)
                else:
                    self._readers.append(asyncio.create_task(self._read(opened.sock, version)))

    @property
    def permitted(self) -> bool:
        """Say whether there is a socket at all."""
        return bool(self._sockets)

    def heard(self, address: Address) -> asyncio.Future[None]:
        """Return what is done once an echo of that address came; maybe it is already."""
        found = self._heard.get(address.text)
        if found is None:
            found = self._heard[address.text] = self._loop.create_future()
        return found

    def send(self, address: Address) -> asyncio.Future[None]:
        """Send one echo request, unless the address answered before; done when it has left."""
        sent: asyncio.Future[None] = self._loop.create_future()
        if self.heard(address).done() or address.version not in self._sockets:
            sent.set_result(None)
        else:
            self._paced.put(lambda: self._send(address, sent))
        return sent

    def _send(self, address: Address, sent: asyncio.Future[None]) -> None:
        if not sent.done():
            sent.set_result(None)
        self._sequence = (self._sequence + 1) % 65536
        text = f"{address.text}%{address.scope_id}" if address.scope_id else address.text
        # A full buffer or a missing route is an echo that does not come; TCP tells the rest.
        with suppress(ICMPLibError, OSError):
            request = ICMPRequest(text, id=_ID, sequence=self._sequence, payload_size=8)  # type: ignore[no-untyped-call]
            self._sockets[address.version].send(request)  # type: ignore[no-untyped-call]

    def drain(self) -> None:
        """Take in what has come by now, before somebody concludes from silence: a busy loop reads late."""
        for version, opened in self._sockets.items():
            self._drain(opened.sock, version)

    def close(self) -> None:
        """Stop sending and reading, and close the sockets."""
        self._paced.clear()
        for reader in self._readers:
            reader.cancel()
        for opened in self._sockets.values():
            if isinstance(self._loop, asyncio.SelectorEventLoop):
                self._loop.remove_reader(opened.sock.fileno())
            opened.close()  # type: ignore[no-untyped-call]

    def _drain(self, sock: socket.socket, version: int) -> None:
        for _ in range(_MOST_AT_A_TIME):
            try:
                packet, sender = sock.recvfrom(2048)
            except OSError:
                return
            self._take(packet, str(sender[0]), version)

    async def _read(self, sock: socket.socket, version: int) -> None:
        """Windows' completion ports have no readiness to watch; they want a task that receives."""
        while True:
            try:
                packet, sender = await self._loop.sock_recvfrom(sock, 2048)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                self._take(packet, str(sender[0]), version)

    def _take(self, packet: bytes, sender: str, version: int) -> None:
        heard = self._heard.get(sender.partition("%")[0])
        if heard is not None and not heard.done() and is_echo_reply(packet, version):
            heard.set_result(None)


def _widen(sock: socket.socket, version: int) -> None:
    """Make room for the answers of a large pool, and on Linux let nothing but echo replies take it up."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    if sys.platform == "linux":
        with suppress(OSError):  # for root alone; others keep what net.core.rmem_max grants
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        if version == 4:
            with suppress(OSError):  # raw sockets know it; datagram ones get their own replies only
                sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", 0xFFFFFFFE))


def is_echo_reply(packet: bytes, version: int) -> bool:
    """Say whether a packet is an echo reply (RFC 792, RFC 4443 §4.2), with or without its IPv4 header.

    Whose request it answers does not matter: whoever replies to anybody is switched on.
    """
    if version == 4 and packet and packet[0] >> 4 == 4:
        packet = packet[(packet[0] & 0x0F) * 4 :]
    return len(packet) >= 8 and packet[0] == _ECHO_REPLY[version] and packet[1] == 0
