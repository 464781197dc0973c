"""`ddcplay simulate`: from a playbook and a number of PCs to directories of simulated data."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ddcplay.config.settings import Settings
from ddcplay.engine.events import IterationClosed, Observer
from ddcplay.engine.experiment import ExperimentSetup
from ddcplay.engine.filters import FilterMeans
from ddcplay.engine.preparing import PreparedPlay, prepare, read_settings
from ddcplay.engine.provenance import provenance_of
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.virtual import MARK, Conditions, Simulation, run_virtual
from ddcplay.errors import UsageError
from ddcplay.lab.inventory import virtual_inventory
from ddcplay.model.options import Options
from ddcplay.model.simulation import SimulationRequest
from ddcplay.store.experiment_store import DATABASE_FILE

PLACE = "simulated"
"""The directory within `data_dir` that holds what never happened (design §6)."""

Simulated = tuple[Mapping[str, IterationClosed | None], Mapping[str, Path], tuple[str, ...]]
"""Last iteration and directory by experiment, and warnings."""


def simulate(
    playbook: str,
    options: Options,
    request: SimulationRequest,
    observers: Sequence[Observer],
    stop: StopRequest,
) -> Simulated:
    """Run a playbook on virtual time against simulated PCs, its plays one after another.

    Raises:
        ConfigError: files are wrong.
        UsageError: what was simulated before was made with other values.
    """
    settings = read_settings(options)
    root = simulated_root(settings.data_dir)
    if not options.inventory:
        options = replace(options, inventory=(str(_inventory(root, request)),))
    prepared = prepare([playbook], options)
    last: dict[str, IterationClosed | None] = {}
    directories: dict[str, Path] = {}
    for item in prepared.plays:
        if stop.finish.is_set():
            break
        setup = _setup(item, settings, root, request)
        directories[item.plan.experiment] = setup.directory
        if request.fresh:
            _remove(setup.directory)
        simulation = Simulation(request.seed, request.start, len(item.plan.hosts))
        conditions = Conditions(
            min(settings.workers, item.play.concurrency), settings.ramp_per_s, _filters(settings)
        )
        last[item.plan.experiment] = run_virtual(setup, simulation, conditions, observers, stop)
    return last, directories, prepared.warnings


def simulated_root(data_dir: Path) -> Path:
    """Return where simulated data goes."""
    return data_dir if data_dir.name == PLACE else data_dir / PLACE


def _setup(item: PreparedPlay, settings: Settings, root: Path, request: SimulationRequest) -> ExperimentSetup:
    schedule = item.play.schedule
    lasts_s = request.lasts_s if schedule.until_s is None else min(schedule.until_s, request.lasts_s)
    return ExperimentSetup(
        replace(item.play, schedule=replace(schedule, until_s=lasts_s)),
        item.plan,
        root / item.plan.experiment,
        provenance_of(item.playbook),
        durability="batch",  # it can be computed again; a killed process loses nothing either way
        max_backlog=settings.max_backlog,
        iterations=schedule.iterations,
        pool=item.pool,
        silent=True,
    )


def _filters(settings: Settings) -> FilterMeans:
    root = settings.project_root
    return FilterMeans((root, root / "filters"), settings.filter_timeout_s, directory=root)


def _inventory(root: Path, request: SimulationRequest) -> Path:
    if request.rooms > request.hosts:
        raise UsageError(f"{request.hosts} PCs cannot fill {request.rooms} rooms", "give fewer --rooms")
    path = root / "inventories" / f"{request.hosts}-pcs-in-{request.rooms}-rooms.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(virtual_inventory(request.hosts, request.rooms), encoding="utf-8")
    return path


def _remove(directory: Path) -> None:
    """Remove an earlier simulation; a directory without the mark is never touched."""
    if (directory / MARK).exists():
        shutil.rmtree(directory)
    elif (directory / DATABASE_FILE).exists():
        raise UsageError(f"{directory} holds data that was not simulated", "give another --data-dir")
