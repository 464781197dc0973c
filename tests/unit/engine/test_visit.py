"""What becomes of a visit, in every turn it can take."""

from __future__ import annotations

import pickle
from contextlib import nullcontext

import pytest

from ddcplay.engine.visit import Login, LoginReport, VisitTools, run_visit
from ddcplay.errors import FaultError
from ddcplay.model.plan import ProbeSpec
from ddcplay.model.result import Outcome, ProbeOutput, Reason


@pytest.fixture
def go(clock, scripted, line_probe, visit_of):
    def run(*probes, script=lambda host: None, redact=lambda text: text, **limits):
        transport, hosts = scripted("pc1")
        script(hosts["pc1"])
        news = []
        tools = VisitTools(
            lambda _name: transport,
            lambda _kind: line_probe,
            clock,
            lambda ref: ref.value,
            redact,
            news.append,
            lambda _c: nullcontext(),
        )
        return run_visit(visit_of("pc1", *probes, **limits), tools), hosts["pc1"], news

    return run


def probe(name="p", body="hostname", **more):
    return ProbeSpec(name, "command", body, **more)


def test_every_probe_runs_in_order_on_one_connection(go):
    result, host, news = go(probe("a", "ver"), probe("b", "hostname"))
    assert [(a.probe, a.outcome) for a in result.attempts] == [("a", Outcome.OK), ("b", Outcome.OK)]
    assert (host.connects, host.commands, host.closed) == (1, ["ver", "hostname"], 1)
    assert news == [LoginReport("pc1", Login.ACCEPTED), *result.attempts]


def test_a_visit_without_probes_only_logs_on(go):
    result, host, _ = go()
    assert (result.login, result.attempts, host.commands, host.closed) == (Login.ACCEPTED, (), [], 1)


@pytest.mark.parametrize(
    ("reason", "login", "on"),
    [
        ("auth", Login.REFUSED, True),
        ("transport", Login.UNKNOWN, True),
        ("no_answer", Login.UNKNOWN, False),
        ("port_closed", Login.UNKNOWN, True),
        ("no_name", Login.UNKNOWN, None),
        ("quota", Login.UNKNOWN, True),
    ],
)
def test_a_failed_connect_fails_every_probe_with_its_reason(go, reason, login, on):
    result, host, _ = go(
        probe("a"), probe("b"), script=lambda h: h.connect_faults.append(FaultError(reason, "what", "fix"))
    )
    assert [(a.reason, a.detail, a.hint, a.on) for a in result.attempts] == [(reason, "what", "fix", on)] * 2
    assert (result.login, host.commands) == (login, [])
    assert result.failure.reason == reason


def test_only_the_first_attempt_carries_the_time_of_a_failed_connect(go):
    result, _, _ = go(
        probe("a"), probe("b"), script=lambda h: h.connect_faults.append(FaultError("auth", "no"))
    )
    assert [round(a.elapsed_s, 3) for a in result.attempts] == [0.1, 0.0]


def test_a_refused_login_is_never_tried_again(go):
    faults = [FaultError("auth", "no", retryable=True)] * 3
    _, host, _ = go(
        probe(retries=5, retry_on=(Reason.AUTH,)), script=lambda h: h.connect_faults.extend(faults)
    )
    assert host.connects == 1


def test_a_retryable_connect_fault_uses_up_retries(go):
    faults = [FaultError("transport", "reset", retryable=True)] * 2
    result, host, _ = go(probe(retries=2), script=lambda h: h.connect_faults.extend(faults))
    assert (host.connects, result.attempts[0].outcome) == (3, Outcome.OK)


@pytest.mark.parametrize(
    ("code", "ok_codes", "outcome"),
    [
        (0, (0,), Outcome.OK),
        (1, (0,), Outcome.FAILED),
        (3, (0, 3), Outcome.OK),
        (0, (3,), Outcome.FAILED),
        (0xC0000005, (-1073741819,), Outcome.OK),
        (0xC0000005, (0xC0000005,), Outcome.OK),
        (0xC0000005, (0,), Outcome.FAILED),
    ],
)
def test_exit_codes_are_held_against_ok_codes_in_both_spellings(go, code, ok_codes, outcome):
    result, _, _ = go(
        probe(ok_codes=ok_codes),
        script=lambda h: h.outputs.update(hostname=[ProbeOutput(exit_code=code, stderr=b"Oops\r\n")]),
    )
    attempt = result.attempts[0]
    assert (attempt.outcome, attempt.exit_code) == (outcome, code)
    assert attempt.reason == (None if outcome is Outcome.OK else Reason.EXIT_CODE)


def test_the_first_line_of_stderr_explains_an_exit_code(go):
    result, _, _ = go(
        probe(),
        script=lambda h: h.outputs.update(hostname=[ProbeOutput(exit_code=9, stderr=b"\r\nNo disk\r\nmore")]),
    )
    assert result.attempts[0].detail == "exit code 9: No disk"


@pytest.mark.parametrize(
    ("first", "retry_on", "tries"),
    [
        (ProbeOutput(reason=Reason.TRANSPORT), (Reason.TRANSPORT,), 2),
        (ProbeOutput(reason=Reason.TRANSPORT, accepted=True), (Reason.TRANSPORT,), 1),
        (ProbeOutput(exit_code=1, accepted=True), (Reason.TRANSPORT,), 1),
        (ProbeOutput(exit_code=1, accepted=True), (Reason.EXIT_CODE,), 2),
        (ProbeOutput(reason=Reason.TIMEOUT, accepted=True), (Reason.TIMEOUT,), 1),
        (ProbeOutput(reason=Reason.AUTH), (Reason.AUTH,), 1),
        (ProbeOutput(reason=Reason.QUOTA), (Reason.QUOTA,), 2),
    ],
)
def test_only_what_was_not_accepted_is_sent_again_unless_exit_code_is_listed(go, first, retry_on, tries):
    result, host, _ = go(
        probe(retries=1, retry_on=retry_on), script=lambda h: h.outputs.update(hostname=[first])
    )
    assert (result.attempts[0].tries, len(host.commands)) == (tries, tries)


def test_each_try_to_connect_waits_its_delay_and_counts_as_a_try(go, clock):
    faults = [FaultError("transport", "reset", retryable=True)] * 2
    result, _, news = go(probe(retries=2, retry_delay_s=7), script=lambda h: h.connect_faults.extend(faults))
    assert (result.attempts[0].tries, result.attempts[0].elapsed_s) == (3, pytest.approx(14.4))
    assert [each.login for each in news if isinstance(each, LoginReport)] == [Login.ACCEPTED]


def test_what_was_given_up_by_one_probe_is_not_asked_again_by_the_next(go):
    faults = [FaultError("transport", "reset", retryable=True)] * 9
    result, host, news = go(
        probe("a", retries=1), probe("b", retries=5), script=lambda h: h.connect_faults.extend(faults)
    )
    assert host.connects == 2
    assert [a.tries for a in result.attempts] == [2, 1]
    assert [each.login for each in news if isinstance(each, LoginReport)] == [Login.UNKNOWN]


def test_retry_delay_passes_between_tries(go, clock):
    failed = [ProbeOutput(reason=Reason.TRANSPORT)] * 2
    result, _, _ = go(probe(retries=2, retry_delay_s=7), script=lambda h: h.outputs.update(hostname=failed))
    assert result.attempts[0].elapsed_s == pytest.approx(14 + 0.4)


def test_probes_past_the_visit_budget_fail_without_being_sent(go):
    def slow(host):
        host.takes_s = 20

    result, host, _ = go(probe("a", "ver"), probe("b", "dir"), script=slow, visit_s=30)
    assert [a.reason for a in result.attempts] == [None, Reason.TIMEOUT]
    assert host.commands == ["ver"]


def test_a_bug_in_a_probe_costs_that_probe_only(go, line_probe):
    class BrokenError(Exception):
        pass

    calls = []
    healthy = line_probe.run

    def run(spec, connection, deadline):
        calls.append(spec.name)
        if spec.name == "a":
            raise BrokenError("secret text")
        return healthy(spec, connection, deadline)

    line_probe.run = run
    result, host, _ = go(probe("a"), probe("b"))
    assert [a.reason for a in result.attempts] == [Reason.TRANSPORT, None]
    assert "secret text" not in result.attempts[0].detail
    assert "Broken" in result.attempts[0].detail
    assert host.closed == 1


def test_details_are_redacted_before_they_leave_the_visit(go):
    def script(host):
        host.outputs.update(hostname=[ProbeOutput(exit_code=5, stderr=b"bad password hunter2!")])

    result, _, news = go(probe(), script=script, redact=lambda t: t.replace("hunter2!", "********"))
    assert "hunter2!" not in result.attempts[0].detail
    assert "hunter2!" not in repr(news)


def test_a_visit_and_its_result_can_cross_a_process_border(go, visit_of):
    result, _, _ = go(probe())
    assert pickle.loads(pickle.dumps(result)) == result
    visit = visit_of("pc1", probe())
    assert pickle.loads(pickle.dumps(visit)) == visit
