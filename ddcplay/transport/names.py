"""Name resolution for the sweep: equal names once, no name holds up another, nothing outlives its budget."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_THREADS = 128
"""Lookups at a time. Each has its own thread, as getaddrinfo cannot be interrupted."""

_MOST_ADDRESSES = 4
"""A PC registers one address per network card; what lies beyond is stale more often than not."""


class NameFailedError(Exception):
    """A name has no address, or nobody said in time; the text is one line for a human."""


@dataclass(frozen=True, slots=True)
class Address:
    """One IP address of a host.

    Args:
        text: as written in numbers, an IPv6 scope left out.
        version: 4 or 6.
        scope_id: interface of a link-local IPv6 address, else 0.
    """

    text: str
    version: int
    scope_id: int = 0

    @property
    def loopback(self) -> bool:
        """Whether it is this machine itself."""
        return ipaddress.ip_address(self.text).is_loopback

    @property
    def family(self) -> socket.AddressFamily:
        """Return the socket family."""
        return socket.AF_INET6 if self.version == 6 else socket.AF_INET

    def at(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Return what `connect` takes."""
        return (self.text, port, 0, self.scope_id) if self.version == 6 else (self.text, port)


def system_lookup(name: str) -> list[Address]:
    """Ask the system's resolver; blocks for as long as that takes.

    Raises:
        OSError: no such name, or the resolver failed.
        ValueError: not a name at all (`UnicodeError` is one of them).
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    addresses = []
    for family, *_, sockaddr in found:
        version = {socket.AF_INET: 4, socket.AF_INET6: 6}.get(family)
        if version is not None:
            scope_id = int(sockaddr[3]) if len(sockaddr) == 4 else 0
            addresses.append(Address(str(sockaddr[0]).partition("%")[0], version, scope_id))
    return addresses


class Names:
    """The resolver of one sweep; belongs to the event loop in which it is made.

    Args:
        limit_s: budget of one lookup. When in that time no lookup at all ended, the resolver is taken for
            dead and names that still wait fail too, so a dead resolver costs the sweep one budget.
        lookup: the blocking question.
    """

    def __init__(self, limit_s: float, lookup: Callable[[str], Sequence[Address]] = system_lookup) -> None:
        self._limit_s = limit_s
        self._lookup = lookup
        self._loop = asyncio.get_running_loop()
        self._known: dict[str, asyncio.Task[tuple[Address, ...]]] = {}
        self._threads = asyncio.Semaphore(_THREADS)
        self._last_end = self._loop.time()
        self._dead = False

    async def addresses(self, name: str) -> tuple[Address, ...]:
        """Return the addresses of a name, at most four, families in turn (RFC 8305 §4).

        Raises:
            NameFailedError: there are none.
        """
        literal = _literal(name)
        if literal is not None:
            return (literal,)
        task = self._known.get(name)
        if task is None:
            task = self._known[name] = asyncio.create_task(self._find(name))
        return await asyncio.shield(task)

    async def _find(self, name: str) -> tuple[Address, ...]:
        async with self._threads:
            if self._dead:
                raise NameFailedError("not looked up: the resolver does not answer")
            try:
                found = await asyncio.wait_for(self._in_thread(name), self._limit_s)
            except TimeoutError:
                self._dead = self._loop.time() - self._last_end >= self._limit_s
                raise NameFailedError(f"the resolver did not answer in {self._limit_s:.1f} s") from None
            except RuntimeError as error:
                raise NameFailedError(f"not looked up: {error}") from None  # no further thread can be started
            except (OSError, ValueError) as error:
                text = error.strerror if isinstance(error, OSError) else str(error)
                raise NameFailedError(f"the name has no address: {text}") from None
        if not found:
            raise NameFailedError("the name has no address")
        return _families_in_turn(found)

    def _in_thread(self, name: str) -> asyncio.Future[Sequence[Address]]:
        answer: asyncio.Future[Sequence[Address]] = self._loop.create_future()

        def settle(found: Sequence[Address], error: Exception | None) -> None:
            self._last_end = self._loop.time()
            if answer.done():
                return
            if error is None:
                answer.set_result(found)
            else:
                answer.set_exception(error)

        def ask() -> None:
            found: Sequence[Address] = ()
            trouble = None
            try:
                found = self._lookup(name)
            except (OSError, ValueError) as error:
                trouble = error
            try:
                self._loop.call_soon_threadsafe(settle, found, trouble)
            except RuntimeError:
                return  # The sweep ended meanwhile and closed its loop; nobody wants the answer.

        # A daemon: a resolver that hangs must hold neither the sweep's end nor the program's.
        threading.Thread(target=ask, name=f"resolve {name}", daemon=True).start()
        return answer


def _literal(name: str) -> Address | None:
    """Return an address written in numbers; what has an IPv6 scope is left to the system's lookup."""
    for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
        try:
            packed = socket.inet_pton(family, name)
        except (OSError, ValueError):
            continue
        return Address(socket.inet_ntop(family, packed), version)
    return None


def _families_in_turn(found: Sequence[Address]) -> tuple[Address, ...]:
    unique = list(dict.fromkeys(found))
    first = [address for address in unique if address.version == unique[0].version]
    other = [address for address in unique if address.version != unique[0].version]
    turns: list[Address] = []
    for index in range(max(len(first), len(other))):
        turns += first[index : index + 1] + other[index : index + 1]
    return tuple(turns[:_MOST_ADDRESSES])
