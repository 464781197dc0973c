"""`ddcplay replay`: the filters again, over everything an experiment archived."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddcplay.cli.arguments import (
    AsJson,
    DataDir,
    Directory,
    ExtraVars,
    InventoryPaths,
    Verbose,
    make_options,
    out_console,
    print_json,
)
from ddcplay.cli.guard import guarded


@guarded
def replay_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    playbook: Annotated[
        str | None,
        typer.Option("--playbook", help="Whose filters run (default: the playbook it was run with)."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Data directory for the new database (default: below the experiment's)."),
    ] = None,
    inventory: InventoryPaths = None,
    extra_vars: ExtraVars = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> int:
    """Run filters again over the archive.

    Every archived attempt goes through the chains of the playbook as it is now, in the order and at the
    time it came; samples and alerts are written into a new database. No PC is contacted, nobody is told.
    Exit code 3 when a filter failed.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need, for a quick start
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - same
    from ddcplay.cli.run import watching  # noqa: PLC0415 - same
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - same
    from ddcplay.engine.verdict import EXIT_INTERRUPTED  # noqa: PLC0415 - same
    from ddcplay.ui.replay_view import print_replay, replay_fields  # noqa: PLC0415 - same

    options = make_options(directory=directory, inventory=inventory, extra_vars=extra_vars, data_dir=data_dir)
    results = []
    stop = StopRequest()
    with watching(stop, as_json=False, verbose=verbose, quiet=True) as watch:
        for source in choose_experiments(experiment, read_settings(directory, data_dir)):
            # The experiment's name stands last, so that `--data-dir` of every command can point above it.
            target = (to if to is not None else free_place(source / "replay")) / source.name
            results.append(app.replay(source, target, playbook, options, watch.observers, stop))
    if as_json:
        print_json([replay_fields(each) for each in results])
    else:
        for each in results:
            print_replay(out_console(), each)
    if any(each.interrupted for each in results):
        return EXIT_INTERRUPTED
    return 3 if any(each.failed for each in results) else 0


def free_place(folder: Path) -> Path:
    """Return the first of `1`, `2`, … below a folder that is not there yet."""
    number = 1
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)
