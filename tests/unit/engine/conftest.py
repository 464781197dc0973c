"""A clock the test owns, scripted transports and probes: shared by the engine's tests."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from ddcplay.engine.dispatcher import Dispatcher
from ddcplay.engine.events import Observers
from ddcplay.engine.executors import InlineExecutor, Means
from ddcplay.engine.experiment import Experiment, ExperimentSetup
from ddcplay.engine.gate import CredentialGate
from ddcplay.engine.services import Services
from ddcplay.engine.stop import StopRequest
from ddcplay.errors import FaultError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import HostPlan, Plan, ProbeSpec, Target, Visit
from ddcplay.model.playbook import Play
from ddcplay.model.result import ProbeOutput
from ddcplay.store.ledger import CredentialLedger
from ddcplay.transport.base import Command
from ddcplay.transport.sweep import HostState, SweepAnswer
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


SPECS = (
    ProbeSpec("name", "command", "hostname", timeout_s=10),
    ProbeSpec("ver", "command", "ver", timeout_s=10),
)


class World:
    """Scripted hosts, some of them off, and everything a run tells."""

    def __init__(self, tmp_path, clock, scripted, line_probe, target_of, names):
        self.clock, self.path = clock, tmp_path
        self.transport, self.hosts = scripted(*names)
        self.off, self.no_name = set(), set()
        self.sweeps = []
        self.events, self.stop, self.before_sweep = [], StopRequest(), []
        self.plan = Plan(
            "exp",
            ("name", "ver"),
            tuple(HostPlan(name, ("room",), "room", target_of(name), SPECS) for name in names),
        )
        self.play = Play("Play", "all", "exp", (), late_sweep=False)
        self.line_probe = line_probe
        self.post = None
        self.kept = None

    def sweep(self, targets, policy, on_answer, stop=None):
        self.sweeps.append((self.clock.now(), [target.host for target in targets]))
        for call in self.before_sweep:
            call()
        for target in targets:
            host = target.host
            if host in self.no_name:
                answer = SweepAnswer(host, HostState.NO_NAME, None, None, (), "no such name", 0.0)
            elif host in self.off:
                answer = SweepAnswer(host, HostState.NO_ANSWER, False, None, (), "silent", 0.6)
            else:
                answer = SweepAnswer(host, HostState.UP, True, host, (5985,), "", 0.0)
            on_answer(answer)

    def handle(self, event):
        self.events.append(event)

    def run(self, *, seed=0, **setup):
        means = Means(
            lambda _n: self.transport, lambda _k: self.line_probe, self.clock, lambda ref: ref.value, str
        )
        executor = InlineExecutor(means, 1)
        ledger = CredentialLedger(self.path)
        try:
            gate = CredentialGate(ledger, lambda ref: ref.value, self.clock)
            gate._draw.seed(seed)  # which host is the canary
            services = Services(
                self.clock,
                Dispatcher(executor, self.clock, 100, 0.0),
                gate,
                self.sweep,
                Observers([self]),
                self.stop,
                threaded=False,
                post=self.post,
                kept=self.kept,
            )
            made = ExperimentSetup(self.play, self.plan, self.path / "exp", **setup)
            return Experiment(made, services).run()
        finally:
            ledger.close()

    def rows(self):
        with sqlite3.connect(self.path / "exp" / "experiment.db") as database:
            found = database.execute(
                "select iteration, host, probe, outcome, reason from attempt order by id"
            ).fetchall()
        return [
            SimpleNamespace(i=row[0], host=row[1], probe=row[2], outcome=row[3], reason=row[4])
            for row in found
        ]

    def trace(self, probe="name"):
        path = self.path / "exp" / f"{probe}.trace"
        return path.read_text().splitlines() if path.exists() else []

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def world(tmp_path, clock, scripted, line_probe, target_of):
    def make(*names, **play):
        made = World(tmp_path, clock, scripted, line_probe, target_of, names or ("pc1", "pc2", "pc3"))
        made.play = replace(made.play, **play)
        return made

    return make
