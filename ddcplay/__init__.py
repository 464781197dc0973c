"""The public door of ddcplay; names are imported when they are first used (PEP 562)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddcplay.filtering.base import DropRecord, Filter, FilterContext, HostView, Record
    from ddcplay.frames import load

__version__ = "0.1.0"

__all__ = ["DropRecord", "Filter", "FilterContext", "HostView", "Record", "__version__", "load"]


def __getattr__(name: str) -> object:
    if name == "load":
        return import_module("ddcplay.frames").load
    if name in __all__:
        return getattr(import_module("ddcplay.filtering.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
