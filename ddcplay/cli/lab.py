"""`ddcplay demo` and `ddcplay lab up`: a simulated fleet, so that nobody needs a Windows PC to begin."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import Verbose, make_options, out_console
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.app import RunOutcome
    from ddcplay.engine.preparing import Prepared, PreparedPlay
    from ddcplay.lab.fleet import LabConfig, LabHost, RunningLab

_DEMO_ITERATIONS = 3
_DEMO_EVERY_S = 8.0
_DEMO_OFF_SHARE = 0.35
_PLAYBOOK = "labs.yml"

LabDirectory = Annotated[
    Path | None,
    typer.Option(
        "--directory", help="Where the project of the lab is written (default: a new temporary one)."
    ),
]


@guarded
def demo_command(
    directory: LabDirectory = None,
    pcs: Annotated[int, typer.Option("--pcs", min=1, max=2000, help="How many PCs.")] = 169,
    rooms: Annotated[int, typer.Option("--rooms", min=1, max=200, help="Over how many rooms.")] = 11,
    verbose: Verbose = 0,
) -> int:
    """See it work on a simulated school.

    Starts the school and collects from it three times, in under a minute. A third of its
    PCs is off and two are in trouble, as in a real school. Nothing leaves this machine.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need when they run
    from ddcplay.cli.run import watching  # noqa: PLC0415 - same
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - same
    from ddcplay.lab.fleet import start_lab  # noqa: PLC0415 - same

    project = make_project(directory, "demo")
    config = with_trouble(_school(pcs, rooms, _DEMO_OFF_SHARE))
    typer.echo(f"starting a simulated school: {pcs} PCs in {rooms} rooms …")
    with start_lab(config, project.lab) as lab:
        project.write_inventory(lab)
        # Simulated data never lies beside real data (design §6).
        options = make_options(
            directory=project.root, data_dir=project.root / "data" / "simulated", iterations=_DEMO_ITERATIONS
        )
        prepared = every(app.prepare([str(project.playbook)], options), _DEMO_EVERY_S)
        stop = StopRequest()
        with watching(stop, as_json=False, verbose=verbose) as watch:
            outcome = app.run(prepared, options, watch.observers, stop)
    if watch.reader_gone.is_set():
        return 0
    _show_outcome(outcome)
    _show_next_steps(project)
    if outcome.interrupted:
        return 0 if stop.by_service_manager else 130
    collected = any(probe.ok for last in outcome.last.values() if last for probe in last.probes)
    return 0 if collected else 1


def lab_program() -> typer.Typer:
    """Return `ddcplay lab` with its commands."""
    program = typer.Typer(help="A simulated fleet on this machine.", no_args_is_help=True)
    program.callback()(_lab)  # without it a single command would take the group's place
    program.command("up")(_lab_up)
    return program


def _lab() -> None:
    """Take no options of its own."""


@guarded
def _lab_up(
    pcs: Annotated[int, typer.Option("--pcs", min=1, max=5000, help="How many PCs.")] = 169,
    rooms: Annotated[int, typer.Option("--rooms", min=1, max=500, help="Over how many rooms.")] = 11,
    off_share: Annotated[
        float, typer.Option("--off-share", min=0, max=1, help="Share of PCs that is off.")
    ] = 0.0,
    directory: LabDirectory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Start one and leave it running.

    For trying ddcplay from another terminal, until Ctrl-C.
    """
    from ddcplay.cli.signals import InFlight, SignalWatch  # noqa: PLC0415 - as above
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - as above
    from ddcplay.lab.fleet import start_lab  # noqa: PLC0415 - as above

    project = make_project(directory, "lab")
    stop = StopRequest()
    with start_lab(_school(pcs, rooms, off_share), project.lab) as lab, SignalWatch(stop, InFlight(), _say):
        project.write_inventory(lab)
        typer.echo(f"{pcs} PCs in {rooms} rooms listen on this machine; inventory: {project.inventory}")
        typer.echo("In another terminal:")
        typer.echo(f"    {_command('run', project, '--once')}")
        typer.echo("Ctrl-C ends the lab.")
        sys.stdout.flush()
        stop.finish.wait()


@dataclass(frozen=True, slots=True)
class Project:
    """A project directory for a lab."""

    root: Path

    @property
    def lab(self) -> Path:
        """Where the lab keeps its own files."""
        return self.root / ".lab"

    @property
    def inventory(self) -> Path:
        """The inventory file."""
        return self.root / "inventories" / "lab.yml"

    @property
    def playbook(self) -> Path:
        """The playbook, a copy of the one that comes with ddcplay."""
        return self.root / "playbooks" / _PLAYBOOK

    def write_inventory(self, lab: RunningLab) -> None:
        """Write where the lab's hosts listen; only this user may read it, for it holds a password."""
        self.inventory.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.inventory, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(lab.inventory_yaml())


def make_project(directory: Path | None, purpose: str) -> Project:
    """Lay out a project directory with the demo playbook; what a user wrote there before stays.

    Args:
        directory: where, None for a new temporary directory.
        purpose: part of the temporary directory's name.
    """
    root = directory.absolute() if directory else Path(tempfile.mkdtemp(prefix=f"ddcplay-{purpose}-"))
    project = Project(root)
    project.playbook.parent.mkdir(parents=True, exist_ok=True)
    settings = root / "ddcplay.yml"
    if not settings.exists():
        settings.write_text("inventory: inventories/lab.yml\ndata_dir: data/simulated\n", encoding="utf-8")
    if not project.playbook.exists():
        project.playbook.write_text(demo_playbook().read_text(encoding="utf-8"), encoding="utf-8")
    return project


def demo_playbook() -> Path:
    """Find the playbook that comes with ddcplay: in the installed package, else in the checkout.

    Raises:
        DdcplayError: the installation is incomplete.
    """
    from ddcplay.errors import DdcplayError  # noqa: PLC0415 - as above

    package = Path(__file__).resolve().parent.parent
    for path in (package / "_share" / "playbooks" / _PLAYBOOK, package.parent / "playbooks" / _PLAYBOOK):
        if path.is_file():
            return path
    raise DdcplayError(f"the playbook {_PLAYBOOK} of the demo is missing", "install ddcplay again")


def with_trouble(config: LabConfig) -> LabConfig:
    """Plant what a real school has: a PC whose account is refused, and one whose shells are used up."""
    from ddcplay.lab.fleet import Fault  # noqa: PLC0415 - as above

    on = [host.name for host in config.hosts if host.power == "on"]
    if len(on) < 10:
        return config
    faults = {on[len(on) // 3]: Fault("unauthorized", "login"), on[2 * len(on) // 3]: Fault("quota_shells")}

    def troubled(host: LabHost) -> LabHost:
        fault = faults.get(host.name)
        return replace(host, faults=(fault,)) if fault else host

    return replace(config, hosts=tuple(troubled(host) for host in config.hosts))


def every(prepared: Prepared, every_s: float) -> Prepared:
    """Return the same plays with another pace; starts are not aligned to the clock."""

    def hurried(item: PreparedPlay) -> PreparedPlay:
        schedule = replace(
            item.play.schedule, every_s=every_s, min_gap_s=0.0, align=False, cron=None, blackout=()
        )
        return replace(item, play=replace(item.play, schedule=schedule))

    return replace(prepared, plays=tuple(hurried(item) for item in prepared.plays))


def _school(pcs: int, rooms: int, off_share: float) -> LabConfig:
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.lab.fleet import school  # noqa: PLC0415 - as above

    if rooms > pcs:
        raise UsageError(f"{pcs} PCs cannot fill {rooms} rooms", "give fewer --rooms")
    return school(pcs, rooms, off_share=off_share)


def _show_outcome(outcome: RunOutcome) -> None:
    from ddcplay.cli.results import trace_files  # noqa: PLC0415 - as above
    from ddcplay.ui.tables import print_run_summary  # noqa: PLC0415 - as above
    from ddcplay.ui.trace_view import print_trace  # noqa: PLC0415 - as above

    console = out_console()
    for directory in outcome.directories.values():
        for file in trace_files(directory, None):
            print_trace(console, file)
    console.print()
    print_run_summary(console, outcome.last, outcome.directories)


def _show_next_steps(project: Project) -> None:
    typer.echo(f"\nEverything was written under {project.root}")
    typer.echo(f"    {_command('trace', project)}")
    typer.echo(f"    {_command('status', project)}")
    typer.echo("Try it against a lab that stays:  ddcplay lab up")


def _command(name: str, project: Project, *more: str) -> str:
    words = ["ddcplay", name, "-C", str(project.root)]
    if name == "run":
        words += [_PLAYBOOK, *more]
    return shlex.join(words)


def _say(words: str) -> None:
    typer.echo(f"ddcplay: {words.partition(';')[0]}", err=True)
