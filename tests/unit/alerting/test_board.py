"""The board, scenario by scenario: what a school's day brings, and what people are told of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddcplay.alerting.board import Board, HostSeen, IterationView
from ddcplay.alerting.silence import parse_wish
from ddcplay.model.alert import (
    AlertCheck,
    AlertIdentity,
    AlertRule,
    AlertState,
    AlertUpdate,
    CheckRow,
    Happening,
    Severity,
    Share,
    Silence,
    Status,
)
from ddcplay.model.playbook import Absent, AlertPolicy, Vanish

HOUR, DAY = 3600.0, 86400.0
MONDAY_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()
LETTERS = {
    Happening.FIRED: "F",
    Happening.REPEATED: "R",
    Happening.RESOLVED: "O",
    Happening.GONE: "G",
    Happening.FLAPPING: "~",
}
HOSTS = tuple(f"pc{number:02}" for number in range(20))
TRUTH = {"x": True, ".": False, "-": None}


def restored(update):
    """Send an alert through what a database keeps of it."""
    state = json.loads(json.dumps(dataclasses.asdict(update.state)))
    return dataclasses.replace(update, state=AlertState(**{**state, "status": Status(state["status"])}))


class Stage:
    """A board with a clock, hosts that are on or off, and a database of rows.

    Steps, separated by spaces:
    pc01=x . -        one check of rule `low` (bad, good, cannot be told); pc01=C:x,D:. rows, all there are
    share=4/10        a rule that counts: 4 of 10 hosts bad (over 30 %)
    on=20 on=? on=3-8 which hosts are on (the first 20, nobody looked, 3 to 7)
    |                 the iteration ends; a quarter of an hour passes
    1h 3d             time passes
    ack=low@pc01      somebody takes it
    name=low,4h       a silence from now; `unsilence` ends all
    hosts=5           a run begins with the first 5 hosts; rules=a,b with these rules of probe `usage`
    offline online restart
    """

    def __init__(self, policy=None, rule=None, restart_always=False):
        self.policy = policy or AlertPolicy()
        self.rule = rule or {}
        self.restart_always = restart_always
        self.at = MONDAY_NOON
        self.rows = {}
        self.told = []
        self.events = []
        self.silences = ()
        self.acknowledged = {}
        self.on = dict.fromkeys(HOSTS, True)
        self.last_on = {}
        self.hosts = HOSTS
        self.rules = {"usage": frozenset({"low", "slow"})}
        self.offline = ""
        self.iteration = int(self.at)
        self.restart()

    def restart(self):
        self.board = Board("e", self.policy, self.rows.values(), self.silences)
        self.take(self.board.begin(self.rules, self.hosts, self.at, self.groups()))

    def groups(self):
        return {host: ("labs", "lab1" if host in HOSTS[:10] else "lab2") for host in self.hosts}

    def take(self, taken):
        for update in taken.updates:
            if update.state == AlertState():
                self.rows.pop(update.identity, None)
            else:
                self.rows[update.identity] = restored(update)
        self.events += taken.events
        for event in taken.events:
            identity = event.identity
            key = f"/{identity.key}" if identity.key else ""
            self.told.append(f"{LETTERS[event.what]} {identity.name}@{identity.host or '*'}{key}")

    def play(self, script):
        for step in script.split():
            self.step(step)
            if self.restart_always:
                self.restart()
        return "; ".join(self.told)

    def step(self, step):
        key, _, value = step.partition("=")
        plain = {"|": self.iteration_end, "restart": self.restart, "unsilence": lambda: self.silence(())}
        steps = {"on": self.switch, "share": self.share, "ack": self.acknowledge, "hosts": self.begin_with}
        if step in plain:
            plain[step]()
        elif step in {"offline", "online"}:
            self.offline = "no route" if step == "offline" else ""
        elif key in steps:
            steps[key](value)
        elif key == "rules":
            self.rules = {"usage": frozenset(value.split(","))} if value else {}
            self.restart()
        elif key in HOSTS:
            self.check(key, value)
        elif value:
            wish = parse_wish(step.split(","))
            self.silence((*self.silences, Silence(1, wish.matchers, self.at, self.at + wish.for_s)))
        else:
            self.at += {"m": 60.0, "h": HOUR, "d": DAY}[step[-1]] * float(step[:-1])

    def begin_with(self, count):
        self.hosts = HOSTS[: int(count)]
        self.restart()

    def acknowledge(self, value):
        name, _, host = value.partition("@")
        self.acknowledged[AlertIdentity("e", name, "" if host == "*" else host)] = self.at
        self.take(self.board.hear(self.silences, self.acknowledged))

    def silence(self, silences):
        self.silences = silences
        self.take(self.board.hear(silences, self.acknowledged))

    def reaches(self, host, rule):
        return host in self.hosts and rule in self.rules.get("usage", ())

    def check(self, host, value):
        self.at += 1
        if not self.reaches(host, "low"):
            return
        rows = []
        for part in value.split(","):
            if part:
                row_key, bad = part[:-1].rstrip(":"), TRUTH[part[-1]]
                rows.append(CheckRow(row_key, bad, f"{host} is {'bad' if bad else 'fine'}"))
        check = AlertCheck("low", tuple(rows), AlertRule(**self.rule), complete=True)
        self.take(self.board.check(host, "usage", [check], self.at))

    def share(self, value):
        bad, _, of = value.partition("/")
        self.at += 1
        for number, host in enumerate(HOSTS[: int(of)]):
            if not self.reaches(host, "slow"):
                continue
            row = CheckRow("", number < int(bad), f"{host} is slow")
            check = AlertCheck(
                "slow", (row,), AlertRule(**self.rule), share=Share("lab1", 30.0), complete=True
            )
            self.take(self.board.check(host, "usage", [check], self.at))

    def switch(self, value):
        first, _, last = value.rpartition("-")
        for number, host in enumerate(HOSTS):
            lit = value != "?" and int(first or 0) <= number < int(last)
            self.on[host] = None if value == "?" else lit

    def iteration_end(self):
        self.at += 60
        seen = {}
        for host in self.hosts:
            if self.on[host]:
                self.last_on[host] = self.at
            on = False if self.offline and self.on[host] else self.on[host]
            seen[host] = HostSeen(on, self.last_on.get(host), MONDAY_NOON)
        view = IterationView(
            self.iteration,
            self.at,
            seen,
            {"lab1": HOSTS[:10], "lab2": HOSTS[10:]} if self.policy.vanish else {},
            lambda pattern: HOSTS[:10] if pattern == "lab1" else HOSTS[10:] if pattern == "lab2" else HOSTS,
            self.groups(),
            self.offline,
        )
        self.take(self.board.iteration_end(view))
        self.at += 840
        self.iteration = int(self.at)


WEEK = AlertPolicy(absent=Absent(7 * DAY))
LAB1_WEEK = AlertPolicy(absent=Absent(7 * DAY, of="lab1"))
ROOMS = AlertPolicy(vanish=Vanish(50.0))
WORKDAYS = AlertPolicy(vanish=Vanish(50.0, active="* 8-17 * * 1-5"))
LAB2 = AlertPolicy(vanish=Vanish(50.0, of="lab2"))
BOTH = AlertPolicy(absent=Absent(HOUR), vanish=Vanish(50.0))
NO_REMINDERS = AlertPolicy(repeat_s=None)

SCENARIOS = [
    # one host
    ("all is well", {}, "pc01=. | pc01=. |", ""),
    ("fires once", {}, "pc01=x | pc01=x |", "F low@pc01"),
    ("resolves", {}, "pc01=x | pc01=. |", "F low@pc01; O low@pc01"),
    ("each host by itself", {}, "pc01=x pc02=x pc01=.", "F low@pc01; F low@pc02; O low@pc01"),
    ("after 3", {"rule": {"after": 3}}, "pc01=x pc01=x pc01=x pc01=x", "F low@pc01"),
    (
        "after 3 across an iteration in which it was off",
        {"rule": {"after": 3}},
        "pc01=x | | pc01=x | pc01=x",
        "F low@pc01",
    ),
    ("for 1h", {"rule": {"for_s": HOUR}}, "pc01=x 30m pc01=x 31m pc01=x", "F low@pc01"),
    (
        "clear_after 2",
        {"rule": {"clear_after": 2}},
        "pc01=x pc01=. pc01=x pc01=. pc01=.",
        "F low@pc01; O low@pc01",
    ),
    ("reminds by the play's interval", {}, "pc01=x 3h pc01=x 1h pc01=x", "F low@pc01; R low@pc01"),
    ("the play asks for no reminders", {"policy": NO_REMINDERS}, "pc01=x 9h pc01=x", "F low@pc01"),
    ("off: no reminder, no end", {}, "pc01=x | 9h | | 9h |", "F low@pc01"),
    ("off over night, then reminded", {}, "pc01=x 16h | pc01=x", "F low@pc01; R low@pc01"),
    ("cannot be told: frozen", {}, "pc01=x pc01=- | pc01=- |", "F low@pc01"),
    ("cannot be told at first", {}, "pc01=- pc01=- pc01=x", "F low@pc01"),
    (
        "flaps",
        {},
        "pc01=x pc01=. pc01=x pc01=. pc01=x pc01=. pc01=x pc01=. pc01=x | |",
        "F low@pc01; O low@pc01; F low@pc01; O low@pc01; F low@pc01; O low@pc01; ~ low@pc01",
    ),
    # rows
    ("one of two disks", {}, "pc01=C:x,D:.", "F low@pc01/C"),
    ("both disks", {}, "pc01=C:x,D:x pc01=C:.,D:x", "F low@pc01/C; F low@pc01/D; O low@pc01/C"),
    ("a disk was taken out", {}, "pc01=C:.,D:x pc01=C:.", "F low@pc01/D; G low@pc01/D"),
    ("a healthy disk was taken out", {}, "pc01=C:.,D:. pc01=C:.", ""),
    ("a disk that cannot be told is still there", {}, "pc01=C:x pc01=C:- pc01=C:x", "F low@pc01/C"),
    ("no disks at all any more", {}, "pc01=C:x pc01=", "F low@pc01/C; G low@pc01/C"),
    ("a disk comes back", {}, "pc01=D:x pc01= pc01=D:x", "F low@pc01/D; G low@pc01/D; F low@pc01/D"),
    (
        "another host's disks are none of its business",
        {},
        "pc01=C:x pc02=D:x pc02=",
        "F low@pc01/C; F low@pc02/D; G low@pc02/D",
    ),
    (
        "a rule that had rows has none any more",
        {},
        "pc01=C:x pc01=x",
        "F low@pc01/C; F low@pc01; G low@pc01/C",
    ),
    ("a name that is twice there: the worse counts", {}, "pc01=C:.,C:x", "F low@pc01/C"),
    ("twice there, one cannot be told", {}, "pc01=C:-,C:x pc01=C:-,C:.", "F low@pc01/C; O low@pc01/C"),
    # what is not there any more
    ("the host left", {}, "pc01=x hosts=1", "F low@pc01; G low@pc01"),
    ("the host left while fine", {}, "pc01=. hosts=1", ""),
    ("the host left while pending", {"rule": {"after": 2}}, "pc01=x hosts=1", ""),
    ("other hosts left", {}, "pc01=x hosts=5 pc01=.", "F low@pc01; O low@pc01"),
    ("the rule left", {}, "pc01=x rules=other", "F low@pc01; G low@pc01"),
    ("the probe left", {}, "pc01=x rules=", "F low@pc01; G low@pc01"),
    ("the host came back", {}, "pc01=x hosts=1 hosts=5 pc01=x", "F low@pc01; G low@pc01; F low@pc01"),
    ("gone is told once", {}, "pc01=x hosts=1 | hosts=1 |", "F low@pc01; G low@pc01"),
    # acknowledged
    ("acknowledged: no reminders", {}, "pc01=x ack=low@pc01 9h pc01=x 9h pc01=x", "F low@pc01"),
    ("acknowledged: resolves", {}, "pc01=x ack=low@pc01 pc01=.", "F low@pc01; O low@pc01"),
    (
        "acknowledged for this time only",
        {},
        "pc01=x ack=low@pc01 1h pc01=. pc01=x 5h pc01=x",
        "F low@pc01; O low@pc01; F low@pc01; R low@pc01",
    ),
    ("acknowledging what never fired", {}, "ack=low@pc01 pc01=x 5h pc01=x", "F low@pc01; R low@pc01"),
    (
        "an old acknowledgement is heard again and again",
        {},
        "pc01=x ack=low@pc01 pc01=. 1h pc01=x ack=low@pc02 5h pc01=x",
        "F low@pc01; O low@pc01; F low@pc01; R low@pc01",
    ),
    # silences
    ("silenced: nothing is told", {}, "name=low,4h pc01=x | pc01=. |", ""),
    ("silenced by host", {}, "host=pc01,4h pc01=x pc02=x |", "F low@pc02"),
    ("silenced by glob", {}, "host=PC0*,4h pc01=x pc11=x |", "F low@pc11"),
    ("silenced by group", {}, "| group=lab1,4h pc01=x pc11=x |", "F low@pc11"),
    ("silenced by group right after a start", {}, "group=lab1,4h restart pc01=x", ""),
    ("silenced by severity", {}, "severity=warning,4h pc01=x |", ""),
    ("silenced by another severity", {}, "severity=critical,4h pc01=x", "F low@pc01"),
    ("silenced by key", {}, "key=D*,4h pc01=C:x,D:x", "F low@pc01/C"),
    ("all matchers must match", {}, "name=low,host=pc02,4h pc01=x", "F low@pc01"),
    ("silence over, still firing: told then", {}, "name=low,4h pc01=x | 5h |", "F low@pc01"),
    ("silence over, still firing: told when observed", {}, "name=low,4h pc01=x 5h pc01=x |", "F low@pc01"),
    ("silence over, fine meanwhile: never told", {}, "name=low,4h pc01=x pc01=. 5h | pc01=. |", ""),
    ("silence ended by hand", {}, "name=low,4h pc01=x | unsilence |", "F low@pc01"),
    (
        "fired before, resolved within: told when it is over",
        {},
        "pc01=x name=low,4h pc01=. | 5h | |",
        "F low@pc01; O low@pc01",
    ),
    (
        "fired before, again within: nothing new",
        {},
        "pc01=x name=low,9h pc01=. 1h pc01=x 1h | unsilence |",
        "F low@pc01",
    ),
    (
        "fired before, still firing: reminded when it is over",
        {},
        "pc01=x name=low,9h 8h pc01=x 2h pc01=x",
        "F low@pc01; R low@pc01",
    ),
    (
        "gone within a silence: told when it is over",
        {},
        "pc01=x name=low,4h hosts=1 | 5h | |",
        "F low@pc01; G low@pc01",
    ),
    ("gone and back within a silence", {}, "pc01=C:x name=low,4h pc01= pc01=C:x 5h |", "F low@pc01/C"),
    ("gone within, never told: nothing", {}, "name=low,4h pc01=x hosts=1 5h |", ""),
    (
        "begins to flap within a silence",
        {},
        "name=low,4h pc01=x pc01=. pc01=x pc01=. pc01=x pc01=. pc01=x pc01=. unsilence pc01=x",
        "~ low@pc01",
    ),
    (
        "a silence for what comes later",
        {},
        "pc01=x pc01=. name=low,1d 1h pc01=x pc01=.",
        "F low@pc01; O low@pc01",
    ),
    # share
    ("3 of 10 are not over 30 %", {}, "share=3/10 |", ""),
    ("4 of 10: one alert", {}, "share=4/10 | share=5/10 |", "F slow@*"),
    ("fewer again: resolves", {}, "share=4/10 | share=3/10 |", "F slow@*; O slow@*"),
    ("of those that brought data", {}, "share=2/5 |", "F slow@*"),
    ("no data: frozen", {}, "share=4/10 | | |", "F slow@*"),
    (
        "what an earlier iteration brought does not count",
        {},
        "share=10/10 | share=0/3 |",
        "F slow@*; O slow@*",
    ),
    ("after 2 counts iterations", {"rule": {"after": 2}}, "share=4/10 | share=4/10 |", "F slow@*"),
    ("after 2 with a good one between", {"rule": {"after": 2}}, "share=4/10 | share=0/10 | share=4/10 |", ""),
    ("reminded by the play's interval", {}, "share=4/10 | 4h share=4/10 |", "F slow@*; R slow@*"),
    ("a restart in the middle of the iteration", {}, "share=4/10 restart |", "F slow@*"),
    ("the rule that counted left", {}, "share=4/10 | rules=low", "F slow@*; G slow@*"),
    ("hosts that left do not count", {}, "share=4/10 hosts=0 |", ""),
    ("silenced share", {}, "name=slow,4h share=4/10 |", ""),
    ("share silenced by its group", {}, "group=lab1,4h share=4/10 |", ""),
    ("acknowledged share", {}, "share=4/10 | ack=slow@* 9h share=4/10 |", "F slow@*"),
    # absent
    ("off for a night is nothing", {"policy": WEEK}, "on=20 | on=0 12h | 12h |", ""),
    ("off for six days is nothing", {"policy": WEEK}, "on=20 | on=0 6d |", ""),
    ("off for seven days", {"policy": WEEK}, "on=20 | on=19 7d | |", "F absent@pc19"),
    ("absent: back", {"policy": WEEK}, "on=20 | on=19 7d | on=20 | |", "F absent@pc19; O absent@pc19"),
    ("never seen on, asked for seven days", {"policy": WEEK}, "on=19 | 7d |", "F absent@pc19"),
    ("nobody looked: frozen", {"policy": WEEK}, "on=20 | on=? 9d | |", ""),
    ("only of the group", {"policy": LAB1_WEEK}, "on=20 | on=9 8d |", "F absent@pc09"),
    ("absent and silenced", {"policy": WEEK}, "on=20 | on=19 host=pc19,30d 8d |", ""),
    ("absent host left", {"policy": WEEK}, "on=20 | on=19 8d | hosts=19", "F absent@pc19; G absent@pc19"),
    ("absent reminds once per for", {"policy": WEEK}, "on=20 | on=19 7d | 4h | 6d |", "F absent@pc19"),
    ("absent reminds", {"policy": WEEK}, "on=20 | on=19 7d | 7d |", "F absent@pc19; R absent@pc19"),
    (
        "absent acknowledged",
        {"policy": WEEK},
        "on=20 | on=19 7d | ack=absent@pc19 1d | 1d |",
        "F absent@pc19",
    ),
    ("without absent being off is no alert", {}, "on=20 | on=0 30d | 30d |", ""),
    # vanish
    ("a room at noon: one event", {"policy": ROOMS}, "on=20 | on=10 | |", "F vanish@*/lab2"),
    ("both rooms: one each", {"policy": ROOMS}, "on=20 | on=0 | |", "F vanish@*/lab1; F vanish@*/lab2"),
    ("half of them is not over half", {"policy": ROOMS}, "on=20 | on=15 | |", ""),
    ("six of ten", {"policy": ROOMS}, "on=20 | on=14 | |", "F vanish@*/lab2"),
    ("one by one is nothing", {"policy": ROOMS}, "on=20 | on=17 | on=14 | on=12 | on=11 | on=10 |", ""),
    ("two that were on are no room", {"policy": ROOMS}, "on=12 | on=10 |", ""),
    ("only those that were on count", {"policy": ROOMS}, "on=14 | on=11 |", "F vanish@*/lab2"),
    (
        "half are back",
        {"policy": ROOMS},
        "on=20 | on=10 | on=14 | on=15 |",
        "F vanish@*/lab2; O vanish@*/lab2",
    ),
    ("the first look compares with nothing", {"policy": ROOMS}, "on=0 | |", ""),
    ("a restart between", {"policy": ROOMS}, "on=20 | restart on=10 restart | restart |", "F vanish@*/lab2"),
    ("the coordinator was away for a day", {"policy": ROOMS}, "on=20 | on=20 | 1d on=10 | |", ""),
    ("nobody looked", {"policy": ROOMS}, "on=20 | on=? | on=10 |", "F vanish@*/lab2"),
    ("in the evening", {"policy": WORKDAYS}, "on=20 | 6h on=20 | on=0 | |", ""),
    ("at the weekend", {"policy": WORKDAYS}, "on=20 | 5d on=20 | on=0 |", ""),
    ("at noon, within active", {"policy": WORKDAYS}, "on=20 | on=10 |", "F vanish@*/lab2"),
    (
        "at night no reminders; in the morning it is closed",
        {"policy": WORKDAYS},
        "on=20 | on=10 | 6h | 4h | 4h | 6h | |",
        "F vanish@*/lab2; G vanish@*/lab2",
    ),
    (
        "back in the morning before anybody looked",
        {"policy": WORKDAYS},
        "on=20 | on=10 | 6h | 13h on=20 |",
        "F vanish@*/lab2; O vanish@*/lab2",
    ),
    (
        "after a day it is closed",
        {"policy": ROOMS},
        "on=20 | on=10 | 23h | 1h | |",
        "F vanish@*/lab2; R vanish@*/lab2; G vanish@*/lab2",
    ),
    ("of a group only", {"policy": LAB2}, "on=20 | on=0 |", "F vanish@*/lab2"),
    ("silenced by its room", {"policy": ROOMS}, "on=20 | group=lab2,4h on=10 |", ""),
    (
        "silenced by key, told when it is over",
        {"policy": ROOMS},
        "on=20 | key=lab2,1h on=10 | 2h |",
        "F vanish@*/lab2",
    ),
    (
        "it stands for its hosts, absent included",
        {"policy": BOTH},
        "on=20 | on=10 | 1h | 1h |",
        "F vanish@*/lab2",
    ),
    (
        "what fired before goes on",
        {"policy": ROOMS},
        "on=20 pc11=x | on=10 | on=20 pc11=. |",
        "F low@pc11; F vanish@*/lab2; O vanish@*/lab2; O low@pc11",
    ),
    # coordinator offline
    ("offline: one alert", {"policy": BOTH}, "on=20 | offline | | |", "F coordinator_offline@*"),
    (
        "online again",
        {"policy": BOTH},
        "on=20 | offline | online | |",
        "F coordinator_offline@*; O coordinator_offline@*",
    ),
    ("offline: absent is frozen", {"policy": BOTH}, "on=20 | offline 9h | |", "F coordinator_offline@*"),
    (
        "off while we were offline is no vanishing",
        {"policy": ROOMS},
        "on=20 | offline | online on=0 | |",
        "F coordinator_offline@*; O coordinator_offline@*",
    ),
    ("offline reminds", {}, "offline | 4h |", "F coordinator_offline@*; R coordinator_offline@*"),
    ("offline and silenced", {}, "name=coordinator*,4h offline | |", ""),
]


def believable(events):
    """Check that what people were told makes sense, and that every end says since when."""
    firing = {}
    for event in events:
        if event.what is Happening.FIRED:
            assert event.identity not in firing
            firing[event.identity] = event.since
            assert event.since is not None
        elif event.what is Happening.REPEATED:
            assert event.identity in firing
        elif event.what in {Happening.RESOLVED, Happening.GONE}:
            assert firing.pop(event.identity) == event.since


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted after every step"])
@pytest.mark.parametrize(
    ("name", "setup", "script", "expected"), SCENARIOS, ids=[row[0] for row in SCENARIOS]
)
def test_what_people_are_told(name, setup, script, expected, restart):
    stage = Stage(**setup, restart_always=restart)
    assert stage.play(script) == expected
    believable(stage.events)


def test_the_table_is_as_long_as_promised():
    assert len(SCENARIOS) >= 100


HOST_STEPS = [f"pc{n:02}={rows}" for n in (1, 11) for rows in ("x", ".", "-", "C:x,D:.", "C:.,D:x", "")]
STEPS = [
    *HOST_STEPS, "share=4/10", "share=1/10", "share=9/20", "|", "|", "|", "on=20", "on=10", "on=0", "on=?",
    "1h", "6h", "1d", "ack=low@pc01", "name=low,4h", "host=pc1*,2h", "group=lab2,1d", "unsilence", "hosts=12",
    "hosts=20", "rules=low", "rules=low,slow", "offline", "online",
]  # fmt: skip
POLICIES = st.sampled_from(
    [AlertPolicy(), BOTH, WORKDAYS, AlertPolicy(absent=Absent(DAY), vanish=Vanish(20.0), repeat_s=HOUR)]
)
RULES = st.fixed_dictionaries(
    {}, optional={"after": st.integers(1, 3), "clear_after": st.integers(1, 3), "for_s": st.just(600.0)}
)


@given(
    policy=POLICIES,
    rule=RULES,
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=60),
)
@settings(max_examples=200, deadline=None)
def test_a_restart_changes_nothing_and_nothing_untrue_is_told(policy, rule, steps):
    through = Stage(policy, rule)
    through.play(" ".join(step for step, _ in steps))
    restarted = Stage(policy, rule)
    restarted.play(" ".join(f"{step} restart" if again else step for step, again in steps))
    assert restarted.events == through.events
    assert restarted.rows == through.rows
    believable(through.events)


def test_five_hundred_pcs_off_at_night_are_no_event():
    hosts = [f"pc{number:03}" for number in range(500)]
    policy = AlertPolicy(absent=Absent(7 * DAY), vanish=Vanish(50.0, active="* 8-19 * * 1-5"))
    board = Board("e", policy)
    rooms = {f"room{n}": hosts[n * 20 : n * 20 + 20] for n in range(25)}
    events = []
    for slot in range(7 * 96):
        at = MONDAY_NOON + slot * 900
        moment = datetime.fromtimestamp(at, UTC)
        on = 8 <= moment.hour < 20 and moment.weekday() < 5
        seen = {host: HostSeen(on, at if on else at - 50_000, MONDAY_NOON) for host in hosts}
        events += board.iteration_end(IterationView(int(at), at, seen, rooms)).events
    assert events == []


def test_a_healthy_fleet_writes_nothing_after_its_first_observation():
    stage = Stage()
    stage.play("pc01=. pc01=.")
    assert (
        stage.board.check("pc01", "usage", [AlertCheck("low", (CheckRow("", False, "m"),))], 9e9).updates
        == ()
    )


def test_the_end_says_how_long_it_fired_also_when_it_was_held_back():
    stage = Stage()
    stage.play("pc01=x 1h name=low,4h pc01=. 1h pc01=x 1h pc01=. 5h |")
    fired, resolved = stage.events
    assert fired.since == fired.at == resolved.since
    assert resolved.message == "pc01 is bad"


def test_reminders_and_late_news_say_what_is_wrong():
    stage = Stage(rule={"clear_after": 9})
    stage.play("name=low,1h pc01=x pc01=. 2h |")
    assert [event.message for event in stage.events] == ["pc01 is bad"]


def test_a_share_says_how_many_and_an_example():
    stage = Stage()
    stage.play("share=4/10 |")
    assert stage.events[0].message == "4 of 10 hosts of lab1 (40 %), such as pc00: pc00 is slow"
    assert stage.events[0].identity == AlertIdentity("e", "slow")


def test_a_vanished_room_says_which_hosts():
    stage = Stage(ROOMS)
    stage.play("on=20 | on=10 |")
    assert stage.events[0].message == (
        "10 of 10 hosts of lab2 went off at once: pc10, pc11, pc12, pc13, pc14 and 5 more"
    )
    assert stage.events[0].severity is Severity.CRITICAL


def test_hosts_that_stayed_off_are_absent_once_their_room_is_back():
    stage = Stage(BOTH)
    stage.play("on=20 | on=10 | 2h | on=16 |")
    told = ["F vanish@*/lab2", "O vanish@*/lab2", *(f"F absent@pc{n}" for n in range(16, 20))]
    assert stage.told == told


def test_a_rule_that_counts_from_now_on_closes_its_alerts_of_single_hosts():
    board = Board("e", AlertPolicy())
    row = (CheckRow("", True, "bad"),)
    board.check("pc01", "usage", [AlertCheck("low", row)], 1000.0)
    counted = board.check("pc01", "usage", [AlertCheck("low", row, share=Share("", 0.0))], 1001.0)
    assert [event.what for event in counted.events] == [Happening.GONE]
    single = board.check("pc01", "usage", [AlertCheck("low", row)], 1002.0)
    assert [event.what for event in single.events] == [Happening.FIRED]
    assert board.iteration_end(IterationView(1000, 1003.0, {"pc01": HostSeen(True)})).events == ()


def test_user_code_cannot_take_the_name_of_a_pool_rule():
    taken = Board("e", AlertPolicy()).check(
        "pc01", "mine", [AlertCheck("absent", (CheckRow("", True),))], 1.0
    )
    assert taken.events[0].identity.name == "mine/absent"


def test_rules_of_user_code_stay_while_its_probe_is_there():
    board = Board("e", AlertPolicy())
    board.check("pc01", "mine", [AlertCheck("anything", (CheckRow("", True),))], 1.0)
    assert board.begin({"mine": None}, ["pc01"], 2.0).events == ()
    assert [event.what for event in board.begin({"other": None}, ["pc01"], 3.0).events] == [Happening.GONE]


def test_what_the_engine_itself_finds_about_the_pool_is_an_alert_like_any_other():
    board = Board("e", AlertPolicy())
    told = []
    for bad in (True, True, False):
        told += board.check("", "", [AlertCheck("auth_blocked", (CheckRow("LAB\\reader", bad),))], 5.0).events
        told += board.begin({}, [], 6.0).events
    assert [event.what for event in told] == [Happening.FIRED, Happening.RESOLVED]


@given(text=st.text(st.characters(), max_size=300))
@example("\0")
@example("\ud800")
def test_what_a_target_calls_its_rows_is_made_storable(text):
    taken = Board("e", AlertPolicy()).check(
        "pc01", "p", [AlertCheck("low", (CheckRow(text, True, text),))], 1.0
    )
    for update in taken.updates:
        assert len(update.identity.key) <= 200
        assert "\0" not in (update.identity.key + update.message)
        (update.identity.key + update.message).encode()


def test_a_note_nobody_can_read_is_a_fresh_start():
    identity = AlertIdentity("e", "vanish", "", "lab1")
    board = Board("e", ROOMS, [AlertUpdate(identity, AlertState(note="{broken"))])
    seen = {host: HostSeen(False) for host in HOSTS}
    assert board.iteration_end(IterationView(1, 2.0, seen, {"lab1": HOSTS})).events == ()


def test_a_probe_with_another_name_takes_its_alerts_along():
    low = AlertCheck("low", (CheckRow("C:", True, "full"),), complete=True)
    board = Board("e", AlertPolicy())
    before = board.check("pc01", "usage", [low], MONDAY_NOON)
    board = Board("e", AlertPolicy(), before.updates)
    taken = board.begin({"disks": frozenset({"low"})}, HOSTS, MONDAY_NOON + 60)
    assert (taken.events, [each.probe for each in taken.updates]) == ((), ["disks"])
    assert board.check("pc01", "disks", [low], MONDAY_NOON + 120).events == ()
    gone = board.check("pc01", "disks", [dataclasses.replace(low, rows=())], MONDAY_NOON + 180)
    assert [event.what for event in gone.events] == [Happening.GONE]


def test_a_rule_that_left_with_its_probe_is_gone():
    low = AlertCheck("low", (CheckRow("C:", True, "full"),), complete=True)
    before = Board("e", AlertPolicy()).check("pc01", "usage", [low], MONDAY_NOON)
    board = Board("e", AlertPolicy(), before.updates)
    taken = board.begin({"disks": frozenset({"slow"}), "own": None}, HOSTS, MONDAY_NOON + 60)
    assert [event.what for event in taken.events] == [Happening.GONE]


def test_a_run_with_a_limit_judges_nothing_about_the_pool():
    policy = AlertPolicy(absent=Absent(HOUR), vanish=Vanish(50.0))
    stage = Stage(policy)
    told = stage.play("on=20 | on=19 2h | share=4/10 |")
    assert told == "F absent@pc19; F slow@*"
    stage.board = Board("e", policy, stage.rows.values())
    stage.take(stage.board.begin(stage.rules, HOSTS, stage.at))
    limited = {"pc00": HostSeen(on=True, last_on=stage.at)}
    view = IterationView(int(stage.at), stage.at + 60, limited, {"lab1": ["pc00"]}, lambda _: ["pc00"])
    stage.take(stage.board.iteration_end(view))
    assert "; ".join(stage.told) == told
