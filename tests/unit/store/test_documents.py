from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.store.documents import dump_document, load_document

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back_as_it_was(value: object) -> None:
    assert load_document(dump_document(value)) == value


@given(st.dictionaries(TEXT, st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert dump_document(value) == dump_document(dict(reversed(value.items())))


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, -(2**63) - 1, 10**400])
def test_integers_beyond_64_bits_stay_whole(number: int) -> None:
    assert load_document(dump_document({"n": [number, math.nan]})) == {"n": [number, None]}
    assert load_document(dump_document([number])) == [number]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ([math.nan, math.inf, -math.inf, 1.5], [None, None, None, 1.5]),
        ("a\0b\ud800c \N{GRINNING FACE}", "a\ufffdb?c \N{GRINNING FACE}"),
        ({"k\0": 1}, {"k\ufffd": 1}),
        ({1: "a", None: "b", 2.5: "d", (1, 2): "e"}, {"1": "a", "null": "b", "2.5": "d", "(1, 2)": "e"}),
        (dt.datetime(2026, 11, 22, 15, tzinfo=dt.UTC), "2026-11-22T15:00:00+00:00"),
        (dt.timedelta(minutes=1.5), 90.0),
        ([Decimal("1.5"), Decimal("0.1"), Decimal("NaN")], [1.5, "0.1", None]),
        (b"\x00\xff", "00ff"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ((1, (2,)), [1, [2]]),
    ],
)
def test_what_is_no_json_becomes_plain_json(value: object, stored: object) -> None:
    text = dump_document(value)
    assert load_document(text) == stored
    json.dumps(load_document(text), allow_nan=False)


def test_neither_a_cycle_nor_absurd_numbers_cost_an_attempt() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "nested deeper" in dump_document(loop)
    assert load_document(dump_document([10**5000])) == [hex(10**5000)]
