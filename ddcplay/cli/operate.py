"""Commands for whoever keeps experiments running: status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ddcplay.cli.arguments import AsJson, DataDir, Directory, Verbose, out_console, print_json
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.ui.experiment_view import ExperimentStatus


@guarded
def status_command(
    as_json: AsJson = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> int:
    """Show experiments and how they fare.

    Running now, last iteration, last error, of every experiment of the data directory.
    Exit code 1 when an experiment cannot be read.
    """
    from ddcplay.cli.experiments import experiment_directories, read_settings  # noqa: PLC0415 - late, for a quick start
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - same
    from ddcplay.ui.experiment_view import print_status, status_fields  # noqa: PLC0415 - same

    settings = read_settings(directory, data_dir)
    url = database_url(settings)
    known = experiment_directories(settings.data_dir, shared=url is not None)
    found = [_status(path, url) for path in known.values()]
    if as_json:
        print_json([status_fields(item) for item in found])
    else:
        print_status(out_console(), found, settings.data_dir)
    return 1 if any(item.problem for item in found) else 0


def _status(path: Path, url: str | None) -> ExperimentStatus:
    from ddcplay.errors import StoreError  # noqa: PLC0415 - as above
    from ddcplay.store.queries import open_reader  # noqa: PLC0415 - as above
    from ddcplay.ui.experiment_view import ExperimentStatus  # noqa: PLC0415 - as above

    try:
        with open_reader(path, url) as reader:
            info, error = reader.info(), reader.last_error()
            last = info.last
            return ExperimentStatus(
                name=info.name,
                directory=path,
                play=info.play,
                running="" if info.owner is None else f"{info.owner.host}, pid {info.owner.pid}",
                iterations=info.iterations,
                last_id=last.id if last else None,
                last_state=last.state if last else "",
                last_remote_s=last.remote_s if last else None,
                attempts=info.attempts,
                pending=info.pending,
                owed=info.owed,
                owed_since=info.owed_since,
                given_up=info.given_up,
                last_error=error.result if error else None,
            )
    except StoreError as error_:
        return ExperimentStatus(name=path.name, directory=path, problem=str(error_))
