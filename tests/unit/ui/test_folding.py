from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.ui.folding import fold_hosts


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["pc"], "pc"),
        ([f"lab01-pc{n:02d}" for n in range(1, 13)], "lab01-pc[01:12]"),
        (["lab01-pc01", "lab01-pc02", "lab02-pc01"], "lab01-pc[01:02],lab02-pc01"),
        (["pc8", "pc9", "pc10", "pc11"], "pc[8:11]"),
        (["pc08", "pc09", "pc10"], "pc[08:10]"),
        (["pc9", "pc010"], "pc9,pc010"),
        (["pc1", "pc3"], "pc1,pc3"),
        (["pc2", "pc1"], "pc2,pc1"),
        (["pc1.x7.edu", "pc2.x7.edu"], "pc[1:2].x7.edu"),
        (["10.0.0.7", "10.0.0.8"], "10.0.0.[7:8]"),
        (["a1b", "a2b", "a2c"], "a[1:2]b,a2c"),
        (["pc٣", "pc٤"], "pc٣,pc٤"),
        (["pc99999999999999999999", "pc1"], "pc99999999999999999999,pc1"),
    ],
)
def test_neighbours_become_a_range(names: list[str], folded: str) -> None:
    assert fold_hosts(names) == folded


def test_what_does_not_fit_is_counted() -> None:
    names = [*(f"a{n}" for n in range(1, 5)), "x", *(f"b{n}" for n in range(1, 8)), "y"]

    assert fold_hosts(names, limit=2) == "a[1:4],x … 8 more"


@given(st.lists(st.text(st.characters(exclude_characters="[]:,"), min_size=1), max_size=8))
def test_any_name_can_be_folded(names: list[str]) -> None:
    assert isinstance(fold_hosts(names), str)


@given(st.lists(st.integers(0, 120), max_size=30), st.sampled_from(["pc{}", "pc{:02d}", "lab1-pc{:03d}x"]))
def test_unfolding_gives_the_same_names_in_the_same_order(numbers: list[int], form: str) -> None:
    names = [form.format(number) for number in numbers]

    assert list(_unfold(fold_hosts(names))) == names


def _unfold(text: str) -> Iterator[str]:
    for part in text.split(",") if text else ():
        head, bracket, rest = part.partition("[")
        if not bracket:
            yield part
            continue
        inner, _, tail = rest.partition("]")
        first, _, last = inner.partition(":")
        width = len(first) if first.startswith("0") else 0
        for number in range(int(first), int(last) + 1):
            yield f"{head}{str(number).zfill(width)}{tail}"
