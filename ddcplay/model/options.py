"""What the command line said, before any file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line said, before any file is read.

    Args:
        directory: `-C`, None = the current directory.
        inventory: `-i`, as often as written; empty = the setting or the default.
        limit: `-l`, None for all.
        tags: `-t`.
        skip_tags: `--skip-tags`.
        extra_vars: `-e`, already parsed and merged.
        overrides: settings given as flags (`data_dir`, `executor`, `workers`, …).
        concurrency: `-f`, None = the play's.
        once: one iteration, whatever the schedule says.
        iterations: this many iterations, None = the schedule's.
        again: `--again`, probes of single shots that are owed anew.
    """

    directory: Path | None = None
    inventory: tuple[str, ...] = ()
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    extra_vars: Mapping[str, object] = field(default_factory=dict)
    overrides: Mapping[str, object] = field(default_factory=dict)
    concurrency: int | None = None
    once: bool = False
    iterations: int | None = None
    again: tuple[str, ...] = ()
