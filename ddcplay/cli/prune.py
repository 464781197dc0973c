"""`ddcplay prune`: old data goes, now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import DataDir, Directory, Verbose, warn
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.engine.retention import Kept, Pruned


@guarded
def prune_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", help="Age from which all goes, such as 90d (default: settings retention)."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only, remove nothing.")] = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Remove old outputs, attempts and samples.

    What is pending, untold or owed stays. A run does the same once a day by the settings `retention`,
    so this is for experiments that do not run.

    \b
    ddcplay prune classroom-usage --older-than 90d --dry-run
    """
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - late, for a quick start
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.engine.retention import Kept  # noqa: PLC0415 - same
    from ddcplay.errors import UsageError  # noqa: PLC0415 - same
    from ddcplay.ui.export_view import prune_words  # noqa: PLC0415 - same
    from ddcplay.units import parse_duration  # noqa: PLC0415 - same

    settings = read_settings(directory, data_dir)
    kept = Kept(settings.retention.archive_s, settings.retention.attempts_s, settings.retention.samples_s)
    if older_than is not None:
        try:
            age = parse_duration(older_than)
        except ValueError:
            raise UsageError(
                f"--older-than {older_than!r} is no length of time", "write 90d or 12h"
            ) from None
        kept = Kept(age, age, age)
    url = database_url(settings)
    for path in choose_experiments(experiment, settings):
        typer.echo(prune_words(path.name, _prune(path, url, kept, dry_run=dry_run), dry_run=dry_run))


def _prune(path: Path, url: str | None, kept: Kept, *, dry_run: bool) -> Pruned:
    """Prune one experiment, which must not be running.

    Raises:
        ExperimentBusyError: it is.
        StoreError: a file or the database refuses.
    """
    from ddcplay.engine.retention import Pruned, prospect, prune  # noqa: PLC0415 - as above
    from ddcplay.store.archive import Archive  # noqa: PLC0415 - as above
    from ddcplay.store.experiment_store import DATABASE_FILE, open_store  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above
    from ddcplay.store.space import give_back  # noqa: PLC0415 - as above

    with open_reader(path, url) as reader:  # refuses what is no experiment, before anything is created
        name, play = reader.experiment, reader.info().play
    now = time.time()
    store = open_store(path, name, play=play, clock_now=now, url=url)
    try:
        archive = Archive(path, store)
        if dry_run:
            return prospect(store, archive, kept, now)
        warn(archive.repair())
        done = Pruned()
        for part in prune(store, archive, kept, now):
            done += part
    finally:
        store.close()
    if done.anything and url is None:
        warn(give_back(path / DATABASE_FILE))
    return done
