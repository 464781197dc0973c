"""The example filters, both ways: as an object here, and in the process where user code runs."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ddcplay.filtering.base import Filter, FilterContext, HostView, Record
from ddcplay.filtering.user_process import UserProcess
from ddcplay.model.alert import AlertCheck
from ddcplay.model.playbook import FilterEntry

FILTERS = Path(__file__).parents[3] / "filters"


@dataclass
class Run:
    """One filter and its state; each call is one attempt on pc1."""

    filter: Filter
    state: dict[str, object] = field(default_factory=dict)

    def __call__(self, data: object = None, stdout: bytes = b"") -> dict[tuple[str, str], AlertCheck]:
        """Return what the filter found: rule and key → check."""
        context = FilterContext(
            HostView("pc1"), "e", Path("unused"), self.state, logging.getLogger("test.filters")
        )
        record = Record("pc1", "bench", 1, 1.0, data=data, stdout_bytes=stdout)
        assert self.filter.process(record, context) == record
        return {(check.name, check.rows[0].key): check for check in context.effects}


@pytest.fixture(params=["here", "in its process"])
def run(request, monkeypatch) -> Iterator[Callable[..., Run]]:
    """Return a function: `FILE.py:Class` and options → a run of it."""
    if request.param == "here":
        yield lambda name, **options: Run(_here(name, options, monkeypatch))
        return
    process = UserProcess([FILTERS], timeout_s=30, log=logging.getLogger("test.filters"))

    def over_there(name: str, **options: object) -> Run:
        entry = FilterEntry(name, options or None, label=name)
        assert process.check([entry]) == []
        return Run(process.filter(entry))

    yield over_there
    process.close()


def _here(name: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Filter:
    file, _, class_name = name.partition(":")
    spec = importlib.util.spec_from_file_location(f"example_{file.removesuffix('.py')}", FILTERS / file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # Pydantic looks the annotations up there
    spec.loader.exec_module(module)
    cls = getattr(module, class_name)
    return cls(cls.Options.model_validate(cls.options_from(options)))
