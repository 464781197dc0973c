"""What a built-in filter raises when a record is not what its options expect; it becomes `failed: filter`."""

from __future__ import annotations

from ddcplay.errors import DdcplayError

_SHOWN = 60


class DataError(DdcplayError):
    """An output or its data is not what the filter was told to expect; the outputs are kept."""


def shown(value: object) -> str:
    """Show a value of a target in a message: short, on one line, no control characters."""
    text = value if isinstance(value, str) else repr(value)
    short = text[:_SHOWN]
    return ascii(short) if not short.isprintable() else repr(short) if isinstance(value, str) else short


def kind_of(value: object) -> str:
    """Name the kind of a JSON value in words of a playbook's author."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"
