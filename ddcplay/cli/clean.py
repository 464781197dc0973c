"""`ddcplay clean`: removes what an experiment left on its targets."""

from __future__ import annotations

from typing import Annotated

import typer

from ddcplay.cli.arguments import (
    AsJson,
    DataDir,
    Directory,
    ExtraVars,
    InventoryPaths,
    Limit,
    Verbose,
    make_options,
    out_console,
    print_json,
    warn,
)
from ddcplay.cli.guard import guarded


@guarded
def clean_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    extra_vars: ExtraVars = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,
) -> int:
    """Remove files that probes left on PCs.

    Connects only to hosts that are owed a removal: PCs that went off before it was done, and probes with
    `cleanup: experiment`. Exit code 3 when something is still owed.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need, for a quick start
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - same
    from ddcplay.cli.run import watching  # noqa: PLC0415 - same
    from ddcplay.engine.cleaning import CleaningMeans, clean  # noqa: PLC0415 - same
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - same
    from ddcplay.ui.cleaning_view import cleaning_fields, print_cleaning  # noqa: PLC0415 - same

    options = make_options(
        directory=directory, inventory=inventory, limit=limit, extra_vars=extra_vars, data_dir=data_dir
    )
    settings = read_settings(directory, data_dir)
    chosen = choose_experiments(experiment, settings)
    found, warnings = app.load_inventory(options)
    warn(warnings)
    names = None if limit is None else frozenset(host.name for host in app.select(found, "all", options))
    stop = StopRequest()
    results = {}
    with watching(stop, as_json=False, verbose=verbose, quiet=True) as watch:
        means = CleaningMeans(settings, found, names, options.extra_vars, watch.observers, stop)
        for path in chosen:
            results[path.name] = clean(path, means)
    if as_json:
        print_json([cleaning_fields(name, result) for name, result in results.items()])
    else:
        for name, result in results.items():
            print_cleaning(out_console(), name, result)
    if stop.finish.is_set():
        return 0 if stop.by_service_manager else 130
    return 3 if any(result.owed for result in results.values()) else 0
