"""A probe's chain: what goes through, what is thrown away, and what a failing filter costs."""

from __future__ import annotations

import copy
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import Place, TemplateError
from ddcplay.filtering.base import DropRecord, Filter, FilterContext, HostView, Record
from ddcplay.filtering.chain import Chain
from ddcplay.model.effects import MailItem, Sample
from ddcplay.model.playbook import FilterEntry
from ddcplay.model.result import Outcome, Reason

RECORD = Record("pc1", "usage", 100, 101.5, data={"free": 7})


class Step(Filter):
    """Does what it is told: adds an effect, counts in its state, then passes, drops or fails."""

    def __init__(self, does="pass"):
        super().__init__(Filter.Options())
        self.does = does
        self.calls = []

    def open(self, context):
        self.calls.append("open")
        if self.does == "closed":
            raise OSError("no licence")

    def process(self, record, context):
        self.calls.append(record.data)
        context.effects.append(Sample({"by": self.does}))
        context.state["runs"] = context.state.get("runs", 0) + 1
        if self.does == "drop":
            raise DropRecord("uninteresting")
        if self.does == "fail":
            raise KeyError("free")
        return record.with_data({"after": record.data})

    def iteration_end(self, context):
        context.effects.append(MailItem(self.does))
        if self.does == "fail":
            raise ValueError("not now")

    def close(self, context):
        self.calls.append("close")


class Free(Filter):
    """Runs one function as a filter."""

    def __init__(self, function):
        super().__init__(Filter.Options())
        self.function = function

    def process(self, record, context):
        return self.function(record, context)


def entry(label, on=(Outcome.OK,), **more):
    return FilterEntry(label.partition("#")[0], label=label, on=on, place=Place("labs.yml", 9, 11), **more)


def chain_of(filters, **more):
    entries = [entry(label, **more) for label in filters]
    return Chain("usage", entries, lambda one: filters[one.label])


def contexts(tmp_path="/nowhere", states=None):
    states = {} if states is None else states

    def context_of(label):
        return FilterContext(
            HostView("pc1"), "labs", tmp_path, states.setdefault(label, {}), logging.getLogger("chain")
        )

    return context_of


def only(function, **more):
    return chain_of({"own": Free(function)}, **more).run(RECORD, contexts())


def test_each_filter_gets_the_record_the_one_before_returned():
    first, second = Step(), Step()
    result = chain_of({"store": first, "store#2": second}).run(RECORD, contexts())
    assert result.record.data == {"after": {"after": {"free": 7}}}
    assert second.calls == [{"after": {"free": 7}}]
    assert [label for label, _ in result.effects] == ["store", "store#2"]
    assert (result.dropped, result.failure) == (None, None)


def test_labels_are_those_of_the_entries_in_order():
    assert chain_of({"store": Step(), "store#2": Step()}).labels == ("store", "store#2")


def test_an_empty_chain_returns_the_record_as_it_is():
    assert chain_of({}).run(RECORD, contexts()).record is RECORD


def test_a_filter_that_drops_ends_the_chain_and_keeps_what_was_done_before():
    after = Step()
    result = chain_of({"parse": Step(), "when": Step("drop"), "store": after}).run(RECORD, contexts())
    assert result.dropped == "uninteresting"
    assert result.failure is None
    assert [label for label, _ in result.effects] == ["parse", "when"]
    assert result.states == {"parse": {"runs": 1}, "when": {"runs": 1}}
    assert after.calls == []


def test_a_failure_throws_away_all_effects_and_states_and_gives_the_record_back_as_it_came():
    result = chain_of({"store": Step(), "own": Step("fail")}).run(RECORD, contexts())
    assert result.record is RECORD
    assert (result.effects, result.states) == ((), {})
    assert result.failure.label == "own"
    assert result.failure.message == "filter 'own' (labs.yml:9:11): KeyError: 'free'"
    assert "replay" in result.failure.hint


def test_a_failure_of_user_code_names_its_own_line():
    def breaks(record, _context):
        return record.with_data(json.loads("{nothing"))

    result = only(breaks, builtin=False, file=__file__)
    line = breaks.__code__.co_firstlineno + 1
    assert f"({__file__}, line {line}: " in result.failure.message
    assert "JSONDecodeError: Expecting property name" in result.failure.message


def test_an_error_of_ours_keeps_its_words_and_its_fix():
    def refuses(_record, _context):
        raise TemplateError("'fre' is undefined", "did you mean 'free'?")

    failure = only(refuses).failure
    assert failure.message == "filter 'own' (labs.yml:9:11): 'fre' is undefined"
    assert failure.hint == "did you mean 'free'?"


def test_a_failure_with_hostile_text_is_one_bounded_line():
    def breaks(_record, _context):
        raise ValueError("boo\r\nBcc: x@y\n" * 100_000)

    message = only(breaks).failure.message
    assert "\n" not in message
    assert "\r" not in message
    assert len(message) <= 500


def test_an_exception_whose_text_raises_is_a_failure_like_any_other():
    class Nasty(Exception):  # noqa: N818 - a name only
        def __str__(self):
            raise RuntimeError("again")

    def breaks(_record, _context):
        raise Nasty

    assert "Nasty: its text cannot be shown" in only(breaks).failure.message


def test_a_filter_that_leaves_the_program_fails_and_the_program_goes_on():
    def leaves(_record, _context):
        raise SystemExit(3)

    assert "SystemExit: 3" in only(leaves).failure.message


@pytest.mark.parametrize("returned", [None, {"free": 7}])
def test_a_filter_that_forgets_the_record_is_told_what_to_return(returned):
    assert "must return the record" in only(lambda _record, _context: returned).failure.message


def test_an_effect_that_is_none_is_a_failure():
    def adds(record, context):
        context.effects.append("mail it")
        return record

    assert "str in context.effects" in only(adds).failure.message


@pytest.mark.parametrize(
    ("outcome", "reason", "entered"),
    [
        (Outcome.OK, None, ["all", "good"]),
        (Outcome.FAILED, Reason.TIMEOUT, ["all", "bad"]),
        (Outcome.UNAVAILABLE, Reason.NO_ANSWER, ["all"]),
    ],
)
def test_on_says_which_outcomes_enter_a_filter(outcome, reason, entered):
    steps = {"all": Step(), "good": Step(), "bad": Step()}
    entries = [
        entry("all", tuple(Outcome)),
        entry("good"),
        entry("bad", (Outcome.FAILED,)),
    ]
    chain = Chain("usage", entries, lambda one: steps[one.label])
    result = chain.run(Record("pc1", "usage", 100, 101.5, outcome, reason), contexts())
    assert [label for label, _ in result.effects] == entered


def test_a_filter_that_wants_it_is_told_its_place():
    class Placed(Step):
        def placed(self, probe, label):
            self.calls.append((probe, label))

    filter_ = Placed()
    chain_of({"notify#2": filter_})
    assert filter_.calls == [("usage", "notify#2")]


# State


def test_a_filter_changes_a_copy_of_its_state():
    states = {"own": {"seen": [1]}}

    def counts(record, context):
        context.state["seen"].append(2)
        return record

    result = chain_of({"own": Free(counts)}).run(RECORD, contexts(states=states))
    assert result.states == {"own": {"seen": [1, 2]}}
    assert states == {"own": {"seen": [1]}}


def test_an_equal_state_is_not_told_whatever_the_order_of_its_keys():
    def turns(record, context):
        context.state = dict(reversed(context.state.items()))
        return record

    chain = chain_of({"own": Free(turns)})
    assert chain.run(RECORD, contexts(states={"own": {"a": 1, "b": (2,)}})).states == {}


def test_one_and_true_are_two_states():
    def sets(record, context):
        context.state["on"] = True
        return record

    chain = chain_of({"own": Free(sets)})
    assert chain.run(RECORD, contexts(states={"own": {"on": 1}})).states == {"own": {"on": True}}


def test_an_emptied_state_is_told():
    def forgets(record, context):
        context.state.clear()
        return record

    chain = chain_of({"own": Free(forgets)})
    assert chain.run(RECORD, contexts(states={"own": {"a": 1}})).states == {"own": {}}


def endless():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"at": object()}, "context.state['at'] is object"),
        ({"a": [{1: 2}]}, "context.state['a'][0] has the key 1"),
        ({"x": float("nan")}, "context.state['x'] is nan"),
        ({"x": b"raw"}, "context.state['x'] is bytes"),
        ({"x": endless()}, "levels deep"),
        ([1], "must stay a mapping, not list"),
        (None, "must stay a mapping, not NoneType"),
    ],
    ids=["object", "number as key", "nan", "bytes", "endless", "list", "none"],
)
def test_a_state_that_is_no_json_is_a_failure_that_says_where(state, words):
    def keeps(record, context):
        context.state = state
        return record

    result = only(keeps)
    assert words in result.failure.message
    assert result.states == {}


# open, iteration_end, close


def test_a_filter_is_opened_once_although_every_iteration_asks():
    step = Step()
    chain = chain_of({"own": step})
    chain.open(contexts())
    chain.open(contexts())
    assert step.calls == ["open"]


def test_a_filter_that_cannot_be_opened_fails_what_enters_it_until_a_later_try_succeeds():
    step = Step("closed")
    chain = chain_of({"store": Step(), "own": step})
    gathered = chain.open(contexts())
    words = "filter 'own' (labs.yml:9:11): OSError: no licence"
    assert [failure.message for failure in gathered.failures] == [words]
    assert chain.run(RECORD, contexts()).failure.message == words
    assert chain.run(RECORD, contexts()).effects == ()
    failed = Record("pc1", "usage", 100, 101.5, Outcome.FAILED, Reason.TIMEOUT)
    assert chain.run(failed, contexts()).failure is None
    step.does = "pass"
    assert chain.open(contexts()).failures == ()
    assert chain.run(RECORD, contexts()).failure is None


def test_the_end_of_an_iteration_costs_a_failing_filter_its_own_effects_only():
    chain = chain_of({"a": Step(), "b": Step("fail"), "c": Step()})
    chain.open(contexts())
    gathered = chain.iteration_end(contexts())
    assert [label for label, _ in gathered.effects] == ["a", "c"]
    assert [failure.label for failure in gathered.failures] == ["b"]


def test_only_open_filters_hear_of_the_end():
    step = Step("closed")
    chain = chain_of({"own": step})
    chain.open(contexts())
    assert chain.iteration_end(contexts()).effects == ()
    chain.close(contexts())
    assert step.calls == ["open"]


def test_a_closed_chain_can_be_opened_again():
    step = Step()
    chain = chain_of({"own": step})
    for _ in range(2):
        chain.open(contexts())
        chain.close(contexts())
    assert step.calls == ["open", "close", "open", "close"]


@given(st.lists(st.sampled_from(["pass", "drop", "fail"]), max_size=8))
def test_any_mix_of_filters_does_all_or_what_came_before_the_end(doings):
    data = {"rows": [1, {"a": "b"}]}
    record = Record("pc1", "usage", 100, 101.5, data=data)
    untouched = copy.deepcopy(data)
    labels = [f"f#{index}" for index in range(len(doings))]
    chain = chain_of({label: Step(does) for label, does in zip(labels, doings, strict=True)})
    result = chain.run(record, contexts())
    ends = next((index for index, does in enumerate(doings) if does != "pass"), len(doings))
    ending = doings[ends] if ends < len(doings) else "pass"
    reached = labels[: ends + (ending == "drop")] if ending != "fail" else []
    assert [label for label, _ in result.effects] == reached
    assert sorted(result.states) == sorted(reached)
    assert (result.failure is not None) == (ending == "fail")
    assert (result.dropped is not None) == (ending == "drop")
    assert data == untouched


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_json_state_comes_back_as_it_was_left(state):
    def keeps(record, context):
        context.state = state
        return record

    result = only(keeps)
    assert result.failure is None
    assert result.states == ({"own": state} if state else {})
