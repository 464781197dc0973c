"""Filters that give data another shape: `set`, `pick`, `omit`, and `when`, which ends the chain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from ddcplay.filtering.base import DropRecord, Filter, FilterContext, Record
from ddcplay.filtering.json_values import MAX_LETTERS
from ddcplay.filtering.options import Condition, OptionError, Paths, short_form
from ddcplay.filtering.paths import JmesPath, PathError, omitted, picked, tree_of
from ddcplay.filtering.scope import RecordScope
from ddcplay.filtering.trouble import DataError, kind_of
from ddcplay.filtering.values import ValueOption, read_value
from ddcplay.templating.expression import Expression


class Set(Filter):
    """Adds fields to data, or replaces them.

    ::

        - set:
            used_pct: "{{ 100 - item.free_pct }}"      # a template; a lone {{ }} keeps its type
            system: "disks[?device=='C:'] | [0].free"  # JMESPath over data
            site: {value: lisbon}                      # text as it is; numbers, true, null need no braces

    Where data is a list of rows each row gets the fields: JMESPath looks into the row, templates see it as
    `item`. Every value is worked out over the data as it came. Where there is no data, a mapping is begun.
    """

    class Options(Filter.Options):
        """Field → value; every key is a field."""

        model_config: ClassVar[ConfigDict] = ConfigDict(
            extra="allow", strict=True, frozen=True, arbitrary_types_allowed=True
        )
        __pydantic_extra__: dict[str, ValueOption] = Field(init=False)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._fields = {name: read_value(value) for name, value in (options.model_extra or {}).items()}

    def process(self, record: Record, context: FilterContext) -> Record:
        """Return the record with the fields set."""
        scope = RecordScope(record, context)
        data = record.data
        if isinstance(data, list):
            return record.with_data(list(self._rows(data, scope)))
        if data is not None and not isinstance(data, Mapping):
            raise DataError(
                f"set needs a mapping or rows, data is {kind_of(data)}", "put `parse` or `pick` before it"
            )
        return record.with_data(self._filled(data or {}, scope))

    def _rows(self, rows: list[object], scope: RecordScope) -> Iterator[object]:
        letters = 0
        for row in rows:
            filled = self._row(row, scope.with_item(row))
            letters += sum(len(value) for name in self._fields if isinstance(value := filled[name], str))
            if letters > MAX_LETTERS:  # a whole output in each of its rows grows with its square
                raise DataError(
                    f"set makes more than {MAX_LETTERS >> 20} Mi letters", "put less into each row"
                )
            yield filled

    def _row(self, row: object, scope: RecordScope) -> dict[str, object]:
        if not isinstance(row, Mapping):
            raise DataError(
                f"set needs rows with fields, a row is {kind_of(row)}", "make rows mappings with `pick`"
            )
        return self._filled(row, scope)

    def _filled(self, row: Mapping[str, object], scope: RecordScope) -> dict[str, object]:
        return {**row, **{name: value.of(row, scope) for name, value in self._fields.items()}}


def _computed(value: object) -> object:
    """Read `pick`'s mapping form: name → JMESPath."""
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise OptionError(
                f"{name!r} must be JMESPath text, not {kind_of(text)}", "constants: use `set`", (name,)
            )
        found[name] = _jmespath(text, (name,))
    return found


def _jmespath(text: object, way: tuple[str | int, ...] = ()) -> object:
    if not isinstance(text, str):
        return text
    try:
        return JmesPath(text)
    except PathError as error:
        raise OptionError(str(error), error.hint, way) from None


def _conditions(value: object) -> object:
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) and value else value


class Pick(Filter):
    """Keeps some fields of data, or makes data of what an expression finds.

    ::

        - pick: [device, os.name]                    # these fields and no others, of data or of each row
        - pick: {device: DeviceID, free: FreeSpace}  # new name → JMESPath, over data or over each row
        - pick: "disks[?free_pct < `10`]"            # one JMESPath: what it finds becomes data

    A field that is not there becomes null, so that all samples have the same fields.
    """

    class Options(Filter.Options):
        """Exactly one of the three forms."""

        model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)
        fields: Paths | None = None
        names: Annotated[dict[str, JmesPath] | None, BeforeValidator(_computed)] = None
        path: Annotated[JmesPath | None, BeforeValidator(_jmespath)] = None

        @model_validator(mode="after")
        def _one_form(self) -> Self:
            if (self.fields, self.names, self.path).count(None) != 2:
                raise OptionError(
                    "pick takes a list of fields, a mapping of name to JMESPath, or one JMESPath text",
                    "write e.g.  pick: [device, free_pct]",
                )
            return self

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take the form by its type."""
        for key, kind in (("fields", list), ("names", Mapping), ("path", str)):
            if isinstance(written, kind):
                return {key: written}
        return {} if written is None else written

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._tree = tree_of(options.fields or ())

    def process(self, record: Record, context: FilterContext) -> Record:  # noqa: ARG002 - the contract
        """Return the record with what was picked."""
        return record.with_data(self._picked(record.data))

    def _picked(self, data: object) -> object:
        if self.options.path is not None:
            return self.options.path.search(data)
        if not isinstance(data, Mapping | list):
            raise DataError(f"pick needs fields, data is {kind_of(data)}", "put `parse` before it")
        if self.options.names is None:
            return picked(data, self._tree)
        if isinstance(data, list):
            return [self._named(row) for row in data]
        return self._named(data)

    def _named(self, row: object) -> dict[str, object]:
        return {name: path.search(row) for name, path in (self.options.names or {}).items()}


class Omit(Filter):
    """Leaves fields of data out.

    ::

        - omit: [sessions, disks.serial]   # of data, or of each row; what is not there does no harm
    """

    class Options(Filter.Options):
        """What is left out."""

        model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)
        fields: Paths

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take a field or a list of fields as `fields`."""
        return short_form(written, "fields", str, list)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._tree = tree_of(options.fields)

    def process(self, record: Record, context: FilterContext) -> Record:  # noqa: ARG002 - the contract
        """Return the record without the fields."""
        return record.with_data(omitted(record.data, self._tree))


class When(Filter):
    """Ends the chain for records that do not fulfil a condition; a list of conditions is AND.

    ::

        - when: "data.free_pct < 10"
        - when: ["data.users | length > 0", "'labs' in host.groups"]
    """

    class Options(Filter.Options):
        """The condition."""

        condition: Annotated[tuple[Condition, ...], BeforeValidator(_conditions)]

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text or a list as `condition`."""
        return short_form(written, "condition", str, list, bool)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._conditions = tuple(Expression(text) for text in options.condition)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Return the record as it is, or end its chain.

        Raises:
            DropRecord: a condition is false.
            TemplateError: a condition asks for a field that is not there.
        """
        scope = RecordScope(record, context)
        for condition in self._conditions:
            if not condition.evaluate(scope):
                raise DropRecord(f"when: {condition.text}")
        return record
