from __future__ import annotations

import pickle

import pytest

from ddcplay.errors import Place, TemplateError
from ddcplay.templating.environment import Scope
from ddcplay.templating.expression import Expression

PLACE = Place("labs.yml", 7, 11)


def failure(text: str, **variables: object) -> str:
    with pytest.raises(TemplateError) as caught:
        Expression(text, PLACE).evaluate(variables)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("free < 10", True),
        ("free > 10 or name == 'pc1'", True),
        ("none", False),
        ("0", False),
        ("free", True),
        ("gone is defined", False),
        ("data.items | length == 2", True),
        ("data['items'][0] == 1", True),
        ("free in data.items", False),
    ],
)
def test_condition_is_true_or_false(text: str, expected: bool) -> None:
    assert Expression(text).evaluate({"free": 5, "name": "pc1", "data": {"items": [1, 2]}}) is expected


def test_braces_are_refused_with_the_bare_form() -> None:
    told = failure("{{ free < 10 }}", free=1)
    assert told.startswith("labs.yml:7:11: an expression stands without braces")
    assert "write it bare" in told


def test_undefined_name_is_refused_with_the_nearest() -> None:
    assert "did you mean 'free_pct'?" in failure("free_ptc < 10", free_pct=5)


@pytest.mark.parametrize(
    ("text", "kind"), [("name", "text"), ("xs", "a list"), ("d", "a dict"), ("'false'", "text")]
)
def test_result_that_is_neither_true_nor_false_is_refused(text: str, kind: str) -> None:
    told = failure(text, name="yes", xs=[1], d={})
    assert f"gives {kind}, neither true nor false" in told
    assert "compare it" in told


@pytest.mark.parametrize("text", ["free <", "a b", "", "free = 1", "}} x {{", "a }}"])
def test_text_that_is_no_expression_is_refused(text: str) -> None:
    assert "labs.yml:7:11" in failure(text, free=1, a=1, b=2)


def test_plan_time_variables_are_rendered_when_asked_for() -> None:
    assert Expression("site == 'lab-1'").evaluate(Scope([{"n": 1, "site": "lab-{{ n }}"}]))


def test_expression_crosses_a_process_border() -> None:
    expression = Expression("x > 1", PLACE)
    assert pickle.loads(pickle.dumps(expression)) == expression
