"""Runs an experiment on virtual time against simulated PCs: the engine of `run`, another clock and fleet.

Everything is the real thing (planning, gate, dispatcher, visits, filters, database, files, trace) but the
clock, the sweep and the transport. Nothing is sent anywhere.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ddcplay.engine.credential import account_of
from ddcplay.engine.dispatcher import Dispatcher
from ddcplay.engine.events import IterationClosed, Observer, Observers
from ddcplay.engine.executors import Means
from ddcplay.engine.experiment import Experiment, ExperimentSetup
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.gate import CredentialGate
from ddcplay.engine.services import Services
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.sweeping import PlannedSweep
from ddcplay.engine.users_key import FILE as USERS_KEY
from ddcplay.engine.virtual_time import FirstInLine, VirtualClock, VirtualExecutor
from ddcplay.errors import UsageError
from ddcplay.lab.truth import FILE as TRUTH
from ddcplay.lab.truth import TruthLog, cut_truth
from ddcplay.lab.virtual import VirtualFleet
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Plan, Target
from ddcplay.model.playbook import PingPolicy
from ddcplay.plugins import load_once
from ddcplay.store.experiment_store import DATABASE_FILE
from ddcplay.store.files import make_private_directory, open_private, write_all
from ddcplay.store.ledger import CredentialLedger, CredentialState
from ddcplay.store.moments import last_moment
from ddcplay.store.queries import open_reader
from ddcplay.transport.sweep import SweepAnswer

_SECRET = "simulated"  # noqa: S105 - no secret
MARK = "simulation.json"
"""Marks a directory of simulated data, and holds what it was made with."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a simulation is made of; the same values give the same data.

    Args:
        seed: of the PCs.
        start: UTC Unix seconds of the first iteration.
        hosts: how many PCs the play has.
    """

    seed: int
    start: float
    hosts: int


@dataclass(frozen=True, slots=True)
class Conditions:
    """The settings of a project that hold in virtual time too.

    Args:
        workers: visits in flight at most.
        ramp_per_s: visits started per second after a first burst.
        filters: what filters are made with.
    """

    workers: int
    ramp_per_s: float
    filters: FilterMeans


def run_virtual(
    setup: ExperimentSetup,
    simulation: Simulation,
    conditions: Conditions,
    observers: Sequence[Observer],
    stop: StopRequest,
) -> IterationClosed | None:
    """Run an experiment from where its directory stands to its end.

    Args:
        setup: what to run; `silent`, with a database in its own directory.
        simulation: what the PCs are.
        conditions: of the project.
        observers: told of progress.
        stop: how the user stops it; a stopped simulation is continued by the next call.

    Returns:
        The last iteration closed in this process, None when none was.

    Raises:
        UsageError: the directory holds something else.
    """
    directory = setup.directory
    _claim(directory, simulation)
    now, keep_before = _moment(directory, simulation.start)
    clock = VirtualClock(simulation.start, now)
    truth = directory / TRUTH
    cut_truth(truth, keep_before)
    rooms = {host.host: host.room for host in setup.plan.hosts}
    with (
        TruthLog(truth) as log,
        TemporaryDirectory(prefix="ddcplay-") as scratch,
        closing(CredentialLedger(Path(scratch))) as ledger,
        _rare_collections(),
    ):
        _prove(ledger, setup.plan)
        fleet = VirtualFleet(simulation.seed, rooms, log)
        services = _services(fleet, clock, ledger, conditions, Observers(observers), stop)
        return Experiment(setup, services).run()


def _services(
    fleet: VirtualFleet,
    clock: VirtualClock,
    ledger: CredentialLedger,
    conditions: Conditions,
    observers: Observers,
    stop: StopRequest,
) -> Services:
    probes = load_once("ddcplay.probes", lambda make: make())
    means = Means(lambda _connection: fleet, probes, clock, _no_secret, str)
    executor = VirtualExecutor(means, clock, conditions.workers)
    return Services(
        clock,
        Dispatcher(executor, clock, conditions.workers, conditions.ramp_per_s),
        CredentialGate(ledger, _no_secret, clock, draw=FirstInLine()),
        _sweep_of(fleet, clock),
        observers,
        stop,
        threaded=False,
        gathers=True,
        filters=conditions.filters,
    )


def _sweep_of(fleet: VirtualFleet, clock: VirtualClock) -> PlannedSweep:
    def begin(
        targets: Sequence[Target],
        policy: PingPolicy,
        heard: Callable[[SweepAnswer], None],
        over: Callable[[], None],
    ) -> None:
        together: dict[float, list[SweepAnswer]] = {}
        for after_s, answer in fleet.answers(targets, policy, clock.now()):
            together.setdefault(after_s, []).append(answer)
        for after_s in sorted(together):
            clock.plan_in(after_s, _teller(heard, together[after_s]))
        clock.plan_in(max(together, default=0.0), over)

    return PlannedSweep(begin)


def _teller(heard: Callable[[SweepAnswer], None], answers: Sequence[SweepAnswer]) -> Callable[[], None]:
    def tell() -> None:
        for answer in answers:
            heard(answer)

    return tell


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage in cycles more rarely: hardly any arises, and the search costs a sixth of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _prove(ledger: CredentialLedger, plan: Plan) -> None:
    """Let every credential be a proven one, so that no iteration depends on whether it is the first."""
    digest = ledger.digest(_SECRET)
    for identity in {account_of(host.target).identity for host in plan.hosts if host.target.password}:
        ledger.save(CredentialState(identity, proven=True, secret_hash=digest))


def _no_secret(_reference: SecretRef) -> str:
    """Simulated PCs know no passwords, so no real one is ever looked up."""
    return _SECRET


def _claim(directory: Path, simulation: Simulation) -> None:
    """Mark a new directory, or make sure that an old one holds this very simulation.

    Raises:
        UsageError: it holds another one, or real data.
    """
    mark = directory / MARK
    text = json.dumps({"simulated": True, **asdict(simulation)})
    if mark.exists():
        if (found := mark.read_text(encoding="utf-8").strip()) != text:
            raise UsageError(
                f"{directory} holds a simulation with other values: {found}",
                "give the same --seed, --start and --hosts to go on with it, or --fresh to begin anew",
            )
        return
    if (directory / DATABASE_FILE).exists():
        raise UsageError(f"{directory} holds data that was not simulated", "give another --data-dir")
    make_private_directory(directory)
    key = hashlib.sha256(f"simulated users {simulation.seed}".encode()).digest()
    for path, content in ((directory / USERS_KEY, key), (mark, f"{text}\n".encode())):
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)


def _moment(directory: Path, start: float) -> tuple[float, float | None]:
    """Return where the clock stands, and from when on the truth is written again (None: it is complete)."""
    if not (directory / DATABASE_FILE).exists():
        return start, start
    with open_reader(directory) as reader:
        newest = reader.iterations(newest=1)
        if not newest:
            return start, start
        last = newest[0]
        if last.closed_at is not None:
            return last.closed_at, None
        ended = reader.read(lambda connection, number: last_moment(connection, number, last.id))
    return (last.started_at, last.started_at) if ended is None else (ended, None)
