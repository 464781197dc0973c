"""The outbox against a real mail server: nothing lost, nothing overtaken, trouble told once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ddcplay.model.effects import Outgoing
from ddcplay.model.inventory import SecretRef
from ddcplay.notify.delivery import Delivery
from ddcplay.notify.outbox import Outbox, retry_pause_s
from ddcplay.notify.smtp import SmtpSender, SmtpServer

PASSWORD = "correct horse 42"


@dataclass
class Sending:
    """An outbox whose passes a test makes itself, and what it told."""

    outbox: Outbox
    told: list[str] = field(default_factory=list)


def server_for(running: Any, **more: Any) -> SmtpServer:
    options = {
        "encryption": running.options.get("tls", "none"),
        "ca_trust_path": str(running.ca),
        "username": running.options.get("user"),
        "password": SecretRef("plain", PASSWORD),
        "timeout_s": 5.0,
        **more,
    }
    return SmtpServer("127.0.0.1", running.port, "ddcplay@example.edu", **options)


@pytest.fixture
def sending(table: Any, clock: Any) -> Callable[..., Sending]:
    def make(running: Any, **more: Any) -> Sending:
        told: list[str] = []
        sender = SmtpSender(server_for(running, **more), lambda ref: ref.value)
        return Sending(Outbox(table, {"mail": sender}, clock, told.append, lambda text: text), told)

    return make


def subjects(running: Any) -> list[str]:
    return [str(message["Subject"]) for message in running.messages()]


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_mails_leave_in_order_over_each_kind_of_connection(
    smtp_server: Any, table: Any, sending: Any, mail: Any, tls: str
) -> None:
    running = smtp_server(tls=tls, user="ddc", password=PASSWORD)
    for number in range(5):
        table.add(mail(number))
    office = sending(running)
    assert office.outbox.send_due() is None
    assert subjects(running) == [f"Mail {number}" for number in range(5)]
    assert running.envelopes()[0] == {"from": "ddcplay@example.edu", "to": ["it@example.edu"]}
    assert office.told == []


def test_the_bytes_that_arrive_are_those_of_the_outbox(
    smtp_server: Any, table: Any, sending: Any, mail: Any
) -> None:
    running = smtp_server()
    table.add(mail(1, text=".\n..\nFrom x\nä"))
    sending(running).outbox.send_due()
    assert next(running.directory.glob("*.eml")).read_bytes() == table.rows[0].payload


def test_sessions_broken_off_lose_nothing_and_repeat_at_most_once_each(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any
) -> None:
    running = smtp_server(tls="starttls", user="ddc", password=PASSWORD, drop=0.4, seed=3)
    office = sending(running)
    for number in range(40):
        table.add(mail(number))
        clock.time += 3600
        office.outbox.send_due()
    while table.waiting():
        clock.time += 3600
        office.outbox.send_due()
    counts = Counter(str(message["Message-ID"]) for message in running.messages())
    assert len(counts) == 40
    assert len(running.drops()) >= 8
    assert sum(counts.values()) - 40 <= running.drops().count("BODY_TAKEN")
    assert list(dict.fromkeys(subjects(running))) == [f"Mail {number}" for number in range(40)]


def test_a_server_down_for_a_day_gets_everything_in_order_when_it_is_back(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any
) -> None:
    running = smtp_server()
    running.stop()
    office = sending(running)
    for number in range(96):
        table.add(mail(number))
        office.outbox.send_due()
        clock.time += 900
    tries = table.rows[0].tries
    assert table.waiting() == 96
    assert tries < 40
    running.start()
    clock.time += 3600
    office.outbox.send_due()
    assert subjects(running) == [f"Mail {number}" for number in range(96)]
    assert len(office.told) == 2
    assert "cannot be sent" in office.told[0]
    assert office.told[1] == "mail is sent again"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"password": SecretRef("plain", "wrong-secret")}, "refused the logon: 535"),
        ({"ca_trust_path": None}, "certificate is not trusted"),
        ({"encryption": "implicit"}, "TLS failed"),
        ({"ca_trust_path": "/nowhere.pem"}, "ca_trust_path /nowhere.pem"),
    ],
)
def test_trouble_with_the_server_is_told_once_and_the_mail_waits(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any, more: dict[str, Any], words: str
) -> None:
    running = smtp_server(tls="starttls", user="ddc", password=PASSWORD)
    table.add(mail(1))
    office = sending(running, **more)
    for _ in range(8):
        office.outbox.send_due()
        clock.time += 3600
    assert len(office.told) == 1
    assert words in office.told[0]
    assert table.rows[0].tries == 8
    assert table.waiting() == 1
    assert "wrong-secret" not in office.told[0] + table.rows[0].last_error
    assert running.messages() == []


def test_a_certificate_for_another_name_is_refused_unless_checks_are_off(
    smtp_server: Any, table: Any, mail: Any
) -> None:
    running = smtp_server(tls="starttls")
    server = server_for(running)
    wrong = SmtpServer("127.0.0.2", running.port, server.from_address, ca_trust_path=str(running.ca))
    assert "127.0.0.2" in next(SmtpSender(wrong, str).send([mail(1)])).error
    unchecked = server_for(running, verify=False, ca_trust_path=None)
    assert next(SmtpSender(unchecked, str).send([mail(1)])).done


def test_a_server_without_starttls_gets_nothing_in_clear(smtp_server: Any, mail: Any) -> None:
    running = smtp_server()
    delivery = next(SmtpSender(server_for(running, encryption="starttls"), str).send([mail(1)]))
    assert "offers no STARTTLS" in delivery.error
    assert running.messages() == []


def test_one_refused_recipient_does_not_cost_the_others_their_mail(
    smtp_server: Any, table: Any, sending: Any, mail: Any
) -> None:
    running = smtp_server(refuse={"gone@example.edu": "550 5.1.1 no such user"})
    table.add(mail(1, "gone@example.edu", "it@example.edu"))
    office = sending(running)
    office.outbox.send_due()
    assert running.envelopes() == [{"from": "ddcplay@example.edu", "to": ["it@example.edu"]}]
    assert office.told == [
        "mail to gone@example.edu was refused: 550 5.1.1 no such user; other recipients have it"
    ]


def test_a_recipient_put_off_is_waited_for_a_while_then_the_others_get_it(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any
) -> None:
    running = smtp_server(refuse={"grey@example.edu": "451 4.7.1 greylisted"})
    table.add(mail(1, "grey@example.edu", "it@example.edu"))
    office = sending(running)
    for tries in range(5):
        assert len(running.messages()) == 0, tries
        office.outbox.send_due()
        clock.time += 3600
    assert [envelope["to"] for envelope in running.envelopes()] == [["it@example.edu"]]


def test_a_mail_refused_for_good_is_given_up_and_those_behind_it_go(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any
) -> None:
    running = smtp_server(refuse_data="POISON")
    table.add(mail(1, text="POISON"))
    table.add(mail(2))
    office = sending(running)
    for _ in range(6):
        assert running.messages() == []
        office.outbox.send_due()
        clock.time += 1000
    assert subjects(running) == ["Mail 2"]
    assert list(table.given_up) == [1]
    assert len(office.told) == 3  # the trouble, the giving up, the end of the trouble
    assert "given up after 6 tries" in office.told[1]


def test_a_refused_sender_is_trouble_of_the_settings_and_costs_no_mail(
    smtp_server: Any, table: Any, sending: Any, mail: Any, clock: Any
) -> None:
    running = smtp_server(refuse_sender="550 5.7.1 not yours")
    table.add(mail(1))
    office = sending(running)
    for _ in range(10):
        office.outbox.send_due()
        clock.time += 3600
    assert table.waiting() == 1
    assert "does not take mail from ddcplay@example.edu" in office.told[0]


def test_a_month_of_trouble_gives_a_mail_up(
    table: Any, sending: Any, mail: Any, clock: Any, smtp_server: Any
) -> None:
    running = smtp_server()
    running.stop()
    table.add(mail(1))
    office = sending(running)
    while table.waiting():
        office.outbox.send_due()
        clock.time += 6 * 3600
    assert 30 <= (clock.time - table.rows[0].created_at) / 86400 < 31
    assert "given up" in office.told[-1]


def test_pauses_double_from_half_a_minute_to_an_hour() -> None:
    assert [retry_pause_s(tries) for tries in range(1, 10)] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


@dataclass
class Recorder:
    """A sender that takes what it is asked to, and fails for some targets."""

    failing: frozenset[str] = frozenset()
    taken: list[str] = field(default_factory=list)

    def send(self, messages: Sequence[Outgoing]) -> Iterator[Delivery]:
        for message in messages:
            if message.target in self.failing:
                yield Delivery(message, "no")
            else:
                self.taken.append(message.message_id)
                yield Delivery(message)


def push(number: int, target: str) -> Outgoing:
    return Outgoing("push", f"<{number}>", 1.0, b"{}", target=target)


def test_one_push_address_that_fails_holds_up_no_other(table: Any, clock: Any) -> None:
    recorder = Recorder(frozenset({"bad"}))
    outbox = Outbox(table, {"push": recorder}, clock, lambda _: None, lambda text: text)
    for number in range(3):
        table.add(push(number, "bad"))
        table.add(push(number + 10, "good"))
    assert outbox.send_due() == 30.0
    assert recorder.taken == ["<10>", "<11>", "<12>"]


def test_a_flush_lets_no_mail_overtake_one_that_fails(table: Any, mail: Any, clock: Any) -> None:
    for number in range(3):
        table.add(replace(mail(number), target="bad" if number == 0 else ""))
    table.failed(1, "later", clock.time + 3000)
    recorder = Recorder(frozenset({"bad"}))
    outbox = Outbox(table, {"mail": recorder}, clock, lambda _: None, lambda text: text)
    outbox.send_due(eager=True)
    assert recorder.taken == []
    assert table.waiting() == 3


def test_messages_nobody_here_can_send_stay_and_are_looked_at_now_and_then(table: Any, clock: Any) -> None:
    outbox = Outbox(table, {"mail": Recorder()}, clock, lambda _: None, lambda text: text)
    table.add(push(1, "x"))
    assert outbox.send_due() == 30.0
    assert table.waiting() == 1


def test_the_thread_sends_when_woken_and_flush_tries_what_was_put_off(table: Any, clock: Any) -> None:
    recorder = Recorder()
    outbox = Outbox(table, {"push": recorder}, clock, lambda _: None, lambda text: text)
    outbox.start()
    table.add(push(1, "a"))
    assert outbox.flush(10) == 0
    table.add(push(2, "a"))
    table.failed(2, "later", clock.time + 3000)
    assert outbox.flush(10) == 0
    assert recorder.taken == ["<1>", "<2>"]
    table.add(push(3, "a"))
    outbox.close(10)
    assert recorder.taken == ["<1>", "<2>", "<3>"]


def test_a_database_that_fails_ends_the_thread_with_one_notice(table: Any, clock: Any) -> None:
    told: list[str] = []
    outbox = Outbox(table, {"push": Recorder()}, clock, told.append, lambda text: text)
    table.broken = True
    outbox.start()
    assert outbox.flush(10) == -1
    outbox.close(10)
    assert told == ["the outbox has stopped, mail waits until the next run: disk full"]


CHILD = """
import sqlite3, sys
from ddcplay.model.effects import Outgoing
from ddcplay.notify.outbox import Outbox
from ddcplay.notify.smtp import SmtpSender, SmtpServer
from ddcplay.units import SystemClock
class Table:
    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    def due(self, now, limit=100):
        rows = self.db.execute("select id, mid, body from box where at is null order by id limit ?", (limit,))
        to = ("it@example.edu",)
        return [Outgoing("mail", mid, now, body, to, id=n) for n, mid, body in rows.fetchall()]
    def next_at(self): return None
    def sent(self, number, at): self.db.execute("update box set at = ? where id = ?", (at, number))
    def failed(self, number, error, next_try_at): sys.exit(error)
    def waiting(self): return len(self.due(0, 10**6))
server = SmtpServer("127.0.0.1", int(sys.argv[2]), "ddcplay@example.edu", "none")
Outbox(Table(sys.argv[1]), {"mail": SmtpSender(server, str)}, SystemClock(), print, str).send_due()
"""


def test_killed_senders_lose_no_mail_and_repeat_at_most_one_each(
    smtp_server: Any, outbox_file: Path, mail: Any
) -> None:
    import sqlite3  # noqa: PLC0415 - beside its use

    running = smtp_server(delay_s=0.01)
    with sqlite3.connect(outbox_file) as database:
        for number in range(40):
            made = mail(number)
            database.execute("insert into box (mid, body) values (?, ?)", (made.message_id, made.payload))
    database.close()
    command = [sys.executable, "-c", CHILD, str(outbox_file), str(running.port)]
    for kill in range(3):
        child = subprocess.Popen(command)
        while len(running.envelopes()) < (kill + 1) * 8:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(0.01)
        child.kill()
        child.wait()
    subprocess.run(command, check=True, timeout=60)
    counts = Counter(str(message["Message-ID"]) for message in running.messages())
    assert len(counts) == 40
    assert sum(counts.values()) <= 43
