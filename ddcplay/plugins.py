"""Load one named plug-in from an entry-point group, and only that one.

A broken plug-in nobody asked for must not stop the program, so nothing is imported until its name is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any

from ddcplay.errors import UsageError


def names(group: str) -> tuple[str, ...]:
    """List the plug-in names of a group without importing any of them.

    Args:
        group: such as `ddcplay.probes`.
    """
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def source(group: str, name: str) -> str | None:
    """Return where a plug-in is defined, `package.module:Class`, without importing it; None for no such name.

    Args:
        group: such as `ddcplay.filters`.
        name: the entry point's name.
    """
    return next((f"{point.module}:{point.attr}" for point in entry_points(group=group, name=name)), None)


def load(group: str, name: str) -> Any:
    """Import one plug-in.

    Args:
        group: such as `ddcplay.probes`.
        name: the entry point's name.

    Returns:
        Whatever the entry point names; the caller checks it against its Protocol.

    Raises:
        UsageError: no such name (with the nearest one), or its import failed.
    """
    found = [point for point in entry_points(group=group) if point.name == name]
    if not found:
        close = get_close_matches(name, names(group), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names(group)) or 'none'}"
        raise UsageError(f"there is no {group.removeprefix('ddcplay.')} plug-in {name!r}", hint)
    try:
        loaded = found[0].load()
    except Exception as error:
        raise UsageError(
            f"plug-in {name!r} ({found[0].value}) cannot be loaded: {error}",
            "reinstall or remove the package that provides it",
        ) from error
    return loaded


def load_once(
    group: str, make: Callable[[Any], Any], known: Mapping[str, Any] | None = None
) -> Callable[[str], Any]:
    """Return a function that loads a plug-in by name and makes one object of it, once for all threads.

    Args:
        group: such as `ddcplay.transports`.
        make: turns what the entry point names into the object.
        known: objects that need no entry point.
    """
    found = dict(known or {})
    lock = threading.Lock()

    def get(name: str) -> Any:
        with lock:
            if name not in found:
                found[name] = make(load(group, name))
            return found[name]

    return get
