"""Mails are whole, stable, and cannot be bent by what targets say."""

from __future__ import annotations

import email
import email.policy
import gzip
from email.message import EmailMessage
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcplay.model.effects import Outgoing
from ddcplay.notify.message import Attachment, Sender, bare_address, compose, message_id, thread_id, usable

SENDER = Sender.of("Data collection <ddcplay@example.edu>")
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "X-Ddcplay-Experiment",
    "MIME-Version",
    "Content-Type",
]
HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet="\r\n\t :=?<>\"',;\0\x1b\u202e\u2028\ud800aäß🙂.-"),
    st.sampled_from(
        ["x\r\nBcc: evil@example.com", "a\n\n<script>", "=?utf-8?q?=0D=0ABcc:_a@b?=", "x" * 5000]
    ),
)


def parsed(made: Outgoing) -> EmailMessage:
    return cast("EmailMessage", email.message_from_bytes(made.payload, policy=email.policy.default))


def make(subject: str = "s", text: str = "t", html: str = "", **more: object) -> Outgoing:
    number = message_id(SENDER, "test", subject)
    return compose(SENDER, ["it@example.edu"], subject, text, html, message_id=number, at=1.8e9, **more)  # type: ignore[arg-type]


@settings(max_examples=120, deadline=None)
@given(subject=HOSTILE, text=HOSTILE, html=HOSTILE, experiment=HOSTILE, name=HOSTILE)
def test_no_text_of_a_target_adds_or_ends_a_header(
    subject: str, text: str, html: str, experiment: str, name: str
) -> None:
    made = make(
        subject,
        text,
        f"<p>{html}</p>",
        experiment=f"e{experiment}",
        references=[thread_id(SENDER, experiment)],
        attachments=[Attachment(name, b"x")],
    )
    found = parsed(made)
    assert [name for name, _ in found.items()] == HEADERS
    assert found.get_content_type() == "multipart/mixed"
    assert [part.get_content_type() for part in found.walk() if not part.is_multipart()] == [
        "text/plain",
        "text/html",
        "text/plain",
    ]
    assert not found.defects
    assert max(len(line) for line in made.payload.split(b"\r\n")) < 998
    assert made.payload.isascii()
    for value in (str(found["Subject"]), found.get_body(("plain",)).get_content()):  # type: ignore[union-attr]
        assert not set(value) & set("\0\x1b\u202e\u2028")


def test_text_arrives_as_it_was_written() -> None:
    found = parsed(make("Größe: 3 €", "Zeile 1\n.\nFrom here\n" + "ä" * 2000))
    assert found["Subject"] == "Größe: 3 €"
    assert found.get_content().replace("\r\n", "\n") == "Zeile 1\n.\nFrom here\n" + "ä" * 2000 + "\n"


def test_characters_that_turn_text_round_are_shown_as_escapes() -> None:
    found = parsed(make("a\u202eb", "c\x1b[2Jd"))
    assert found["Subject"] == r"a\u202eb"
    assert found.get_content().splitlines() == ["c\\x1b[2Jd"]


def test_the_same_event_has_the_same_id_and_another_event_another() -> None:
    one = message_id(SENDER, "digest", "labs", 5)
    assert one == message_id(SENDER, "digest", "labs", 5) != message_id(SENDER, "digest", "labs", 6)
    assert one.startswith("<ddcplay.digest.")
    assert one.endswith("@example.edu>")


def test_a_large_attachment_is_compressed_and_one_past_the_limit_is_named() -> None:
    big, noise = b"line\n" * 50_000, bytes(range(256)) * 200
    found = parsed(
        make(
            html="<body><p>x</p></body>",
            attachments=[Attachment("a.trace", big), Attachment("../b", noise), Attachment("a.trace", b"2")],
            max_attachments=20_000,
        )
    )
    files = {part.get_filename(): part.get_content() for part in found.iter_attachments()}
    assert set(files) == {"a.trace.gz", "a-2.trace"}
    assert gzip.decompress(files["a.trace.gz"]) == big
    for kind in ("plain", "html"):
        assert "Not attached, too large: _b (50 KiB)" in found.get_body((kind,)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("it@example.edu", "it@example.edu"),
        ("IT desk <it@example.edu>", "it@example.edu"),
        ("it@schule-köln.de", "it@xn--schule-kln-lcb.de"),
        ("a@b\r\nBcc: c@d", ""),
        ("jörg@example.edu", ""),
        ("nobody", ""),
        ("", ""),
    ],
)
def test_an_address_is_taken_bare_or_not_at_all(written: str, bare: str) -> None:
    assert bare_address(written) == bare
    assert all(found.isascii() for found in usable([written]))
