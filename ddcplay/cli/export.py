"""`ddcplay export`: everything an experiment collected, as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ddcplay.cli.arguments import DataDir, Directory, Verbose, out_console, warn
from ddcplay.cli.guard import guarded


@guarded
def export_command(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook.")],
    target: Annotated[
        Path, typer.Argument(metavar="DIR", help="New or empty directory, or an earlier export.")
    ],
    *,
    to: Annotated[str, typer.Option("--to", help="csv or parquet.")] = "csv",
    pseudonymise: Annotated[
        str | None, typer.Option("--pseudonymise", metavar="hosts", help="Replace what names a host: hosts.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help="Keep the key of the pseudonyms there, for exports that fit together."
        ),
    ] = None,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Write all tables as CSV or Parquet.

    \b
    ddcplay export classroom-usage --to csv DIR
    ddcplay export classroom-usage --to parquet DIR --pseudonymise hosts
    """
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - late, for a quick start
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.errors import DdcplayError, UsageError  # noqa: PLC0415 - same
    from ddcplay.exporting import export, new_key, read_key  # noqa: PLC0415 - same
    from ddcplay.report.table_files import FORMATS  # noqa: PLC0415 - same
    from ddcplay.store.views import refresh_views_of  # noqa: PLC0415 - same
    from ddcplay.ui.export_view import print_exported  # noqa: PLC0415 - same

    if to not in FORMATS:
        raise UsageError(f"--to {to!r} is no form", f"known: {', '.join(FORMATS)}")
    if pseudonymise not in (None, "hosts"):
        raise UsageError(f"--pseudonymise {pseudonymise!r} is nothing", "write --pseudonymise hosts")
    if key_file is not None and pseudonymise is None:
        raise UsageError("--key-file goes with --pseudonymise hosts", "give both or none")
    settings = read_settings(directory, data_dir)
    chosen = choose_experiments(experiment, settings)
    if len(chosen) > 1:
        names = ", ".join(path.name for path in chosen)
        raise UsageError("one directory cannot hold several experiments", f"name one of: {names}")
    key = None
    if pseudonymise is not None:
        key = new_key() if key_file is None else read_key(key_file, target)
    url = database_url(settings)
    try:
        refresh_views_of(chosen[0], url)
    except DdcplayError as error:  # a copy on a read-only disk can be exported all the same
        warn([f"the SQL views stay as they are: {error.message}"])
    print_exported(out_console(), export(chosen[0], url, target, to, key))
