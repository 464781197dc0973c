"""`ddcplay alerts` beside a running coordinator."""

from __future__ import annotations

import json
import time

import pytest

from ddcplay.alerting.board import Board, IterationView
from ddcplay.model.alert import AlertCheck, AlertRule, CheckRow, Severity, Share
from ddcplay.model.playbook import AlertPolicy
from ddcplay.store.base import IterationEffects, IterationRecord, Provenance
from ddcplay.store.experiment_store import open_store


class Coordinator:
    """An experiment that runs: its lock is held, its board takes what comes."""

    def __init__(self, directory):
        self.iteration = int(time.time()) - 60
        self.store = open_store(directory, directory.name, play="Play", clock_now=float(self.iteration))
        self.board = Board(directory.name, AlertPolicy())

    def find(self, *checks, host="pc01"):
        taken = self.board.check(host, "usage", checks, time.time())
        self.write(taken)

    def hear(self, at=None):
        """End an iteration, as the engine does."""
        silences = self.store.alerts.silences(time.time())
        self.write(self.board.hear(silences, self.store.alerts.acknowledged()))
        ended = self.board.iteration_end(IterationView(self.iteration, at or time.time(), {}))
        self.write(ended)
        return ended.events

    def write(self, taken):
        record = IterationRecord(self.iteration, float(self.iteration), pairs=1)
        self.store.open_iteration(record, Provenance("play.yml", "- name: Play"), ["pc01"], ["usage"])
        effects = IterationEffects(alerts=taken.updates, events=taken.events)
        self.store.close_iteration(self.iteration, self.iteration + 10.0, 5.0, "closed", effects=effects)
        self.iteration += 1


def low(key="C:", bad=True, **more):
    return AlertCheck("low_disk", (CheckRow(key, bad, f"{key} is full"),), **more)


@pytest.fixture
def coordinator(project):
    made = Coordinator(project / "data" / "usage")
    yield made
    made.store.close()


def listed(inside, *words):
    done = inside("alerts", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_fires(coordinator, inside):
    coordinator.find(low(bad=False))
    assert inside("alerts").stdout == "nothing fires\n"
    assert listed(inside) == []


def test_what_fires_is_listed_the_worst_first(coordinator, inside):
    coordinator.find(low(), AlertCheck("dying", (CheckRow("", True, "SMART"),), severity=Severity.CRITICAL))
    done = inside("alerts", "usage")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[1].split()[:4] == ["critical", "dying", "pc01", "-"]
    assert lines[2].split()[:4] == ["warning", "low_disk", "pc01", "C:"]
    assert "C: is full" in lines[2]
    assert [each["name"] for each in listed(inside, "list", "-E", "usage")] == ["dying", "low_disk"]


def test_pending_alerts_are_shown_with_all_alone(coordinator, inside):
    coordinator.find(low(rule=AlertRule(after=3)))
    assert listed(inside) == []
    (found,) = listed(inside, "--all")
    assert (found["status"], found["bad_in_a_row"]) == ("pending", 1)


def test_a_hosts_part_in_a_rule_that_counts_is_no_alert(coordinator, inside):
    coordinator.find(low("", share=Share("", 50.0)))
    coordinator.hear()
    assert listed(inside, "--all") == []


def test_acknowledging_is_seen_at_once_and_heard_by_the_coordinator(coordinator, inside):
    coordinator.find(low(), low("D:"))
    done = inside("alerts", "ack", "low_*", "--host", "PC*", "--key", "D:")
    assert (done.returncode, done.stdout) == (0, "acknowledged 1 alert: low_disk pc01 D:\n")
    assert {each["key"]: each["acknowledged"] for each in listed(inside)} == {"C:": False, "D:": True}
    coordinator.hear()
    assert [alert.state.acknowledged for alert in coordinator.board.firing()] == [False, True]


def test_what_does_not_fire_cannot_be_acknowledged(coordinator, inside):
    coordinator.find(low())
    done = inside("alerts", "ack", "low_disk", "--host", "pc99")
    assert done.returncode == 2
    assert "no alert of name 'low_disk' host 'pc99' fires" in done.stderr
    assert "firing: low_disk pc01 C:" in done.stderr


def test_a_silence_is_heard_and_what_still_fires_is_told_after_its_end(coordinator, inside):
    done = inside("alerts", "silence", "name=low_disk", "host=pc*", "--for", "2h", "--comment", "new disks")
    assert done.returncode == 0
    assert done.stdout.startswith("silence 1 of usage: name=low_disk host=pc* until ")
    assert ": new disks\nnothing that fires now is covered" in done.stdout
    coordinator.hear()
    coordinator.find(low())
    assert coordinator.hear() == ()
    (found,) = listed(inside)
    assert found["silenced_until"] is not None
    assert not found["told"]
    assert inside("alerts", "silence", "--end", "1").stdout.startswith("silence 1 of usage: ")
    assert [event.what.value for event in coordinator.hear()] == ["fired"]
    assert inside("alerts", "silence", "--list").stdout == "nothing is silenced\n"


@pytest.mark.parametrize("glob", ["name=low*", "host=PC01"])
def test_a_new_silence_says_what_it_covers(coordinator, inside, glob):
    coordinator.find(low())
    inside("alerts", "silence", "name=low_disk", "--for", "3d")  # a longer one covers it, too
    done = inside("alerts", "silence", glob, "--for", "2h")
    assert done.stdout.endswith("\ncovers now: low_disk pc01 C:\n")


def test_silences_are_listed(coordinator, inside):
    inside("alerts", "silence", "severity=warning", "3d")
    (found,) = listed(inside, "silence", "--list")
    assert (found["id"], found["matchers"]) == (1, {"severity": "warning"})
    assert "severity=warning" in inside("alerts", "--all").stdout


def test_a_silence_by_group_is_shown_through_the_inventory(coordinator, inside):
    coordinator.find(low(), host="pc1")
    inside("alerts", "silence", "group=labs", "--for", "1h")
    (found,) = listed(inside)
    assert found["silenced_until"] is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["silence"], "say what to silence"),
        (["silence", "name=a"], "a silence must end some time"),
        (["silence", "name=a", "--for", "soon"], "--for soon"),
        (["silence", "colour=a", "--for", "1h"], "cannot match by 'colour'"),
        (["silence", "--end", "7"], "there is no silence 7"),
        (["silence", "name=a", "--end", "7"], "say what to silence"),
        (["ack", "low_disk"], "nothing fires"),
        (["nowhere"], "there is no experiment 'nowhere'"),
    ],
)
def test_a_wrong_call_says_what_to_write(coordinator, inside, words, message):
    done = inside("alerts", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_what_a_target_says_cannot_touch_the_terminal(coordinator, inside):
    coordinator.find(AlertCheck("low_disk", (CheckRow("\x1b[2J", True, "\x1b]0;owned\x07\u202egnp"),)))
    for words in (["alerts"], ["alerts", "ack", "low_disk"]):
        shown = inside(*words).stdout
        assert "\x1b" not in shown
        assert "\u202e" not in shown


def test_help_names_the_commands(inside):
    shown = inside("alerts", "--help").stdout
    assert all(word in shown for word in ("list", "ack", "silence"))
