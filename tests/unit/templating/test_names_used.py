"""Which names a template asks for, told before it is rendered."""

from __future__ import annotations

import pytest

from ddcplay.errors import TemplateError
from ddcplay.templating.environment import names_used


@pytest.mark.parametrize(
    ("text", "bare", "names"),
    [
        ("{{ data.x }} {{ host.name }}", False, {"data", "host"}),
        ("{% for row in data.rows %}{{ row.x }}{% endfor %}", False, {"data"}),
        ("{% set a = 1 %}{{ a }}", False, set()),
        ("{{ range(3) | list }}", False, set()),
        ("{{ data.list[1:2] ~ x }}", False, {"data", "x"}),
        ("no template", False, set()),
        ("data.x < 10 and item.y", True, {"data", "item"}),
        ("x is defined", True, {"x"}),
    ],
)
def test_names_that_come_from_outside_are_found(text: str, *, bare: bool, names: set[str]) -> None:
    assert names_used(text, bare=bare) == names


@pytest.mark.parametrize(
    ("text", "bare"), [("{{ x", False), ("x <", True), ("a b", True), ("{{ x | nope }}", False)]
)
def test_what_is_no_template_is_refused(text: str, *, bare: bool) -> None:
    with pytest.raises(TemplateError):
        names_used(text, bare=bare)
