"""What templates and `when` of a filter see (design §3): `record data item host static vars`.

Everything in here came from a target or from the inventory, so nothing in it is ever a template; texts of
outputs are decoded when a template asks for them and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ddcplay.filtering.base import FilterContext, HostView, Record

NAMES = frozenset({"record", "data", "host", "static", "vars"})
"""Names every filter's templates know; `item` comes to them where a filter goes through rows."""

_NO_ITEM = object()
_RECORD_FIELDS: Mapping[str, Callable[[Record], object]] = {
    "host": lambda record: record.host,
    "probe": lambda record: record.probe,
    "iteration": lambda record: record.iteration,
    "started_at": lambda record: record.started_at,
    "outcome": lambda record: record.outcome.value,
    "reason": lambda record: None if record.reason is None else record.reason.value,
    "exit_code": lambda record: record.exit_code,
    "elapsed_s": lambda record: record.elapsed_s,
    "stdout": lambda record: record.stdout,
    "stderr": lambda record: record.stderr,
}


class RecordView(Mapping[str, object]):
    """A record as templates see it: its fields without the raw bytes; outcome and reason are words.

    Args:
        record: what is shown.
    """

    __slots__ = ("_asked", "_record")

    def __init__(self, record: Record) -> None:
        self._record = record
        self._asked: dict[str, object] = {}
        """What was asked for already: a template of a thousand rows decodes an output once."""

    def __getitem__(self, name: str) -> object:
        if name not in self._asked:
            self._asked[name] = _RECORD_FIELDS[name](self._record)
        return self._asked[name]

    def __contains__(self, name: object) -> bool:
        return name in _RECORD_FIELDS

    def __iter__(self) -> Iterator[str]:
        return iter(_RECORD_FIELDS)

    def __len__(self) -> int:
        return len(_RECORD_FIELDS)


class RecordScope(Mapping[str, object]):
    """The names of one record; the class itself fulfils the protocol of `ddcplay.filtering.base`.

    Args:
        record: as it entered the filter.
        context: of the filter.
        item: the row, for filters that go through rows; left out, `item` is undefined.
    """

    __slots__ = ("_names",)

    def __init__(self, record: Record, context: FilterContext, item: object = _NO_ITEM) -> None:
        self._names: dict[str, object] = {
            "record": RecordView(record),
            "data": record.data,
            "host": _host(context.host),
            "static": context.static,
            "vars": context.host.vars,
        }
        if item is not _NO_ITEM:
            self._names["item"] = item

    def with_item(self, item: object) -> RecordScope:
        """Return the same names for another row."""
        other = object.__new__(RecordScope)
        other._names = {**self._names, "item": item}
        return other

    def __getitem__(self, name: str) -> object:
        return self._names[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _host(host: HostView) -> dict[str, object]:
    return {"name": host.name, "groups": list(host.groups), "vars": host.vars, "room": host.room}
