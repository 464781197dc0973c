"""What a command does with an error: one clear message, the right exit code, a traceback only on demand."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from ddcplay.engine.verdict import EXIT_INTERRUPTED
from ddcplay.errors import ConfigError, DdcplayError, Place

P = ParamSpec("P")

_TRACEBACK_OF_BUGS = 1
_TRACEBACK_OF_REFUSALS = 3


def guarded(body: Callable[P, int | None]) -> Callable[P, None]:
    """Turn a function that returns an exit code into a typer command that never shows a raw traceback.

    Args:
        body: the command; its parameter `verbose`, when it has one, decides about tracebacks.
    """

    @functools.wraps(body)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        verbose = kwargs.get("verbose", 0)
        code = exit_code_of(lambda: body(*args, **kwargs), verbose if isinstance(verbose, int) else 0)
        if code:
            raise typer.Exit(code)

    return command


def exit_code_of(body: Callable[[], int | None], verbose: int) -> int:
    """Run a command's body and tell the exit code it ends with; errors are written to standard error.

    Args:
        body: returns an exit code, None for 0.
        verbose: number of `-v`.
    """
    try:
        code = body() or 0
        sys.stdout.flush()
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        _complain("ddcplay: interrupted\n")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _leave_quietly()
        return 0
    except DdcplayError as error:
        _complain(refusal_text(error))
        if verbose >= _TRACEBACK_OF_REFUSALS:
            _complain(traceback.format_exc())
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost border: whatever it is, the user gets one line
        _complain(_bug_text(error, shown=verbose >= _TRACEBACK_OF_BUGS))
        if verbose >= _TRACEBACK_OF_BUGS:
            _complain(traceback.format_exc())
        return 1
    return code


def refusal_text(error: DdcplayError) -> str:
    """Write an error for standard error: each problem and each hint on a line of its own."""
    if isinstance(error, ConfigError):
        return "".join(_problem(item.place, item.message, item.hint) for item in error.problems)
    return _problem(error.place, error.message, error.hint)


def _problem(place: Place | None, message: str, hint: str) -> str:
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - only a command that fails needs it

    where = f"{place}: " if place and place.file else ""
    text = f"ddcplay: error: {safe_text(where + message, block=True)}\n"
    return text + "".join(f"    {line.strip()}\n" for line in safe_text(hint, block=True).splitlines())


def _bug_text(error: Exception, *, shown: bool) -> str:
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - as above

    what = safe_text(f"{type(error).__name__}: {error}", limit=500)
    more = "" if shown else " (-v shows where)"
    return (
        f"ddcplay: error: this should not happen: {what}{more}\n"
        "    please report it to the project's issue tracker, with the command and the output of -v\n"
    )


def _complain(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # nobody reads standard error: there is nobody left to tell
        pass


def _leave_quietly() -> None:
    """Point standard output at nothing, so that the interpreter's last flush stays silent, too."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
