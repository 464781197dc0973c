"""Values that a playbook's author writes and a record fills: template, JMESPath or constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import PlainValidator, WithJsonSchema

from ddcplay.filtering.options import ROW_NAMES, OptionError, check_template
from ddcplay.filtering.paths import JmesPath, PathError
from ddcplay.filtering.trouble import kind_of
from ddcplay.templating.environment import render_record
from ddcplay.templating.values import contains, is_template

_MAX_DEPTH = 20


class Value(Protocol):
    """Something that a record fills."""

    def of(self, subject: object, scope: Mapping[str, object]) -> object:
        """Return the value.

        Args:
            subject: what JMESPath looks into: the row, else the record's data.
            scope: what templates see.

        Raises:
            DdcplayError: it cannot be worked out.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """The same for every record."""

    value: object

    def of(self, subject: object, scope: Mapping[str, object]) -> object:  # noqa: ARG002 - the protocol
        """Return the value as written."""
        return self.value


@dataclass(frozen=True, slots=True)
class Found:
    """What a JMESPath expression finds."""

    path: JmesPath

    def of(self, subject: object, scope: Mapping[str, object]) -> object:  # noqa: ARG002 - the protocol
        """Search the row or the data."""
        return self.path.search(subject)


@dataclass(frozen=True, slots=True)
class Rendered:
    """Text, or lists and mappings of text, with `{{ }}`; a lone `{{ x }}` keeps its type."""

    template: object

    def of(self, subject: object, scope: Mapping[str, object]) -> object:  # noqa: ARG002 - the protocol
        """Render it."""
        return render_record(self.template, scope)


def read_value(written: object) -> Value:
    """Read a value: text with braces is a template, other text JMESPath, all else a constant.

    `{value: x}` takes x as it is, `{path: x}` says that x is JMESPath.

    Raises:
        OptionError: it is none.
    """
    if isinstance(written, Constant | Found | Rendered):
        return written
    if isinstance(written, Mapping) and set(written) == {"value"}:
        return Constant(_plain(written["value"]))
    if isinstance(written, Mapping) and set(written) == {"path"}:
        written = written["path"]
        if not isinstance(written, str):
            raise OptionError(f"path is JMESPath text, not {kind_of(written)}", at=("path",))
    elif not isinstance(written, str) or is_template(written):
        _plain(written)
        _check_texts(written)
        return Rendered(written) if is_template(written) else Constant(written)
    try:
        return Found(JmesPath(written))
    except PathError as error:
        raise OptionError(str(error), error.hint) from None


def _plain(value: object) -> object:
    """Refuse what JSON cannot hold: dates of YAML, secrets."""

    def strange(leaf: object) -> bool:
        return not (leaf is None or isinstance(leaf, str | bool | int | float))

    if contains(value, strange):
        raise OptionError(
            "a value is text, a number, true, false, null, or lists and mappings of these",
            "put dates in quotes; secrets have no place in data",
        )
    return value


def _check_texts(value: object, way: tuple[str | int, ...] = ()) -> None:
    if isinstance(value, str):
        try:
            check_template(value, ROW_NAMES)
        except OptionError as error:
            raise OptionError(str(error), error.hint, way) from None
    elif isinstance(value, Mapping):
        for key, part in value.items():
            _check_texts(part, (*way, str(key)))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_texts(part, (*way, index))


ValueOption = Annotated[Value, PlainValidator(read_value), WithJsonSchema({})]
"""An option that a record fills."""
