"""From whatever Jinja, a filter or an operator raises to a `TemplateError` a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache

from jinja2 import TemplateSyntaxError
from jinja2.exceptions import SecurityError, TemplateAssertionError

from ddcplay.errors import Place, TemplateError
from ddcplay.templating.sandbox import TooBigError, UndefinedUseError
from ddcplay.templating.values import SecretUseError


class LoopError(Exception):
    """Variables that refer to each other in a circle."""


class VariableError(Exception):
    """A variable's own template cannot be rendered; `__cause__` tells why.

    Args:
        name: the variable.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def template_error(error: Exception, variables: Mapping[str, object], place: Place) -> TemplateError:
    """Say what went wrong in a template, where and what to do; never shows a value.

    Args:
        error: what Jinja, a filter or an operator raised.
        variables: what the template saw, for the nearest known name and the host.
        place: where the template stands.
    """
    through = ""
    while isinstance(error, VariableError):
        through += f" (used by variable {error.name!r})"
        error = error.__cause__ if isinstance(error.__cause__, Exception) else ValueError("unknown")
    message, hint = _explained(error, variables)
    host = getattr(variables, "host", "")  # of a Scope
    on_host = f" on host {host}" if host else ""
    return TemplateError(f"{message}{through}{on_host}", hint, place if place.file else None)


def _explained(error: Exception, variables: Mapping[str, object]) -> tuple[str, str]:
    if isinstance(error, TemplateError):
        return error.message, error.hint
    if isinstance(error, UndefinedUseError):
        return _undefined(error, variables)
    if isinstance(error, SecretUseError):
        return (
            f"the secret {error.ref} would become part of a text that the target logs",
            "hand it over alone, as a whole value of `env:` or as `stdin:`",
        )
    if isinstance(error, LoopError):
        return f"variables refer to each other in a circle: {error}", "give one of them a plain value"
    if isinstance(error, TemplateAssertionError):
        return (
            error.message or "unknown filter or test",
            "Jinja's filters, win_quote, ps_quote and wql_quote exist",
        )
    if isinstance(error, TemplateSyntaxError):
        line = f" (line {error.lineno} of the text)" if error.lineno > 1 else ""
        return (
            f"not a template: {error.message}{line}",
            "text that is no template: `!unsafe` or `template: false`",
        )
    if isinstance(error, SecurityError):
        return f"not allowed in a template: {error}", "templates see plain values and filters only"
    if isinstance(error, TooBigError | RecursionError | MemoryError | OverflowError):
        return f"a template makes too much: {str(error) or type(error).__name__}", "shorten it"
    words = str(error) if isinstance(error, ValueError | TypeError | ArithmeticError) else ""
    return (
        f"a template cannot be rendered: {words[:200] or type(error).__name__}",
        "check the types of its values",
    )


def _undefined(error: UndefinedUseError, variables: Mapping[str, object]) -> tuple[str, str]:
    name = error.name if isinstance(error.name, str) else str(error.name)
    if error.owner is None:
        return f"variable {name!r} is undefined", _nearest(name, frozenset(map(str, variables)))
    fields = frozenset(map(str, error.owner)) if isinstance(error.owner, Mapping) else frozenset()
    return f"there is no field {name!r} in a {type(error.owner).__name__}", _nearest(name, fields)


@lru_cache(maxsize=256)  # many hosts lack the same name
def _nearest(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, sorted(known), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"define it, or write {{{{ {name} | default('…') }}}}"
