"""What a silence covers, and how people write one."""

from __future__ import annotations

import pytest

from ddcplay.alerting.silence import Wish, covering, covers, parse_wish
from ddcplay.errors import UsageError
from ddcplay.model.alert import AlertIdentity, Severity, Silence

LOW = AlertIdentity("e", "low_disk", "PC-01", "C:")


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["name=low_disk"], Wish((("name", "low_disk"),))),
        (
            ["name=low_disk", "host=pc*", "2h"],
            Wish((("name", "low_disk"), ("host", "pc*")), 7200.0),
        ),
        (["name=low_disk host=pc* 2h"], Wish((("name", "low_disk"), ("host", "pc*")), 7200.0)),
        (["2h", "name=*"], Wish((("name", "*"),), 7200.0)),
        (["key=My Disk"], Wish((("key", "My Disk"),))),
        (["key=a=b"], Wish((("key", "a=b"),))),
        (["HOST=pc1"], Wish((("host", "pc1"),))),
        (["host="], Wish((("host", ""),))),
    ],
)
def test_words_become_matchers(words, wish):
    assert parse_wish(words) == wish


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "what it is about", "name=*"),
        (["2h"], "what it is about", "name=*"),
        (["nam=low"], "cannot match by 'nam'", "did you mean 'name'"),
        (["name=a", "name=b"], "written twice", "two silences"),
        (["name=a", "1h", "2h"], "there is a duration already", "KEY=GLOB"),
        (["name=a", "soon"], "neither a matcher nor a duration", "KEY=GLOB"),
    ],
)
def test_other_words_are_refused_with_the_way_to_write_it(words, message, hint):
    with pytest.raises(UsageError) as caught:
        parse_wish(words)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ({"name": "low_disk"}, True),
        ({"name": "low_*"}, True),
        ({"name": "other"}, False),
        ({"host": "pc-*"}, True),
        ({"host": "pc-0[2-9]"}, False),
        ({"key": "c:"}, True),
        ({"severity": "warning"}, True),
        ({"severity": "critical"}, False),
        ({"group": "lab1"}, True),
        ({"group": "lab2"}, False),
        ({"name": "low_disk", "group": "lab2"}, False),
        ({"name": "low_disk", "host": "pc*", "group": "lab*"}, True),
        ({"host": ""}, False),
        ({}, False),
        ({"colour": "*"}, False),
    ],
)
def test_all_matchers_must_match(matchers, covered):
    silence = Silence(1, tuple(matchers.items()), 0.0, 100.0)
    assert covers(silence, LOW, Severity.WARNING, ["labs", "lab1"], 50.0) is covered


@pytest.mark.parametrize(("at", "covered"), [(9.9, False), (10.0, True), (19.9, True), (20.0, False)])
def test_a_silence_has_a_beginning_and_an_end(at, covered):
    silence = Silence(1, (("name", "*"),), 10.0, 20.0)
    assert covers(silence, LOW, Severity.WARNING, [], at) is covered


def test_the_silence_that_lasts_longest_is_named():
    short, long = (Silence(n, (("name", "*"),), 0.0, 10.0 * n) for n in (1, 2))
    assert covering([long, short], LOW, Severity.WARNING, [], 5.0) is long
    assert covering([short], LOW, Severity.WARNING, [], 15.0) is None
