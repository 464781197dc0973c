"""What templates of a filter see, and what they never do."""

from __future__ import annotations

from typing import Any

import pytest

from ddcplay.errors import TemplateError
from ddcplay.filtering.base import Record
from ddcplay.filtering.scope import RecordScope
from ddcplay.model.result import Outcome, Reason
from ddcplay.templating.environment import render_record
from ddcplay.templating.expression import Expression

RECORD = Record(
    "pc1", "usage", 1000, 1000.5, Outcome.FAILED, Reason.EXIT_CODE, 3, 0.5, b"ol\x82", b"err",
    {"items": [1, 2], "keys": 5, "evil": "{{ 7 * 7 }}"}, codepage=850,
)  # fmt: skip


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ record.host }}/{{ record.probe }}/{{ record.iteration }}", "pc1/usage/1000"),
        ("{{ record.outcome }}: {{ record.reason }}, {{ record.exit_code }}", "failed: exit_code, 3"),
        ("{{ record.stdout }}{{ record.stderr }}", "ol\u00e9err"),
        ("{{ data.items }}", [1, 2]),
        ("{{ data.keys }}", 5),
        ("{{ data.evil }}", "{{ 7 * 7 }}"),
        ("{{ host.name }} {{ host.room }} {{ host.groups[0] }}", "pc1 room1 labs"),
        ("{{ vars.limit }}", 10),
        ("{{ static.serial }}", "S1"),
        ("{{ item.free }}", 7),
    ],
)
def test_a_template_sees_the_record_and_nothing_in_it_is_a_template(
    bench: Any, template: str, expected: object
) -> None:
    context = bench("email").context(static={"serial": "S1"})
    assert render_record(template, RecordScope(RECORD, context, {"free": 7})) == expected


@pytest.mark.parametrize(
    "template", ["{{ item.free }}", "{{ record.stdout_bytes }}", "{{ lookup('env', 'HOME') }}", "{{ nope }}"]
)
def test_what_a_filter_does_not_see_is_an_error(bench: Any, template: str) -> None:
    with pytest.raises(TemplateError):
        render_record(template, RecordScope(RECORD, bench("email").context()))


def test_a_row_that_is_null_is_a_row(bench: Any) -> None:
    scope = RecordScope(RECORD, bench("email").context())
    assert "item" not in scope
    assert Expression("item is none").evaluate(scope.with_item(None))
    assert set(scope) == {"record", "data", "host", "static", "vars"}
