"""Field types of the playbook language and of the settings: durations, sizes, names, lists of text, windows.

Each reads what a person writes and returns what the model wants, or says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field

from ddcplay.config.words import WrongValueError, describe
from ddcplay.model.playbook import Blackout
from ddcplay.units import parse_duration, parse_size

_LONGEST_S = timedelta(days=3650).total_seconds()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MAX_NAME = 64
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{p}{n}" for p in ("com", "lpt") for n in range(10)
}
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")


class Rendered(str):
    """Text that came out of a template: a number or truth value in it may stand for one."""

    __slots__ = ()


def is_template(value: object) -> bool:
    """Say whether a value holds text that has to be rendered; `!unsafe` text never has."""
    # Compared by type, for `Unsafe` and `Rendered` text is final.
    if type(value) is str:
        return "{{" in value or "{%" in value or "{#" in value
    if isinstance(value, Mapping):
        return any(is_template(part) for part in value.values())
    return isinstance(value, list) and any(is_template(part) for part in value)


def _duration(value: Any) -> float:
    try:
        seconds = parse_duration(value)
    except OverflowError as error:
        raise WrongValueError("is far too long") from error
    if seconds > _LONGEST_S:
        raise WrongValueError(
            f"{describe(value)} is longer than ten years", "write 300ms, 30s, 15m, 4h or 30d"
        )
    return seconds


def _positive_duration(value: Any) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise WrongValueError("must be longer than 0", "write 300ms, 30s, 15m, 4h or 30d")
    return seconds


def _interval(value: Any) -> float:
    seconds = _duration(value)
    if seconds < 1:
        raise WrongValueError("must be at least 1s", "iterations are named by the second they start in")
    return seconds


def _cron(value: Any) -> str:
    """Read a cron expression; cronsim knows what is one."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - most playbooks have none

    hint = 'write five fields, minute hour day month weekday: "*/15 8-20 * * 1-5"'
    if not isinstance(value, str):
        raise WrongValueError(f"must be text, not {describe(value)}", hint)
    fields = value.split()
    if len(fields) != _CRON_FIELDS:
        raise WrongValueError(f"{value[:64]!r} is no cron expression of five fields", hint)
    try:
        next(CronSim(value, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise WrongValueError(f"{value[:64]!r} is no cron expression: {error}", hint) from error
    except StopIteration as error:
        raise WrongValueError(f"{value[:64]!r} names a time that never comes", hint) from error
    return " ".join(fields)


_CRON_FIELDS = 5
_LARGEST = 2**30


def _size(value: Any) -> int:
    try:
        size = parse_size(value)
    except (OverflowError, ValueError) as error:
        text = "is far too large" if isinstance(error, OverflowError) else str(error)
        raise WrongValueError(text) from error
    if size < 1:
        raise WrongValueError("must be at least 1 byte", "write 64KiB, 1MiB, 10MB or bytes")
    if size > _LARGEST:
        # Output is held in memory once per visit in flight.
        raise WrongValueError("must be at most 1GiB", "let the probe print less")
    return size


def _whole(value: Any) -> Any:
    if isinstance(value, Rendered) and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value):
        return int(value)
    return value


def _truth(value: Any) -> Any:
    if isinstance(value, Rendered):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """Read one text or a list of texts."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise WrongValueError(f"must be text or a list of texts, not {describe(value)}")
    for number, item in enumerate(items, start=1):
        at = (number - 1,)
        if not isinstance(item, str):
            raise WrongValueError(f"item {number} must be text, not {describe(item)}", "put it in quotes", at)
        if not item.strip():
            raise WrongValueError(
                f"item {number} is empty" if len(items) > 1 else "is empty", "remove it", at
            )
    if not items:
        raise WrongValueError("is an empty list", "name at least one, or remove the key")
    return tuple(items)


def _tags(value: Any) -> tuple[str, ...]:
    parts = [part for text in _texts(value) for part in text.split(",")]
    return _texts([part.strip() for part in parts])


def check_file_name(value: str) -> str:
    """Return a name that files and directories of every system can carry.

    Raises:
        WrongValueError: it cannot name a file, or is one of Windows' device names.
    """
    if len(value) > _MAX_NAME:
        raise WrongValueError(
            f"{value[:20]!r}… is longer than {_MAX_NAME} characters", "shorten it; it names files"
        )
    if not _NAME.fullmatch(value) or value.endswith("."):
        raise WrongValueError(
            f"{value!r} cannot name a file on every system",
            "use letters, digits, '-', '_' and '.', not '-' or '.' in front and no '.' at the end",
        )
    if value.split(".", maxsplit=1)[0].casefold() in _RESERVED:
        raise WrongValueError(f"{value!r} is a device name in Windows", "choose another name; it names files")
    return value


def _file_name(value: Any) -> Any:
    return check_file_name(value) if isinstance(value, str) else value


def _timezone(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        ZoneInfo(value)
    except (OSError, ValueError, LookupError) as error:
        close = get_close_matches(value[:64], available_timezones(), n=1)
        hint = f"did you mean {close[0]!r}?" if close else "write an IANA name such as Europe/Lisbon or UTC"
        raise WrongValueError(f"unknown time zone {value[:64]!r}", hint) from error
    return value


def _minute(text: Any, *, end: bool = False) -> int:
    match = _TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not 0 <= minutes < 1440 and not (end and minutes == 1440):
        raise WrongValueError(f"{describe(text)} is not a time of day", "write it in quotes, such as '22:00'")
    return minutes % 1440


def _weekdays(value: Any) -> frozenset[int]:
    """Read `mon-fri`, `sat,sun` or a list of such; a range may pass Sunday."""
    found: set[int] = set()
    for part in _tags(value):
        ends = [end.strip().casefold()[:3] for end in part.split("-")]
        if len(ends) > 2 or any(end not in DAYS for end in ends):
            raise WrongValueError(
                f"{part!r} is not a day", f"write {', '.join(DAYS)} or a range such as mon-fri"
            )
        first, last = DAYS.index(ends[0]), DAYS.index(ends[-1])
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(found)


def _window(value: Any) -> Blackout:
    """Read `22:00-06:00`, `mon-fri 08:00-09:00` or a mapping of `from`, `to`, `days`."""
    if isinstance(value, str):
        days, _, times = value.strip().rpartition(" ")
        start, dash, end = times.partition("-")
        if not dash:
            raise WrongValueError(
                f"{value!r} is not a window", "write '22:00-06:00' or 'mon-fri 08:00-09:00'"
            )
        value = {"from": start, "to": end} | ({"days": days} if days else {})
    if not isinstance(value, Mapping):
        raise WrongValueError(f"a window is text or a mapping, not {describe(value)}", "write '22:00-06:00'")
    unknown = [key for key in value if key not in {"from", "to", "days"}]
    if unknown or not {"from", "to"} <= set(value):
        what = f"unknown key {unknown[0]!r} in a window" if unknown else "a window needs from and to"
        raise WrongValueError(
            what, "write from: '22:00', to: '06:00' and, if not every day, days: [mon, fri]"
        )
    days_set = _weekdays(value["days"]) if "days" in value else frozenset(range(7))
    return Blackout(_minute(value["from"]), _minute(value["to"], end=True), days_set)


def _windows(value: Any) -> tuple[Blackout, ...]:
    if not isinstance(value, list):
        raise WrongValueError(f"must be a list of windows, not {describe(value)}", "write - '22:00-06:00'")
    windows = []
    for index, item in enumerate(value):
        try:
            windows.append(_window(item))
        except WrongValueError as error:
            raise WrongValueError(str(error), error.hint, (index,)) from error
    return tuple(windows)


def _variables(value: Any) -> Any:
    if isinstance(value, Mapping):
        check_variable_names(value)
    return value


def check_variable_names(names: Mapping[Any, object]) -> None:
    """Refuse names that no template could use.

    Raises:
        WrongValueError: naming the first such name.
    """
    for name in names:
        if not isinstance(name, str) or not name.isidentifier():
            raise WrongValueError(
                f"{name!r} cannot be a variable's name",
                "use letters, digits and '_', not a digit in front",
                (name,),
            )


def _before(read: Callable[[Any], Any]) -> BeforeValidator:
    return BeforeValidator(read)


Duration = Annotated[float, _before(_duration)]
PositiveDuration = Annotated[float, _before(_positive_duration)]
Cron = Annotated[str, _before(_cron)]
Interval = Annotated[float, _before(_interval)]
Size = Annotated[int, _before(_size)]
Whole = Annotated[int, _before(_whole)]
Truth = Annotated[bool, _before(_truth)]
Texts = Annotated[tuple[str, ...], _before(_texts)]
Tags = Annotated[tuple[str, ...], _before(_tags)]
FileName = Annotated[str, _before(_file_name)]
TimeZone = Annotated[str, _before(_timezone)]
Windows = Annotated[tuple[Blackout, ...], _before(_windows)]
Variables = Annotated[dict[str, Any], _before(_variables)]
Text = Annotated[str, Field(min_length=1)]
