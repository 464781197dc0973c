"""A clock the test owns, scripted transports and probes: shared by the engine's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import ProbeSpec, Target, Visit
from ddcplay.model.result import ProbeOutput
from ddcplay.transport.base import Command
from ddcplay.units import Deadline


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now
        self._offset = now - 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - self._offset

    def wait(self, event: threading.Event, timeout_s: float | None) -> bool:
        if not event.is_set():
            assert timeout_s is not None, "nobody is left who could set this event"
            self.time += timeout_s
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class ScriptedHost:
    """What one host does: outputs by command line, or a fault at connect; counts what it was asked."""

    outputs: dict[str, list[ProbeOutput]] = field(default_factory=dict)
    connect_faults: list[FaultError] = field(default_factory=list)
    takes_s: float = 0.1
    connects: int = 0
    closed: int = 0
    commands: list[str] = field(default_factory=list)


class ScriptedTransport:
    """A transport whose hosts follow a script."""

    def __init__(self, clock: FakeClock, hosts: Mapping[str, ScriptedHost]) -> None:
        self.clock = clock
        self.hosts = hosts

    def connect(
        self, target: Target, deadline: Deadline, open_ports: tuple[int, ...] = ()
    ) -> ScriptedConnection:
        host = self.hosts[target.host]
        host.connects += 1
        self.clock.sleep(host.takes_s)
        if host.connect_faults:
            raise host.connect_faults.pop(0)
        return ScriptedConnection(self.clock, host)


class ScriptedConnection:
    def __init__(self, clock: FakeClock, host: ScriptedHost) -> None:
        self.clock = clock
        self.host = host

    def run(self, command: Command, deadline: Deadline) -> ProbeOutput:
        self.host.commands.append(command.line)
        self.clock.sleep(self.host.takes_s)
        outputs = self.host.outputs.get(command.line, [])
        return outputs.pop(0) if outputs else ProbeOutput(exit_code=0, stdout=b"fine\r\n", accepted=True)

    def query(self, wql: str, deadline: Deadline, namespace: str = "") -> tuple[Mapping[str, object], ...]:
        return ()

    def facts(self) -> Mapping[str, object]:
        return {"scheme": "http"}

    def close(self) -> None:
        self.host.closed += 1

    def abort(self) -> None:
        self.host.closed += 1


class LineProbe:
    """Runs its body as a command line."""

    kind = "command"

    def command_line(self, spec: ProbeSpec) -> str:
        return str(spec.body)

    def run(self, spec: ProbeSpec, connection: ScriptedConnection, deadline: Deadline) -> ProbeOutput:
        return connection.run(Command(str(spec.body)), deadline)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scripted(clock: FakeClock) -> Callable[..., tuple[ScriptedTransport, dict[str, ScriptedHost]]]:
    def make(*names: str) -> tuple[ScriptedTransport, dict[str, ScriptedHost]]:
        hosts = {name: ScriptedHost() for name in names}
        return ScriptedTransport(clock, hosts), hosts

    return make


@pytest.fixture
def line_probe() -> LineProbe:
    return LineProbe()


@pytest.fixture
def target_of() -> Callable[..., Target]:
    def make(host: str, user: str = "LAB\\lab", password: str | None = "right", **more: object) -> Target:
        secret = None if password is None else SecretRef("plain", password)
        return Target(host, host, user=user, password=secret, **more)

    return make


@pytest.fixture
def visit_of(target_of: Callable[..., Target]) -> Callable[..., Visit]:
    def make(host: str, *probes: ProbeSpec, connect_s: float = 10.0, visit_s: float = 300.0) -> Visit:
        return Visit("exp", 1_700_000_000, target_of(host), probes, connect_s, visit_s)

    return make
