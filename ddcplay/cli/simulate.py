"""`ddcplay simulate`: a playbook's weeks in minutes, against PCs that do not exist."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ddcplay.cli.arguments import (
    DataDir,
    Directory,
    ExtraVars,
    InventoryPaths,
    Limit,
    SkipTags,
    Tags,
    Verbose,
    make_options,
    warn,
)
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.engine.events import Event

_START = "2026-03-02"
"""A Monday, so that the same call gives the same data on any day."""


@guarded
def simulate_command(
    playbook: Annotated[str, typer.Argument(metavar="PLAYBOOK", help="A file; also found under playbooks/.")],
    *,
    hosts: Annotated[int, typer.Option("--hosts", min=1, max=20_000, help="How many PCs.")] = 169,
    rooms: Annotated[int, typer.Option("--rooms", min=1, max=200, help="Over how many rooms.")] = 11,
    days: Annotated[float, typer.Option("--days", min=0, help="How many days.")] = 30,
    until: Annotated[
        str | None, typer.Option("--until", help="End, a date or time in UTC, instead of --days.")
    ] = None,
    start: Annotated[str, typer.Option("--start", help="Begin, a date or time in UTC.")] = _START,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other PCs and people.")] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew instead of going on with what was simulated before.")
    ] = False,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    tags: Tags = None,
    skip_tags: SkipTags = None,
    extra_vars: ExtraVars = None,
    data_dir: DataDir = None,
    directory: Directory = None,
    verbose: Verbose = 0,  # noqa: ARG001 - read by `guarded`
) -> int:
    """Run a playbook on virtual time.

    The same engine as `run`, with a clock that jumps and PCs that exist in this process alone: nothing is
    contacted, no mail is sent, no password is looked up. Without -i the PCs are lab01-pc01 and so on, in
    groups lab01 … under labs. Results go below simulated/ in the data directory, beside what really was
    (truth.jsonl). A run that was stopped is continued by the same call.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need when they run
    from ddcplay.cli.signals import InFlight, SignalWatch  # noqa: PLC0415 - same
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - same
    from ddcplay.model.simulation import SimulationRequest  # noqa: PLC0415 - same

    options = make_options(
        directory=directory,
        inventory=inventory,
        limit=limit,
        tags=tags,
        skip_tags=skip_tags,
        extra_vars=extra_vars,
        data_dir=data_dir,
    )
    begin = _moment("--start", start)
    lasts_s = days * 86400 if until is None else _moment("--until", until) - begin
    request = SimulationRequest(hosts, rooms, lasts_s, seed, begin, fresh)
    progress, stop = Progress(), StopRequest()
    begun = time.monotonic()
    with SignalWatch(stop, InFlight(), _say):
        outcome, warnings = app.simulate(playbook, options, request, [progress], stop)
    warn(warnings)
    progress.finish(time.monotonic() - begun)
    for experiment, place in outcome.directories.items():
        typer.echo(f"SIMULATED {experiment}: {place}")
        typer.echo(f"    ddcplay report {experiment} --data-dir {place.parent}")
    if outcome.interrupted:
        typer.echo("stopped; the same call goes on with it")
        return 0 if stop.by_service_manager else 130
    return 0


class Progress:
    """Counts iterations and attempts, and shows where the clock stands: a line a day."""

    def __init__(self) -> None:
        self._iterations = 0
        self._attempts = 0
        self._day = ""
        self._live = sys.stderr.isatty()

    def handle(self, event: Event) -> None:
        """Take note of an iteration that ended."""
        from ddcplay.engine.events import IterationClosed, Notice  # noqa: PLC0415 - loaded by then

        if isinstance(event, Notice):
            from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - rare

            _say(safe_text(event.text, block=True))
        if not isinstance(event, IterationClosed):
            return
        self._iterations += 1
        self._attempts += sum(
            each.ok + each.failed + each.unavailable + each.skipped for each in event.probes
        )
        day = datetime.fromtimestamp(event.iteration, UTC).strftime("%Y-%m-%d %a")
        if day != self._day:
            self._day = day
            line = f"SIMULATED {day}  {self._iterations} iterations, {self._attempts} attempts"
            sys.stderr.write(f"\r{line}\x1b[K" if self._live else f"{line}\n")
            sys.stderr.flush()

    def finish(self, seconds: float) -> None:
        """Say how much there was."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
        typer.echo(
            f"SIMULATED {self._iterations} iterations with {self._attempts} attempts in {seconds:.1f} s"
        )


def _moment(option: str, text: str) -> float:
    """Read a date or a time of ISO 8601; without a zone it is UTC.

    Raises:
        UsageError: it is none.
    """
    from ddcplay.errors import UsageError  # noqa: PLC0415 - as above

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{option} {text}: not a date or time", "write 2026-03-02 or 2026-03-02T08:00"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _say(words: str) -> None:
    sys.stderr.write(f"ddcplay: {words}\n")
    sys.stderr.flush()
