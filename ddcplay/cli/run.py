"""`ddcplay run`: the command everything else is about."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
    out_console,
    warn,
)
from ddcplay.cli.guard import guarded

if TYPE_CHECKING:
    from ddcplay.engine.events import Event, Observer
    from ddcplay.engine.stop import StopRequest


@guarded
def run_command(
    playbooks: Annotated[
        list[str],
        typer.Argument(
            metavar="PLAYBOOK...", help="Files; also found under playbooks/, .yml may be left out."
        ),
    ],
    *,
    inventory: InventoryPaths = None,
    limit: Limit = None,
    tags: Tags = None,
    skip_tags: SkipTags = None,
    extra_vars: ExtraVars = None,
    concurrency: Annotated[
        int | None, typer.Option("-f", "--concurrency", min=1, help="Visits in flight (default: the play's).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="One iteration, whatever the schedule says.")] = False,
    iterations: Annotated[
        int | None, typer.Option("--iterations", min=1, help="So many iterations, then stop.")
    ] = None,
    again: Annotated[
        list[str] | None,
        typer.Option("--again", metavar="PROBE", help="Run this probe of a single shot once more."),
    ] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", help="Where visits run: threads or inline.")
    ] = None,
    data_dir: DataDir = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON line per attempt on standard output; all else on standard error."
        ),
    ] = False,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="EXPR",
            help="What makes exit code 3, 4 or 5, such as 'failed>5%,auth,alert=critical'.",
        ),
    ] = "failed>0",
    directory: Directory = None,
    verbose: Verbose = 0,
) -> int:
    """Run playbooks.

    Sweeps the hosts, visits those that answer, collects, again and again as the schedules say.

    \b
    Exit codes: 0 fine, 1 environment broken, 2 wrong call or file, 3 failed attempts,
    4 unavailable (only by --fail-on) or a single shot that gave up, 5 an alert fires (only by --fail-on),
    130 interrupted; SIGTERM ends with 0.
    """
    from ddcplay import app  # noqa: PLC0415 - commands import what they need when they run
    from ddcplay.engine.stop import StopRequest  # noqa: PLC0415 - same
    from ddcplay.engine.verdict import FailOn, verdict  # noqa: PLC0415 - same
    from ddcplay.ui.tables import print_run_summary  # noqa: PLC0415 - same

    rule = FailOn.parse(fail_on)
    options = make_options(
        directory=directory,
        inventory=inventory,
        limit=limit,
        tags=tags,
        skip_tags=skip_tags,
        extra_vars=extra_vars,
        data_dir=data_dir,
        executor=executor,
        concurrency=concurrency,
        once=once,
        iterations=iterations,
        again=again,
    )
    prepared = app.prepare(playbooks, options)
    warn(prepared.warnings)
    stop = StopRequest()
    with watching(stop, as_json=as_json, verbose=verbose) as watch:
        endings = Endings()
        outcome = app.run(prepared, options, (*watch.observers, endings), stop)
    if watch.reader_gone.is_set():
        return 0
    if not as_json:
        print_run_summary(out_console(), outcome.last, outcome.directories)
    return verdict(outcome.last, outcome.interrupted, stop.by_service_manager, rule, gave_up=endings.gave_up)


class Endings:
    """An observer that knows whether a single shot gave something up."""

    def __init__(self) -> None:
        self.gave_up = False

    def handle(self, event: Event) -> None:
        """Take note of how experiments end."""
        from ddcplay.engine.events import ExperimentEnded  # noqa: PLC0415 - imported by the run anyway

        if isinstance(event, ExperimentEnded) and event.why == "gave_up":
            self.gave_up = True


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches a run.

    Args:
        observers: to hand to `app`.
        reader_gone: set when the reader of standard output went away (`… --json | head`).
    """

    observers: Sequence[Observer]
    reader_gone: threading.Event


@contextmanager
def watching(stop: StopRequest, *, as_json: bool, verbose: int, quiet: bool = False) -> Iterator[Watch]:
    """Show progress the way the output asks for, and turn signals into stop requests.

    On a terminal it is the live screen, elsewhere plain lines; with `as_json` JSON lines on standard output
    and plain lines on standard error. When the reader of standard output leaves, the run stops politely.

    Args:
        stop: what signals ask.
        as_json: see above.
        verbose: number of `-v`.
        quiet: standard output belongs to the answer: plain lines go to standard error, and only with `-v`.
    """
    from ddcplay.cli.signals import InFlight, SignalWatch  # noqa: PLC0415 - as above
    from ddcplay.ui.json_lines import JsonLines  # noqa: PLC0415 - as above
    from ddcplay.ui.live import LiveProgress  # noqa: PLC0415 - as above
    from ddcplay.ui.plain import PlainLines  # noqa: PLC0415 - as above
    from ddcplay.units import SystemClock  # noqa: PLC0415 - as above

    clock, in_flight, gone = SystemClock(), InFlight(), threading.Event()

    def reader_left() -> None:
        gone.set()
        if not stop.finish.is_set():
            stop.request()

    observers: list[Observer] = [in_flight]
    say: Callable[[str], None] = _say_plainly
    with ExitStack() as stack:
        console = out_console()
        if as_json:
            observers += [
                JsonLines(sys.stdout.buffer, reader_left),
                PlainLines(sys.stderr, clock, verbose, on_reader_gone=lambda: None),
            ]
        elif quiet and (verbose or not console.is_terminal):
            if verbose:
                observers.append(PlainLines(sys.stderr, clock, verbose, on_reader_gone=lambda: None))
        # -v asks for lines about single hosts, which a live screen has no room for.
        elif verbose or not console.is_terminal or console.is_dumb_terminal:
            observers.append(PlainLines(sys.stdout, clock, verbose, on_reader_gone=reader_left))
        else:
            screen = stack.enter_context(LiveProgress(console, clock))
            observers.append(screen)
            say = screen.say
        stack.enter_context(SignalWatch(stop, in_flight, say))
        yield Watch(tuple(observers), gone)


def _say_plainly(words: str) -> None:
    sys.stderr.write(f"ddcplay: {words}\n")
    sys.stderr.flush()
