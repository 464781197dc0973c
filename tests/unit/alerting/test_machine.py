"""An alert's life, step by step: each row is a rule, what was observed, and what was told."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.alerting.machine import acknowledge, change_share, close, observe
from ddcplay.model.alert import AlertRule, AlertState, Happening, Status

LETTERS = {
    Happening.FIRED: "F",
    Happening.REPEATED: "R",
    Happening.RESOLVED: "O",
    Happening.GONE: "G",
    Happening.FLAPPING: "~",
}
HOUR, MINUTE = 3600.0, 60.0


def restarted(state):
    """Send a state through what a database keeps of it."""
    return AlertState(**{**json.loads(json.dumps(dataclasses.asdict(state))), "status": Status(state.status)})


def told(rule, script, restart=False):
    """Play a script, a minute a step.

    x bad, . good, - no data, a acknowledged, g rule or host gone, h an hour passes, < the clock is set back.
    """
    state, at, letters = AlertState(), 1_700_000_000.0, ""
    for step in script:
        happenings = ()
        if step == "a":
            state = acknowledge(state)
        elif step == "g":
            state, happenings = close(state)
        elif step == "h":
            at += HOUR
        elif step == "<":
            at -= 12 * HOUR
        else:
            at += MINUTE
            state, happenings = observe(rule, state, {"x": True, ".": False, "-": None}[step], at)
        letters += "".join(LETTERS[each] for each in happenings) or " "
        state = restarted(state) if restart else state
    return letters.rstrip()


ROWS = [
    # fires once
    ("nothing wrong, nothing told", {}, "....", ""),
    ("no data at all", {}, "----", ""),
    ("fires at the first bad one", {}, "x", "F"),
    ("fires once while it stays bad", {}, "xxxx", "F"),
    ("fires after good ones", {}, "..xx", "  F"),
    ("after 2: one is not enough", {"after": 2}, "x", ""),
    ("after 2: the second fires", {"after": 2}, "xx", " F"),
    ("after 3: only in a row", {"after": 3}, "xx.xx", ""),
    ("after 3: the third in a row fires", {"after": 3}, "xx.xxx", "     F"),
    ("after 3: stays told once", {"after": 3}, "xxxxxx", "  F"),
    ("after 5 with good ones between never fires", {"after": 5}, "xxxx.xxxx.xxxx", ""),
    # for
    ("for 3m: not at once", {"for_s": 180}, "xxx", ""),
    ("for 3m: when they are over", {"for_s": 180}, "xxxx", "   F"),
    ("for 3m: a good one starts anew", {"for_s": 180}, "xxx.xxx", ""),
    ("for 3m: and fires after the new wait", {"for_s": 180}, "xxx.xxxx", "       F"),
    ("for 1h over an hour that passed", {"for_s": 3600}, "xhx", "  F"),
    ("for and after: both must hold, after is late", {"for_s": 60, "after": 4}, "xxxx", "   F"),
    ("for and after: both must hold, for is late", {"for_s": 240, "after": 2}, "xxxxx", "    F"),
    ("for counts over minutes without data", {"for_s": 180}, "x---x", "    F"),
    # resolves
    ("resolves at the first good one", {}, "x.", "FO"),
    ("resolves once", {}, "x...", "FO"),
    ("resolves after three bad ones", {}, "xxx.", "F  O"),
    ("clear_after 2: one is not enough", {"clear_after": 2}, "x.", "F"),
    ("clear_after 2: the second resolves", {"clear_after": 2}, "x..", "F O"),
    ("clear_after 3: only in a row", {"clear_after": 3}, "x..x..", "F"),
    ("clear_after 3: then resolves", {"clear_after": 3}, "x..x...", "F     O"),
    ("a bad one between does not fire again", {"clear_after": 2}, "x.x.x", "F"),
    ("pending is never resolved", {"after": 3}, "xx..", ""),
    ("fires again after it resolved", {}, "x..x", "FO F"),
    ("after 2 again after it resolved", {"after": 2}, "xx.xx", " FO F"),
    # freezes without data
    ("no data keeps it firing", {}, "x---", "F"),
    ("no data does not resolve, a good one does", {}, "x--.", "F  O"),
    ("no data does not count for after", {"after": 3}, "x-x-x", "    F"),
    ("no data does not break the row", {"after": 2}, "x----x", "     F"),
    ("no data does not count for clear_after", {"clear_after": 2}, "x.-.", "F  O"),
    ("no data does not repeat", {"repeat_s": 60}, "x-----", "F"),
    ("off for hours, still bad afterwards: reminded once", {"repeat_s": 3600}, "xhh-x", "F   R"),
    ("pending through a night without data", {"after": 2}, "xhhh---x", "       F"),
    # repeats
    ("reminds after the interval", {"repeat_s": 180}, "xxxx", "F  R"),
    ("reminds again and again", {"repeat_s": 120}, "xxxxxxx", "F R R R"),
    ("does not remind before", {"repeat_s": 600}, "xxxxx", "F"),
    ("repeat_s none never reminds", {"repeat_s": None}, "xhxhxhx", "F"),
    ("default is four hours", {}, "xhhhxhx", "F     R"),
    ("a resolved alert does not remind", {"repeat_s": 60}, "x...", "FO"),
    ("the interval starts anew when it fires again", {"repeat_s": 180}, "x.xxx", "FOF"),
    ("while it clears it still reminds", {"repeat_s": 60, "clear_after": 9}, "x..", "FRR"),
    # acknowledged
    ("acknowledged: no reminders", {"repeat_s": 60}, "xaxxx", "F"),
    ("acknowledged: still resolves", {"repeat_s": 60}, "xax.", "F  O"),
    ("acknowledged counts for this time only", {"repeat_s": 60}, "xa.xx", "F OFR"),
    ("acknowledging what is fine does nothing", {"repeat_s": 60}, ".axx", "  FR"),
    ("acknowledging what is pending does nothing", {"after": 2, "repeat_s": 60}, "xaxx", "  FR"),
    # gone
    ("gone while fine says nothing", {}, ".g", ""),
    ("gone while pending says nothing", {"after": 3}, "xxg", ""),
    ("gone while firing is told", {}, "xg", "FG"),
    ("gone once", {}, "xgg", "FG"),
    ("gone after it resolved says nothing", {}, "x.g", "FO"),
    ("back after it was gone fires anew", {}, "xgx", "FGF"),
    ("back after it was gone counts anew", {"after": 2}, "xxgx", " FG"),
    ("gone while acknowledged is told", {}, "xag", "F G"),
    # flapping
    ("a few changes are told one by one", {}, "x.x.", "FOFO"),
    ("many changes are told once as flapping", {}, "x.x.x.x.x", "FOFOFO~"),
    ("while flapping nothing is told", {}, "x.x.x.x.x.x.x.x.x.", "FOFOFO~"),
    ("gone while flapping and told firing", {}, ".x.x.x.g", " FOFOF~G"),
    ("gone while flapping and told resolved", {}, "x.x.x.xg", "FOFOFO~"),
    ("no data while flapping", {}, "x.x.x.x--.x", "FOFOFO~"),
    ("slow changes are not flapping", {}, "xxxxxx......xxxxxx......", "F     O     F     O"),
    ("changes that after holds back are no news", {"after": 3}, "x.x.x.x.x.x.x.x.x.", ""),
    ("changes that for holds back are no news", {"for_s": 120}, "x.x.x.x.x.x.x.x.x.", ""),
    ("after many changes it fires as it should", {"after": 3}, "x.x.x.x.xxx", "          F"),
    ("after it resolved, too", {"after": 2}, "xx.x.x.x.x.x.x.", " FO"),
    ("what fires and resolves by its rule may flap", {"after": 2}, "xx.xx.xx.xx.xx.xx.", " FO FO FO F~"),
    # clocks
    ("a clock set back does not remind at once", {"repeat_s": 180}, "x<xx", "F"),
    ("a clock set back delays, it does not stop", {"repeat_s": 120}, "x<xxxx", "F   R"),
    ("a clock set back while pending", {"for_s": 120}, "x<xxx", "    F"),
]


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted after every step"])
@pytest.mark.parametrize(("name", "rule", "script", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_what_is_told(name, rule, script, expected, restart):
    assert told(AlertRule(**rule), script, restart) == expected


def test_the_table_is_as_long_as_promised():
    assert len(ROWS) >= 60


@pytest.mark.parametrize("ending", ["x" * 30, "." * 30])
def test_flapping_ends_with_the_truth(ending):
    rule = AlertRule(repeat_s=None)
    script = "x.x.x.x.x." + ending
    letters = told(rule, script)
    assert letters.startswith("FOFOFO~")
    # Humans were last told that it is fine; the end of the flapping says otherwise, or says nothing new.
    assert letters[7:].strip() == ("F" if ending[0] == "x" else "")


@pytest.mark.parametrize(
    ("history", "share"),
    [
        ("", 0.0),
        ("x", 0.0),
        ("x" * 21, 0.0),
        ("x." * 10 + "x", 100.0),
        ("." * 20 + "x", 6.25),
        ("x" + "." * 20, 3.75),
    ],
)
def test_newer_changes_weigh_more(history, share):
    assert change_share(history) == pytest.approx(share)


rules = st.builds(
    AlertRule,
    after=st.integers(1, 4),
    for_s=st.sampled_from([0.0, 60.0, 600.0]),
    clear_after=st.integers(1, 4),
    repeat_s=st.sampled_from([None, 60.0, 3600.0]),
)


@given(rule=rules, script=st.text("x.-agh", max_size=120))
def test_humans_are_never_told_nonsense(rule, script):
    """Firing and its end alternate; no end is told of what was not; a restart changes nothing."""
    letters = told(rule, script)
    assert told(rule, script, restart=True) == letters
    firing = False
    for letter in letters.replace(" ", "").replace("~", ""):
        assert (letter == "F") is not firing
        firing = letter in "FR"


@given(rule=rules, good=st.text(".-", max_size=80))
def test_what_is_never_bad_is_never_told(rule, good):
    assert told(rule, good) == ""
