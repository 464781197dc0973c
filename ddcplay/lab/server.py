"""The running lab: builds every host from its blueprint, keeps the clock, the power and the idle shells."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import random
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddcplay.errors import DdcplayError
from ddcplay.lab.blueprint import LabConfig, LabHost
from ddcplay.lab.certificates import Certificates, make_certificates
from ddcplay.lab.faults import Fault, PlantedFaults
from ddcplay.lab.host import SimulatedHost
from ddcplay.lab.http import HttpConnection
from ddcplay.lab.listener import Listener
from ddcplay.lab.login import UserFile
from ddcplay.lab.machine import Machine
from ddcplay.lab.service import WinRmService
from ddcplay.lab.wine import Wine

_TICK_S = 0.5


class LabServer:
    """Every host of a lab in one event loop.

    Args:
        config: what to build.
        directory: for certificates and account files.
    """

    def __init__(self, config: LabConfig, directory: Path) -> None:
        self._config = config
        self._directory = directory
        self._started = time.time()
        self._users = UserFile(directory)
        self._hosts: dict[str, SimulatedHost] = {}
        self._listeners: dict[str, Listener] = {}
        self._timetabled: set[str] = set()
        self._ticker: asyncio.Task[None] | None = None
        self.certificates: Certificates | None = None
        self._wine = None if config.wine_prefix is None else Wine(Path(config.wine_prefix))

    def now(self) -> float:
        """Return the lab's time, Unix seconds."""
        real = time.time()
        if self._config.starts_at is None and self._config.speed == 1.0:
            return real
        start = self._started if self._config.starts_at is None else self._config.starts_at
        return start + (real - self._started) * self._config.speed

    async def start(self) -> None:
        """Open every door.

        Raises:
            DdcplayError: addresses or certificates cannot be had.
        """
        if self._wine is not None:
            self._wine.prepare()
        addresses = self._addresses()
        tls, der = self._tls({address for address, _ in addresses})
        for blueprint, address in zip(self._config.hosts, addresses, strict=True):
            self._open(blueprint, address, tls if blueprint.https else None, der if blueprint.https else None)
        self._apply_timetable()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """Close every door."""
        if self._ticker:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        for name, listener in self._listeners.items():
            listener.close()
            self._hosts[name].shells.clear()
        await asyncio.sleep(0)

    def endpoints(self) -> dict[str, tuple[str, int]]:
        """Return where each host listens."""
        return {name: listener.address for name, listener in self._listeners.items()}

    def stats(self, name: str | None = None) -> dict[str, Any]:
        """Return the counters of one host, or of all by name."""
        if name is not None:
            return self.host(name).stats()
        return {host: state.stats() for host, state in self._hosts.items()}

    def reset_stats(self) -> None:
        """Start counting anew everywhere."""
        for host in self._hosts.values():
            host.reset_stats()

    def set_faults(self, name: str, faults: tuple[Fault, ...]) -> None:
        """Replace what is planted in a host."""
        self.host(name).faults = PlantedFaults(faults)

    def set_power(self, name: str, *, on: bool) -> None:
        """Switch a host on or off; a host that goes off loses its shells. Ends its timetable."""
        host = self.host(name)
        self._timetabled.discard(name)
        self._switch(host, name, on=on)

    def set_password(self, name: str, password: str) -> None:
        """Change the password of a host's account; connections that are logged in stay so."""
        self.host(name).password = password

    def files(self, name: str) -> list[str]:
        """Return the paths on a host's disk, lower case; directories end in a backslash."""
        return sorted(self.host(name).files)

    def set_user(self, name: str, user: str) -> None:
        """Log a user on at the console, or off with ""; the host's timetable has no more say in it."""
        host = self.host(name)
        host.machine = dataclasses.replace(host.machine, visitor=user)

    def is_on(self, name: str) -> bool:
        """Say whether a host is on."""
        return self._listeners[self.host(name).blueprint.name].is_on

    def host(self, name: str) -> SimulatedHost:
        """Return a host.

        Raises:
            KeyError: there is no such host.
        """
        return self._hosts[name]

    def _addresses(self) -> list[tuple[str, int]]:
        count = len(self._config.hosts)
        if self._config.addressing == "ports":
            return [("127.0.0.1", 0)] * count
        for _ in range(20):
            # A network of its own per lab, so that labs side by side rarely meet; the first bind proves it.
            base = (random.randrange(1, 250) << 16) + (random.randrange(0, 250) << 8)
            listed = [_loopback(base + 256 * (index // 250) + index % 250 + 1) for index in range(count)]
            port = random.randrange(20000, 32000)
            if _all_free(listed, port):
                return [(address, port) for address in listed]
        raise DdcplayError("no 127.x.y.z network is free for the lab", "use addressing: ports")

    def _tls(self, addresses: set[str]) -> tuple[ssl.SSLContext | None, bytes | None]:
        if not any(host.https for host in self._config.hosts):
            return None, None
        names = {"localhost", *(host.name for host in self._config.hosts)}
        user = self._config.hosts[0].user
        self.certificates = make_certificates(
            self._directory, sorted(names), sorted(addresses | {"127.0.0.1"}), user
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificates.server)
        context.load_verify_locations(self.certificates.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context, self.certificates.server_der

    def _open(
        self, blueprint: LabHost, address: tuple[str, int], tls: ssl.SSLContext | None, der: bytes | None
    ) -> None:
        room = blueprint.groups[-1] if blueprint.groups else ""
        machine = Machine(
            self._config.seed, blueprint.name, room, blueprint.domain, windows=blueprint.windows
        )
        host = SimulatedHost(
            blueprint, machine, self.now, self._wine if blueprint.backend == "wine" else None
        )
        service = WinRmService(host, self._users, der)
        connections: set[HttpConnection] = set()

        def opened(connection: HttpConnection) -> None:
            host.counters.connections += 1
            connections.add(connection)

        def accept() -> HttpConnection:
            return HttpConnection(service.serve, lambda: host.faults, opened, connections.discard)

        listener = Listener(address, accept, tls, blueprint.off_mode)
        listener.connections = connections
        self._hosts[blueprint.name], self._listeners[blueprint.name] = host, listener
        if blueprint.power == "timetable":
            self._timetabled.add(blueprint.name)
        else:
            listener.switch(on=blueprint.power == "on")

    def _switch(self, host: SimulatedHost, name: str, *, on: bool) -> None:
        if self._listeners[name].is_on and not on:
            host.shells.clear()
            host.processes.clear()
        self._listeners[name].switch(on=on)

    def _apply_timetable(self) -> None:
        now = self.now()
        for name in self._timetabled:
            self._switch(self._hosts[name], name, on=self._hosts[name].machine.is_on(now))

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            self._apply_timetable()
            for host in self._hosts.values():
                if host.shells.by_id:
                    host.shells.expire(loop.time(), _count_expired(host))


def _count_expired(host: SimulatedHost) -> Callable[[object], None]:
    def count(_shell: object) -> None:
        host.counters.shells_expired += 1

    return count


def _loopback(number: int) -> str:
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _all_free(addresses: list[str], port: int) -> bool:
    for address in (addresses[0], addresses[-1]):
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise DdcplayError(
                    f"the address {address} cannot be used: {error.strerror}", "use addressing: ports"
                ) from error
    return True
