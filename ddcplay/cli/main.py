"""The console script: answers `--version` at once and hands everything else to typer.

Nothing but the standard library is imported before the command is known: a shell prompt, a completion or a
version check must not pay for libraries it does not use.
"""

from __future__ import annotations

import contextlib
import sys

from ddcplay import __version__


def main() -> None:
    """Run the program; always ends by `SystemExit` or by returning for exit code 0."""
    _survive_any_text()
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"ddcplay {__version__}\n")
        return
    from ddcplay.cli.program import build_program  # noqa: PLC0415 - late on purpose, see the module docstring

    build_program()(prog_name="ddcplay")


def _survive_any_text() -> None:
    """Make printing never fail for a character the terminal's encoding lacks (cp1252, LANG=C)."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a stream that is no TextIOWrapper, or closed
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
