"""Every dialect carries the same work: exact bytes, exact codes, no shell left, nothing sent twice."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ddcplay.errors import FaultError
from ddcplay.model.result import Reason
from ddcplay.transport.base import Command
from ddcplay.units import Deadline, SystemClock

# The file's fake PCs are one process per worker; without a group the cases spread over all workers.
DIALECTS: dict[str, dict[str, Any]] = {
    "windows-2016": {},
    "windows-7": {"shape": "w7", "max_shells": 5, "max_operations": 15, "max_envelope": 153600},
    "other-prefixes": {"shape": "other"},
    "other-prefixes-in-crumbs": {"shape": "other", "receive": "crumbs", "tab": False},
    "german": {"language": "de-DE"},
    "chinese": {"language": "zh-CN", "silent_polls": 1},
    "one-stream-an-answer": {"receive": "single"},
    "all-in-one": {"receive": "whole"},
    "silent-answers": {"receive": "empty"},
    "crumbs": {"receive": "crumbs"},
    "interleaved": {"receive": "interleaved"},
    "negative-exit-codes": {"exit_code": "negative"},
    "no-tab": {"tab": False},
    "header-and-body-apart": {"segments": 2},
    "many-segments": {"segments": 9},
    "closes-after-each": {"close_each": True},
    "lower-case-headers": {"header_case": "lower", "reason": True},
    "upper-case-headers": {"header_case": "upper"},
    "kerberos-first": {"offers": ("Kerberos", "CredSSP", "Negotiate", 'Basic realm="WSMAN"')},
    "one-line-of-offers": {
        "offers": ("Kerberos", 'Basic realm="WSMAN"', "Negotiate"),
        "offers_in_one_line": True,
    },
    "negotiate-only": {"offers": ("Negotiate",)},
    "ntlm-word-offered-too": {"offers": ("NTLM", "Negotiate", 'Basic realm="WSMAN"')},
    "realm-named-ntlm": {"offers": ('Basic realm="ntlm.example"', "Negotiate")},
    "https": {"tls": "good"},
    "ipv6": {"host": "::1"},
    "ipv6-https": {"host": "::1", "tls": "good"},
}


def within(seconds: float) -> Deadline:
    return Deadline.after(SystemClock(), seconds)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_visit_brings_home_exact_bytes_over_every_dialect(pc, name) -> None:
    there = pc(**DIALECTS[name])
    connection = there.connect(operation_timeout_s=0.5 if "silent_polls" in DIALECTS[name] else 20.0)
    text = "grün 你好 €😀\r\n"
    first = connection.run(
        Command(f"out {text} ;; err {text} ;; exit 4294967295", codepage=65001), within(20)
    )
    assert (first.reason, first.exit_code, first.accepted) == (None, 4294967295, True), first.detail
    assert (first.stdout.decode(), first.stderr.decode()) == (text, text)
    env = (("NAME", "a\tb & <c> \"d\" 'e'\r\nf"), ("1234", ""))
    second = connection.run(
        Command("set ;; cd ;; chcp", env=env, chdir=r"C:\R&D ü", codepage=850), within(20)
    )
    assert (second.reason, second.exit_code) == (None, 0), second.detail
    expected = "".join(f"{key}={value}\n" for key, value in env) + r"C:\R&D ü" + "850"
    assert second.stdout.decode() == expected
    connection.close()
    journal = there.journal()
    assert sorted(journal["created"]) == sorted(journal["deleted"])
    assert len(journal["created"]) == 2
    assert len(journal["commands"]) == 2
    assert connection.facts()["auth"] == "ntlm"


@pytest.mark.parametrize(
    "name", ["windows-2016", "windows-7", "other-prefixes", "https", "closes-after-each"]
)
def test_200_kb_of_stdin_arrive_and_3_mb_of_output_come_back(pc, name) -> None:
    there = pc(**DIALECTS[name])
    connection = there.connect()
    data = bytes(range(256)) * 800
    fed = connection.run(Command("stdin", stdin=data), within(30))
    assert fed.stdout == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode(), fed.detail
    big = connection.run(Command("big 3000000", max_output_bytes=3_000_000, last=True), within(60))
    assert (big.reason, len(big.stdout)) == (None, 3_000_000), big.detail
    assert big.stdout == (bytes(range(256)) * 12000)[:3_000_000]
    assert len(there.journal()["created"]) == 1
    assert [o["WINRS_CONSOLEMODE_STDIN"] for o in there.journal()["options"][1:]] == ["FALSE", "TRUE"]


@pytest.mark.parametrize("receive", ["recorded", "single", "empty", "crumbs", "interleaved"])
def test_output_beyond_the_cap_is_cut_there_and_the_command_ended(pc, receive) -> None:
    there = pc(receive=receive)
    connection = there.connect()
    capped = connection.run(Command("big 500000", max_output_bytes=1000), within(20))
    assert (capped.reason, capped.stdout) == (Reason.OUTPUT_LIMIT, (bytes(range(256)) * 4)[:1000])
    after = connection.run(Command("out fine", last=True), within(20))
    assert after.stdout == b"fine"
    connection.close()
    journal = there.journal()
    assert sorted(journal["created"]) == sorted(journal["deleted"])


def test_a_long_command_survives_many_operation_timeouts(pc) -> None:
    there = pc(silent_polls=3, language="zh-CN", shape="other")
    output = there.connect(operation_timeout_s=0.5).run(Command("out late ;; exit 7"), within(20))
    assert (output.reason, output.exit_code, output.stdout) == (None, 7, b"late"), output.detail
    assert there.journal()["commands"] == ["out late ;; exit 7"]


@pytest.mark.parametrize("shape", ["w2016", "w7", "other"])
def test_a_command_that_never_ends_is_ended_at_its_deadline(pc, shape) -> None:
    there = pc(shape=shape)
    connection = there.connect()
    output = connection.run(Command("out begun ;; hang"), within(1))
    assert (output.reason, output.stdout, output.exit_code) == (Reason.TIMEOUT, b"begun", None)
    assert connection.run(Command("out next"), within(10)).stdout == b"next"
    connection.close()
    journal = there.journal()
    assert sorted(journal["created"]) == sorted(journal["deleted"])
    assert max(journal["timeouts_s"]) <= 60


@pytest.mark.parametrize(
    "line",
    [
        "  blanks at both ends  ",
        'quotes " and \' and "a b" ^& | %PATH% !x!',
        "angle <b>&amp;</b> ]]> <![CDATA[x]]>",
        "tab\tand\r\nlines\nand\rreturns",
        "ünï 你好 😀 \x7f \x85 \u2028",
        "x" * 8000,
    ],
)
def test_a_command_line_arrives_letter_by_letter(pc, line) -> None:
    there = pc()
    output = there.connect().run(Command(line), within(10))
    assert output.stdout.decode() == line
    assert there.journal()["commands"] == [line]


def test_a_missing_exit_code_is_told(pc) -> None:
    output = pc(exit_code="missing").connect().run(Command("out x"), within(10))
    assert (output.reason, output.exit_code, output.stdout) == (Reason.TRANSPORT, None, b"x")
    assert "exit code" in output.detail


@pytest.mark.slow
def test_a_slow_service_is_waited_for(pc) -> None:
    there = pc(delay_s=1.0, silent_polls=1)
    output = there.connect(operation_timeout_s=1.0).run(Command("out slow"), within(60))
    assert (output.reason, output.stdout) == (None, b"slow")


@pytest.mark.parametrize(
    "name", ["windows-2016", "windows-7", "other-prefixes", "german", "closes-after-each"]
)
def test_a_query_collects_its_pages_over_every_dialect(pc, name) -> None:
    there = pc(**DIALECTS[name])
    wql = "SELECT * FROM Win32_Process WHERE Name<>'a&b' AND ProcessId < 5"
    rows = there.connect().query(wql, within(10))
    assert [row["ProcessId"] for row in rows] == [1, 2, 3, 4]
    assert rows[0]["Name"] == "System & co ü"
    assert rows[0]["CommandLine"] is None
    assert str(rows[0]["CreationDate"]).startswith("2026-11-22T10:00:00.376625")
    assert there.journal()["created"] == []


def test_a_query_of_an_unknown_class_is_wql(pc) -> None:
    with pytest.raises(FaultError) as caught:
        pc(language="de-DE").connect().query("SELECT * FROM Win32_Nothing", within(10))
    assert caught.value.reason == "wql"
