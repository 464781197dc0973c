"""What may go into a template and what may come out: plain values, and secrets only as whole values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, NoReturn

from jinja2 import Undefined
from markupsafe import Markup

from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Unsafe
from ddcplay.templating.sandbox import MAX_TEXT, NamedUndefined, TooBigError

MAX_DEPTH = 40
"""How deep lists and mappings may be nested; YAML aliases can nest a list in itself."""

_PLAIN = (bool, int, float, str, bytes, dt.date, dt.time, dt.timedelta)


class SecretUseError(Exception):
    """A secret stands where it would become part of a text.

    Args:
        ref: the reference, safe to print.
    """

    def __init__(self, ref: SecretRef) -> None:
        super().__init__(f"the secret {ref} would become part of a text")
        self.ref = ref


class GuardedSecret:
    """Stands for a secret inside a template: it can be handed on whole, any other use raises.

    Not an `Undefined`, so that `is defined` is true and `default()` keeps it.
    """

    __slots__ = ("_ref",)

    def __init__(self, ref: SecretRef) -> None:
        self._ref = ref

    def _refuse(self, *_args: object, **_options: object) -> NoReturn:
        raise SecretUseError(object.__getattribute__(self, "_ref"))

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # the interpreter's own questions (pickle, copy) get the usual answer
            raise AttributeError(name)
        self._refuse()

    __str__ = __repr__ = __format__ = __bytes__ = __iter__ = __len__ = __contains__ = __getitem__ = _refuse
    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = __call__ = _refuse
    __add__ = __radd__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __sub__ = __rsub__ = _refuse
    __truediv__ = __floordiv__ = __pow__ = __neg__ = __pos__ = __int__ = __float__ = __index__ = _refuse


def secret_behind(guard: GuardedSecret) -> SecretRef:
    """Return the reference a guard stands for."""
    ref: SecretRef = object.__getattribute__(guard, "_ref")
    return ref


def convert(value: object, leaf: Callable[[object], object], depth: int = 0) -> object:
    """Rebuild nested lists and mappings, each leaf passed through `leaf`.

    Raises:
        TooBigError: nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise TooBigError(f"lists and mappings are nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {key: convert(item, leaf, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [convert(item, leaf, depth + 1) for item in value]
    if isinstance(value, tuple):
        return tuple(convert(item, leaf, depth + 1) for item in value)
    return leaf(value)


def contains(value: object, wanted: Callable[[object], bool], depth: int = 0) -> bool:
    """Say whether any leaf of nested lists and mappings is `wanted`.

    Raises:
        TooBigError: nested deeper than `MAX_DEPTH`.
    """
    if depth > MAX_DEPTH:
        raise TooBigError(f"lists and mappings are nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return any(contains(item, wanted, depth + 1) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains(item, wanted, depth + 1) for item in value)
    return wanted(value)


def guarded(value: object) -> object:
    """Replace every secret in a value by its guard; a value without secrets is returned as it is."""
    if not contains(value, lambda leaf: isinstance(leaf, SecretRef)):
        return value
    return convert(value, lambda leaf: GuardedSecret(leaf) if isinstance(leaf, SecretRef) else leaf)


def plain(value: object, *, secrets: bool) -> object:
    """Turn what an expression gave into a value that may leave the template.

    Args:
        value: the expression's result; iterators become lists.
        secrets: secrets may be in it (as references).

    Raises:
        SecretUseError: a secret where none may be.
        TooBigError: more than a template may make.
        TypeError: a function or another thing that is no value.
    """

    def leaf(item: object) -> object:
        if isinstance(item, Undefined):
            str(item)  # raises, naming what is missing
        if isinstance(item, GuardedSecret | SecretRef):
            ref = item if isinstance(item, SecretRef) else secret_behind(item)
            if not secrets:
                raise SecretUseError(ref)
            return ref
        if isinstance(item, Markup):
            return str(item)
        if item is None or isinstance(item, _PLAIN):
            return item
        if isinstance(item, AbstractSet | range | Iterator | ValuesView):
            assert isinstance(item, Iterable)
            return plain(_as_list(item), secrets=secrets)
        what = (
            "a function; call it with ()" if callable(item) else f"a {type(item).__name__}, which is no value"
        )
        raise TypeError(f"the expression gives {what}")

    return convert(value, leaf)


def _as_list(items: Iterable[Any]) -> list[Any]:
    taken = list(islice(items, MAX_TEXT + 1))
    if len(taken) > MAX_TEXT:
        raise TooBigError(f"an expression gives more than {MAX_TEXT} items")
    return taken


def shown(value: Any) -> object:
    """Prepare the value of a `{{ }}` that stands inside a text: nothing for None, no secret, no function."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value
    if isinstance(value, NamedUndefined):
        value.fail()
    result = plain(value, secrets=False)
    return "" if result is None else result


def is_template(value: object, *, code: bool = False) -> bool:
    """Say whether a value holds anything to render, looking into lists and mappings.

    Args:
        value: text, list, mapping or anything else.
        code: only `{{ }}` counts.
    """
    return contains(value, lambda leaf: _is_template_text(leaf, code=code))


def _is_template_text(value: object, *, code: bool) -> bool:
    if not isinstance(value, str) or isinstance(value, Unsafe) or "{" not in value:
        return False
    return "{{" in value or (not code and ("{%" in value or "{#" in value))
