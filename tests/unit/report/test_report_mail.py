"""The periodic mail: both forms say the same, nothing a target sent is more than text."""

from __future__ import annotations

import lxml.html
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.alert import AlertIdentity, AlertState, AlertUpdate
from ddcplay.model.report import AttemptCount, HostPresence, IterationSpan, ReportData
from ddcplay.model.result import Outcome, Reason
from ddcplay.report.mail import HOSTS, report_mail
from ddcplay.report.summary import summarise


def test_subject_says_how_much_and_what(count, data, firing):
    mail = report_mail(summarise(data(count("pc1", 3, Reason.PORT_CLOSED), alerts=(firing("pc1"),))))
    assert mail.subject == "[ddcplay] classroom: report, 40.0 % collected, 1 thing to do, 1 open alert"


def test_what_to_do_is_the_first_section(count, data, firing):
    mail = report_mail(summarise(data(count("pc1", 3, Reason.PORT_CLOSED), alerts=(firing("pc1"),))))
    titles = [node.text_content() for node in lxml.html.fromstring(mail.html).iter("h2")]
    assert titles[:4] == ["What to do", "Open alerts", "Probes", "Not ok, by reason"]
    assert mail.text.index("winrm quickconfig") < mail.text.index("Open alerts")


def test_nothing_to_do_is_said(count, data):
    assert (
        "Nothing: every machine that was on could be collected"
        in report_mail(summarise(data(count("pc1", 3)))).text
    )


def test_many_hosts_are_named_up_to_a_limit_then_counted(count, data):
    mail = report_mail(summarise(data(*(count(f"pc{n:03}", 1, Reason.AUTH) for n in range(169)))))
    assert f"and {169 - HOSTS} more" in mail.text
    assert "169 hosts: the login is refused" in mail.text
    assert len(mail.html) < 20_000


def test_times_are_those_of_the_play(count, data):
    mail = report_mail(summarise(data(count("pc1", 1), timezone="Asia/Kolkata")))
    assert "2023-11-15 03:43 to 2023-11-15 05:58 (Asia/Kolkata)" in mail.text


def test_a_time_zone_this_machine_lacks_is_no_failure(count, data):
    assert report_mail(summarise(data(count("pc1", 1), timezone="Mars/Olympus"))).text


def test_a_period_without_iterations_has_a_mail(data):
    assert "no iteration in this period" in report_mail(summarise(data(iterations=(), presence=()))).text


EVIL = "<script>alert(1)</script>\"'&\r\nBcc: x@example.org\u202e\x1b[31m\0"


@pytest.mark.parametrize("form", ["html", "text"])
def test_hostile_text_stays_text(count, data, firing, form):
    summary = summarise(
        data(
            count(EVIL, 5, Reason.EXIT_CODE, probe=EVIL, detail=EVIL, hint=EVIL),
            count(EVIL, 5, probe="q"),
            alerts=(firing(EVIL, EVIL, name=EVIL),),
            experiment=EVIL,
            rooms=((EVIL, EVIL),),
        )
    )
    mail = report_mail(summary)
    body = getattr(mail, form)
    assert not {"\r", "\0", "\x1b", "\u202e"} & set(body)
    assert "\nBcc:" not in body
    if form == "html":
        assert "<script" not in body
        tree = lxml.html.fromstring(body)
        assert "<script>alert(1)</script>" in tree.text_content()
        assert {node.tag for node in tree.iter()} <= {
            "html", "head", "meta", "body", "p", "h2", "ul", "li", "br", "span", "table", "tr", "th", "td",
        }  # fmt: skip
    assert not {"\r", "\n"} & set(mail.subject)


TEXT = st.text(max_size=30)


@given(TEXT, TEXT, TEXT, st.sampled_from(list(Reason)))
def test_any_text_gives_one_line_of_subject_and_well_formed_html(name, detail, zone, reason):
    outcome = next(o for o in Outcome if o is not Outcome.OK)
    data = ReportData(
        experiment=name,
        play=name,
        began_at=0.0,
        since=0,
        until=0,
        iterations=(IterationSpan(1, 1.0),),
        counts=(AttemptCount(name, name, outcome, reason, 9, detail=detail, hint=detail, last_id=1),),
        presence=(HostPresence(name, 20, 3, 1),),
        alerts=(AlertUpdate(AlertIdentity(name, name, name), AlertState(), message=detail, runbook=detail),),
        timezone=zone,
    )
    mail = report_mail(summarise(data))
    assert len(mail.subject.splitlines()) == 1
    assert mail.subject.isprintable()
    mail.text.encode()
    mail.html.encode()
    lxml.html.fromstring(mail.html)
