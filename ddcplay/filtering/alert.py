"""`alert`: holds a record, or each of its rows, against a condition; the board decides what people hear."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from ddcplay.errors import TemplateError
from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.options import (
    Duration,
    OptionError,
    Path,
    RowCondition,
    RowTemplate,
    check_expression,
    check_template,
)
from ddcplay.filtering.paths import FieldPath, JmesPath, PathError
from ddcplay.filtering.scope import NAMES, RecordScope
from ddcplay.model.alert import POOL_RULES, AlertCheck, AlertRule, CheckRow, Severity, Share
from ddcplay.templating.environment import render_record
from ddcplay.templating.expression import Expression

MAX_ROWS = 1000
"""Rows of one record that are held against a rule: a target must not make a million alerts."""
MAX_NAME = 100
MAX_MESSAGE = 2000
MAX_KEY = 200


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_NAME:
        raise OptionError(
            "a rule's name is one line of 1 to 100 characters", "write a short name such as low_disk"
        )
    if text in POOL_RULES:
        taken = ", ".join(sorted(POOL_RULES))
        raise OptionError(
            f"{text!r} is the name of a rule about the pool", f"choose another; taken are {taken}"
        )
    return text


def _conditions(value: object) -> object:
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) and value else value


def _rows_path(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return JmesPath("@" if value.strip() == "data" else value)
    except PathError as error:
        raise OptionError(str(error), error.hint) from None


def _severity(value: object) -> object:
    try:
        return Severity(value) if isinstance(value, str) else value
    except ValueError:
        words = ", ".join(Severity)
        raise OptionError(f"{value!r} is no severity", f"write one of {words}") from None


def _percent(value: object) -> object:
    number: object = value
    if isinstance(value, str) and value.strip().endswith("%"):
        number = value.strip()[:-1].strip()
    try:
        pct = float(number) if isinstance(number, str | int | float) else -1.0
    except ValueError:
        pct = -1.0
    if isinstance(value, float) and 0 < value < 1:  # Prometheus' way to write a half
        hint = f"write {100 * value:g}%, or '{value:g}%' when that little is meant"
        raise OptionError(f"{value!r} would be less than one percent of the hosts", hint)
    if isinstance(value, bool) or not 0 <= pct < 100:
        raise OptionError(
            f"{value!r} is no share of hosts", "write a percentage from 0% to below 100%, such as 30%"
        )
    return pct


def _interval(value: object) -> object:
    return None if value == "never" else value


def _positive(value: float | None) -> float | None:
    if value is not None and value <= 0:
        raise OptionError("reminders need some time between them", "write 4h, or never for no reminders")
    return value


class ShareOptions(Filter.Options):
    """`share: {of: GROUP, over: 30%}`."""

    of: str = ""
    over: Annotated[float, BeforeValidator(_percent)]


class Alert(Filter):
    """Raises an alert while a condition holds.

    ::

        - alert:
            name: low_disk
            each: data.disks                     # one check per row, seen as `item`; `data` for data itself
            key: device                          # what names a row
            when: "item.free_pct < 10"           # a list is AND
            after: 3                             # attempts in a row that reached the host
            for: 1h                              # and at least so long
            clear_after: 2                       # good ones in a row before it resolves
            severity: critical                   # info, warning (default), critical
            message: "{{ host.name }} {{ item.device }}: {{ item.free_pct }} % free"
            runbook: https://wiki.example.edu/low-disk
            repeat_interval: 1d                  # instead of the play's; never for no reminders
            share: {of: lab1, over: 30%}         # one alert about the group, none about each host

    A row whose condition cannot be told (a field is missing or null) leaves its alert as it is; so does a
    record in which there are no rows to be found. An empty list means that every row is gone.
    """

    class Options(Filter.Options):
        """The rule."""

        model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True)
        name: Annotated[str, AfterValidator(_name)]
        when: Annotated[tuple[RowCondition, ...], BeforeValidator(_conditions)]
        each: Annotated[JmesPath | None, BeforeValidator(_rows_path)] = None
        key: Path | None = None
        after: Annotated[int, Field(ge=1)] = 1
        for_s: Annotated[Duration, Field(alias="for")] = 0.0
        clear_after: Annotated[int, Field(ge=1)] = 1
        severity: Annotated[Severity, BeforeValidator(_severity)] = Severity.WARNING
        message: RowTemplate = ""
        runbook: str = ""
        repeat_interval: Annotated[Duration | None, BeforeValidator(_interval), AfterValidator(_positive)] = (
            None
        )
        share: ShareOptions | None = None

        @model_validator(mode="after")
        def _rows_or_record(self) -> Self:
            if self.each is not None:
                return self
            if self.key is not None:
                raise OptionError("key names a row, and there are no rows", "add each: data.disks", ("key",))
            for option, check, text in (
                *(("when", check_expression, text) for text in self.when),
                ("message", check_template, self.message),
            ):
                try:
                    check(text, NAMES)
                except OptionError as error:
                    hint = "`item` is a row: add each: data.disks" if "item" in str(error) else error.hint
                    raise OptionError(str(error), hint, (option,)) from None
            return self

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._when = tuple(Expression(text) for text in options.when)
        self._rule = AlertRule(options.after, options.for_s, options.clear_after, options.repeat_interval)
        share = options.share
        self._share = None if share is None else Share(share.of, share.over)
        self._said: set[str] = set()

    def process(self, record: Record, context: FilterContext) -> Record:
        """Return the record as it is; what the rule found goes with the context.

        Raises:
            DataError: `each` does not fit the data.
        """
        scope = RecordScope(record, context)
        if self.options.each is None:
            rows: tuple[CheckRow, ...] = (self._row("", scope, context),)
            complete = True
        else:
            items = self._items(self.options.each.search(record.data), context)
            if items is None:
                return record
            complete = len(items) <= MAX_ROWS
            rows = tuple(
                self._row(key, scope.with_item(item), context)
                for key, item in _named(items[:MAX_ROWS], self.options.key)
            )
        if not complete:
            self._say(context, "rows", f"more than {MAX_ROWS} rows: the rest is not looked at")
        context.emit(
            AlertCheck(
                self.options.name,
                rows,
                self._rule,
                self.options.severity,
                self.options.runbook,
                self._share,
                complete,
                own_repeat="repeat_interval" in self.options.model_fields_set,
            )
        )
        return record

    def _items(self, found: object, context: FilterContext) -> list[object] | None:
        """Return the rows; one mapping is one row, as PowerShell writes a list of one."""
        if found is None:
            path = self.options.each.text if self.options.each else ""
            self._say(context, "each", f"there is nothing at {path!r}, so nothing can be told")
            return None
        return found if isinstance(found, list) else [found]

    def _row(self, key: str, scope: RecordScope, context: FilterContext) -> CheckRow:
        try:
            bad = all(condition.evaluate(scope) for condition in self._when)
        except TemplateError as error:
            self._say(context, "when", f"the condition cannot be told: {error.message}")
            return CheckRow(key, None)
        return CheckRow(key, bad, self._message(key, scope, context))

    def _message(self, key: str, scope: RecordScope, context: FilterContext) -> str:
        plain = f"{context.host.name}: {self.options.name}" + (f" ({key})" if key else "")
        if not self.options.message:
            return plain
        try:
            return str(render_record(self.options.message, scope))[:MAX_MESSAGE]
        except TemplateError as error:
            self._say(context, "message", f"the message cannot be rendered: {error.message}")
            return plain

    def _say(self, context: FilterContext, about: str, text: str) -> None:
        """Log something once: what is wrong with one host's data tends to be wrong with all."""
        if about not in self._said:
            self._said.add(about)
            context.log.warning("alert %s, %s: %s (said once)", self.options.name, context.host.name, text)


def _named(items: list[object], key: FieldPath | None) -> Iterator[tuple[str, object]]:
    """Name each row: by its key, or by itself where it is text or a number, else by its position."""
    taken: set[str] = set()
    for position, item in enumerate(items, 1):
        value = _at(item, key) if key is not None else item
        if key is None and isinstance(item, Mapping | list):
            value = position
        name = unique = _text(value)
        again = 1
        while unique in taken:
            again += 1
            unique = f"{name}#{again}"
        taken.add(unique)
        yield unique, item


def _at(item: object, key: FieldPath) -> object:
    for part in key.parts:
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:MAX_KEY]
    return json.dumps(value, default=str)[:MAX_KEY]
