"""Types that options of filters share; what is wrong in one is told in words, with what to write instead.

Pydantic finds what is wrong and config gives it its place in the playbook: a validator here raises an
`OptionError`, whose `hint` goes below the message and whose `at` leads further into a nested value.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ddcplay.errors import TemplateError
from ddcplay.filtering.paths import FieldPath
from ddcplay.filtering.scope import NAMES
from ddcplay.filtering.trouble import kind_of
from ddcplay.templating.environment import names_used
from ddcplay.templating.expression import Expression
from ddcplay.units import parse_duration, parse_size

ROW_NAMES = NAMES | {"item"}
"""What templates see in filters that go through rows."""


class OptionError(ValueError):
    """An option that cannot be used.

    Args:
        message: what is wrong, in one sentence.
        hint: what to write instead.
        at: way inside the value, keys and numbers of items.
    """

    def __init__(self, message: str, hint: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.at = at


def short_form(written: object, key: str, *kinds: type) -> object:
    """Turn the short form of a filter's options into the mapping that its `Options` takes.

    Args:
        written: what stands after the filter's name; None stands for no options.
        key: the option that the short form stands for.
        kinds: types of the short form; anything else is left to `Options`.
    """
    if written is None:
        return {}
    return {key: written} if isinstance(written, kinds) else written


def check_template(text: str, names: frozenset[str]) -> str:
    """Refuse a text that is no template, or asks for a name that it will never see.

    Raises:
        OptionError: with what to write instead.
    """
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return text
    try:
        used = names_used(text)
    except TemplateError as error:
        raise OptionError(error.message, error.hint) from None
    _refuse_unknown(used, names)
    return text


def check_expression(text: str, names: frozenset[str]) -> str:
    """Refuse a text that is no bare expression, or asks for a name that it will never see.

    Raises:
        OptionError: with what to write instead.
    """
    try:
        Expression(text).check()
        used = names_used(text, bare=True)
    except TemplateError as error:
        raise OptionError(error.message, error.hint) from None
    _refuse_unknown(used, names)
    return text


def _refuse_unknown(used: frozenset[str], names: frozenset[str]) -> None:
    for name in sorted(used - names):
        if name == "lookup":
            raise OptionError(
                "lookup() does not exist in a filter", "values of a target never look anything up"
            )
        close = get_close_matches(name, sorted(names), n=1)
        known = ", ".join(sorted(names))
        hint = f"did you mean {close[0]!r}?" if close else f"a field of the data is written data.{name}"
        raise OptionError(f"{name!r} is undefined: a filter sees {known}", hint)


def _name_list(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise OptionError("an empty list names nothing", "name at least one field")
    for index, text in enumerate(value):
        if value.index(text) != index:
            raise OptionError(f"{str(text)!r} stands there twice", "remove one of them", (index,))
    return value


def _field_path(value: object) -> object:
    if isinstance(value, FieldPath):
        return value
    if not isinstance(value, str):
        raise OptionError(f"a field is text, not {kind_of(value)}", "write its name, put it in quotes")
    try:
        return FieldPath.parse(value)
    except ValueError as error:
        raise OptionError(str(error), getattr(error, "hint", "")) from None


def _whole_number(value: object) -> object:
    return parse_size(value) if isinstance(value, str | int) else value


def _seconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str | int | float) else value


Duration = Annotated[float, BeforeValidator(_seconds)]
"""`30s`, `15m`, `4h`, `30d` or seconds."""

Size = Annotated[int, BeforeValidator(_whole_number)]
"""`64KiB`, `1MiB` or bytes."""

Template = Annotated[str, AfterValidator(lambda text: check_template(text, NAMES))]
"""Text that is rendered for each record."""

RowTemplate = Annotated[str, AfterValidator(lambda text: check_template(text, ROW_NAMES))]
"""Text that is rendered for each row."""

Condition = Annotated[str, AfterValidator(lambda text: check_expression(text, NAMES))]
"""Bare expression over a record."""

RowCondition = Annotated[str, AfterValidator(lambda text: check_expression(text, ROW_NAMES))]
"""Bare expression over a row."""

Names = Annotated[tuple[str, ...], BeforeValidator(_name_list), AfterValidator(_not_empty)]
"""One name or a list of names."""

Path = Annotated[FieldPath, BeforeValidator(_field_path)]
"""One field, by its way through mappings: `os.name`; a quoted part may hold dots."""

Paths = Annotated[
    tuple[Path, ...], BeforeValidator(_name_list), AfterValidator(_not_empty), Field(min_length=1)
]
"""One field or a list of fields."""

Written = Mapping[str, object]
"""Options as they stand in a playbook."""
