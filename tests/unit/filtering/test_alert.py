"""Filter `alert`: what it finds in records, and what it refuses when a playbook is read."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ddcplay.filtering.alert import MAX_ROWS, Alert
from ddcplay.filtering.base import FilterContext, HostView, Record
from ddcplay.filtering.trouble import DataError
from ddcplay.model.alert import AlertRule, CheckRow, Severity, Share


def alert(**written):
    written = {"name": "low_disk", **written}
    return Alert(Alert.Options.model_validate(Alert.options_from(written)))


def disks(**more):
    return alert(each="data.disks", key="device", when="item.free_pct < 10", **more)


@pytest.fixture
def found(tmp_path):
    """Return a function that sends data through a filter and returns its checks."""

    def run(made, *data, log=None):
        host = HostView("pc01", ("labs", "lab1"), {"least": 10}, "lab1")
        log = log or logging.getLogger("test")
        context = FilterContext(host, "usage", tmp_path, {}, log, static={"model": "OptiPlex"})
        for each in data:
            record = Record("pc01", "usage", 1, 1.0, data=each)
            assert made.process(record, context) is record
        return context.effects

    return run


def rows(checks):
    return [(row.key, row.bad) for check in checks for row in check.rows]


def test_a_record_as_a_whole(found):
    made = alert(when="data.users > 0 and vars.least == 10 and static.model == 'OptiPlex'")
    (check,) = found(made, {"users": 1})
    assert (check.name, check.complete, check.share, check.own_repeat) == ("low_disk", True, None, False)
    assert check.rows == (CheckRow("", True, "pc01: low_disk"),)
    assert rows(found(made, {"users": 0})) == [("", False)]


def test_one_check_per_row(found):
    data = {"disks": [{"device": "C:", "free_pct": 3}, {"device": "D:", "free_pct": 80}]}
    (check,) = found(disks(message="{{ host.name }} {{ item.device }}: {{ item.free_pct }} % free"), data)
    assert rows([check]) == [("C:", True), ("D:", False)]
    assert [row.message for row in check.rows] == ["pc01 C:: 3 % free", "pc01 D:: 80 % free"]
    assert check.complete


def test_all_options_reach_the_rule(found):
    made = disks(
        after=3,
        clear_after=2,
        severity="critical",
        runbook="https://wiki/x",
        repeat_interval="1d",
        share={"of": "lab1", "over": "30%"},
        **{"for": "1h"},
    )
    (check,) = found(made, {"disks": []})
    assert check.rule == AlertRule(after=3, for_s=3600.0, clear_after=2, repeat_s=86400.0)
    assert (check.severity, check.runbook, check.own_repeat) == (Severity.CRITICAL, "https://wiki/x", True)
    assert check.share == Share("lab1", 30.0)


@pytest.mark.parametrize("written", ["never", None])
def test_a_rule_can_do_without_reminders(found, written):
    (check,) = found(alert(when="true", repeat_interval=written), {})
    assert (check.rule.repeat_s, check.own_repeat) == (None, True)


def test_a_list_of_conditions_is_and(found):
    made = alert(when=["data.a > 1", "data.b > 1"])
    assert rows(found(made, {"a": 2, "b": 2}, {"a": 2, "b": 1})) == [("", True), ("", False)]


@pytest.mark.parametrize("row", [{"device": "C:"}, {"device": "C:", "free_pct": None}])
def test_a_row_that_cannot_be_told_leaves_its_alert_alone_and_is_logged_once(found, caplog, row):
    with caplog.at_level(logging.WARNING):
        checks = found(disks(), {"disks": [row]}, {"disks": [row, {"device": "D:", "free_pct": 1}]})
    assert rows(checks) == [("C:", None), ("C:", None), ("D:", True)]
    assert len(caplog.records) == 1
    assert "low_disk" in caplog.text


@pytest.mark.parametrize("data", [None, {}, {"disks": None}, "text", 5])
def test_without_rows_to_be_found_nothing_is_said(found, data):
    assert found(disks(), data) == []


def test_an_empty_list_says_that_every_row_is_gone(found):
    (check,) = found(disks(), {"disks": []})
    assert (check.rows, check.complete) == ((), True)


def test_data_itself_may_be_the_rows_and_one_mapping_is_one_row(found):
    made = alert(each="data", key="DeviceID", when="item.Free < 5")
    data = {"DeviceID": "C:", "Free": 1}
    assert rows(found(made, [data], data)) == [("C:", True), ("C:", True)]


@pytest.mark.parametrize(
    ("key", "items", "keys"),
    [
        ("k", [{"k": "a"}, {"k": "a"}, {"k": "a"}], ["a", "a#2", "a#3"]),
        ("k", [{"k": "a#2"}, {"k": "a"}, {"k": "a"}], ["a#2", "a", "a#3"]),
        ("k", [{"k": 1}, {"k": 1.5}, {"k": True}, {"k": None}, {}], ["1", "1.5", "true", "", "#2"]),
        ("k.n", [{"k": {"n": "deep"}}, {"k": "flat"}], ["deep", ""]),
        (None, ["spooler", "w32time"], ["spooler", "w32time"]),
        (None, [{"k": 1}, {"k": 2}], ["1", "2"]),
    ],
)
def test_rows_are_named(found, key, items, keys):
    assert [name for name, _ in rows(found(alert(each="data", key=key, when="true"), items))] == keys


def test_a_message_that_cannot_be_rendered_becomes_plain_text(found):
    (check,) = found(disks(message="{{ item.label.upper() }}"), {"disks": [{"device": "C:", "free_pct": 1}]})
    assert check.rows == (CheckRow("C:", True, "pc01: low_disk (C:)"),)
    assert check.rows[0].message == "pc01: low_disk (C:)"


def test_what_a_target_sends_is_never_a_template(found):
    (check,) = found(alert(when="true", message="{{ data }}"), "{{ 7 * 7 }}")
    assert check.rows[0].message == "{{ 7 * 7 }}"


def test_a_target_cannot_make_a_million_alerts(found):
    (check,) = found(alert(each="data", when="true"), list(range(MAX_ROWS + 5)))
    assert (len(check.rows), check.complete) == (MAX_ROWS, False)


def test_a_path_that_does_not_fit_the_data_costs_the_attempt(found):
    with pytest.raises(DataError):
        found(alert(each="sort(data)", when="true"), {"data": [1, "a"]})


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    )
)
def test_no_data_makes_it_fail(tmp_path_factory, data):
    made = alert(each="data", key="k", when="item.k > 1", message="{{ item.k }}")
    context = FilterContext(
        HostView("pc01"), "usage", tmp_path_factory.getbasetemp(), {}, logging.getLogger("test")
    )
    made.process(Record("pc01", "usage", 1, 1.0, data=data), context)
    keys = [row.key for check in context.effects for row in check.rows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "Field required"),
        ({"when": "item.free < 1"}, "'item' is undefined"),
        ({"when": "true", "message": "{{ item.x }}"}, "'item' is undefined"),
        ({"when": "true", "key": "device"}, "there are no rows"),
        ({"when": "data.a <"}, "is no expression"),
        ({"when": "{{ data.a }}"}, "without braces"),
        ({"when": "free < 1"}, "'free' is undefined"),
        ({"when": []}, "tuple"),
        ({"when": "true", "message": "{{ data.a"}, "template"),
        ({"when": "true", "each": "data.disks["}, "no JMESPath"),
        ({"when": "true", "name": ""}, "one line"),
        ({"when": "true", "name": "a\nb"}, "one line"),
        ({"when": "true", "name": "vanish"}, "a rule about the pool"),
        ({"when": "true", "after": 0}, "greater than or equal to 1"),
        ({"when": "true", "after": "3"}, "valid integer"),
        ({"when": "true", "for": "soon"}, "not a duration"),
        ({"when": "true", "severity": "bad"}, "no severity"),
        ({"when": "true", "repeat_interval": "0s"}, "some time between"),
        ({"when": "true", "share": {"over": "100%"}}, "no share"),
        ({"when": "true", "share": {"over": True}}, "no share"),
        ({"when": "true", "share": {"of": "lab1"}}, "Field required"),
        ({"when": "true", "colour": "red"}, "not permitted"),
    ],
)
def test_a_wrong_option_is_refused_when_the_playbook_is_read(written, message):
    with pytest.raises(ValidationError) as caught:
        alert(**written)
    assert message in str(caught.value)
