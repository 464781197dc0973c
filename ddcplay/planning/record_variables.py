"""A host's variables for its filters: rendered when a filter first asks, secrets left out.

Most filters ask for none, and a pool of ten thousand hosts has half a million variables; a plan that rendered
them all would wait for seconds. One variable that cannot be rendered is no reason to stop either: no probe
uses it, or planning would have said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ddcplay.errors import TemplateError
from ddcplay.model.inventory import SecretRef
from ddcplay.planning.variables import MAGIC_NAMES
from ddcplay.templating.environment import Scope
from ddcplay.templating.lookup import is_secret_name
from ddcplay.templating.values import contains


class RecordVariables(Mapping[str, object]):
    """What a host's filters see under `vars`, as plain values; used by one thread at a time.

    Args:
        scope: the host's variables as its play sees them.
    """

    __slots__ = ("_scope", "_values")

    def __init__(self, scope: Scope) -> None:
        self._scope: Scope | None = scope
        self._values: Mapping[str, object] = {}

    def __getitem__(self, name: str) -> object:
        return self._rendered()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rendered())

    def __len__(self) -> int:
        return len(self._rendered())

    def __repr__(self) -> str:
        return "RecordVariables(…)"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel as the plain values: a scope belongs to the process that plans."""
        return (dict, (dict(self),))

    def _rendered(self) -> Mapping[str, object]:
        if self._scope is not None:
            self._values = _values_of(self._scope)
            self._scope = None
        return self._values


def _values_of(scope: Scope) -> Mapping[str, object]:
    values: dict[str, object] = {}
    for name in scope:
        if name in MAGIC_NAMES or is_secret_name(name):
            continue
        try:
            value = scope.value(name)
        except TemplateError:
            continue
        if not contains(value, lambda part: isinstance(part, SecretRef)):
            values[name] = value
    return values
