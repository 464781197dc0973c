"""WQL as far as collectors use it: SELECT columns FROM class WHERE comparisons joined by AND and OR."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ddcplay.lab.wmi import Row, Value

_SELECT = re.compile(
    r"\s*select\s+(?P<columns>.+?)\s+from\s+(?P<name>\w+)(?:\s+where\s+(?P<where>.+?))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.)*\"|<>|!=|<=|>=|[=<>()]|[\w.+-]+)")


class WqlError(Exception):
    """The query is not valid."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query.

    Args:
        columns: None for `*`.
        name: of the class.
        where: tokens of the condition.
    """

    columns: tuple[str, ...] | None
    name: str
    where: tuple[str, ...] = ()

    def matches(self, row: Row) -> bool:
        """Say whether a row meets the condition."""
        if not self.where:
            return True
        tokens = iter([*self.where, ""])
        parser = _Condition(tokens, {key.lower(): value for key, value in row.items()})
        return parser.result()


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        WqlError: it is not one.
    """
    match = _SELECT.fullmatch(text)
    if match is None:
        raise WqlError("invalid query")
    columns = None
    if match["columns"].strip() != "*":
        columns = tuple(column.strip() for column in match["columns"].split(","))
        if not all(re.fullmatch(r"\w+", column) for column in columns):
            raise WqlError("invalid query")
    where, position = [], 0
    while match["where"] and position < len(match["where"]):
        token = _TOKEN.match(match["where"], position)
        if token is None:
            raise WqlError("invalid query")
        where.append(token[1])
        position = token.end()
    return Query(columns, match["name"], tuple(where))


@lru_cache(maxsize=1024)
def equality(query: Query) -> tuple[str, Value] | None:
    """Return column (lower case) and value of a condition that is one `=`, None for any other condition."""
    if len(query.where) != 3 or query.where[1] != "=":
        return None
    return query.where[0].lower(), _literal(query.where[2])


def is_equal(value: Value, wanted: Value) -> bool:
    """Say whether `=` holds; null equals nothing."""
    return value is not None and wanted is not None and _order(value, wanted) == 0


class _Condition:
    """Evaluates a condition for one row: OR of ANDs of comparisons, NOT and parentheses."""

    def __init__(self, tokens: Iterator[str], row: dict[str, Value]) -> None:
        self._tokens = tokens
        self._row = row
        self._next = next(tokens)

    def result(self) -> bool:
        found = self._either()
        if self._next:
            raise WqlError("invalid query")
        return found

    def _take(self) -> str:
        token = self._next
        if not token:
            raise WqlError("invalid query")
        self._next = next(self._tokens)
        return token

    def _either(self) -> bool:
        found = self._both()
        while self._next.lower() == "or":
            self._take()
            right = self._both()
            found = found or right
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._next.lower() == "and":
            self._take()
            right = self._one()
            found = found and right
        return found

    def _one(self) -> bool:
        token = self._take()
        if token.lower() == "not":
            return not self._one()
        if token == "(":
            found = self._either()
            if self._take() != ")":
                raise WqlError("invalid query")
            return found
        if token.lower() not in self._row:
            raise WqlError("invalid query")
        return self._compare(self._row[token.lower()])

    def _compare(self, value: Value) -> bool:
        operator = self._take().lower()
        if operator == "is":
            negated = self._next.lower() == "not" and bool(self._take())
            self._take()
            return (value is None) != negated
        wanted = _literal(self._take())
        if operator == "like":
            pattern = re.escape(str(wanted)).replace("%", ".*").replace("_", ".")
            return (
                value is not None and re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None
            )
        if value is None or wanted is None:
            return False
        order = _order(value, wanted)
        tests = {
            "=": order == 0,
            "<>": order != 0,
            "!=": order != 0,
            "<": order < 0,
            ">": order > 0,
            "<=": order <= 0,
            ">=": order >= 0,
        }
        if operator not in tests:
            raise WqlError("invalid query")
        return tests[operator]


def _literal(token: str) -> Value:
    if token[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    if token.lower() in ("true", "false"):
        return token.lower() == "true"
    if token.lower() == "null":
        return None
    try:
        return int(token)
    except ValueError:
        raise WqlError("invalid query") from None


def _order(value: Value, wanted: Value) -> int:
    """Compare as WMI does: numbers as numbers (also when quoted), all else as text whatever its case."""
    if isinstance(value, int) and isinstance(wanted, int | str):
        try:
            return (value > int(wanted)) - (value < int(wanted))
        except ValueError:
            pass
    left, right = str(value).lower(), str(wanted).lower()
    return (left > right) - (left < right)
