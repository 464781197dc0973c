"""Filters made from what the playbook says: built-ins here, user code in the experiment's child process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
        begun: makers handed out, so that all their calls can be cut short.
    """

    search_path: Sequence[Path] = ()
    timeout_s: float = 30.0
    redact: Callable[[str], str] = str
    directory: Path | None = None
    hidden: tuple[str, ...] = ()
    begun: list[FilterMaker] = field(default_factory=list)

    def begin(self) -> FilterMaker:
        """Return a maker for one experiment; its process is started when first needed."""
        maker = FilterMaker(self)
        self.begun.append(maker)
        return maker

    def abort(self) -> None:
        """Make calls of user code that are going on, or would be made, fail now; from any thread."""
        for maker in tuple(self.begun):
            maker.abort()


class FilterMaker:
    """Makes the filters of one experiment.

    Args:
        means: see there.
    """

    def __init__(self, means: FilterMeans) -> None:
        self._means = means
        self._process: UserProcess | None = None
        self._aborted = False

    def make(self, entry: FilterEntry) -> Filter:
        """Turn an entry, whose options were validated when the playbook was read, into its filter."""
        if not entry.builtin:
            return self._user_process().filter(entry)
        found = cast("type[Filter]", load(GROUP, entry.name))
        return found(found.Options.model_validate(found.options_from(entry.options)))

    def abort(self) -> None:
        """Make the call of user code that is going on fail now, and all later ones; from any thread."""
        self._aborted = True
        if self._process is not None:
            self._process.abort()

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
        if self._aborted:
            self._process.abort()
        return self._process
