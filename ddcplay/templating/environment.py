"""Rendering at plan time and at record time, in one sandbox, with one kind of error.

At plan time (`render_value`) the values of variables may be templates themselves, as in Ansible, and are
rendered when they are used. At record time (`render_record`) values came from a target: they are never
templates, and a template cannot look anything up on the coordinator.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Template, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.utils import missing

from ddcplay.errors import Place
from ddcplay.model.inventory import SecretRef
from ddcplay.templating.explain import LoopError, VariableError, template_error
from ddcplay.templating.lookup import is_secret_name, look_up
from ddcplay.templating.sandbox import MAX_TEXT, Sandbox, TooBigError
from ddcplay.templating.values import (
    GuardedSecret,
    SecretUseError,
    contains,
    convert,
    guarded,
    is_template,
    plain,
    shown,
)

_RESULT = "ddcplay_result"
_SECRET_SCHEMES = frozenset({"env", "file", "keyring", "cmd", "plain"})
_NOWHERE = Place("")


class Scope(Mapping[str, object]):
    """The variables of one host at plan time; values that are templates are rendered when they are used.

    One scope serves one thread; what it rendered is kept, so a variable costs once.

    Args:
        layers: mappings of variables, the strongest first; their texts may be templates.
        facts: values that stand above all layers and are taken as they are (magic variables, static facts).
        host: inventory name, for error texts; empty leaves it out.
    """

    __slots__ = ("_busy", "_done", "_facts", "_layers", "host")

    def __init__(
        self,
        layers: Sequence[Mapping[str, object]],
        facts: Mapping[str, object] | None = None,
        host: str = "",
    ) -> None:
        self._layers = tuple(layers)
        self._facts = facts or {}
        self._done: dict[str, object] = {}
        self._busy: list[str] = []
        self.host = host

    def __getitem__(self, name: str) -> object:
        """Return a variable, rendered; secrets come as guards.

        Raises:
            KeyError: there is no such variable.
        """
        if name in self._facts:
            return self._facts[name]
        if name not in self._done:
            self._done[name] = self._rendered(name)
        return self._done[name]

    def __contains__(self, name: object) -> bool:
        return name in self._facts or any(name in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for layer in (self._facts, *self._layers) for name in layer))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def value(self, name: str, place: Place | None = None) -> object:
        """Return a variable, rendered, with secrets as `SecretRef`.

        Raises:
            KeyError: there is no such variable.
            TemplateError: it cannot be rendered.
        """
        try:
            return plain(self[name], secrets=True)
        except KeyError:
            raise
        except Exception as error:  # noqa: BLE001 - filters and Python's own operators raise anything
            raise template_error(error, self, place or _NOWHERE) from None

    def over(self, stronger: Mapping[str, object], position: int, facts: Mapping[str, object]) -> Scope:
        """Return a scope with one more layer at `position` (0 = strongest) and further facts."""
        layers = (*self._layers[:position], stronger, *self._layers[position:])
        return Scope(layers, {**self._facts, **facts}, self.host)

    def _rendered(self, name: str) -> object:
        value = next(layer[name] for layer in self._layers if name in layer)
        if isinstance(value, SecretRef) and value.scheme == "template":
            return guarded(_secret(self._render_once(name, value.value)))
        if is_template(value):
            value = self._render_once(name, value)
        # From `-e` or play vars a password comes as plain text; it is a secret all the same.
        connection_secret = name.startswith("ansible_") and is_secret_name(name)
        return guarded(_secret(value) if connection_secret else value)

    def _render_once(self, name: str, value: object) -> object:
        if name in self._busy:
            raise LoopError(" → ".join([*self._busy[self._busy.index(name) :], name]))
        self._busy.append(name)
        try:
            return _render(value, self, secrets=True, secret_name=is_secret_name(name))
        except (LoopError, VariableError):
            raise
        except Exception as error:
            raise VariableError(name) from error
        finally:
            self._busy.pop()


def _secret(value: object) -> object:
    """Wrap the text of a secret variable; a reference stays one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    scheme, colon, rest = str(value).partition(":")
    if colon and scheme in _SECRET_SCHEMES:
        return SecretRef(scheme, rest)
    return SecretRef("plain", str(value))


class _Lookups(Context):
    """Jinja's context over our mapping: nothing is copied, nothing is rendered before it is used."""

    variables: Mapping[str, object]
    secret_name: bool

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        if key in self.variables:
            value = self.variables[key]
            return GuardedSecret(value) if isinstance(value, SecretRef) else value
        if key == "lookup" and isinstance(self.variables, Scope):
            return self.look_up
        return self.parent.get(key, missing)

    def look_up(self, kind: object = "", name: object = "") -> object:
        """Serve `lookup(kind, name)`."""
        if not isinstance(kind, str) or not isinstance(name, str) or not name:
            raise ValueError("write lookup('env', 'NAME') or lookup('file', 'PATH')")
        return guarded(look_up(kind, name, secret=self.secret_name))


@lru_cache(maxsize=2)  # a memo: an environment is never changed after it was made
def _environment(code: bool) -> Sandbox:  # noqa: FBT001 - the key of the memo
    return Sandbox(_Lookups, shown, code=code)


@lru_cache(maxsize=4096)
def _compiled(text: str, code: bool) -> tuple[Template, bool]:  # noqa: FBT001 - the key of the memo
    """Compile a text once; the second value tells that it is one lone `{{ }}`, which keeps its type."""
    environment = _environment(code)
    tree = environment.parse(text)
    output = tree.body[0] if len(tree.body) == 1 else None
    if isinstance(output, nodes.Output) and len(output.nodes) == 1:
        node = output.nodes[0]
        if not isinstance(node, nodes.TemplateData):
            return _as_value(environment, node), True
    return environment.from_string(tree), False


@lru_cache(maxsize=4096)
def compiled_expression(text: str) -> Template:
    """Compile an expression that stands without braces.

    Raises:
        jinja2.TemplateSyntaxError: it is none.
    """
    environment = _environment(False)  # noqa: FBT003 - the key of the memo
    return _as_value(environment, environment.parse_bare(text))


def _as_value(environment: Sandbox, expression: nodes.Expr) -> Template:
    assign = nodes.Assign(nodes.Name(_RESULT, "store"), expression, lineno=1)
    tree = nodes.Template([assign], lineno=1)
    tree.set_environment(environment)
    return environment.from_string(tree)


def names_used(text: str, *, bare: bool = False) -> frozenset[str]:
    """Return the names that a template asks for and does not set itself; nothing is rendered.

    Args:
        text: a template, or an expression without braces.
        bare: it is an expression.

    Raises:
        TemplateError: it is none.
    """
    environment = _environment(False)  # noqa: FBT003 - the key of the memo
    try:
        if bare:
            tree = nodes.Template([nodes.Output([environment.parse_bare(text)], lineno=1)], lineno=1)
            tree.set_environment(environment)
        else:
            tree = environment.parse(text)
        return frozenset(find_undeclared_variables(tree) - environment.globals.keys())
    except Exception as error:  # noqa: BLE001 - Jinja and Python's compiler raise many kinds
        raise template_error(error, {}, _NOWHERE) from None


def value_of(template: Template, variables: Mapping[str, object], *, secret_name: bool = False) -> object:
    """Run a compiled expression and return its value, not yet checked."""
    context = _context(template, variables, secret_name=secret_name)
    for _ in template.root_render_func(context):
        pass
    return context.vars[_RESULT]


def _context(template: Template, variables: Mapping[str, object], *, secret_name: bool) -> _Lookups:
    context = _Lookups(template.environment, template.globals, template.name, template.blocks)  # type: ignore[arg-type]
    context.variables = variables
    context.secret_name = secret_name
    return context


def _render_text(
    text: str, variables: Mapping[str, object], *, code: bool, secrets: bool, secret_name: bool
) -> object:
    template, lone = _compiled(text, code)
    if lone:
        result = plain(value_of(template, variables, secret_name=secret_name), secrets=secrets)
        if isinstance(result, str) and len(result) > MAX_TEXT:
            raise TooBigError(f"the text has more than {MAX_TEXT} characters")
        return result
    pieces: list[str] = []
    length = 0
    for piece in template.root_render_func(_context(template, variables, secret_name=secret_name)):
        length += len(piece)
        if length > MAX_TEXT:
            raise TooBigError(f"the text has more than {MAX_TEXT} characters")
        pieces.append(piece)
    return "".join(pieces)


def _render(
    value: object,
    variables: Mapping[str, object],
    *,
    code: bool = False,
    secrets: bool = False,
    secret_name: bool = False,
) -> object:
    def leaf(item: object) -> object:
        if isinstance(item, SecretRef) and not secrets:
            raise SecretUseError(item)
        if not is_template(item, code=code):
            return item
        assert isinstance(item, str)
        return _render_text(item, variables, code=code, secrets=secrets, secret_name=secret_name)

    return convert(value, leaf)


def render_value(
    value: object,
    variables: Mapping[str, object],
    place: Place | None = None,
    *,
    code: bool = False,
    secrets: bool = False,
) -> object:
    """Render every text in a value at plan time; values from targets belong to `render_record`.

    Args:
        value: text, list, mapping or anything else; keys and `Unsafe` texts are left alone.
        variables: their values may be templates; a `Scope` keeps what it rendered and may hold plain facts.
        place: where the value stands, for errors.
        code: the body of `command`, `powershell` or `wmi`: `{% %}` and `{# #}` are ordinary characters.
        secrets: a secret may be the whole of a text (`env`, `stdin`, passwords); it stays a `SecretRef`.

    Returns:
        The value with its texts rendered; a text that is one lone `{{ x }}` becomes the value of x, with its
        type.

    Raises:
        TemplateError: something is undefined, unsafe, too big, no template, or a secret in the wrong place.
    """
    if not isinstance(variables, Scope):
        host = variables.get("inventory_hostname", "")
        variables = Scope([variables], host=host if isinstance(host, str) else "")
    return _render_or_explain(value, variables, place, code=code, secrets=secrets)


def render_record(value: object, record: Mapping[str, object], place: Place | None = None) -> object:
    """Render every text in a value at record time.

    Args:
        value: text, list or mapping that a person wrote.
        record: what a target sent and what is known of it; nothing in it is ever a template, and `lookup`
            does not exist.
        place: where the value stands, for errors.

    Returns:
        As `render_value`.

    Raises:
        TemplateError: as `render_value`; a secret is refused everywhere.
    """
    assert not isinstance(record, Scope), "a Scope renders its values"
    return _render_or_explain(value, record, place, code=False, secrets=False)


def _render_or_explain(
    value: object, variables: Mapping[str, object], place: Place | None, *, code: bool, secrets: bool
) -> object:
    try:
        if not is_template(value, code=code) and not contains(value, lambda x: isinstance(x, SecretRef)):
            return value
        return _render(value, variables, code=code, secrets=secrets)
    except Exception as error:  # noqa: BLE001 - filters and Python's own operators raise anything
        raise template_error(error, variables, place or _NOWHERE) from None
