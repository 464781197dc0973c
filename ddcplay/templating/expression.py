"""Bare expressions, as in `when`: no braces, one yes or no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jinja2 import Undefined

from ddcplay.errors import Place, TemplateError
from ddcplay.templating.environment import compiled_expression, value_of
from ddcplay.templating.explain import template_error


@dataclass(frozen=True, slots=True)
class Expression:
    """One condition as written; picklable, compiled when first used.

    Args:
        text: a Jinja expression without braces.
        place: where it stands, for errors.
    """

    text: str
    place: Place = field(default_factory=lambda: Place(""))

    def check(self) -> None:
        """Refuse what cannot be an expression, before any value is known.

        Raises:
            TemplateError: braces, or no valid expression.
        """
        where = self.place if self.place.file else None
        if "{{" in self.text or "{%" in self.text:
            raise TemplateError(
                f"an expression stands without braces: {self.text[:80]!r}",
                'write it bare, as in  when: "free_pct < 10"',
                where,
            )
        try:
            compiled_expression(self.text)
        except Exception as error:  # noqa: BLE001 - Jinja and Python's compiler raise many kinds
            refused = template_error(error, {}, self.place)
            message = refused.message.replace("not a template", f"{self.text[:80]!r} is no expression")
            raise TemplateError(message, "compare with ==, join with and/or/not", where) from None

    def evaluate(self, variables: Mapping[str, object]) -> bool:
        """Say whether the condition holds.

        Args:
            variables: a `Scope` at plan time, or plain values (never templates) at record time; a mapping's
                field is found before its method, so `data.items` is the field.

        Raises:
            TemplateError: no expression, something undefined, or a result that is neither true nor false nor
                a number nor None.
        """
        self.check()
        try:
            result = value_of(compiled_expression(self.text), variables)
            if isinstance(result, Undefined):
                str(result)  # raises, naming what is missing
        except Exception as error:  # noqa: BLE001 - filters and Python's own operators raise anything
            raise template_error(error, variables, self.place) from None
        if result is None or isinstance(result, bool | int | float):
            return bool(result)
        kind = "text" if isinstance(result, str) else f"a {type(result).__name__}"
        raise TemplateError(
            f"{self.text[:80]!r} gives {kind}, neither true nor false",
            "compare it (x == 'yes'), count it (x | length > 0) or write x | bool",
            self.place if self.place.file else None,
        )
