"""The credential gate: what a wrong password can cost, and what it must not (design §9.3)."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddcplay.engine.credential import account_of
from ddcplay.engine.gate import SETTLE_S, CredentialGate, Ticket
from ddcplay.engine.visit import Login
from ddcplay.errors import SecretError
from ddcplay.model.result import Reason
from ddcplay.store.ledger import CredentialLedger


class Fleet:
    """Hosts behind a gate: answers every login the gate lets through, and counts."""

    def __init__(self, gate, clock, target_of, refusing=(), mute=()):
        self.gate, self.clock, self.target_of = gate, clock, target_of
        self.refusing, self.mute = set(refusing), set(mute)
        self.asked, self.outcomes, self._due = [], {}, []

    def ticket(self, host, lane="play", **target):
        ticket = Ticket(
            self.target_of(host, **target),
            lane,
            admit=lambda: self._due.append((ticket, False)),
            refuse=lambda reason, detail, hint: self.outcomes.__setitem__(host, reason),
            canary=lambda: self._due.append((ticket, True)),
        )
        return ticket

    def request(self, *hosts, **target):
        for host in hosts:
            self.gate.request(self.ticket(host, **target))
        return self

    def login(self, host):
        self.asked.append(host)
        if host in self.mute:
            return Login.UNKNOWN
        return Login.REFUSED if host in self.refusing else Login.ACCEPTED

    def step(self):
        """Let the gate decide once, then answer what it let through."""
        pause = self.gate.pump()
        due, self._due = self._due, []
        for ticket, canary in due:
            if not canary and self.gate.held(ticket):
                continue
            host = ticket.target.host
            login = self.login(host)
            self.gate.report(ticket, login)
            if login is Login.REFUSED:
                self.outcomes.setdefault(host, Reason.AUTH)
            elif login is Login.UNKNOWN:
                self.outcomes.setdefault(host, Reason.TRANSPORT)
            elif canary and host not in self.outcomes:
                self.gate.request(ticket)
            else:
                self.outcomes[host] = "ok"
        return bool(due), pause

    def run(self):
        for _ in range(2000):
            worked, pause = self.step()
            if not worked and pause is None:
                return self
            if not worked:
                self.clock.sleep(pause)
        raise AssertionError("the gate never came to rest")

    def count(self, what):
        return sum(1 for each in self.outcomes.values() if each == what)

    @property
    def refused(self):
        return sum(host in self.refusing for host in self.asked)


@pytest.fixture
def ledger(tmp_path):
    ledger = CredentialLedger(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def notices():
    return []


@pytest.fixture
def fleet(ledger, clock, target_of, notices):
    def make(**hosts):
        gate = CredentialGate(ledger, lambda ref: ref.value, clock, notice=notices.append)
        return Fleet(gate, clock, target_of, **hosts)

    return make


NAMES = [f"pc{n:03}" for n in range(200)]


def test_a_wrong_password_meets_two_hosts_of_two_hundred(fleet, notices):
    there = fleet(refusing=NAMES).request(*NAMES).run()
    assert len(there.asked) == 2
    assert there.count(Reason.AUTH) == 2
    assert there.count(Reason.AUTH_BLOCKED) == 198
    assert len(notices) == 1


@pytest.mark.parametrize("first", [0, 40, 195])
def test_a_few_refusing_hosts_side_by_side_cost_only_themselves(fleet, first):
    bad = NAMES[first : first + 5]
    there = fleet(refusing=bad)
    there.gate._draw = random.Random(7)
    there.request(*NAMES).run()
    assert there.count("ok") == 195
    assert {host for host, outcome in there.outcomes.items() if outcome == Reason.AUTH} == set(bad)


def test_a_proven_credential_lets_everybody_through_at_once(fleet):
    there = fleet().request(*NAMES).run()
    there.asked.clear()
    there.outcomes.clear()
    there.request(*NAMES)
    worked, _ = there.step()
    assert worked
    assert there.count("ok") == 200


def test_a_restart_while_blocked_stays_blocked(fleet):
    fleet(refusing=NAMES).request(*NAMES).run()
    again = fleet(refusing=NAMES).request(*NAMES).run()
    assert again.asked == []
    assert again.count(Reason.AUTH_BLOCKED) == 200


def test_refusals_count_over_a_restart(fleet, clock):
    first = fleet(refusing=["pc1"]).request("pc1").run()
    assert first.count(Reason.AUTH) == 1
    second = fleet(refusing=["pc2", "pc3"]).request("pc2", "pc3").run()
    assert len(second.asked) == 1
    assert second.count(Reason.AUTH_BLOCKED) == 1


def test_a_changed_secret_starts_anew(fleet):
    fleet(refusing=NAMES).request(*NAMES).run()
    again = fleet().request(*NAMES, password="corrected").run()
    assert again.count("ok") == 200


def test_one_trial_per_auth_retry_while_blocked(fleet, clock):
    fleet(refusing=NAMES).request(*NAMES).run()
    clock.sleep(3601)
    trial = fleet(refusing=NAMES).request(*NAMES).run()
    assert len(trial.asked) == 1
    assert trial.count(Reason.AUTH_BLOCKED) == 199
    clock.sleep(1800)
    assert fleet(refusing=NAMES).request(*NAMES).run().asked == []


def test_a_trial_that_succeeds_opens_the_gate(fleet, clock):
    fleet(refusing=NAMES).request(*NAMES).run()
    clock.sleep(3601)
    assert fleet().request(*NAMES).run().count("ok") == 200


def test_a_password_changed_between_iterations_meets_three_hosts(fleet, clock):
    fleet().request(*NAMES).run()
    clock.sleep(900)
    there = fleet(refusing=NAMES).request(*NAMES).run()
    assert there.refused <= 3
    assert there.count(Reason.AUTH_BLOCKED) == 200 - there.refused


def test_a_mute_canary_does_not_hold_the_others_for_long(fleet, clock):
    there = fleet()
    began = clock.monotonic()
    mute = there.ticket("mute")
    there.gate.request(mute)
    clock.sleep(SETTLE_S)
    there.gate.pump()
    there._due.clear()  # the canary hangs and never reports
    there.request(*NAMES[:20]).run()
    assert there.count("ok") == 20
    assert clock.monotonic() - began < 3


def test_unreachable_canaries_are_not_refusals(fleet):
    there = fleet(mute=NAMES[:50]).request(*NAMES).run()
    assert there.count("ok") == 150
    assert there.count(Reason.TRANSPORT) == 50


def test_an_account_of_one_host_needs_no_canary(fleet):
    there = fleet(refusing=["pc001"]).request("pc001", "pc002", user=".\\admin").run()
    assert there.outcomes == {"pc001": Reason.AUTH, "pc002": "ok"}
    assert sorted(there.asked) == ["pc001", "pc002"]


def test_a_secret_that_cannot_be_resolved_contacts_nobody(ledger, clock, target_of):
    def resolve(ref):
        raise SecretError("environment variable LAB_PW is not set", "export LAB_PW")

    there = Fleet(CredentialGate(ledger, resolve, clock), clock, target_of).request("pc1").run()
    assert (there.asked, there.outcomes) == ([], {"pc1": Reason.AUTH})


def test_logins_without_a_password_pass_freely(fleet):
    assert fleet().request(*NAMES, password=None).run().count("ok") == 200


def test_two_plays_share_what_one_of_them_learned(fleet):
    there = fleet(refusing=NAMES)
    for host in NAMES[:100]:
        there.gate.request(there.ticket(host, lane="one"))
    for host in NAMES[100:]:
        there.gate.request(there.ticket(host, lane="two"))
    there.run()
    assert len(there.asked) == 2


def test_a_withdrawn_play_is_asked_nothing_more(fleet):
    there = fleet().request(*NAMES)
    there.gate.withdraw("play")
    assert there.run().asked == []


def test_blocking_is_told_without_the_secret(fleet, notices):
    fleet(refusing=NAMES).request(*NAMES, password="Very-Secret-1").run()
    assert "LAB\\lab" in notices[0]
    assert "Very-Secret-1" not in notices[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("DOM\\u", "dom\\U", True),
        ("DOM\\u", "u@dom.example.org", True),
        ("u@DOM.EXAMPLE.ORG", "u@dom.example.org", True),
        ("DOM\\u", "OTHER\\u", False),
        ("DOM\\u", "u", False),
        ("u", "U", True),
    ],
)
def test_spellings_of_one_account(target_of, one, other, same):
    first, second = account_of(target_of("pc1", user=one)), account_of(target_of("pc2", user=other))
    assert (first.identity == second.identity) is same


@pytest.mark.parametrize("user", [".\\admin", "PC1\\admin", "pc1\\Admin"])
def test_accounts_of_the_host_itself_are_its_own(target_of, user):
    assert account_of(target_of("pc1", user=user)).owner == "pc1"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.sampled_from(NAMES[:40])), mute=st.sets(st.sampled_from(NAMES[:40])))
def test_every_host_gets_exactly_one_answer_and_nobody_waits_for_ever(ledger, clock, target_of, bad, mute):
    gate = CredentialGate(ledger, lambda ref: ref.value, clock)
    password = f"{sorted(bad)}{sorted(mute)}"
    there = Fleet(gate, clock, target_of, refusing=bad, mute=mute)
    there.request(*NAMES[:40], password=password).run()
    assert set(there.outcomes) == set(NAMES[:40])
