"""Values of WMI classes as the lab keeps them, before they become XML or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to an instance, as associations hold two: class and keys."""

    name: str
    keys: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.name}." + ",".join(f'{key}="{value}"' for key, value in self.keys)


Value = str | int | bool | datetime | Reference | None | tuple["str | int", ...]
Row = Mapping[str, Value]


def moment(seconds: float) -> datetime:
    """Return a Unix time as WMI shows whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def precise(seconds: float, digits: int = 6) -> datetime:
    """Return a Unix time with its fraction, cut to some decimals."""
    scale = 10**digits
    return datetime.fromtimestamp(int(seconds * scale) / scale, UTC)


def client_value(value: Value) -> object:
    """Return a value as a client reads it out of XML: text of digits is a number, arrays may shrink."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, datetime):
        text = value.strftime("%Y-%m-%dT%H:%M:%S")
        fraction = f".{value.microsecond:06d}".rstrip("0") if value.microsecond else ""
        return f"{text}{fraction}Z"
    if isinstance(value, Reference):
        return {"__CLASS": value.name} | {key: _read(text) for key, text in value.keys}
    if not value:
        return None
    items = [_read(item) if isinstance(item, str) else item for item in value]
    return items[0] if len(items) == 1 else items


def _read(text: str) -> str | int | bool:
    if not text or text[0] not in "-0123456789tf":
        return text
    if text in ("true", "false"):
        return text == "true"
    digits = text.removeprefix("-")
    plain = (
        digits.isdecimal() and digits.isascii() and len(digits) <= 18 and (digits == "0" or digits[0] != "0")
    )
    return int(text) if plain and text != "-0" else text
