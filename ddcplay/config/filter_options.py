"""The options of a filter, held against its class when the playbook is read.

The classes live above this package, so they are reached through `plugins.load` and asked for three things:
`options_from`, `Options` and, where it has one, `check_options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ddcplay.config.reading import Reading
from ddcplay.config.validation import EXPECTED, Level, problem_of
from ddcplay.config.words import describe
from ddcplay.config.yaml_marks import Loc

_ELSEWHERE = {"on": "`on` stands beside the filter's name, not among its options"}
_FOREIGN = {
    # Words of Prometheus, Alertmanager and Nagios.
    "alert": "the rule's name is `name` here",
    "expr": "the condition is `when` here",
    "condition": "the condition is `when` here",
    "annotations": "what people read is `message`, and `runbook` an address",
    "summary": "what people read is `message` here",
    "description": "what people read is `message` here",
    "text": "what people read is `message` here",
    "labels": "there is `severity`; rooms and groups are the inventory's",
    "runbook_url": "the address of what to do is `runbook` here",
    "keep_firing_for": "how many good observations end it is `clear_after`",
    "max_check_attempts": "how many observations in a row must be bad is `after`",
    "notification_interval": "time between reminders is `repeat_interval`",
    "to": "whom alerts are told stands in the play: alerts: {email: {to: [...]}}",
    "of": "it stands inside share: {of: GROUP, over: 30%}",
    "over": "it stands inside share: {of: GROUP, over: 30%}",
}
"""What is unknown to `alert` → what to write."""


def check_options(reading: Reading, name: str, filter_class: Any, written: object, loc: Loc) -> bool:
    """Check what stands after a filter's name; everything wrong is noted at its place.

    Args:
        reading: document and problems.
        name: of the filter, for messages.
        filter_class: what the entry point names.
        written: the options as written, None when there are none.
        loc: where they stand.

    Returns:
        Whether they are fine.
    """
    try:
        data = filter_class.options_from(written)
    except (ValueError, TypeError) as error:
        reading.report(reading.marked.place(loc), f"{name!r}: {error}", getattr(error, "hint", ""))
        return False
    level = _level(f"{name} filter", filter_class.Options)
    if not isinstance(data, Mapping):
        hint = f"its options: {', '.join(level.known_keys()) or 'none'}"
        reading.report(
            reading.marked.place(loc), f"the options of {name!r} are {describe(data)}, not a mapping", hint
        )
        return False
    try:
        options = filter_class.Options.model_validate(data)
    except ValidationError as error:
        for item in _findings(error, data):
            reading.problems.append(problem_of(level, item, reading.marked, loc))
        return False
    look = getattr(filter_class, "check_options", None)
    found = [] if look is None else list(look(options))
    for way, message, hint in found:
        reading.report(reading.marked.place((*loc, *way)), f"{name!r}: {message}", hint)
    return not found


def _level(name: str, model: type[BaseModel], depth: int = 0) -> Level:
    """Make a level of any model, with those inside it, so that an unknown key is told the right ones."""
    inside = {}
    for key, info in model.model_fields.items() if depth < _DEEPEST else ():
        inner = next(_models_in(info.annotation), None)
        if inner is not None:
            inside[info.alias or key] = _level(f"{key!r} of the {name}", inner, depth + 1)
    elsewhere = {} if depth else _ELSEWHERE
    if name == "alert filter":
        elsewhere = {**elsewhere, **_FOREIGN}
    return Level(name, model, inside, elsewhere)


_DEEPEST = 4


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _findings(error: ValidationError, data: object) -> Iterator[Mapping[str, Any]]:
    """Yield Pydantic's findings with ways a person can follow, one for each spot.

    For a value that may be of several types Pydantic tells what each type misses, and puts the type's name
    into the way; whoever wrote the value wants to hear of it once.
    """
    spots: dict[Loc, list[dict[str, Any]]] = {}
    for item in error.errors(include_url=False):
        way = _way_in(data, item["loc"], absent=item["type"] == "missing")
        spots.setdefault(way, []).append({**item, "loc": way})
    for way, items in spots.items():
        if any(other[: len(way)] == way and len(other) > len(way) for other in spots):
            continue
        first = items[0]
        expected = [EXPECTED[item["type"]] for item in items if item["type"] in EXPECTED]
        if len(items) > 1 and len(expected) == len(items):
            words = " or ".join(dict.fromkeys(expected))
            text = f"must be {words}, not {describe(first['input'])}"
            yield {**first, "type": "value_error", "ctx": {"error": ValueError(text)}}
        else:
            yield next((item for item in items if item["type"] not in EXPECTED), first)


def _way_in(data: object, way: Loc, *, absent: bool) -> Loc:
    """Leave out the parts of a way that name types and not places."""
    real: list[Any] = []
    here = data
    for index, part in enumerate(way):
        if (isinstance(here, Mapping) and part in here) or (
            isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        ):
            here = here[part]
        elif not (absent and index == len(way) - 1):
            continue
        real.append(part)
    return tuple(real)
