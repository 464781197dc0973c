"""Shared by tests of built-in filters: making one from a playbook's words, running a record through it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ddcplay import plugins
from ddcplay.filtering.base import Filter, FilterContext, HostView, Record


@dataclass
class Bench:
    """Runs records through one filter, as a chain would: state is kept from call to call."""

    filter: Filter
    directory: Path
    state: dict[str, object] = field(default_factory=dict)

    def context(self, host: str = "pc1", iteration: int = 1000, **options: Any) -> FilterContext:
        view = HostView(host, ("labs", "room1"), {"limit": 10, "text": "{{ 1 + 1 }}"}, "room1")
        log = logging.getLogger("test")
        return FilterContext(
            view, "exp", self.directory, dict(self.state), log, iteration=iteration, **options
        )

    def run(self, data: object = None, **fields: Any) -> tuple[Record, FilterContext]:
        values: dict[str, Any] = {"host": "pc1", "probe": "usage", "iteration": 1000, "started_at": 1000.0}
        record = Record(**{**values, "data": data, **fields})
        context = self.context(record.host, record.iteration, static={"serial": "S1"})
        returned = self.filter.process(record, context)
        self.state = dict(context.state)
        return returned, context

    def data(self, data: object = None, **fields: Any) -> Any:
        return self.run(data, **fields)[0].data


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """Make a filter from what a playbook says, placed as the first of its name."""

    def make(name: str, written: object = None, label: str | None = None) -> Bench:
        kind = plugins.load("ddcplay.filters", name)
        options = kind.Options.model_validate(kind.options_from(written))
        for _, message, hint in getattr(kind, "check_options", lambda _: ())(options):
            raise ValueError(f"{message}: {hint}")
        made = kind(options)
        getattr(made, "placed", lambda *_: None)("usage", label or name)
        return Bench(made, tmp_path)

    return make
