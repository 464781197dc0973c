"""The filter that keeps data: `store`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator

from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.json_values import check_json
from ddcplay.filtering.options import OptionError, short_form
from ddcplay.filtering.trouble import DataError, kind_of
from ddcplay.model.effects import Sample


def _key(value: object) -> object:
    if isinstance(value, str):
        if not value:
            raise OptionError("an empty key names no field", "write the field that names a row, or no key")
        return value
    if not isinstance(value, Mapping):
        raise OptionError(
            f"key is a field's name, or a mapping of list to field, not {kind_of(value)}",
            "write  key: device  or  key: {disks: device}",
        )
    for name, field in value.items():
        if not isinstance(name, str) or not isinstance(field, str) or not field:
            raise OptionError(
                f"the key of {name!r} must be a field's name", "write  key: {disks: device}", (str(name),)
            )
    return dict(value)


class Store(Filter):
    """Keeps the record's data as one sample in the database.

    ::

        - store                          # data as it is
        - store: device                  # data is a list of rows, `device` tells them apart
        - store: {key: {disks: device}}  # data is a mapping; the rows of its list `disks` have names
    """

    class Options(Filter.Options):
        """What names a row."""

        key: Annotated[str | dict[str, str], BeforeValidator(_key)] = ""

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text as `key`."""
        return short_form(written, "key", str)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._label = ""

    def placed(self, probe: str, label: str) -> None:  # noqa: ARG002 - the contract
        """Learn which `store` of the chain this is: samples of an attempt have different labels."""
        self._label = "" if label == "store" else label.removeprefix("store")

    def process(self, record: Record, context: FilterContext) -> Record:
        """Keep the data; the record goes on as it is.

        Raises:
            DataError: there is no data.
        """
        if record.data is None:
            raise DataError(
                "there is nothing to store: the record has no data",
                "put `parse` before it; the outputs themselves are in the archive anyway",
            )
        check_json(record.data)
        context.emit(Sample(record.data, self.options.key, self._label))
        return record
