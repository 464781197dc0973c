"""`static` and `rate`: what is remembered from one record to the next."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddcplay.filtering.trouble import DataError
from ddcplay.model.effects import StaticFact


def test_a_fact_is_passed_once_and_again_when_it_changes(bench: Any) -> None:
    made = bench("static", ["serial", "tags"])
    seen = []
    for serial, tags in [("A", ["x"]), ("A", ["x"]), ("B", ["x"]), ("B", ["x", "y"])]:
        record, context = made.run({"serial": serial, "tags": tags, "load": 1})
        seen.append((record.data, [(fact.field, fact.value) for fact in context.effects]))
    assert seen == [
        ({"serial": "A", "tags": ["x"], "load": 1}, [("serial", "A"), ("tags", ["x"])]),
        ({"load": 1}, []),
        ({"serial": "B", "load": 1}, [("serial", "B")]),
        ({"tags": ["x", "y"], "load": 1}, [("tags", ["x", "y"])]),
    ]


def test_null_and_missing_facts_are_no_news(bench: Any) -> None:
    made = bench("static", "serial")
    made.run({"serial": "A"})
    assert made.run({"serial": None})[1].effects == []
    assert made.run({})[1].effects == []
    record, context = made.run({"serial": "A"})
    assert (record.data, context.effects) == ({}, [])


def test_the_state_of_a_long_fact_is_short(bench: Any) -> None:
    made = bench("static", "software")
    software = [f"program {number}" for number in range(1000)]
    assert made.run({"software": software})[1].effects == [StaticFact("software", software)]
    assert len(repr(made.state)) < 200
    assert made.run({"software": [*software]})[1].effects == []


def test_static_needs_fields(bench: Any) -> None:
    with pytest.raises(DataError, match="data is a list"):
        bench("static", "a").run([{"a": 1}])


def rates(made: Any, *steps: tuple[float, Any]) -> list[Any]:
    return [made.data(data, started_at=at) for at, data in steps]


def test_a_rate_is_the_growth_per_second_since_the_last_record(bench: Any) -> None:
    found = rates(bench("rate", "rx"), (100.0, {"rx": 10}), (110.0, {"rx": 60}), (130.0, {"rx": 60}))
    assert [data["rx_per_s"] for data in found] == [None, 5.0, 0.0]


@pytest.mark.parametrize(
    ("what", "before", "after", "at"),
    [
        ("counter reset", {"rx": 50}, {"rx": 10}, 110.0),
        (
            "machine restarted though the counter grew",
            {"rx": 5, "uptime_s": 50},
            {"rx": 60, "uptime_s": 3},
            110.0,
        ),
        ("clock went back", {"rx": 5}, {"rx": 60}, 90.0),
        ("no time passed", {"rx": 5}, {"rx": 60}, 100.0),
        ("was null", {"rx": None}, {"rx": 60}, 110.0),
        ("is null", {"rx": 5}, {"rx": None}, 110.0),
        ("is missing", {"rx": 5}, {}, 110.0),
        ("pause too long", {"rx": 5}, {"rx": 60}, 4000.0),
    ],
)
def test_no_rate_is_told_where_none_is_known(
    bench: Any, what: str, before: dict[str, Any], after: dict[str, Any], at: float
) -> None:
    made = bench("rate", {"fields": ["rx"], "max_gap": "1h"})
    assert rates(made, (100.0, before), (at, after))[1]["rx_per_s"] is None, what
    assert made.data({"rx": 1000}, started_at=at + 1)["rx_per_s"] == (
        None if "rx" not in after or after["rx"] is None else 1000 - after["rx"]
    )


def test_rows_are_told_apart_by_their_key_and_forgotten_when_they_vanish(bench: Any) -> None:
    made = bench("rate", {"fields": "rx", "each": "data.nics", "key": "dev"})

    def nics(**values: int) -> dict[str, Any]:
        return {"nics": [{"dev": name, "rx": value} for name, value in values.items()], "x": 1}

    found = rates(made, (0.0, nics(a=0, b=0)), (10.0, nics(b=20)), (20.0, nics(b=40, a=1000)))
    assert [[row["rx_per_s"] for row in data["nics"]] for data in found] == [[None, None], [2.0], [2.0, None]]
    assert set(made.state["values"]) == {"a", "b"}
    assert rates(made, (30.0, {"nics": []}))[0] == {"nics": []}
    assert made.state["values"] == {}


def test_a_key_that_is_there_twice_gives_no_rate(bench: Any) -> None:
    made = bench("rate", {"fields": "rx", "key": "dev"})
    rows = [{"dev": "a", "rx": 1}, {"dev": "a", "rx": 2}, {"dev": None, "rx": 3}]
    assert [row["rx_per_s"] for row in rates(made, (0.0, rows), (1.0, rows))[1]] == [None, None, None]


def test_64_bit_counters_lose_nothing(bench: Any) -> None:
    found = rates(bench("rate", "rx"), (0.0, {"rx": 2**64 - 100}), (10.0, {"rx": 2**64}))
    assert found[1]["rx_per_s"] == 10.0


@pytest.mark.parametrize("value", ["12", True, [1]])
def test_a_counter_that_is_no_number_is_refused(bench: Any, value: object) -> None:
    with pytest.raises(DataError, match="not a number"):
        bench("rate", "rx").run({"rx": value})


def test_rows_without_a_key_are_refused(bench: Any) -> None:
    with pytest.raises(ValueError, match="needs a key"):
        bench("rate", {"fields": "rx", "each": "nics"})
    with pytest.raises(DataError, match="needs a key"):
        bench("rate", "rx").run([{"rx": 1}])
    with pytest.raises(DataError, match="leads nowhere"):
        bench("rate", {"fields": "rx", "each": "nics", "key": "d"}).run({"disks": []})
    with pytest.raises(ValidationError, match="not a duration"):
        bench("rate", {"fields": "rx", "max_gap": "soon"})


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 1e6), st.one_of(st.none(), st.integers(0, 2**64), st.floats(0, 1e300)))
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_rate_is_never_negative_nor_infinite(bench: Any, steps: list[tuple[float, Any]]) -> None:
    made = bench("rate", "rx")
    for at, value in steps:
        rate = made.data({"rx": value}, started_at=at)["rx_per_s"]
        assert rate is None or 0 <= rate < float("inf")
