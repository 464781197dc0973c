"""The command that tells what an experiment found: report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import (
    AsJson,
    DataDir,
    Directory,
    InventoryPaths,
    Verbose,
    make_options,
    out_console,
    print_json,
    warn,
)
from ddcplay.cli.guard import guarded
from ddcplay.cli.period import instant

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.model.options import Options
    from ddcplay.reporting import ReportScope


@guarded
def report_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="Write the HTML report there instead of printing it.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From then on: 2026-11-01, 2026-11-01T08:00 or 7d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Up to then, same forms.")] = None,
    as_json: AsJson = False,
    inventory: InventoryPaths = None,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Tell what an experiment found, what to do first.

    \b
    ddcplay report classroom-usage                      on the terminal
    ddcplay report classroom-usage --file report.html   one file for a browser, with pictures
    ddcplay report classroom-usage --since 7d --json
    """
    import time  # noqa: PLC0415 - late, for a quick start

    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - same
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.errors import UsageError  # noqa: PLC0415 - same
    from ddcplay.reporting import read_study, write_report  # noqa: PLC0415 - same
    from ddcplay.ui.report_view import print_report, report_fields  # noqa: PLC0415 - same

    settings = read_settings(directory, data_dir)
    chosen = choose_experiments(experiment, settings)
    if file is not None and len(chosen) > 1:
        names = ", ".join(path.name for path in chosen)
        raise UsageError("one file cannot hold the reports of several experiments", f"name one of: {names}")
    options = make_options(directory=directory, inventory=inventory, data_dir=data_dir)
    url = database_url(settings)
    now = time.time()
    studies = []
    for path in chosen:
        studies.append(read_study(path, url, _scope(path, url, settings, options, (since, until, now))))
        if file is not None:
            write_report(studies[-1], file, now, simulated="simulated" in path.absolute().parts[:-1])
    if as_json:
        print_json([report_fields(study) for study in studies])
    elif file is None:
        for study in studies:
            print_report(out_console(), study)
    else:
        typer.echo(str(file))


def _scope(
    path: Path,
    url: str | None,
    settings: Settings,
    options: Options,
    period: tuple[str | None, str | None, float],
) -> ReportScope:
    from ddcplay.errors import DdcplayError  # noqa: PLC0415 - as above
    from ddcplay.report.words import zone  # noqa: PLC0415 - as above
    from ddcplay.reporting import ReportScope, last_playbook  # noqa: PLC0415 - as above

    timezone = "UTC"
    rooms: Mapping[str, str] = {}
    named = last_playbook(path, url)
    try:
        timezone, rooms = _of_playbook(named, path.name, settings, options)
    except DdcplayError as error:
        # Data outlives its playbook; a report in UTC with rooms by name is better than none.
        warn([f"times are UTC and rooms are guessed from names: {error.message}"])
    since, until, now = period
    where = zone(timezone)
    return ReportScope(
        None if since is None else instant(since, "--since", where, now),
        None if until is None else instant(until, "--until", where, now),
        timezone,
        rooms,
    )


def _of_playbook(
    named: str, experiment: str, settings: Settings, options: Options
) -> tuple[str, Mapping[str, str]]:
    """Return time zone and rooms of the play that made an experiment.

    Raises:
        DdcplayError: the playbook or the inventory cannot be read any more.
    """
    from ddcplay import app  # noqa: PLC0415 - as above
    from ddcplay.config.playbook_file import find_playbook, read_playbook  # noqa: PLC0415 - as above
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above
    from ddcplay.planning.rooms import rooms_of  # noqa: PLC0415 - as above
    from ddcplay.templating.environment import render_value  # noqa: PLC0415 - as above

    if not named:
        raise UsageError("no playbook is recorded")
    path = find_playbook(named, settings.project_root, Path.cwd(), project_first=True)
    book = read_playbook(path, render=render_value, project_root=settings.project_root)
    play = next((play for play in book.plays if play.experiment == experiment), None)
    if play is None:
        raise UsageError(f"{path} has no play of experiment {experiment!r} any more")
    inventory, _warnings = app.load_inventory(options)
    room_of = rooms_of(play, inventory)
    return play.timezone, {host: room_of(host) for host in inventory.hosts}
