"""Commands that show what was collected: trace."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import DataDir, Directory, Verbose, out_console, warn
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.config.settings import Settings
    from ddcplay.store.trace import TraceLine


@guarded
def trace_command(
    experiment: Annotated[
        str | None,
        typer.Argument(metavar="EXPERIMENT", help="Experiment or playbook (default: the only one)."),
    ] = None,
    *,
    probe: Annotated[str | None, typer.Option("--probe", help="Only this probe's trace.")] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Only so many of the newest lines.")
    ] = None,
    summary: Annotated[
        bool,
        typer.Option("--summary", help="Figures instead: attempts, seconds, when the coordinator was off."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line per trace line, or per summary.")
    ] = False,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> None:
    """Print trace lines, one per iteration.

    \b
    ITERATION|ok|failed|unavailable|PCT|ELAPSED|ok names|failed names|unavailable names|skipped names
    """
    from ddcplay.cli.experiments import choose_experiments, read_settings  # noqa: PLC0415 - late, for a quick start

    settings = read_settings(directory, data_dir)
    chosen = choose_experiments(experiment, settings)
    files = [file for path in chosen for file in trace_files(path, probe)]
    for file in files:
        if summary:
            _print_summary(file, last, settings, as_json=as_json)
        elif as_json:
            _print_json(file, last)
        else:
            _print_lines(file, last, titled=len(files) > 1)


def trace_files(directory: Path, probe: str | None) -> list[Path]:
    """Return an experiment's trace files, by probe.

    Raises:
        UsageError: there is none, or not of this probe.
    """
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    files = sorted(directory.glob("*.trace"))
    chosen = [file for file in files if probe is None or file.stem == probe]
    if not chosen:
        known = ", ".join(file.stem for file in files)
        about = f" of probe {probe!r}" if probe else ""
        hint = f"there are: {known}" if known else "the first line is written when an iteration closes"
        raise UsageError(f"there is no trace{about} in {directory}", hint)
    return chosen


def _lines(file: Path, last: int | None) -> Iterator[str]:
    """Read whole lines; a last line without its end is still being written."""
    with file.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        whole = (line for line in stream if line.endswith("\n"))
        yield from deque(whole, maxlen=last) if last else whole


def _print_lines(file: Path, last: int | None, *, titled: bool) -> None:
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - as above

    # A pipe gets lines as they are, for the paper's own tools; a person's terminal is protected.
    on_screen = sys.stdout.isatty()
    if titled and on_screen:
        typer.echo(f"# {file.parent.name}/{file.stem}")
    for line in _lines(file, last):
        sys.stdout.write(safe_text(line, block=True) if on_screen else line)


def _print_json(file: Path, last: int | None) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - as above

    from ddcplay.ui.json_lines import dump_line  # noqa: PLC0415 - as above

    for parsed in _parsed(file, last):
        fields = {"experiment": file.parent.name, "probe": file.stem, **asdict(parsed)}
        sys.stdout.buffer.write(dump_line(fields))
    sys.stdout.buffer.flush()


def _print_summary(file: Path, last: int | None, settings: Settings, *, as_json: bool) -> None:
    from ddcplay.cli.period import play_zone  # noqa: PLC0415 - as above
    from ddcplay.engine.database import database_url  # noqa: PLC0415 - as above
    from ddcplay.errors import StoreError  # noqa: PLC0415 - as above
    from ddcplay.report.words import zone  # noqa: PLC0415 - as above
    from ddcplay.store.trace_summary import summarise_trace  # noqa: PLC0415 - as above
    from ddcplay.ui.json_lines import dump_line  # noqa: PLC0415 - as above
    from ddcplay.ui.trace_summary_view import print_trace_summary, trace_summary_fields  # noqa: PLC0415 - as above

    found = summarise_trace(_parsed(file, last))
    if found is None:
        warn([f"{file} has no trace line"])
    elif as_json:
        sys.stdout.buffer.write(dump_line(trace_summary_fields(file, found)))
        sys.stdout.buffer.flush()
    else:
        try:
            where = play_zone(file.parent, database_url(settings), settings)
        except StoreError:  # DDC's own trace has no database beside it
            where = zone("UTC")
        print_trace_summary(out_console(), file, found, where)


def _parsed(file: Path, last: int | None) -> Iterator[TraceLine]:
    """Read trace lines; what is none is told."""
    from ddcplay.errors import StoreError  # noqa: PLC0415 - as above
    from ddcplay.store.trace import parse_line  # noqa: PLC0415 - as above

    for number, line in enumerate(_lines(file, last), 1):
        try:
            yield parse_line(line)
        except StoreError as error:  # a person's note in the file must not hide the lines around it
            warn([f"{file}, line {number} of those shown: {error.message}"])
