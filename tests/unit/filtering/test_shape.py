"""`set`, `pick`, `omit` and `when`: what data looks like afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ddcplay.errors import DdcplayError
from ddcplay.filtering.base import DropRecord
from ddcplay.filtering.trouble import DataError

DISKS = {"disks": [{"device": "C:", "free": 3, "size": 10}, {"device": "D:", "free": 9, "size": 10}]}


@pytest.mark.parametrize(
    ("filter_name", "written", "data", "expected"),
    [
        ("set", {"a": "{{ data.items + 1 }}"}, {"items": 3}, {"items": 3, "a": 4}),
        (
            "set",
            {"a": "{{ data.list }}"},
            {"list": [1, {"b": 2}]},
            {"list": [1, {"b": 2}], "a": [1, {"b": 2}]},
        ),
        ("set", {"a": "{{ host.name }}:{{ static.serial }}"}, {}, {"a": "pc1:S1"}),
        ("set", {"a": "{{ vars.limit }}", "b": "{{ record.outcome }}"}, None, {"a": 10, "b": "ok"}),
        ("set", {"low": "disks[?free < `5`].device | [0]"}, DISKS, {**DISKS, "low": "C:"}),
        ("set", {"low": "data.disks[0].free"}, DISKS, {**DISKS, "low": 3}),
        ("set", {"n": "missing.thing"}, {"x": 1}, {"x": 1, "n": None}),
        (
            "set",
            {"site": {"value": "{{ as it is }}"}, "n": 5, "t": True, "z": None},
            {},
            {"site": "{{ as it is }}", "n": 5, "t": True, "z": None},
        ),
        (
            "set",
            {"a": {"path": "x"}, "b": {"deep": ["{{ data.x }}"]}},
            {"x": 7},
            {"x": 7, "a": 7, "b": {"deep": [7]}},
        ),
        (
            "set",
            {"pct": "{{ 100 * item.free // item.size }}", "d": "device"},
            DISKS["disks"],
            [{**DISKS["disks"][0], "pct": 30, "d": "C:"}, {**DISKS["disks"][1], "pct": 90, "d": "D:"}],
        ),
        ("set", {"a": "b", "b": "a"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (
            "set",
            {"x": "{{ data.evil }}"},
            {"evil": "{{ 7 * 7 }}"},
            {"evil": "{{ 7 * 7 }}", "x": "{{ 7 * 7 }}"},
        ),
        ("set", {"x": "{{ vars.text }}"}, {}, {"x": "{{ 1 + 1 }}"}),
        ("pick", ["b", "a"], {"a": 1, "b": 2, "c": 3}, {"b": 2, "a": 1}),
        ("pick", ["os.name", "x"], {"os": {"name": "W", "v": 1}}, {"os": {"name": "W"}, "x": None}),
        ("pick", ["device"], DISKS["disks"], [{"device": "C:"}, {"device": "D:"}]),
        ("pick", ["disks[].device"], DISKS, {"disks": [{"device": "C:"}, {"device": "D:"}]}),
        ("pick", ["Free Space", '"a.b"'], {"Free Space": 1, "a.b": 2, "c": 3}, {"Free Space": 1, "a.b": 2}),
        (
            "pick",
            {"n": "device", "half": "size"},
            DISKS["disks"],
            [{"n": "C:", "half": 10}, {"n": "D:", "half": 10}],
        ),
        ("pick", {"count": "length(disks)"}, DISKS, {"count": 2}),
        ("pick", "data.disks[?free < `5`]", DISKS, [DISKS["disks"][0]]),
        ("pick", "[0]", [5, 6], 5),
        ("omit", "disks", {**DISKS, "x": 1}, {"x": 1}),
        (
            "omit",
            ["disks.free", "nothing.here"],
            DISKS,
            {"disks": [{"device": "C:", "size": 10}, {"device": "D:", "size": 10}]},
        ),
        ("omit", ["a", "a.b"], {"a": {"b": 1, "c": 2}}, {}),
        ("omit", ["a.b"], 5, 5),
    ],
)
def test_data_gets_the_shape_the_playbook_asks_for(
    bench: Any, filter_name: str, written: object, data: object, expected: object
) -> None:
    assert bench(filter_name, written).data(data) == expected


@pytest.mark.parametrize(
    ("filter_name", "written", "data", "message"),
    [
        ("set", {"a": "b"}, "text", "data is text"),
        ("set", {"a": "b"}, [1], "a row is a number"),
        ("set", {"a": "{{ data.nope }}"}, {}, "no field 'nope'"),
        ("set", {"a": "length(x)"}, {"x": 5}, "cannot be worked out"),
        ("pick", ["a"], None, "data is empty"),
        ("when", "data.x > 1", {"x": "text"}, "not supported"),
        ("when", "data.nope > 1", {}, "no field 'nope'"),
        ("when", "data.name", {"name": "yes"}, "neither true nor false"),
    ],
)
def test_data_that_does_not_fit_is_told_in_words(
    bench: Any, filter_name: str, written: object, data: object, message: str
) -> None:
    with pytest.raises(DdcplayError, match=message) as caught:
        bench(filter_name, written).data(data)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("filter_name", "written", "message"),
    [
        ("set", {"a": "{{ dta.x }}"}, "'dta' is undefined"),
        ("set", {"a": "{{ data.x"}, "not a template"),
        ("set", {"a": "{{ lookup('env', 'HOME') }}"}, "lookup"),
        ("set", {"a": "b[?"}, "no JMESPath"),
        ("set", {"a": {"path": 5}}, "JMESPath text, not a number"),
        ("set", {"a": ["{{ nope }}"]}, "'nope' is undefined"),
        ("pick", None, "pick takes"),
        ("pick", [], "empty"),
        ("pick", ["a", "a"], "twice"),
        ("pick", ["disks[0].free"], "is no field"),
        ("pick", {"a": 5}, "not a number"),
        ("pick", {"a": "]"}, "no JMESPath"),
        ("omit", None, "required"),
        ("omit", 5, "dictionary"),
        ("when", None, "required"),
        ("when", "{{ data.x }}", "without braces"),
        ("when", "data.x <", "no expression"),
        ("when", "free < 3", "'free' is undefined"),
        ("when", "item.free < 3", "'item' is undefined"),
        ("when", ["data.x", "dat.y"], "'dat' is undefined"),
    ],
)
def test_options_that_cannot_work_are_refused_when_they_are_read(
    bench: Any, filter_name: str, written: object, message: str
) -> None:
    with pytest.raises(ValidationError, match=f"(?i){message}"):
        bench(filter_name, written)


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ("data.items == 3", True),
        ("data.items > 3", False),
        (["data.items == 3", "'labs' in host.groups"], True),
        (["data.items == 3", "host.name == 'pc2'"], False),
        ("record.stdout == 'hello'", True),
        ("data.missing is defined and data.missing > 1", False),
        ("static.serial == 'S1'", True),
        ("none", False),
        (True, True),
        (False, False),
    ],
)
def test_a_record_passes_when_all_conditions_hold(bench: Any, condition: object, *, passes: bool) -> None:
    made = bench("when", condition)
    if passes:
        assert made.data({"items": 3}, stdout_bytes=b"hello") == {"items": 3}
    else:
        with pytest.raises(DropRecord, match="when: "):
            made.data({"items": 3}, stdout_bytes=b"hello")


def test_a_misspelt_name_is_told_the_nearest_one(bench: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        bench("when", "dta.x > 1")
    assert caught.value.errors()[0]["ctx"]["error"].hint == "did you mean 'data'?"


def test_the_whole_output_in_each_of_its_rows_is_refused(bench: Any) -> None:
    rows = [{"number": number} for number in range(2_000)]
    with pytest.raises(DataError, match="more than 64 Mi letters"):
        bench("set", {"all": "{{ record.stdout }}!"}).run(rows, stdout_bytes=b"x" * 100_000)


def test_an_output_is_decoded_once_for_all_rows(bench: Any) -> None:
    rows = [{"number": number} for number in range(50)]
    data = bench("set", {"all": "{{ record.stdout }}"}).data(rows, stdout_bytes=b"x" * 100_000)
    assert len({id(row["all"]) for row in data}) == 1
