"""Filters made from what the playbook says: built-ins here, user code in the experiment's child process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ddcplay.filtering.base import Filter
from ddcplay.filtering.user_process import UserProcess
from ddcplay.model.playbook import FilterEntry
from ddcplay.plugins import load

GROUP = "ddcplay.filters"


@dataclass(frozen=True, slots=True)
class FilterMeans:
    """What filters of every experiment are made with.

    Args:
        search_path: where modules of user code are looked for, the project root first.
        timeout_s: what one call of user code may take.
        redact: blanks secrets in what user code prints.
        directory: where user code stands, the project root.
        hidden: variables of the environment that user code must not see.
    """

    search_path: Sequence[Path] = ()
    timeout_s: float = 30.0
    redact: Callable[[str], str] = str
    directory: Path | None = None
    hidden: tuple[str, ...] = ()

    def begin(self) -> FilterMaker:
        """Return a maker for one experiment; its process is started when first needed."""
        return FilterMaker(self)


class FilterMaker:
    """Makes the filters of one experiment.

    Args:
        means: see there.
    """

    def __init__(self, means: FilterMeans) -> None:
        self._means = means
        self._process: UserProcess | None = None

    def make(self, entry: FilterEntry) -> Filter:
        """Turn an entry, whose options were validated when the playbook was read, into its filter."""
        if not entry.builtin:
            return self._user_process().filter(entry)
        found = cast("type[Filter]", load(GROUP, entry.name))
        return found(found.Options.model_validate(found.options_from(entry.options)))

    def close(self) -> None:
        """End the child process, if one was started."""
        if self._process is not None:
            self._process.close()

    def _user_process(self) -> UserProcess:
        if self._process is None:
            means = self._means
            log = logging.getLogger("ddcplay.filters")
            self._process = UserProcess(
                means.search_path,
                timeout_s=means.timeout_s,
                log=log,
                redact=means.redact,
                hidden=means.hidden,
                directory=means.directory,
            )
        return self._process
