"""What people are told over days: a real mail server, and a clock of the test's own."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from ddcplay.config.settings import Settings, Smtp
from ddcplay.engine.events import AlertChanged, IterationClosed, Notice
from ddcplay.engine.post_office import PostOffice
from ddcplay.model.alert import Severity
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import (
    Absent,
    AlertPolicy,
    FilterEntry,
    ProbeEntry,
    ReportPolicy,
    Schedule,
    Vanish,
)
from ddcplay.model.result import ProbeOutput
from ddcplay.notify.outbox import Outbox
from ddcplay.notify.smtp import SmtpSender, SmtpServer
from ddcplay.store.trace import parse_line

MONDAY_7AM = datetime(2026, 11, 23, 7, 0, tzinfo=UTC).timestamp()
IT = "it@example.edu"
QUARTER = Schedule(every_s=900)


class Stepped(Outbox):
    """An outbox without a thread: it sends when it is woken, so that time passes only where the test says."""

    def start(self) -> None:
        pass

    def wake(self) -> None:
        self.send_due()

    def close(self, timeout_s: float) -> None:
        self.send_due(eager=True)


class Post(PostOffice):
    """The real post office with stepped outboxes; counts signs of life."""

    def __init__(self, settings, clock, notice) -> None:
        super().__init__(settings, lambda ref: ref.value, str, clock, notice)
        self.settings, self.clock, self.notice = settings, clock, notice
        self.beats = 0

    def outbox(self, table, play):
        server = SmtpServer.of(self.settings.smtp)
        return Stepped(
            table, {"mail": SmtpSender(server, lambda ref: ref.value)}, self.clock, self.notice, str
        )

    def beat(self) -> None:
        self.beats += 1


def alert(**options):
    rule = {"name": "broken", "when": "'bad' in record.stdout", "message": "{{ host.name }} is broken"}
    return FilterEntry("alert", {**rule, **options}, label="alert")


class School:
    """Rooms of PCs whose answers and power follow the hour, and the mails that come of it."""

    def __init__(self, there, server, *, network_check: Collection[str] = ()) -> None:
        self.there, self.server = there, server
        self.bad = self.off = lambda _at: ()
        there.clock.time = MONDAY_7AM
        smtp = Smtp("localhost", "ddcplay@example.edu", server.port, ca_trust_path=str(server.ca))
        smtp = replace(smtp, username="ddcplay", password=SecretRef("plain", "mail-Passw0rd"))
        settings = Settings(there.path, there.path, smtp=smtp, network_check=tuple(network_check))
        self.post = there.post = Post(settings, there.clock, self.note)
        self.notes = []
        there.before_sweep.append(self.turn)

    def note(self, text):
        self.notes.append(text)

    def turn(self):
        at = self.there.clock.now()
        bad = set(self.bad(at))
        self.there.off = set(self.off(at))
        for name, host in self.there.hosts.items():
            host.outputs["hostname"] = [
                ProbeOutput(0, b"bad\r\n" if name in bad else b"fine\r\n", accepted=True)
            ]

    def run(self, iterations, **setup):
        """Make some iterations; nobody pulls the plug here, so not every write has to reach the disk."""
        return self.there.run(iterations=iterations, durability="batch", **setup)

    @property
    def mails(self):
        return self.server.messages()

    @property
    def subjects(self):
        return [mail["Subject"] for mail in self.mails]

    def events(self):
        with closing(sqlite3.connect(self.there.path / "exp" / "experiment.db")) as database:
            rows = database.execute("select host, payload from event order by id").fetchall()
        found = [(host, orjson.loads(payload)) for host, payload in rows]
        return [(event["name"], host, event["what"]) for host, event in found]


@pytest.fixture
def school(world, smtp_server):
    def make(*names, rooms=(), filters=(), alerts=None, network_check=(), server=None, **play):
        there = world(*names)
        filters = filters or (alert(),)
        policy = alerts or AlertPolicy(email_to=(IT,))
        probe = ProbeEntry("name", "command", "hostname", filters=tuple(filters))
        there.play = replace(there.play, probes=(probe,), alerts=policy, **{"schedule": QUARTER, **play})
        room_of = {name: room for room, members in dict(rooms).items() for name in members}
        hosts = tuple(
            replace(
                host,
                probes=host.probes[:1],
                groups=("labs", room_of.get(host.host, "room")),
                room=room_of.get(host.host, "room"),
            )
            for host in there.plan.hosts
        )
        there.plan = replace(there.plan, probe_names=("name",), hosts=hosts)
        server = server or smtp_server(tls="starttls", user="ddcplay", password="mail-Passw0rd")
        return School(there, server, network_check=network_check)

    return make


def hour(at):
    then = datetime.fromtimestamp(at, UTC)
    return (then.day - 23) * 24 + then.hour + then.minute / 60


def text_of(mail):
    return mail.get_body(("plain",)).get_content()


def test_five_hundred_pcs_that_go_off_for_the_night_are_no_news(school):
    names = [f"pc{number:03}" for number in range(500)]
    rooms = {f"lab{room:02}": names[room::25] for room in range(25)}
    vanish = Vanish(50.0, active="* 8-17 * * 1-5")
    there = school(
        *names,
        rooms=rooms,
        alerts=AlertPolicy(email_to=(IT,), absent=Absent(7 * 86400.0), vanish=vanish),
        schedule=Schedule(every_s=3600),
    )
    there.there.clock.time += 8 * 3600  # 15:00
    there.off = lambda at: names if not 8 <= hour(at) % 24 < 18 else ()
    there.run(18)
    on = [each.probes[0].ok for each in there.there.of(IterationClosed)]
    assert on == [500] * 3 + [0] * 14 + [500]
    assert (there.events(), there.mails) == ([], [])
    assert there.post.beats == 18


def test_a_room_that_is_switched_off_at_noon_is_one_mail_and_none_about_its_pcs(school):
    names = [f"a{number:02}" for number in range(20)] + [f"b{number:02}" for number in range(20)]
    there = school(
        *names,
        rooms={"labA": names[:20], "labB": names[20:]},
        alerts=AlertPolicy(
            email_to=(IT,), absent=Absent(3600.0), vanish=Vanish(50.0, active="* 8-17 * * 1-5")
        ),
    )
    there.off = lambda at: names[:20] if 12 <= hour(at) < 15 else ()
    there.run(4 * 7)  # from 07:00 on; `absent` is true of each of them from 13:00 on
    there.run(4)  # a restart while it fires, and on to 15:00
    assert there.subjects == ["[exp] CRITICAL vanish"]
    assert "20 of 20 hosts of labA went off at once" in text_of(there.mails[0])
    there.run(2)
    assert there.events() == [("vanish", "", "fired"), ("vanish", "", "resolved")]
    assert there.subjects[1:] == ["[exp] 1 vanish resolved"]


def test_a_server_that_is_down_for_a_day_gets_all_mails_in_order_when_it_is_back(school):
    there = school("pc1", "pc2")
    there.bad = lambda at: ["pc1"] if int(hour(at)) % 2 else ()
    there.server.stop()
    there.there.before_sweep.append(lambda: hour(there.there.clock.now()) > 25 and not started and start())
    started = []

    def start():
        started.append(there.there.clock.now())
        there.server.start()

    there.run(4 * 26)
    assert len(started) == 1
    events = [what for _, _, what in there.events()]
    dates = [mail["Date"].datetime for mail in there.mails]
    told = ["fired" if "  Fired" in text_of(mail) else "resolved" for mail in there.mails]
    assert told == events
    assert len(there.mails) >= 24
    assert dates == sorted(dates)
    assert len({mail["Message-ID"] for mail in there.mails}) == len(there.mails)
    assert len(there.notes) == 2, there.notes


def test_an_alert_survives_restarts_and_tells_each_thing_once(school, smtp_server):
    server = smtp_server(tls="starttls", user="ddcplay", password="mail-Passw0rd")
    clock = None
    for part in range(8):  # eight runs of three iterations: 07:00 to 13:00
        there = school("pc1", "pc2", server=server)
        clock = clock or there.there.clock
        there.there.clock.time = MONDAY_7AM + part * 2700
        there.bad = lambda at: ["pc1"] if 7.5 <= hour(at) < 12.25 else ()
        there.run(3)
    assert there.events() == [
        ("broken", "pc1", "fired"),
        ("broken", "pc1", "repeated"),
        ("broken", "pc1", "resolved"),
    ]
    assert there.subjects == [
        "[exp] pc1 broken: room room",
        "[exp] pc1 still broken: room room",
        "[exp] 1 broken resolved: room room",
    ]
    fired, repeated, resolved = (mail["Date"].datetime.timestamp() for mail in there.mails)
    assert repeated - fired == pytest.approx(4 * 3600, abs=60)
    assert (hour(fired), hour(resolved)) == pytest.approx((7.5, 12.25), abs=0.02)


def listening():
    server = socket.create_server(("127.0.0.1", 0))
    return server, f"127.0.0.1:{server.getsockname()[1]}"


def test_a_coordinator_that_is_offline_says_so_once_and_nothing_about_the_pool(school):
    silent = "255.255.255.255:9"  # the system itself says "unreachable"
    names = [f"pc{number}" for number in range(10)]
    there = school(
        *names,
        alerts=AlertPolicy(email_to=(IT,), absent=Absent(1000.0), vanish=Vanish(50.0)),
        network_check=(silent,),
    )
    there.off = lambda at: names if 7.5 <= hour(at) < 8 else ()
    there.bad = lambda at: ["pc3"] if hour(at) >= 8 else ()
    there.run(8)
    assert there.events() == [
        ("coordinator_offline", "", "fired"),
        ("broken", "pc3", "fired"),
        ("coordinator_offline", "", "resolved"),
    ]
    assert there.there.of(AlertChanged)[0].event.severity is Severity.CRITICAL
    assert len(there.mails) == 2


def test_silent_hosts_are_no_evidence_while_the_network_check_answers(school):
    server, address = listening()
    with server:
        there = school("pc1", "pc2", network_check=(address,))
        there.off = lambda at: ["pc1", "pc2"] if hour(at) >= 8 else ()
        there.run(8)
    assert there.events() == []


def test_a_report_comes_every_so_often_with_the_trace_of_its_time(school):
    there = school("pc1", "pc2", "pc3", report=ReportPolicy(7200.0, email_to=(IT,), attach=("trace",)))
    there.off = lambda at: ["pc3"] if hour(at) < 9 else ["pc2", "pc3"]
    there.run(4 * 5)
    reports = there.mails
    assert len(reports) == 2
    told = []
    for mail in reports:
        (trace,) = mail.iter_attachments()
        assert trace.get_filename() == "name.trace"
        lines = [parse_line(line) for line in trace.get_content().splitlines()]
        ok, unavailable = sum(line.ok for line in lines), sum(line.unavailable for line in lines)
        text = " ".join(text_of(mail).split())
        assert f"{len(lines)} iterations over 3 hosts" in text
        assert f"{100 * ok / (ok + unavailable):.1f} % of {ok + unavailable} visits" in text
        told += [line.iteration for line in lines]
    written = [parse_line(line).iteration for line in there.there.trace()]
    assert told == written[: len(told)]
    assert len(told) >= 17


def test_a_digest_carries_the_trace_since_the_last_one(school):
    there = school("pc1", "pc2", alerts=AlertPolicy(email_to=(IT,), attach=("trace",)))
    there.bad = lambda at: ["pc1"] if 7.5 <= hour(at) < 8.5 else ()
    there.run(12)
    told = [part.get_content().splitlines() for mail in there.mails for part in mail.iter_attachments()]
    assert [len(lines) for lines in told] == [3, 4]
    assert [line for lines in told for line in lines] == there.there.trace()[:7]


def test_a_report_that_cannot_be_made_is_told_and_the_run_goes_on(school):
    there = school("pc1", report=ReportPolicy(3600.0, file="report.html"))
    made = []

    def write(due):
        made.append(due.made_at)
        if len(made) < 3:
            raise OSError(28, "No space left on device")
        due.file.write_text("whole")

    there.run(4 * 4, write_report=write)
    warnings = [each.text for each in there.there.of(Notice) if "report" in each.text]
    assert len(warnings) == 2
    assert "No space left on device" in warnings[0]
    assert (there.there.path / "exp" / "report.html").read_text() == "whole"
    assert len(there.there.trace()) == 16


def test_mails_of_filters_join_the_digest_or_leave_at_once(school):
    digest = FilterEntry("email", {"text": "{{ host.name }} says {{ record.stdout }}"}, label="email")
    once = FilterEntry(
        "email",
        {"text": "{{ host.name }} on fire", "subject": "fire", "immediate": True, "attach": ["stdout"]},
        label="email#2",
    )
    there = school("pc1", "pc2", filters=(digest, once))
    there.run(1)
    assert sorted(there.subjects) == ["[exp] 2 notes", "[exp] fire", "[exp] fire"]
    fires = [mail for mail in there.mails if mail["Subject"] == "[exp] fire"]
    assert {next(mail.iter_attachments()).get_content() for mail in fires} == {"fine\r\n"}


def test_immediate_mails_of_a_whole_room_are_twenty_and_the_rest_joins_the_digest(school):
    once = FilterEntry(
        "email", {"text": "{{ host.name }} on fire", "subject": "fire", "immediate": True}, label="email"
    )
    there = school(*(f"pc{number:02}" for number in range(30)), filters=(once,))
    there.run(1)
    assert there.subjects.count("[exp] fire") == 20
    assert there.subjects.count("[exp] 10 notes") == 1


def test_reminders_do_not_pile_up_while_the_mail_server_is_away(school):
    there = school("pc1", alerts=AlertPolicy(email_to=(IT,), repeat_s=3600.0))
    there.bad = lambda _at: {"pc1"}
    there.server.stop()
    there.run(4 * 24)
    assert [what for _, _, what in there.events()].count("repeated") > 20
    there.server.start()
    there.run(8)
    assert there.subjects[0] == "[exp] pc1 broken: room room"
    assert len(there.subjects) <= 3
