"""What crosses the border between coordinator and filter process comes over whole, or is refused."""

from __future__ import annotations

import logging
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.filtering.base import FilterContext, HostView, Record
from ddcplay.filtering.wire import (
    MAX_EFFECTS,
    Frame,
    NotJsonError,
    WireError,
    dumps,
    loads,
    pack,
    read_context,
    read_effects,
    read_record,
    unpack,
    write_context,
    write_effects,
    write_record,
)
from ddcplay.model.alert import AlertCheck, AlertRule, CheckRow, Severity, Share
from ddcplay.model.effects import MailItem, Metric, Push, Sample, StaticFact
from ddcplay.model.result import Outcome, Reason, outcome_of

texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**90), 2**90) | numbers | texts,
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(texts, inside, max_size=4),
    max_leaves=12,
)
rows = st.builds(CheckRow, texts, st.none() | st.booleans(), texts)
rules = st.builds(AlertRule, st.integers(1, 99), numbers, st.integers(1, 99), st.none() | numbers)
effects = st.one_of(
    st.builds(Sample, json_values, texts | st.dictionaries(texts, texts), texts),
    st.builds(StaticFact, texts, json_values),
    st.builds(MailItem, texts, texts, st.booleans(), st.tuples(texts), st.tuples(texts, texts)),
    st.builds(Push, texts, texts, texts),
    st.builds(Metric, texts, texts, numbers, st.dictionaries(texts, texts), texts, texts),
    st.builds(
        AlertCheck,
        texts,
        st.lists(rows, max_size=3).map(tuple),
        rules,
        st.sampled_from(Severity),
        texts,
        st.none() | st.builds(Share, texts, numbers),
        st.booleans(),
        st.booleans(),
    ),
)


def reader(text: bytes):
    stream = BytesIO(text)

    def read(size: int) -> bytes:
        part = stream.read(size)
        if len(part) < size:
            raise EOFError
        return part

    return read


@given(st.lists(effects, max_size=5))
def test_effects_come_over_whole(given_effects):
    assert read_effects(write_effects(given_effects)) == given_effects


@given(json_values)
def test_json_comes_over_whole(value):
    assert loads(dumps(value)) == value


@given(json_values, st.binary(max_size=50), st.binary(max_size=50), st.none() | st.sampled_from(Reason))
def test_record_comes_over_whole(data, stdout, stderr, reason):
    outcome = Outcome.OK if reason is None else outcome_of(reason)
    record = Record("pc1", "p", 1, 1.5, outcome, reason, 7, 0.25, stdout, stderr, data, 850, "text")
    head, parts = write_record(record)
    frame = unpack(reader(pack(Frame({"record": head}, parts))))
    assert read_record(frame.head["record"], frame.parts) == record


@given(st.dictionaries(texts, json_values, max_size=3), st.dictionaries(texts, json_values, max_size=3))
def test_context_comes_over_whole(state, static):
    host = HostView("pc1", ("a", "b"), {"x": 1}, "a")
    log = logging.getLogger("test.wire")
    context = FilterContext(host, "e", Path("/nowhere/at/all"), state, log, static=static, iteration=5)
    back = read_context(write_context(context), log)
    assert (back.host, back.experiment, back.state, back.static) == (host, "e", state, static)
    assert back.iteration == 5
    assert not Path("/nowhere").exists()


def test_variables_that_are_no_json_arrive_as_text():
    context = FilterContext(
        HostView("pc1", vars={"day": date(2026, 1, 2)}), "e", Path("x"), {}, logging.getLogger("test.wire")
    )
    assert read_context(write_context(context), context.log).host.vars == {"day": "2026-01-02"}


@given(st.binary(max_size=200))
def test_bytes_of_anyone_are_refused(text):
    with pytest.raises((WireError, EOFError)):
        unpack(reader(text))
    with pytest.raises(WireError):
        read_effects(b"x" + text)


@given(json_values)
def test_json_of_anyone_is_no_effect(value):
    text = dumps([value])
    with pytest.raises(WireError):
        read_effects(text)


@pytest.mark.parametrize(
    "text",
    [
        b'[{"sample": {"data": 1}, "mail": {"text": "x"}}]',
        b'[{"mail": {"text": 5}}]',
        b'[{"mail": {"text": "x", "sender": "me"}}]',
        b'[{"check": {"name": "x", "rows": [], "severity": "deadly"}}]',
        b'[{"metric": {"file": "a", "name": "b", "value": null}}]',
        b"{}",
    ],
)
def test_half_an_effect_is_refused(text):
    with pytest.raises(WireError):
        read_effects(text)


def test_too_many_effects_are_refused():
    with pytest.raises(WireError):
        read_effects(write_effects([MailItem("x")] * (MAX_EFFECTS + 1)))


def test_too_large_a_body_is_refused_before_it_is_read():
    whole = pack(Frame({}, {"data": b"x" * 2_000_000}))
    with pytest.raises(WireError, match="2 MiB, more than the 1 MiB allowed"):
        unpack(reader(whole[:50]), 1024 * 1024)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [{"b": {1}}]}, r"a\[0\]\.b is a set"),
        ({1: 2}, "the key 1"),
        (b"x", "it is a bytes"),
        ({"when": date(2026, 1, 1)}, "when is a date"),
    ],
)
def test_what_is_no_json_is_named(value, said):
    with pytest.raises(NotJsonError, match=said):
        dumps(value)


def test_endless_nesting_is_refused():
    value: list[object] = []
    value.append(value)
    with pytest.raises(NotJsonError, match="too deeply"):
        dumps(value)


def test_half_a_surrogate_does_not_stop_a_record():
    assert loads(dumps({"name": "a\ud800"})) == {"name": "a?"}
