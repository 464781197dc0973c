"""One mail per iteration: what it says, to whom, and that nobody can bend it."""

from __future__ import annotations

import email
import email.policy
import json
from dataclasses import dataclass, replace
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcplay.model.alert import AlertEvent, AlertIdentity, Happening, Severity
from ddcplay.model.effects import MailItem, Outgoing
from ddcplay.model.result import AttemptResult, Outcome
from ddcplay.notify.digest import Digest, compose_digest, compose_immediate, digest_push, digest_subject
from ddcplay.notify.message import Sender

SENDER = Sender.of("ddcplay@example.edu")
NOW = 1_795_372_500.0
FIRED, RESOLVED, REPEATED, GONE = Happening.FIRED, Happening.RESOLVED, Happening.REPEATED, Happening.GONE


@dataclass(frozen=True)
class Entry:
    id: int
    at: float = NOW
    event: AlertEvent | None = None
    item: MailItem | None = None
    host: str = ""
    probe: str = ""
    iteration: int = int(NOW)


def alert(number: int, what: Happening, name: str, host: str, **more: Any) -> Entry:
    identity = AlertIdentity("labs", name, host, more.pop("key", ""))
    return Entry(number, event=AlertEvent(identity, what, NOW, **{"since": NOW - 3600, **more}))


def digest(*entries: Entry, **more: Any) -> Digest:
    rooms = {"pc1": "B12", "pc2": "B12", "pc3": "B12", "pc9": "C3"}
    values = {"rooms": rooms, "recipients": ("it@example.edu",)}
    return Digest("labs", "Labs", int(NOW), NOW, "Europe/Lisbon", entries, **{**values, **more})


def parts(made: Outgoing) -> tuple[EmailMessage, str, str]:
    found = cast("EmailMessage", email.message_from_bytes(made.payload, policy=email.policy.default))
    text, html = (found.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))  # type: ignore[union-attr]
    return found, text, html


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize(
    ("entries", "subject"),
    [
        ([alert(1, FIRED, "low_disk", "pc1")], "[labs] pc1 low_disk: room B12"),
        (
            [alert(n, FIRED, "low_disk", f"pc{n}") for n in (1, 2, 3)]
            + [alert(4, RESOLVED, "low_disk", "pc1")],
            "[labs] 3 PCs low_disk, 1 resolved: room B12",
        ),
        ([alert(1, RESOLVED, "low_disk", "pc1")], "[labs] 1 low_disk resolved: room B12"),
        ([alert(1, REPEATED, "low_disk", "pc1")], "[labs] pc1 still low_disk: room B12"),
        (
            [alert(1, FIRED, "low_disk", "pc1")] + [alert(n, REPEATED, "low_disk", f"pc{n}") for n in (2, 3)],
            "[labs] pc1 low_disk (2 still): room B12",
        ),
        (
            [alert(1, FIRED, "slow", "pc1"), alert(2, FIRED, "dead", "", severity=Severity.CRITICAL)],
            "[labs] CRITICAL dead, pc1 slow",
        ),
        (
            [alert(n, FIRED, f"r{n}", "pc1") for n in range(5)],
            "[labs] pc1 r0, pc1 r1, pc1 r2, 2 more rules: room B12",
        ),
        ([Entry(1, item=MailItem("x", "Disk report"))], "[labs] Disk report"),
        ([Entry(1, item=MailItem("x")), Entry(2, item=MailItem("y"))], "[labs] 2 notes"),
    ],
)
def test_the_subject_says_what_and_how_many(entries: list[Entry], subject: str) -> None:
    assert digest_subject(digest(*entries)) == subject


def test_a_simulated_experiment_is_marked_everywhere() -> None:
    [made] = compose_digest(digest(alert(1, FIRED, "low_disk", "pc1"), simulated=True), SENDER)
    found, text, html = parts(made)
    assert found["Subject"] == "[SIMULATED labs] pc1 low_disk: room B12"
    assert "SIMULATED: no real PC was asked." in text
    assert "SIMULATED" in html


def test_the_text_is_grouped_by_rule_then_room_with_the_worst_first() -> None:
    [made] = compose_digest(
        digest(
            alert(1, RESOLVED, "over", "pc1", message="pc1 is fine"),
            alert(2, FIRED, "low_disk", "pc9", key="C:", message="3 % free"),
            alert(3, FIRED, "low_disk", "pc2", message="pc2: 4 % free", runbook="https://wiki/disk"),
            alert(4, FIRED, "low_disk", "pc1", message="pc1: 5 % free"),
            alert(5, FIRED, "smart", "pc3", severity=Severity.CRITICAL, message="dying", since=NOW - 90_000),
        ),
        SENDER,
    )
    assert parts(made)[1].splitlines()[:24] == [
        "CRITICAL pc3 smart, 3 PCs low_disk, 1 resolved",
        "Labs · iteration of 2026-11-22 18:35 (Europe/Lisbon)",
        "",
        "CRITICAL  smart",
        "  Fired",
        "    B12 (1)",
        "      pc3  dying  (since 2026-11-21 17:35)",
        "",
        "WARNING  low_disk: 3 fired",
        "  Fired",
        "    B12 (2)",
        "      pc1: 5 % free  (since 17:35)",
        "      pc2: 4 % free  (since 17:35)",
        "    C3 (1)",
        "      pc9 C:  3 % free  (since 17:35)",
        "  What to do: https://wiki/disk",
        "",
        "OVER  over",
        "  Resolved",
        "    B12 (1)",
        "      pc1 is fine  (began 17:35, lasted 1h00m)",
        "",
        "-- ",
        "What is open: ddcplay alerts list -E labs",
    ]


def test_hosts_are_listed_up_to_the_limit_then_counted() -> None:
    entries = [alert(n, FIRED, "low_disk", f"h{n:03}", message=f"h{n:03} full") for n in range(50)]
    [made] = compose_digest(digest(*entries, max_hosts=3), SENDER)
    _, text, html = parts(made)
    assert text.count(" full") == html.count(" full") == 3
    assert "… and 47 more" in text
    assert "… and 47 more" in html


def test_items_with_recipients_of_their_own_make_a_mail_of_their_own() -> None:
    made = compose_digest(
        digest(
            alert(1, FIRED, "low_disk", "pc1"),
            Entry(2, item=MailItem("for the library", "Library", to=("lib@example.edu",))),
            Entry(3, item=MailItem("for all", "All", to=("not an address",))),
        ),
        SENDER,
    )
    assert [mail.recipients for mail in made] == [("it@example.edu",), ("lib@example.edu",)]
    assert "for the library" not in parts(made[0])[1]
    assert "for all" in parts(made[0])[1]
    assert len({mail.message_id for mail in made}) == 2


def test_without_recipients_or_events_there_is_no_mail() -> None:
    assert compose_digest(digest(), SENDER) == ()
    assert compose_digest(digest(alert(1, FIRED, "x", "pc1"), recipients=()), SENDER) == ()


def test_a_digest_made_again_has_the_same_id_and_the_next_one_another() -> None:
    first, again = (compose_digest(digest(alert(1, FIRED, "x", "pc1")), SENDER)[0] for _ in range(2))
    later = compose_digest(digest(alert(2, FIRED, "x", "pc1")), SENDER)[0]
    assert first.message_id == again.message_id != later.message_id


def test_mails_about_one_rule_are_one_thread() -> None:
    one = parts(compose_digest(digest(alert(1, FIRED, "x", "pc1")), SENDER)[0])[0]
    two = parts(compose_digest(digest(alert(2, RESOLVED, "x", "pc2")), SENDER)[0])[0]
    both = digest(alert(3, FIRED, "x", "pc1"), alert(4, FIRED, "y", "pc1"))
    mixed = parts(compose_digest(both, SENDER)[0])[0]
    assert one["References"] == two["References"] == one["In-Reply-To"] != mixed["References"]


@settings(max_examples=80, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="<>&\"'/a\r\n\0\u202e=x onload:javascript")))
def test_what_targets_say_never_becomes_markup_or_a_header(text: str) -> None:
    entries = [
        alert(1, FIRED, text or "x", text, key=text, message=text, runbook=text),
        Entry(2, item=MailItem(text, text), host=text, probe=text),
    ]
    [made] = compose_digest(digest(*entries, rooms={text: text}), SENDER)
    found, _, html = parts(made)
    tags = Tags()
    tags.feed(html)
    names = {name for _, attributes in tags.seen for name in attributes}
    known = "html head meta title body div h1 h2 h3 p span b ul li br a"
    assert {tag for tag, _ in tags.seen} <= set(known.split())
    assert names <= {"lang", "charset", "name", "content", "style", "href"}
    assert found["To"] == "it@example.edu"
    assert len(found.get_all("Subject")) == 1  # type: ignore[arg-type]


def test_only_web_addresses_become_links() -> None:
    for runbook, linked in (("https://wiki/x", True), ("javascript:alert(1)", False)):
        [made] = compose_digest(digest(alert(1, FIRED, "x", "pc1", runbook=runbook)), SENDER)
        assert ("<a href" in parts(made)[2]) is linked


def test_an_unknown_time_zone_is_utc() -> None:
    odd = replace(digest(alert(1, FIRED, "x", "pc1")), timezone="No/Where")
    [made] = compose_digest(odd, SENDER)
    assert "17:35" in parts(made)[1]


def test_an_immediate_mail_carries_the_outputs_it_asks_for() -> None:
    item = MailItem("look", "Alarm", immediate=True, attach=("stdout", "data"))
    entry = Entry(0, item=item, host="pc1", probe="p")
    result = AttemptResult("labs", int(NOW), "pc1", "p", Outcome.OK, stdout=b"\xff raw", data={"a": 1})
    made = compose_immediate("labs", "Labs", entry, result, ["it@example.edu"], SENDER)
    found = parts(made)[0]
    assert found["Subject"] == "[labs] Alarm"
    files = {part.get_filename(): part.get_payload(decode=True) for part in found.iter_attachments()}
    assert files[f"pc1-p-{int(NOW)}.stdout.txt"] == b"\xff raw"
    assert json.loads(files[f"pc1-p-{int(NOW)}.json"]) == {"a": 1}


def test_a_push_tells_the_digest_in_plain_text() -> None:
    made = digest_push(digest(alert(1, FIRED, "low_disk", "pc1", message="pc1 full")), "alerts/0")
    payload = json.loads(made.payload)
    assert (made.kind, made.target, payload["title"]) == ("push", "alerts/0", "[labs] pc1 low_disk: room B12")
    assert "pc1 full" in payload["text"]
