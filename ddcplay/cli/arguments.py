"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ddcplay.model.options import Options

Directory = Annotated[
    Path | None,
    typer.Option("-C", "--directory", help="Project directory (default: the nearest with a ddcplay.yml)."),
]
Verbose = Annotated[
    int,
    typer.Option("-v", "--verbose", count=True, help="Tell more; repeat for more still (-vvv: tracebacks)."),
]
InventoryPaths = Annotated[
    list[str] | None,
    typer.Option("-i", "--inventory", help="Inventory file, directory or comma list; may be repeated."),
]
Limit = Annotated[
    str | None,
    typer.Option("-l", "--limit", help="Only these of the hosts: a pattern, or @file with one per line."),
]
Tags = Annotated[list[str] | None, typer.Option("-t", "--tags", help="Only probes with these tags (a,b).")]
SkipTags = Annotated[list[str] | None, typer.Option("--skip-tags", help="Leave out probes with these tags.")]
ExtraVars = Annotated[
    list[str] | None,
    typer.Option("-e", "--extra-vars", help="Variables above all others: k=v, '{\"json\": 1}' or @file.yml."),
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where results are kept (setting data_dir).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def make_options(
    *,
    directory: Path | None = None,
    inventory: Sequence[str] | None = None,
    limit: str | None = None,
    tags: Sequence[str] | None = None,
    skip_tags: Sequence[str] | None = None,
    extra_vars: Sequence[str] | None = None,
    data_dir: Path | None = None,
    executor: str | None = None,
    concurrency: int | None = None,
    once: bool = False,
    iterations: int | None = None,
    again: Sequence[str] | None = None,
) -> Options:
    """Build the application's options from what typer read.

    Raises:
        UsageError: `-C` is no directory, or `-e` cannot be read.
        ConfigError: a file of `-e @file` is wrong.
    """
    from ddcplay.cli.extra_vars import parse_extra_vars  # noqa: PLC0415 - same
    from ddcplay.errors import UsageError  # noqa: PLC0415 - same
    from ddcplay.model.options import Options  # noqa: PLC0415 - commands import what they need when they run

    if directory is not None and not directory.is_dir():
        raise UsageError(f"-C {directory}: there is no such directory")
    # A flag's path is the user's, so it starts where the user stands, not at the project root.
    overrides: dict[str, object] = {"data_dir": str(data_dir.absolute())} if data_dir else {}
    if executor:
        overrides["executor"] = executor
    return Options(
        directory=directory,
        inventory=tuple(inventory or ()),
        limit=limit,
        tags=_words(tags),
        skip_tags=_words(skip_tags),
        extra_vars=parse_extra_vars(extra_vars or ()),
        overrides=overrides,
        concurrency=concurrency,
        once=once,
        iterations=iterations,
        again=_words(again),
    )


def out_console() -> Console:
    """Return the console of standard output: colours and width of the terminal, none in a pipe."""
    from rich.console import Console  # noqa: PLC0415 - a command that prints no table does not pay for it

    class PipeAwareConsole(Console):
        """rich ends the process with 1 when a pipe breaks; `guard` ends it quietly with 0."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = PipeAwareConsole(highlight=False, emoji=False, markup=False)
    if console.is_terminal:
        return console
    # Without a terminal there is no width: a table in a log must not be cut at 80 columns.
    return PipeAwareConsole(highlight=False, emoji=False, markup=False, width=200, no_color=True)


def warn(warnings: Sequence[str]) -> None:
    """Write warnings to standard error, each once."""
    from ddcplay.ui.safe_text import safe_text  # noqa: PLC0415 - most commands have no warning

    for warning in dict.fromkeys(warnings):
        typer.echo(f"ddcplay: warning: {safe_text(warning, block=True)}", err=True)


def print_json(value: object) -> None:
    """Write one JSON document to standard output, indented for people on a terminal."""
    import sys  # noqa: PLC0415 - as above

    import orjson  # noqa: PLC0415 - as above

    text = orjson.dumps(
        value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    )
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _words(values: Sequence[str] | None) -> tuple[str, ...]:
    """Split `-t a,b -t c` into its words."""
    return tuple(word.strip() for value in values or () for word in value.split(",") if word.strip())
