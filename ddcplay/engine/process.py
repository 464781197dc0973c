"""What all experiments of one process share, and how they run side by side (design §9.9)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ddcplay.config.settings import Settings
from ddcplay.engine.adhoc import LoginProbe
from ddcplay.engine.database import database_url
from ddcplay.engine.dispatcher import Dispatcher
from ddcplay.engine.events import IterationClosed, Notice, Observer, Observers
from ddcplay.engine.executors import Means
from ddcplay.engine.experiment import Experiment, ExperimentSetup
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.gate import CredentialGate
from ddcplay.engine.leftovers import CleanProbe
from ddcplay.engine.post_office import PostOffice, addresses_of
from ddcplay.engine.redacted import Redacted
from ddcplay.engine.retention import Kept
from ddcplay.engine.services import Services
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.sweeping import Sweep
from ddcplay.errors import DdcplayError
from ddcplay.model.inventory import SecretRef
from ddcplay.plugins import load, load_once
from ddcplay.secrets.redact import Redactor
from ddcplay.secrets.reference import SecretStore
from ddcplay.store.ledger import CredentialLedger
from ddcplay.transport.sweep import sweep as real_sweep
from ddcplay.units import SystemClock

BEAT_S = 2.0
"""Seconds that the last heartbeat may take once all is done."""


def run_side_by_side(
    settings: Settings,
    setups: Sequence[ExperimentSetup],
    observers: Sequence[Observer],
    stop: StopRequest,
    *,
    sweep: Sweep | None = None,
) -> dict[str, IterationClosed | None]:
    """Run experiments side by side, each in a thread of its own.

    Args:
        settings: workers, ramp, breaker, data directory.
        setups: what to run; experiment names differ.
        observers: told of progress; they see no secret.
        stop: how the user stops it.
        sweep: replaces the real sweep.

    Returns:
        Experiment → its last iteration, None when none was closed.

    Raises:
        DdcplayError: what ended an experiment; the worst exit code of several wins.
    """
    redactor = Redactor()
    secrets = SecretStore(redactor, root=settings.project_root)
    url = database_url(settings, redactor)
    setups = [_stored(setup, settings, url) for setup in setups]
    told = Observers([Redacted(observer, redactor) for observer in observers])
    last: dict[str, IterationClosed | None] = {setup.plan.experiment: None for setup in setups}
    errors: list[BaseException] = []

    def live(setup: ExperimentSetup, services: Services) -> None:
        try:
            last[setup.plan.experiment] = Experiment(setup, services).run()
        except DdcplayError as error:
            errors.append(error)
            told.handle(Notice("error", str(error), setup.plan.experiment))
        except BaseException as error:  # noqa: BLE001 - raised again below, in the thread of the command
            errors.append(error)

    with _services(settings, setups, told, stop, (secrets, redactor), sweep, url) as services:
        threads = [
            threading.Thread(target=live, args=(setup, services), name=setup.plan.experiment, daemon=True)
            for setup in setups
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.1)  # in slices, so that signal handlers run in between
    if errors:
        raise min(errors, key=lambda error: getattr(error, "exit_code", 1))
    return last


def _stored(setup: ExperimentSetup, settings: Settings, url: str | None) -> ExperimentSetup:
    """Return a setup with the configured database; a pass in a scratch directory keeps to its own file."""
    return replace(setup, database=url) if setup.directory.is_relative_to(settings.data_dir) else setup


def _resolve_shared(secrets: SecretStore, setups: Sequence[ExperimentSetup]) -> None:
    """Refuse to start when a password of several hosts cannot be looked up; one host's own is its trouble.

    Raises:
        SecretError: with the reference and the fix; nothing was contacted.
    """
    passwords = [host.target.password for setup in setups for host in setup.plan.hosts]
    uses = Counter((each.scheme, each.value) for each in passwords if each is not None)
    for (scheme, value), count in uses.items():
        if count > 1 or len(passwords) == 1:
            secrets.resolve(SecretRef(scheme, value))


def _secrets_of(settings: Settings, setups: Sequence[ExperimentSetup]) -> list[SecretRef]:
    """Return every secret that is known before anything runs."""
    smtp = settings.smtp
    known: list[object] = [settings.heartbeat, smtp.password if smtp else None, settings.database]
    for setup in setups:
        known += [host.target.password for host in setup.plan.hosts]
        known += addresses_of(setup.play).values()
    return [each for each in known if isinstance(each, SecretRef)]


def _filter_means(settings: Settings, setups: Sequence[ExperimentSetup], redactor: Redactor) -> FilterMeans:
    """Return what filters are made with; user code sees no secret that is known by now."""
    root = settings.project_root
    known = _secrets_of(settings, setups)
    for secret in known:
        if secret.scheme == "plain":  # written out in a file: kept out of texts before it is first used
            redactor.add(secret.value)
    hidden = tuple({each.value for each in known if each.scheme == "env"})
    return FilterMeans((root, root / "filters"), settings.filter_timeout_s, redactor.text, root, hidden)


def _notices(observers: Observers, level: str) -> Callable[[str], None]:
    return lambda text: observers.handle(Notice(level, text))


def _kept(settings: Settings) -> Kept:
    keep = settings.retention
    return Kept(keep.archive_s, keep.attempts_s, keep.samples_s)


@contextmanager
def _services(
    settings: Settings,
    setups: Sequence[ExperimentSetup],
    observers: Observers,
    stop: StopRequest,
    secrecy: tuple[SecretStore, Redactor],
    sweep: Sweep | None,
    database: str | None,
) -> Iterator[Services]:
    """Make what all experiments of a process share, and take it down again."""
    clock = SystemClock()
    secrets, redactor = secrecy
    workers = min(settings.workers, sum(setup.play.concurrency for setup in setups))
    transports = load_once("ddcplay.transports", lambda make: make(secrets.resolve, clock))
    probes = load_once(
        "ddcplay.probes", lambda make: make(), {each.kind: each for each in (LoginProbe(), CleanProbe())}
    )
    means = Means(transports, probes, clock, secrets.resolve, redactor.text)
    executor = load("ddcplay.executors", settings.executor)(means, workers)
    _resolve_shared(secrets, setups)
    ledger = CredentialLedger(settings.data_dir, database)
    gate = CredentialGate(
        ledger,
        secrets.resolve,
        clock,
        breaker=settings.auth_breaker,
        retry_s=settings.auth_retry_s,
        notice=_notices(observers, "error"),
    )
    dispatcher = Dispatcher(executor, clock, workers, settings.ramp_per_s)
    asked, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            asked.wait()
            asked.clear()
            if stop.leave.is_set():
                executor.abort()
                filters.abort()
                return

    filters = _filter_means(settings, setups, redactor)
    post = PostOffice(settings, secrets.resolve, redactor.text, clock, _notices(observers, "warning"))
    stop.listen(asked.set)
    threading.Thread(target=watch, daemon=True, name="abort").start()
    try:
        yield Services(
            clock,
            dispatcher,
            gate,
            sweep or real_sweep,
            observers,
            stop,
            filters=filters,
            post=post,
            kept=_kept(settings),
        )
    finally:
        stop.unlisten(asked.set)
        over.set()
        asked.set()
        executor.shutdown()
        post.close(0 if stop.leave.is_set() else BEAT_S)
        ledger.close()
