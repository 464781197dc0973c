"""One suite over every filter of group `ddcplay.filters`: what a chain and a playbook may rely on."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from ddcplay import plugins
from ddcplay.filtering.base import DropRecord, Filter, FilterContext, HostView, Record
from ddcplay.model.effects import Effect
from ddcplay.model.result import Outcome, Reason

GROUP = "ddcplay.filters"
NAMES = plugins.names(GROUP)
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES: dict[str, list[object]] = {
    "alert": [
        {"name": "low", "each": "data.disks", "key": "device", "when": "item.free < 10"},
        {"name": "any", "when": "data"},
    ],
    "email": [None, "{{ data }} {{ record.stdout }}", {"subject": "{{ data }}", "immediate": True}],
    "notify": ["env:TEAMS_URL", {"url": "env:TEAMS_URL", "title": "{{ data }}", "text": "{{ data.disks }}"}],
    "omit": [["disks.free", "a"]],
    "parse": ["json", "csv", "kv", "table", {"format": "regex", "pattern": "(?P<a>.)"},
              {"format": "jc", "parser": "csv"}],
    "pick": [["disks.device", "a"], {"n": "disks"}, "disks[0]"],
    "rate": ["a", {"fields": ["free"], "each": "disks", "key": "device"}],
    "set": [{"a": "{{ data.disks }}", "b": "disks[0].free", "c": 5}],
    "static": [["a", "disks"]],
    "store": [None, {"key": {"disks": "device"}}],
    "textfile": [{"metrics": {"m": "a", "n": {"each": "disks", "value": "free", "labels": {"d": "device"}}}}],
    "when": ["data is mapping", "data.disks | length > 0"],
}  # fmt: skip
CASES = [(name, written) for name in NAMES for written in EXAMPLES.get(name, [])]

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["a", "disks", "device", "free", "items"]), st.text()),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
PLAUSIBLE = st.fixed_dictionaries(
    {
        "a": LEAVES,
        "disks": st.lists(
            st.fixed_dictionaries(
                {"device": LEAVES, "free": st.one_of(st.none(), st.integers(), st.floats(0, 100))}
            ),
            max_size=4,
        ),
    }
)


def make(name: str, written: object) -> Filter:
    kind = plugins.load(GROUP, name)
    options = kind.Options.model_validate(kind.options_from(written))
    assert not list(getattr(kind, "check_options", lambda _: ())(options))
    made = kind(options)
    getattr(made, "placed", lambda *_: None)("usage", name)
    assert isinstance(made, Filter)
    return made


def context(directory: Path, state: dict[str, Any], host: str = "pc1") -> FilterContext:
    view = HostView(host, ("labs",), {"limit": 10})
    return FilterContext(view, "exp", directory, state, logging.getLogger("test"), iteration=1000)


def frozen(record: Record) -> str:
    return json.dumps(record.data, sort_keys=False)


def run(made: Filter, record: Record, state: dict[str, Any], directory: Path) -> Record | None:
    """Run a record; returns None where the filter dropped or refused it, with a message."""
    before = frozen(record)
    given_context = context(directory, state)
    try:
        returned = made.process(record, given_context)
    except DropRecord:
        returned = None
    except Exception as error:  # noqa: BLE001 - what the contract allows, but not without words
        assert str(error).strip()  # noqa: PT017 - other data is fine
        returned = None
    assert frozen(record) == before, "the record was changed in place"
    json.dumps(given_context.state, allow_nan=False)
    assert all(isinstance(effect, get_args(Effect)) for effect in given_context.effects)
    if returned is not None:
        json.dumps(returned.data)
    return returned


def test_every_filter_is_in_this_suite() -> None:
    assert set(EXAMPLES) <= set(NAMES)
    assert set(NAMES) >= {
        "parse",
        "set",
        "pick",
        "omit",
        "when",
        "static",
        "rate",
        "store",
        "email",
        "notify",
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_fulfils_the_contract_and_says_how_it_is_written(name: str) -> None:
    kind = plugins.load(GROUP, name)
    assert issubclass(kind, Filter)
    assert issubclass(kind.Options, BaseModel)
    assert kind.Options.model_config.get("extra") == "forbid" or name == "set"
    assert f"- {name}" in (kind.__doc__ or "")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "set"])
def test_an_unknown_option_is_refused_by_its_name(name: str) -> None:
    kind = plugins.load(GROUP, name)
    options = kind.options_from({"bogus_option": 1})
    with pytest.raises(ValidationError, match="bogus_option"):
        kind.Options.model_validate(options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("written", [3.5, [[]], [None], {"": {}}, object(), {3: 4}, "", [], {}, None, True])
def test_strange_options_are_refused_or_taken_but_never_a_crash(name: str, written: object) -> None:
    kind = plugins.load(GROUP, name)
    try:
        options = kind.Options.model_validate(kind.options_from(written))
        found = list(getattr(kind, "check_options", lambda _: ())(options))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - some of them are fine
        return
    assert all(message for _, message, _ in found)


@pytest.mark.parametrize(("name", "written"), CASES)
@given(data=st.one_of(JSON, PLAUSIBLE), output=st.binary(max_size=60))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_data_goes_through_or_is_refused_in_words(
    tmp_path: Path, name: str, written: object, data: object, output: bytes
) -> None:
    made, state = make(name, written), {}
    record = Record("pc1", "usage", 1000, 1000.5, data=data, stdout_bytes=output)
    returned = run(made, record, state, tmp_path)
    if returned is not None:
        run(made, returned, state, tmp_path)
    unreached = Record("pc1", "usage", 1000, 1001.5, Outcome.UNAVAILABLE, Reason.NO_ANSWER)
    run(made, unreached, state, tmp_path)


@pytest.mark.parametrize(("name", "written"), CASES)
def test_it_takes_its_own_output_again(tmp_path: Path, name: str, written: object) -> None:
    made, state = make(name, written), {}
    data = {"a": 5, "disks": [{"device": "C:", "free": 3}, {"device": "D:", "free": 30}]}
    output = b'{"a": 1}' if written == "json" else b"a=1" if written == "kv" else b"a,b\n1,2\n"
    record = Record("pc1", "usage", 1000, 1000.5, data=copy.deepcopy(data), stdout_bytes=output)
    first = run(made, record, state, tmp_path)
    assert first is not None
    again = run(made, first, state, tmp_path)
    assert again is not None or (name, written) == ("pick", "disks[0]")


@pytest.mark.parametrize(("name", "written"), CASES)
def test_it_opens_ends_iterations_and_closes(tmp_path: Path, name: str, written: object) -> None:
    made, state = make(name, written), {}
    for call in (made.open, made.iteration_end, made.iteration_end, made.close, made.open):
        call(context(tmp_path, state, ""))
    json.dumps(state)


@pytest.mark.parametrize(("name", "written"), CASES)
def test_options_are_not_kept_for_changing(name: str, written: object) -> None:
    before = copy.deepcopy(written)
    make(name, written)
    assert written == before


def _entries(text: str) -> Iterator[tuple[str, object]]:
    """Yield filter entries of a YAML text, wherever `filters:` or a list of entries stands in it."""
    waiting = [yaml.safe_load(text)]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str) and here in NAMES:
            yield here, None
        elif isinstance(here, dict):
            named = [key for key in here if key in NAMES]
            if len(named) == 1 and set(here) <= {named[0], "on"}:
                yield named[0], here[named[0]]
            else:
                waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _documented() -> Iterator[tuple[str, str, object]]:
    for page in ("filters.md", "alerts.md"):
        if (DOCS / page).exists():
            text = (DOCS / page).read_text(encoding="utf-8")
            for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
                for name, written in _entries(block):
                    yield page, name, written
    for name in NAMES:
        examples = inspect.cleandoc(plugins.load(GROUP, name).__doc__ or "").split("::\n")[1:]
        for example in examples:
            lines = [line for line in example.split("\n") if not line.strip() or line.startswith(" ")]
            for found, written in _entries(textwrap.dedent("\n".join(lines))):
                yield "docstring", found, written


@pytest.mark.parametrize(("where", "name", "written"), list(_documented()))
def test_what_is_documented_is_accepted(where: str, name: str, written: object) -> None:
    assert make(name, written), where
