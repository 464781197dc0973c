"""The sockets of one connection: opened, limited in time and size, and shut down from another thread."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

from ddcplay.errors import FaultError
from ddcplay.transport.winrm_faults import MuteError, NotAcceptedError, StaleConnectionError
from ddcplay.transport.wsman_read import MAX_ANSWER_BYTES
from ddcplay.units import Deadline

_OVERHEAD_BYTES = 64 * 1024
"""HTTP headers and the wrapping of sealed bodies."""


def open_socket(address: str, port: int, deadline: Deadline) -> socket.socket:
    """Open TCP, trying every address of a name.

    Args:
        address: name or IP literal, a zone included.
        port: TCP port.
        deadline: of all tries together, the name look-up included.

    Raises:
        FaultError: `no_name`, `port_closed` (something there refused) or `no_answer`.
    """
    found = _resolve(address, port, deadline)
    refused: OSError | None = None
    for number, (family, kind, protocol, _, where) in enumerate(found):
        share = deadline.remaining_s() / (len(found) - number)
        if share <= 0:
            break
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(share)
            wire.connect(where)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except ConnectionRefusedError as error:
            refused = error
            wire.close()
        except OSError:
            wire.close()
        else:
            return wire
    if refused is not None:
        raise FaultError(
            "port_closed",
            f"nothing listens on TCP port {port}",
            "the machine is on: enable WinRM there (winrm quickconfig) or open the port in its firewall",
        ) from refused
    raise FaultError(
        "no_answer", f"no answer on TCP port {port}", "the machine is off, asleep, or behind a firewall"
    )


_Found = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


def _resolve(address: str, port: int, deadline: Deadline) -> _Found:
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return _look_up(address, port, deadline)
    return list(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))


def _look_up(name: str, port: int, deadline: Deadline) -> _Found:
    # The resolver of the C library knows no deadline, so it is asked in a thread that may be left behind.
    found: _Found = []
    trouble: list[Exception] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            trouble.append(error)

    asking = threading.Thread(target=ask, name=f"look-up {name}", daemon=True)
    asking.start()
    asking.join(deadline.remaining_s())
    if asking.is_alive() or trouble or not found:
        raise FaultError(
            "no_name",
            f"the name {name} cannot be resolved" + (" in time" if asking.is_alive() else ""),
            "check the name, or write ansible_host with the address",
        )
    return list(found)


class Wire:
    """The sockets of one connection, and the limits that hold for whatever is read from them.

    Args:
        address: the host's name or IP literal.
        port: TCP port.
    """

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self.bound = False
        self.answer_bytes = 0
        self.sockets = 0
        self._deadline: Deadline | None = None
        self._spare: socket.socket | None = None
        self._current: socket.socket | None = None
        self._aborted = False

    @property
    def aborted(self) -> bool:
        """Whether `abort` was called."""
        return self._aborted

    def begin(self, deadline: Deadline) -> None:
        """Start an exchange: its reads and writes end at `deadline`, its answer is counted from zero."""
        self._deadline = deadline
        self.answer_bytes = 0
        if self._aborted:
            raise NotAcceptedError(
                "transport", "the connection was shut down by the run", connection_lost=True
            )

    def connect(self, deadline: Deadline) -> None:
        """Open TCP ahead of the first request, so that its trouble is told apart from all later trouble."""
        self._spare = open_socket(self.address, self.port, deadline)

    def new_socket(self, proxy: tuple[str, int] | None) -> socket.socket:
        """Hand a connected socket to urllib3.

        Args:
            proxy: where to connect to instead of the host.

        Raises:
            StaleConnectionError: the authenticated connection is gone; another one needs a new logon.
        """
        if self.bound:
            raise StaleConnectionError
        wire, self._spare = self._spare, None
        if wire is None or proxy is not None:
            address, port = proxy or (self.address, self.port)
            wire = open_socket(address, port, self._limit())
        self.sockets += 1
        self.adopt(wire)
        wire.settimeout(max(0.001, self._limit().remaining_s()))
        return wire

    def adopt(self, wire: socket.socket) -> None:
        """Remember the socket that `abort` has to shut down (TLS replaces the first one)."""
        self._current = wire
        if self._aborted:
            self.abort()

    def _limit(self) -> Deadline:
        assert self._deadline is not None, "begin() comes first"
        return self._deadline

    def before_wait(self, wire: socket.socket) -> None:
        """Let the next wait on a socket end with the exchange.

        Raises:
            MuteError: the time is up already.
        """
        remaining = self._limit().remaining_s()
        if remaining <= 0:
            raise MuteError("the target")
        wire.settimeout(remaining)

    def count(self, size: int) -> None:
        """Count bytes of an answer.

        Raises:
            FaultError: it is larger than any honest answer.
        """
        self.answer_bytes += size
        if self.answer_bytes > MAX_ANSWER_BYTES + _OVERHEAD_BYTES:
            raise FaultError(
                "transport",
                f"the answer is larger than {MAX_ANSWER_BYTES} bytes",
                "Windows keeps to the 150 KB we announce: is it really WinRM that answers there?",
            )

    def abort(self) -> None:
        """Shut the socket down, from any thread."""
        self._aborted = True
        for wire in (self._current, self._spare):
            if wire is not None:
                try:
                    # Not SSLSocket.shutdown: it drops the TLS state while the other thread reads.
                    socket.socket.shutdown(wire, socket.SHUT_RDWR)
                except OSError:
                    continue

    def close(self) -> None:
        """Close what was opened ahead and never used."""
        if self._spare is not None:
            self._spare.close()
            self._spare = None
