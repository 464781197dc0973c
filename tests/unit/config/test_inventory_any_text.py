"""Whatever a file holds, reading it ends in an inventory or in an error of ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.config.inventory_files import load_inventory_with_warnings
from ddcplay.config.inventory_ranges import RangeError, expand_range
from ddcplay.config.inventory_views import inventory_list
from ddcplay.errors import DdcplayError

_INI = [
    *(
        "[",
        "]",
        "[a]",
        "[a:vars]",
        "[a:children]",
        "[b:children]",
        "[all:vars]",
        "\n",
        "\n",
        "a",
        "b",
        "pc[1:3]",
    ),
    *(
        "=",
        "x=1",
        " ",
        "'",
        '"',
        "\\",
        "#",
        ":",
        "ansible_password=",
        "ansible_group_priority=",
        "5",
        "{",
        "(",
        "-",
    ),
]
_YAML = [
    *(
        "all:",
        "a:",
        "b:",
        "\n",
        "\n  ",
        "\n    ",
        "hosts:",
        "children:",
        "vars:",
        " ",
        "pc[1:3]:",
        "- ",
        "[",
        "]",
    ),
    *(
        "{",
        "}",
        ",",
        "&x ",
        "*x",
        "<<: ",
        "!!int ",
        "!!timestamp ",
        "!!set ",
        "!vault ",
        "!unsafe ",
        "? ",
        "'",
        '"',
    ),
    *(
        "|",
        ">",
        "---",
        "...",
        "%YAML 1.1",
        "\t",
        "2026-99-99",
        "0x",
        "0b_",
        "1:99",
        "=",
        "~",
        "ansible_password: ",
        "#",
    ),
]
_SETTINGS = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _text(words: list[str]) -> st.SearchStrategy[str]:
    piece = st.one_of(st.sampled_from(words), st.text(max_size=3))
    return st.lists(piece, max_size=25).map("".join)


def _read(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        loaded = load_inventory_with_warnings([str(path)])
    except DdcplayError as error:
        assert error.exit_code == 2  # noqa: PT017 - an inventory is the other good outcome
        return
    assert set(loaded.inventory.members("all")) == set(loaded.inventory.hosts)
    inventory_list(loaded.inventory)


@_SETTINGS
@given(text=_text(_INI))
def test_any_ini_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    _read(tmp_path / "h.ini", text)


@_SETTINGS
@given(text=_text(_YAML))
def test_any_yaml_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    _read(tmp_path / "h.yml", text)


@_SETTINGS
@given(raw=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "h"
    path.write_bytes(raw)
    try:
        load_inventory_with_warnings([str(path)])
    except DdcplayError as error:
        assert str(error)  # noqa: PT017 - an inventory is the other good outcome


@given(first=st.integers(0, 300), count=st.integers(1, 300), step=st.integers(1, 40), width=st.integers(0, 5))
def test_range_holds_every_step_up_to_its_end(first: int, count: int, step: int, width: int) -> None:
    last = first + count
    low, high = str(first).zfill(width), str(last).zfill(width)
    if low.startswith("0") and len(low) > 1 and len(low) != len(high):
        with pytest.raises(RangeError):
            expand_range(f"a[{low}:{high}:{step}]z")
        return
    padded = width if low.startswith("0") and len(low) > 1 else 0
    expected = [f"a{str(n).zfill(padded)}z" for n in range(first, last + 1, step)]
    assert expand_range(f"a[{low}:{high}:{step}]z") == expected


def test_the_last_of_several_ranges_runs_fastest() -> None:
    assert expand_range("[a:b][1:2]x") == ["a1x", "a2x", "b1x", "b2x"]
