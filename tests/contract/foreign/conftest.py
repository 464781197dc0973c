"""The foreign server as a fixture: one process per worker, one port per dialect, and its journal."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.transport.winrm import WinRMConnection, WinRMTransport
from ddcplay.units import Deadline, SystemClock

USER, PASSWORD = "lab", "lab-Passw0rd-ü"


@dataclass
class Fleet:
    """The process of the fake PCs."""

    process: subprocess.Popen[str]
    folder: Path
    address: str
    opened: int = 0

    def ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@dataclass
class FakePc:
    """One fake PC and the connections made to it."""

    fleet: Fleet
    name: str
    port: int
    dialect: dict[str, Any]
    connections: list[WinRMConnection] = field(default_factory=list)

    def connect(self, **changes: Any) -> WinRMConnection:
        seconds = changes.pop("within", 10)
        settings: dict[str, Any] = {
            "port": self.port,
            "scheme": "https" if self.dialect.get("tls") else "http",
            "user": USER,
            "password": SecretRef("plain", PASSWORD),
            "auth": ("ntlm",),
            "ca_trust_path": str(self.fleet.folder / "trusted.crt"),
            "address": self.dialect.get("host", "127.0.0.1"),
        }
        transport = WinRMTransport(lambda ref: ref.value, SystemClock())
        made = transport.connect(
            Target(self.name, **(settings | changes)),
            Deadline.after(SystemClock(), seconds),
        )
        self.connections.append(made)
        return made

    def journal(self) -> dict[str, Any]:
        return dict(self.fleet.ask(do="journal", name=self.name))

    def hang_up(self) -> None:
        self.fleet.ask(do="hang_up", name=self.name)

    def stop(self) -> None:
        self.fleet.ask(do="close", name=self.name)

    def lose_shells(self) -> None:
        self.fleet.ask(do="shells", name=self.name)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("winpc")
    # An address of this run's own in 127/8, where WinRM's usual ports are free (Linux has all of them).
    address = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "winpc"), str(folder), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Fleet(process, folder, address)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(10)


@pytest.fixture
def pc(fleet: Fleet) -> Iterator[Callable[..., FakePc]]:
    """Start fake PCs; whatever a test did to them, nothing may be left open and nothing malformed sent."""
    made: list[FakePc] = []

    def start(**dialect: Any) -> FakePc:
        fleet.opened += 1
        name = f"pc{fleet.opened}"
        made.append(FakePc(fleet, name, fleet.ask(do="open", name=name, dialect=dialect), dialect))
        return made[-1]

    yield start
    for each in made:
        for connection in each.connections:
            connection.close()
        if each.dialect.get("port"):
            each.stop()
        journal = each.journal()
        assert journal["complaints"] == []
        assert [count for count in journal["signals"].values() if count > 1] == []
