"""The filter that makes data of what a program printed: `parse`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import regex
from pydantic import BeforeValidator, Field, field_validator

from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.json_values import check_json, read_json
from ddcplay.filtering.lines import Line, lines_of, text_of
from ddcplay.filtering.options import OptionError, short_form
from ddcplay.filtering.readers import KeyValues, csv_rows, first_line, regex_rows
from ddcplay.filtering.tables import table_rows
from ddcplay.filtering.trouble import DataError, kind_of
from ddcplay.filtering.typed import TypeName, Typing

Format = Literal["json", "csv", "kv", "regex", "table", "jc"]
"""Formats that `parse` knows."""

_TABULAR = frozenset({"csv", "table"})
_USED_BY: Mapping[str, frozenset[str]] = {
    "delimiter": frozenset({"csv", "kv"}),
    "header": _TABULAR,
    "pattern": frozenset({"regex"}),
    "parser": frozenset({"jc"}),
    "skip": _TABULAR | {"kv"},
    "ignore": _TABULAR | {"kv"},
    "decimal": _TABULAR | {"kv", "regex"},
    "thousands": _TABULAR | {"kv", "regex"},
}


def _header(value: object) -> object:
    if not isinstance(value, list | tuple | bool):
        raise OptionError(f"header is a list of names, true or false, not {kind_of(value)}")
    if isinstance(value, bool):
        return value
    if not value or not all(isinstance(name, str) and name.strip() for name in value):
        raise OptionError("header must be a list of names", "write  header: [device, free]")
    return tuple(value)


class Parse(Filter):
    """Makes data of an output.

    ::

        - parse: json
        - parse: {format: csv, delimiter: ";", decimal: ",", types: {serial: str, installed: datetime}}
        - parse: {format: csv, header: [name, free]}           # the output has no header line
        - parse: {format: kv, rows: true}                      # wmic … get … /value
        - parse: {format: regex, pattern: '^(?P<name>[^ ]+) +(?P<ms>[0-9]+) ms'}
        - parse: {format: table, ignore: "^The command completed"}
        - parse: {format: jc, parser: systeminfo}

    Numbers are typed by themselves (`types:` has the last word), empty fields are null, `NaN` and `Infinity`
    are null in JSON. csv, table and regex give a list of rows, kv one mapping; `rows: true` always gives a
    list, `rows: false` exactly one mapping. An output that is not as expected makes the attempt
    `failed: filter` and says in which line; so does an empty one, unless `rows: true` allows for no rows.
    """

    class Options(Filter.Options):
        """What is read and how."""

        format: Format
        of: Literal["stdout", "stderr"] = "stdout"
        rows: bool | None = None
        delimiter: str = Field(default="", max_length=10)
        header: Annotated[bool | tuple[str, ...], BeforeValidator(_header)] = True
        pattern: str = ""
        parser: str = ""
        skip: int = Field(default=0, ge=0)
        ignore: str = ""
        types: dict[str, TypeName] = Field(default_factory=dict)
        decimal: Literal[".", ","] = "."
        thousands: Literal["", ".", ",", " ", "'"] = ""
        datetime_format: str = ""

        @field_validator("pattern", "ignore")
        @classmethod
        def _compiles(cls, text: str) -> str:
            try:
                regex.compile(text)
            except regex.error as error:
                raise OptionError(f"not a regular expression: {error}", "test it with Python's re") from None
            return text

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text as `format`."""
        return short_form(written, "format", str)

    @classmethod
    def check_options(cls, options: Options) -> Iterable[tuple[tuple[object, ...], str, str]]:
        """Find options that do not go with the format, and what the format needs."""
        for name in sorted(options.model_fields_set & _USED_BY.keys()):
            if options.format not in _USED_BY[name]:
                fits = ", ".join(sorted(_USED_BY[name]))
                yield (name,), f"{name!r} has no meaning for format {options.format}", f"it belongs to {fits}"
        if options.format == "csv" and len(options.delimiter) > 1:
            yield ("delimiter",), "the delimiter of csv is one character", r'for a tab write "\t"'
        if options.thousands and options.thousands == options.decimal:
            yield ("thousands",), "thousands and decimal are the same mark", "one of them is another"
        if options.format == "regex":
            yield from _pattern_findings(options)
        if options.format == "jc":
            yield from _jc_findings(options)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        for _, message, hint in self.check_options(options):
            raise DataError(message, hint)
        self._typing = Typing(options.types, options.decimal, options.thousands, options.datetime_format)
        self._pattern = regex.compile(options.pattern, regex.MULTILINE | regex.VERSION0)
        self._ignore = regex.compile(options.ignore, regex.MULTILINE) if options.ignore else None

    def process(self, record: Record, context: FilterContext) -> Record:  # noqa: ARG002 - the contract
        """Return the record with the output's data.

        Raises:
            DataError: the output is not as expected.
        """
        text = text_of(record, self.options.of)
        if not text.strip():
            if self.options.rows:
                return record.with_data([])
            raise DataError(
                f"the program printed nothing on {self.options.of}",
                "write  rows: true  when nothing stands for no rows",
            )
        readers: Mapping[str, Callable[[str], object]] = {
            "json": self._json,
            "csv": self._csv,
            "kv": self._kv,
            "regex": self._regex,
            "table": self._table,
            "jc": self._jc,
        }
        return record.with_data(self._rowed(readers[self.options.format](text), text))

    def _rowed(self, data: object, text: str) -> object:
        """Apply `rows:`."""
        if self.options.rows is True and not isinstance(data, list):
            return [data]
        if self.options.rows is False and isinstance(data, list):
            if len(data) != 1:
                raise DataError(
                    f"{len(data)} rows, and rows: false expects exactly one; it begins {first_line(text)}",
                    "write  rows: true,  or leave rows: out",
                )
            return data[0]
        return data

    def _json(self, text: str) -> object:
        return self._retyped(read_json(text))

    def _retyped(self, data: object) -> object:
        if isinstance(data, list):
            return [self._typing.retyped(row) for row in data]
        return self._typing.retyped(data)

    def _lines(self, text: str) -> list[Line]:
        lines = lines_of(text, self.options.skip, self._ignore)
        if not lines and not self.options.rows:
            raise DataError("no line is left after skip: and ignore:", "write  rows: true  to allow for that")
        return lines

    def _csv(self, text: str) -> object:
        return self._named(*csv_rows(self._lines(text), self.options.delimiter, self.options.header))

    def _table(self, text: str) -> object:
        lines = self._lines(text)
        header = () if isinstance(self.options.header, bool) else self.options.header
        return self._named(*table_rows(lines, header)) if lines else []

    def _named(self, names: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]]) -> object:
        return [
            {
                name: self._typing.value(name, cell.strip(), number)
                for name, cell in zip(names, cells, strict=True)
            }
            for number, cells in rows
        ]

    def _kv(self, text: str) -> object:
        rows = self.options.rows is True
        blocks = KeyValues(self._lines(text), self.options.delimiter, rows=rows).read()
        typed = [(section, self._typed_block(fields)) for section, fields in blocks]
        if rows:
            return [_row(section, fields) for section, fields in typed if fields]
        data: dict[str, object] = {}
        for section, fields in typed:
            place = data
            if section:
                below = data.setdefault(section, {})
                place = below if isinstance(below, dict) else data
            place.update(fields)
        return data

    def _typed_block(self, fields: Mapping[str, Sequence[tuple[int, str]]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, texts in fields.items():
            values = [self._typing.value(name, text, number) for number, text in texts]
            found[name] = values[0] if len(values) == 1 else values
        return found

    def _regex(self, text: str) -> object:
        return [
            {name: self._typing.value(name, value, number) for name, value in groups.items()}
            for number, groups in regex_rows(self._pattern, text)
        ]

    def _jc(self, text: str) -> object:
        import jc  # noqa: PLC0415 - slow to import, and few chains need it

        try:
            data: Any = jc.parse(self.options.parser, text, quiet=True)
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise DataError(
                f"jc's {self.options.parser!r} cannot read the output: {type(error).__name__}: {first}",
                f"it begins {first_line(text)}: is it that program's?",
            ) from error
        check_json(data)
        return self._retyped(data)


def _row(section: str, fields: dict[str, object]) -> dict[str, object]:
    return {"section": section, **fields} if section else fields


def _pattern_findings(options: Parse.Options) -> Iterable[tuple[tuple[object, ...], str, str]]:
    if not options.pattern:
        yield (), "format regex needs a pattern", r"add  pattern: '(?P<name>\S+) +(?P<ms>\d+)'"
    elif not regex.compile(options.pattern).groupindex:
        yield ("pattern",), "the pattern has no named group", r"name what is wanted: (?P<name>\S+)"


def _jc_findings(options: Parse.Options) -> Iterable[tuple[tuple[object, ...], str, str]]:
    import jc  # noqa: PLC0415 - slow to import, and few chains need it

    hint = "`jc --help` lists them"
    if not options.parser:
        yield (), "format jc needs a parser", "add  parser: systeminfo"
        return
    known = {name.replace("-", "_") for name in jc.parser_mod_list()}
    if options.parser.replace("-", "_") not in known:
        yield ("parser",), f"jc has no parser {options.parser!r}", hint
    elif options.parser.endswith("_s"):
        yield ("parser",), f"{options.parser!r} is a streaming parser", f"write {options.parser[:-2]!r}"
