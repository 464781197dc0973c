"""Whatever stands in a file, the reader gives a playbook or a `ConfigError`, soon and without recursion."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.config.documents import DefaultsDocument, PlayDocument, ScheduleDocument
from ddcplay.config.playbook_check import check_playbook
from ddcplay.config.playbook_file import build_probe, read_playbook, slug
from ddcplay.config.values import check_file_name
from ddcplay.config.words import WrongValueError
from ddcplay.config.yaml_marks import parse_yaml
from ddcplay.errors import ConfigError
from ddcplay.model.playbook import Playbook

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
YAML_PIECES = st.sampled_from(
    [
        *"-:?,[]{}#&*!|>'\"%@`~ \n\t\\",
        *(
            "\n  ",
            "\n- ",
            ": ",
            "- ",
            "<<: ",
            "*a",
            "&a ",
            "!!int ",
            "!unsafe ",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
        ),
        *(
            "name",
            "hosts",
            "probes",
            "command",
            "schedule",
            "every",
            "0x1F",
            "1e999",
            ".nan",
            "null",
            "true",
            "\ufeff",
        ),
    ]
)
KEYS = st.sampled_from(
    sorted(
        {
            *PlayDocument.model_fields,
            *DefaultsDocument.model_fields,
            *ScheduleDocument.model_fields,
            *("command", "powershell", "wmi", "filters", "tasks", "from", "to", "days", "method", "attempts"),
        }
    )
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(
        [
            "15m",
            "22:00-06:00",
            "mon-fri 1:00-2:00",
            "{{ x }}",
            "{% x",
            "con",
            "UTC",
            "tcp",
            "auth",
            "64KiB",
            "9" * 400,
        ]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(KEYS, VALUES, max_size=6)


def either_reads_or_refuses(path: Path) -> None:
    try:
        playbook = read_playbook(path, render=lambda text, variables, place: text)
    except ConfigError as error:
        refused = error
    else:
        survives_what_follows(playbook)
        return
    assert refused.problems
    assert all(problem.place.file for problem in refused.problems)


def survives_what_follows(playbook: Playbook) -> None:
    check_playbook(playbook)
    for play in playbook.plays:
        for probe in play.probes:
            try:
                build_probe(probe, {probe.kind: probe.body, **probe.options}, "pc1")
            except ConfigError:
                continue


@QUICK
@given(text=st.text() | st.lists(YAML_PIECES, max_size=40).map("".join))
def test_arbitrary_text_is_read_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    either_reads_or_refuses(path)


@QUICK
@given(raw=st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "p.yml"
    path.write_bytes(raw)
    either_reads_or_refuses(path)


@QUICK
@given(play=MAPPINGS, probe=MAPPINGS)
def test_arbitrary_structures_are_read_or_refused(
    tmp_path: Path, play: dict[str, Any], probe: dict[str, Any]
) -> None:
    whole = [
        {"name": "x", "hosts": "a", **play, "probes": [{"name": "p", "command": "ver", **probe}]},
        {"name": "y", "hosts": "a", "probes": [{"name": "q", "powershell": "1"}], **play},
    ]
    path = tmp_path / "p.yml"
    path.write_text(json.dumps(whole), encoding="utf-8")
    either_reads_or_refuses(path)


@QUICK
@given(value=VALUES)
def test_arbitrary_documents_are_read_or_refused(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "p.yml"
    path.write_text(json.dumps(value), encoding="utf-8")
    either_reads_or_refuses(path)


@QUICK
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        # YAML 1.2 §7.4: a key on one line is at most 1,024 characters long, each may be twelve when escaped.
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=80), inner, max_size=4),
        max_leaves=15,
    )
)
def test_json_is_read_as_what_it_says(value: Any) -> None:
    marked = parse_yaml(json.dumps(value), "x.yml")
    assert marked.data == value
    assert not marked.problems


@given(name=st.text(max_size=80))
def test_a_slug_is_empty_or_can_name_a_file(name: str) -> None:
    word = slug(name)
    if word:
        with suppress(WrongValueError):  # a Windows device name is refused by the reader
            assert check_file_name(word) == word
        assert word.isascii()
        assert len(word) <= 64


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{a: " * 20_000, "- " * 50_000, "- x: " + "[" * 39 + "]" * 39, "? " * 5_000],
    ids=["brackets", "braces", "dashes", "deep value", "question marks"],
)
def test_deep_nesting_is_refused_and_never_a_recursion_error(text: str) -> None:
    with pytest.raises(ConfigError, match=r"nested deeper than 40 levels"):
        parse_yaml(text, "x.yml")


def test_halves_of_characters_are_joined_or_refused() -> None:
    assert parse_yaml(r'"\ud83d\ude00"', "x.yml").data == "😀"
    assert "lone surrogate" in parse_yaml(r'"\ud83d"', "x.yml").problems[0].message


def test_forty_levels_can_be_read() -> None:
    assert parse_yaml("[" * 39 + "x" + "]" * 39, "x.yml").data is not None


def test_depth_counts_through_aliases() -> None:
    lines = ["- &a0 [x]"] + [f"- &a{number} [*a{number - 1}]" for number in range(1, 60)]
    with pytest.raises(ConfigError, match="nested deeper"):
        parse_yaml("\n".join(lines), "x.yml")


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["- &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"- &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 30)]
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="more than 100000 values"):
        parse_yaml("\n".join(lines), "x.yml")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("22:00", "22:00"),
        ("2026-11-22", "2026-11-22"),
        ("0777", 777),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("~", None),
        ("'5'", "5"),
        ("! 5", "5"),
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(text, "x.yml").data
    assert found == value
    assert type(found) is type(value)
