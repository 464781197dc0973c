"""Pydantic's findings as Problems: where it stands in the file, what is wrong in words of YAML, the fix."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ddcplay.config.reading import Reading
from ddcplay.config.words import LATER, LATER_VALUES, describe, nearest, unknown_key
from ddcplay.config.yaml_marks import Loc, Marked
from ddcplay.errors import Problem
from ddcplay.model.inventory import SecretRef

EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
"""Pydantic's kind of finding → what should have been written."""
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
}
_EMPTY = {"too_short", "string_too_short"}


@dataclass(frozen=True, slots=True)
class Level:
    """A mapping of the language: what messages call it and which keys it has.

    Args:
        name: such as `play`.
        model: its Pydantic model.
        inside: key → level of a mapping inside it.
        elsewhere: key → hint, for keys that belong to another level.
        secret: keys whose values no message may show.
        besides: keys that are taken out before the model sees the mapping.
    """

    name: str
    model: type[BaseModel]
    inside: Mapping[str, Level]
    elsewhere: Mapping[str, str]
    secret: Collection[str] = ()
    besides: tuple[str, ...] = ()

    def known_keys(self) -> tuple[str, ...]:
        """Return the keys this level knows, as they are written."""
        return (*self.besides, *(info.alias or name for name, info in self.model.model_fields.items()))


def validate(
    level: Level, data: object, reading: Reading, loc: Loc, quiet: Collection[str] = ()
) -> BaseModel | None:
    """Check a mapping against its level's model.

    Args:
        level: what it should be.
        data: the value at `loc`, possibly with templates rendered.
        reading: the document, for places; every finding is noted there.
        loc: where `data` stands in it.
        quiet: keys that may be missing because their own trouble was told already.

    Returns:
        The model, or None when something was wrong.
    """
    try:
        return level.model.model_validate(data)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["type"] != "missing" or item["loc"][-1] not in quiet:
                reading.problems.append(problem_of(level, item, reading.marked, loc))
        return None


def refuse_later(level: str, data: Mapping[Any, Any], reading: Reading, loc: Loc) -> dict[Any, Any]:
    """Take out the keys whose work comes later, noting a `not yet` for each.

    Args:
        level: `play`, `schedule`, `probe` or `kind`.
        data: the mapping at `loc`.
        reading: the document and its problems.
        loc: where the mapping stands.
    """
    later = LATER.get(level, {})
    kept = {}
    for key, value in data.items():
        text = key if isinstance(key, str) else ""
        refused = LATER_VALUES.get((level, text))
        if text in later:
            what, why = repr(text), later[text]
        elif refused and value is refused[0]:
            what, why = f"'{text}: {describe(value)}'", refused[1]
        else:
            kept[key] = value
            continue
        reading.report(
            reading.marked.key_place((*loc, key)), f"{what} is not yet supported ({why})", "remove it for now"
        )
    return kept


def describe_findings(level: Level, error: ValidationError) -> list[tuple[str, str, str]]:
    """Word the findings about a value that has no place of its own in a file.

    Returns:
        For each finding its key, message and hint.
    """
    found = []
    for item in error.errors(include_url=False):
        way: Loc = item["loc"]
        found.append((str(way[0]) if way else "", *_wording(item["type"], item, way, level)))
    return found


def problem_of(root: Level, item: Mapping[str, Any], marked: Marked, base: Loc) -> Problem:
    """Word one finding of Pydantic's.

    Args:
        root: the level whose model found it.
        item: as `ValidationError.errors` gives it.
        marked: the document.
        base: where the mapping stands in it.
    """
    way: Loc = item["loc"]
    loc = (*base, *way)
    kind: str = item["type"]
    level, key = _level_of(root, way), way[-1] if way else ""
    if kind in {"extra_forbidden", "invalid_key"}:
        elsewhere = level.elsewhere.get(key, "") if isinstance(key, str) else ""
        message, hint = unknown_key(key, level.name, level.known_keys(), elsewhere=elsewhere)
        return Problem(marked.key_place(loc), message, hint)
    if kind == "missing":
        named = key == "name" and level.name in {"play", "probe"}
        hint = "every probe and play has a name" if named else f"add {key}:"
        return Problem(marked.place(loc[:-1]), f"the {level.name} has no {key!r}", hint)
    message, hint = _wording(kind, item, way, level)
    part = getattr(item.get("ctx", {}).get("error"), "at", ())
    return Problem(marked.place((*loc, *part)), message, hint)


def _level_of(root: Level, way: Loc) -> Level:
    level = root
    for part in way[:-1]:
        level = level.inside.get(part, level) if isinstance(part, str) else level
    return level


def _wording(kind: str, item: Mapping[str, Any], way: Loc, level: Level) -> tuple[str, str]:
    label = _label(way, level)
    value, context = item.get("input"), item.get("ctx", {})
    shown = "what is written" if level.secret and way and way[-1] in level.secret else describe(value)
    if kind == "value_error":
        error = context["error"]
        text = str(error)
        joint = " " if text.startswith(("must ", "is ", "takes ")) else ": "
        return f"{label}{joint}{text}", getattr(error, "hint", "")
    if kind in EXPECTED:
        return f"{label} must be {EXPECTED[kind]}, not {shown}", _type_hint(kind, value)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{label} must be {words} {context[bound]}, not {shown}", ""
    if kind == "string_too_long":
        return f"{label} is longer than {context['max_length']} characters", "shorten it"
    if kind in _EMPTY:
        return f"{label} is empty", "write a value or remove the key"
    if kind == "literal_error":
        allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        close = nearest(value, allowed) if isinstance(value, str) else None
        return (
            f"{label} must be one of {', '.join(allowed)}, not {shown}",
            f"did you mean {close!r}?" if close else "",
        )
    return f"{label}: {item['msg']}", ""


def _label(way: Loc, level: Level) -> str:
    if not way:
        return f"{'an' if level.name[0] in 'aeiou' else 'a'} {level.name}"
    if isinstance(way[-1], int) and len(way) > 1:
        return f"item {way[-1] + 1} of {way[-2]!r}"
    return repr(way[-1])


def _type_hint(kind: str, value: object) -> str:
    if kind == "bool_type" and isinstance(value, str) and value.lower() in {"yes", "no", "on", "off"}:
        return "YAML 1.2 knows true and false alone; yes, no, on and off are text"
    if kind == "string_type" and isinstance(value, int | float):
        return "put it in quotes"
    if kind in {"list_type", "tuple_type"} and isinstance(value, Mapping):
        return "begin each of its entries with '- '"
    if isinstance(value, SecretRef):
        return "handing a secret to a probe is not yet supported"
    return ""
