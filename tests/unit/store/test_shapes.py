"""Tables learnt from samples: names, types, lists of rows."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.store.shapes import Shapes, TableShape, as_rows, column_values, is_moment, named_apart


def tables(*documents: object, key: object = "", probe: str = "usage") -> dict[str, TableShape]:
    shapes = Shapes(probe)
    shapes.add("", documents, key)
    return {table.name: table for table in shapes.tables()}


def types(table: TableShape) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


def test_each_field_has_the_type_that_was_seen() -> None:
    found = tables(
        {"a": 1, "b": 1.5, "c": "x", "d": True, "e": "2026-01-01T00:00:00Z", "f": [1, 2], "g": None},
        {"a": None, "b": 2, "c": None, "d": None, "e": None, "f": None, "g": None},
    )["usage"]
    assert types(found) == {
        "a": "integer", "b": "number", "c": "text", "d": "truth", "e": "time", "f": "json", "g": "text",
    }  # fmt: skip
    assert [column.filled for column in found.columns] == [1, 2, 1, 1, 1, 1, 0]


def test_a_counter_of_64_bits_without_sign_stays_whole() -> None:
    assert types(tables({"n": 2**64 - 1}, {"n": 0})["usage"]) == {"n": "unsigned"}
    assert types(tables({"n": 2**63}, {"n": -1})["usage"]) == {"n": "text"}


def test_lists_of_rows_become_tables_of_their_own() -> None:
    found = tables(
        {"n": 1, "disks": [{"device": "C:", "free": 5}, {"device": "D:", "free": None}], "none": []},
        {"n": 2, "disks": [], "none": []},
        key={"disks": "device"},
    )
    assert set(found) == {"usage", "usage_disks"}
    assert types(found["usage"]) == {"n": "integer", "none": "json"}
    disks = found["usage_disks"]
    assert (disks.rows, disks.key, disks.path) == (2, "device", ("disks",))
    assert disks.leading == ("host", "iteration", "started_at", "row")


def test_data_that_is_a_list_of_rows_is_one_table() -> None:
    found = tables([{"DeviceID": "C:"}, {"DeviceID": "D:"}], key="DeviceID", probe="disks")
    assert set(found) == {"disks"}
    assert (found["disks"].rows, found["disks"].key, found["disks"].path) == (2, "DeviceID", ())


def test_nested_mappings_are_laid_open_and_names_stay_apart() -> None:
    found = tables({"a": {"b": 1, "c": {"d": "x"}}, "a_b": 2, "A_B": 3, "host": "self", "ä b\"'": 4})["usage"]
    assert types(found).keys() == {"a_b", "a_c_d", "a_b_2", "A_B_3", "host_2", "ä_b"}


def test_plain_values_are_the_field_value() -> None:
    assert types(tables(5, None, 7)["usage"]) == {"value": "integer"}


def test_a_hostile_number_of_fields_has_an_end() -> None:
    found = tables({f"k{n}": n for n in range(1500)})["usage"]
    assert (len(found.columns), found.left_out) == (1000, 500)


def test_tables_are_never_called_as_another_one_is() -> None:
    both = (*tables({"disks": [{"a": 1}]}).values(), *tables({"b": 1}, probe="usage_disks").values())
    assert [table.name for table in named_apart(both, ["USAGE"])] == [
        "probe_usage",
        "usage_disks",
        "probe_usage_disks",
    ]


def test_mixed_values_become_text_without_loss() -> None:
    rows = as_rows([{"v": 1}, {"v": "one"}, {"v": True}, {"v": None}])
    column = tables(*rows)["usage"].columns[0]
    assert (column.type, column_values(rows, column)) == ("text", ["1", "one", "true", None])


@pytest.mark.parametrize("text", ["2026-01-01", "x2026-01-01T00:00:00Z", "2026-01-01T00:00:00"])
def test_what_has_no_zone_is_no_moment(text: str) -> None:
    assert not is_moment(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=6))
def test_whatever_was_stored_fits_its_tables(documents: list[object]) -> None:
    read = orjson.loads(orjson.dumps([*documents], default=str)) if _encodable(documents) else []
    kinds = {
        "truth": bool,
        "integer": int,
        "unsigned": int,
        "number": float,
        "text": str,
        "time": str,
        "json": str,
    }
    for table in tables(*read).values():
        assert len({column.name.casefold() for column in table.columns}) == len(table.columns)
        if table.path is not None:
            continue
        rows = as_rows([value for value in read if type(value) is not list])
        for column in table.columns:
            for value in column_values(rows, column):
                assert value is None or type(value) is kinds[column.type]


def _encodable(value: object) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
