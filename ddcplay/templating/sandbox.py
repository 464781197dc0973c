"""The Jinja sandbox: what a template may do, and how much of it.

A playbook's author is trusted to mean well, not to make no mistakes, and record-time templates handle values
that targets sent. So a template reaches no Python internals, changes nothing, and every operation that makes
a big thing out of a small one is bounded before it runs.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ddcplay.model.inventory import SecretRef
from ddcplay.templating.filters import FILTERS

MAX_TEXT = 1024 * 1024
"""Characters a rendered text may have, and items or characters one operation may make."""

MAX_STEPS = 200_000
"""Rounds all `{% for %}` loops of one text may make together."""

_MAX_WIDTH = 100_000
_MAX_BITS = 4096
_WIDE_FORMAT = re.compile(r"\d{6,}")
_NESTED_FORMAT = re.compile(r"\{[^{}]*:[^{}]*\{")
_SIZED = (str, bytes, list, tuple)
# No text holds these, so `{% %}` and `{# #}` are ordinary characters in code (PowerShell uses them).
_OFF = {
    "block_start_string": "\ue000\ue001\ue000block",
    "block_end_string": "block\ue000\ue001\ue000",
    "comment_start_string": "\ue000\ue001\ue000comment",
    "comment_end_string": "comment\ue000\ue001\ue000",
}
_WIDENING_FILTERS = ("batch", "center", "format", "indent", "join", "replace", "round", "slice", "wordwrap")
_STEPS_KEY = " steps"  # a blank cannot stand in a variable's name


class TooBigError(Exception):
    """An operation would make more than a template may make."""


class UndefinedUseError(UndefinedError):
    """Something undefined was used.

    Args:
        message: Jinja's words.
        name: the name or field that is missing.
        owner: None when a variable is missing, else what was asked for the field.
    """

    def __init__(self, message: str | None = None, name: object = None, owner: object = None) -> None:
        super().__init__(message)
        self.name = name
        self.owner = owner


class NamedUndefined(StrictUndefined):
    """Undefined that can tell afterwards which name was missing."""

    __slots__ = ()

    def __init__(
        self, hint: str | None = None, obj: Any = None, name: str | None = None, exc: Any = UndefinedUseError
    ) -> None:
        if exc is UndefinedUseError or exc is UndefinedError:
            owner = obj if isinstance(obj, Mapping | list | tuple | str | int | float) else None
            exc = functools.partial(UndefinedUseError, name=name, owner=owner)
        super().__init__(hint, obj, name, exc)

    def fail(self) -> None:
        """Raise what any use of it would raise."""
        self._fail_with_undefined_error()


def _width_ok(*values: object) -> None:
    if any(isinstance(value, int) and abs(value) > _MAX_WIDTH for value in values):
        raise TooBigError(f"a width or count above {_MAX_WIDTH} is refused")


def _format_ok(text: object, values: Iterable[object]) -> None:
    if not isinstance(text, str):
        return
    if _WIDE_FORMAT.search(text):
        raise TooBigError(f"a width above {_MAX_WIDTH} is refused")
    if "*" in text or _NESTED_FORMAT.search(text):
        _width_ok(*values)


def _size_ok(size: int) -> None:
    if size > MAX_TEXT:
        raise TooBigError(f"an operation would make {size} characters or items; {MAX_TEXT} are allowed")


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse huge widths handed to a filter before it runs, and huge results after."""

    @functools.wraps(function)  # keeps Jinja's pass_environment mark
    def bounded(*args: Any, **kwargs: Any) -> Any:
        values = (*args, *kwargs.values())
        _width_ok(*(args[2:] if hasattr(function, "jinja_pass_arg") else args[1:]), *kwargs.values())
        texts = [value for value in values if isinstance(value, str)]
        if function.__name__ == "do_format" and texts:
            _format_ok(texts[0], values)
        if function.__name__ == "do_replace":
            _replace_ok(texts[-3:])
        result = function(*args, **kwargs)
        if isinstance(result, _SIZED):
            _size_ok(len(result))
        return result

    return bounded


def _replace_ok(texts: list[str]) -> None:
    if len(texts) == 3:
        text, old, new = texts
        _size_ok(len(text) + text.count(old) * len(new))


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """Count the rounds of every loop of one rendering together."""
    for item in items:
        steps = context.vars.get(_STEPS_KEY, 0) + 1
        if steps > MAX_STEPS:
            raise TooBigError(f"loops made more than {MAX_STEPS} rounds")
        context.vars[_STEPS_KEY] = steps
        yield item


def _joined(parts: list[Any]) -> str:
    """Do what `~` does, with a bound."""
    texts = [str(part) for part in parts]
    _size_ok(sum(map(len, texts)))
    return "".join(texts)


class _Bounds(NodeTransformer):
    """Put our bounds into a parsed template: loops are counted, `~` is measured."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja's visitor names methods so
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, " counted", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - Jinja's visitor names methods so
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, " joined", [], [], None, None, lineno=node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802 - Jinja's visitor names methods so
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        # Written out as Python, a slice of a number makes the compiler print a warning.
        ends = [end or nodes.Const(None) for end in (node.arg.start, node.arg.stop, node.arg.step)]
        return nodes.Filter(node.node, " sliced", ends, [], None, None, lineno=node.lineno)


def _sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
    return value[start:stop:step]


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja with our filters, bounds and rules.

    Args:
        context_class: how names are looked up.
        finalize: what happens to each `{{ }}` before it becomes text.
        code: leave `{% %}` and `{# #}` alone.
    """

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(
        self, context_class: type[Context], finalize: Callable[[Any], Any], *, code: bool = False
    ) -> None:
        options: dict[str, Any] = dict(_OFF) if code else {}
        super().__init__(
            undefined=NamedUndefined,
            finalize=finalize,
            keep_trailing_newline=True,
            autoescape=False,  # texts are commands and messages; HTML is escaped where it is written
            cache_size=0,
            **options,
        )
        self.context_class = context_class
        del self.globals["lipsum"]
        self.filters |= FILTERS
        self.filters |= {name: _bounded(self.filters[name]) for name in _WIDENING_FILTERS}
        self.filters |= {" counted": _counted, " joined": _joined, " sliced": _sliced}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse and put the bounds in; Jinja calls this for every template."""
        tree = _Bounds().visit(super()._parse(source, name, filename))
        assert isinstance(tree, nodes.Template)
        return tree

    def parse_bare(self, text: str) -> nodes.Expr:
        """Parse an expression that stands without braces.

        Raises:
            jinja2.TemplateSyntaxError: it is none, or something follows it.
        """
        parser = Parser(self, text, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            parser.fail("something follows the expression", parser.stream.current.lineno)
        expression.set_environment(self)
        bounded = _Bounds().visit(expression)
        assert isinstance(bounded, nodes.Expr)
        return bounded

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Find a mapping's field before its method: `data.items` is the field."""
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        if isinstance(obj, SecretRef):
            return self.unsafe_undefined(obj, attribute)
        if isinstance(obj, str | bytes) and attribute in {"expandtabs", "translate", "encode", "maketrans"}:
            return self.unsafe_undefined(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Find an item; nothing inside a secret's reference."""
        if isinstance(obj, SecretRef):
            return self.unsafe_undefined(obj, str(argument))
        return super().getitem(obj, argument)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method with its counts and sizes bounded."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str | bytes | int):
            self._method_ok(owner, getattr(function, "__name__", ""), args, kwargs)
        return super().call(context, function, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Bound the widths of `str.format`."""
        inner = super().wrap_str_format(value)
        if inner is None:
            return None

        def bounded(*args: Any, **kwargs: Any) -> str:
            mapped = [item for arg in args if isinstance(arg, Mapping) for item in arg.values()]
            _format_ok(value.__self__, (*args, *mapped, *kwargs.values()))
            return inner(*args, **kwargs)

        return bounded

    @staticmethod
    def _method_ok(owner: object, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        values = (*args, *kwargs.values())
        _width_ok(*values)
        if name == "replace" and isinstance(owner, str):
            _replace_ok([owner, *(value for value in values if isinstance(value, str))])
        if name == "join" and isinstance(owner, str) and values and isinstance(values[0], _SIZED | dict):
            _size_ok(len(owner) * len(values[0]))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse an operator that would make something huge, before it does."""
        if operator == "*":
            self._product_ok(left, right)
        elif operator == "**":
            self._power_ok(left, right)
        elif operator == "+" and isinstance(left, _SIZED) and isinstance(right, _SIZED):
            _size_ok(len(left) + len(right))
        elif operator == "%" and isinstance(left, str | bytes):
            values = right.values() if isinstance(right, Mapping) else right
            text = left if isinstance(left, str) else left.decode("latin-1")
            _format_ok(text, values if isinstance(values, tuple) else (values,))
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def _product_ok(left: Any, right: Any) -> None:
        for some, times in ((left, right), (right, left)):
            if isinstance(some, _SIZED) and isinstance(times, int):
                _size_ok(len(some) * max(times, 0))
        if isinstance(left, int) and isinstance(right, int):
            _bits_ok(left.bit_length() + right.bit_length())

    @staticmethod
    def _power_ok(left: Any, right: Any) -> None:
        if isinstance(left, int) and isinstance(right, int) and right > 0:
            _bits_ok(left.bit_length() * right)


def _bits_ok(bits: int) -> None:
    if bits > _MAX_BITS:
        raise TooBigError(f"a number of {bits} bits is refused; {_MAX_BITS} are allowed")


__all__ = ["MAX_TEXT", "NamedUndefined", "Sandbox", "SecurityError", "TooBigError", "UndefinedUseError"]
