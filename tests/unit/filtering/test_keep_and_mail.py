"""`store`, `email`, `notify`: what leaves a chain, and what a hostile target cannot do with it."""

from __future__ import annotations

import pickle
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ddcplay.filtering.mail import one_line, readable
from ddcplay.filtering.trouble import DataError
from ddcplay.model.effects import MailItem, Push, Sample
from ddcplay.model.inventory import SecretRef
from ddcplay.model.result import Outcome, Reason


def effects(made: Any, data: object = None, **fields: Any) -> list[Any]:
    record, context = made.run(data, **fields)
    assert record.data is data
    return context.effects


@pytest.mark.parametrize(
    ("written", "label", "expected"),
    [
        (None, "store", Sample({"a": 1})),
        ("device", "store", Sample({"a": 1}, "device")),
        ({"key": {"disks": "device"}}, "store", Sample({"a": 1}, {"disks": "device"})),
        (None, "store#2", Sample({"a": 1}, "", "#2")),
    ],
)
def test_data_is_kept_as_one_sample(bench: Any, written: object, label: str, expected: Sample) -> None:
    assert effects(bench("store", written, label), {"a": 1}) == [expected]


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, "nothing to store"), ({"a": float("nan")}, "JSON does not have"), ({1: 2}, "text as keys")],
)
def test_what_no_database_could_take_is_refused(bench: Any, data: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bench("store").run(data)


@pytest.mark.parametrize("written", [{"key": 5}, {"key": ""}, {"key": {"disks": 1}}, {"keys": "a"}])
def test_a_key_is_a_field_or_a_mapping_of_fields(bench: Any, written: object) -> None:
    with pytest.raises(ValidationError):
        bench("store", written)


def test_a_mail_is_rendered_and_says_where_it_goes(bench: Any) -> None:
    made = bench(
        "email",
        {
            "text": "{{ host.name }}: {{ data.free }} %",
            "subject": "Disk of {{ host.name }}",
            "immediate": True,
            "attach": ["stdout", "data"],
            "to": "disks@example.edu",
        },
    )
    [mail] = effects(made, {"free": 3})
    assert (mail.text, mail.subject) == ("pc1: 3 %", "Disk of pc1")
    assert (mail.immediate, mail.attach, mail.to) == (True, ("stdout", "data"), ("disks@example.edu",))


def test_a_mail_nobody_wrote_says_what_the_record_holds(bench: Any) -> None:
    [mail] = effects(bench("email"), {"free": 3})
    assert mail.text.startswith("pc1, usage: ok\n")
    assert '"free": 3' in mail.text
    [mail] = effects(
        bench("email"), outcome=Outcome.FAILED, reason=Reason.EXIT_CODE, exit_code=3, stderr_bytes=b"broken"
    )
    assert mail.text == "pc1, usage: failed: exit_code, exit code 3\nbroken"


def test_a_message_that_cannot_be_rendered_is_told_all_the_same(bench: Any) -> None:
    [mail] = effects(bench("email", "{{ data.nope }} is low"), {"free": 3})
    assert mail.text.startswith("{{ data.nope }} is low\n(this message cannot be rendered: ")
    [push] = effects(bench("notify", {"url": "env:X", "text": "{{ data.nope }}"}), {"free": 3})
    assert "cannot be rendered" in push.text


def test_a_targets_text_is_never_a_template(bench: Any) -> None:
    [mail] = effects(bench("email", "{{ data.x }}"), {"x": "{{ vars.limit }}{% for %}"})
    assert mail.text == "{{ vars.limit }}{% for %}"


@given(evil=st.text(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_of_a_target_can_break_a_header(bench: Any, evil: str) -> None:
    [mail] = effects(bench("email", {"subject": "{{ data.x }}", "text": "{{ data.x }}"}), {"x": evil})
    message = EmailMessage()
    message["Subject"] = mail.subject  # refuses line ends by itself
    assert mail.subject.isprintable()
    assert len(mail.subject) <= 200
    mail.text.encode()
    assert not set(mail.text) & {chr(code) for code in range(32) if chr(code) not in "\n\t"}


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: x@y", "a\u2028Bcc", "a\x85b", "\u202eevil", "a\x00b", "\ud800", "x" * 999]
)
def test_a_subject_is_one_printable_line(evil: str) -> None:
    line = one_line(evil)
    assert line.isprintable()
    assert len(line) <= 200
    assert len(readable("x" * 100_000)) < 66_000


@pytest.mark.parametrize(
    "written",
    [
        {"to": ["it@example.edu\nBcc: evil@example.org"]},
        {"to": ["nobody"]},
        {"attach": ["disk"]},
        {"attach": ["stdout"]},
        {"text": "{{ item.x }}"},
        {"immediate": "yes"},
    ],
)
def test_a_mail_with_wrong_options_is_refused(bench: Any, written: object) -> None:
    with pytest.raises(ValidationError):
        bench("email", written)


def test_a_push_names_its_place_and_the_address_stays_a_reference(bench: Any) -> None:
    made = bench(
        "notify", {"url": "env:TEAMS_URL", "title": "{{ host.name }}", "text": "{{ data.x }}"}, "notify#2"
    )
    assert effects(made, {"x": 1}) == [Push("usage/notify#2", "pc1", "1")]
    assert made.filter.address().target == "usage/notify#2"
    assert made.filter.address().url == SecretRef("env", "TEAMS_URL")
    assert bench("notify", SecretRef("keyring", "a/b")).filter.address().url.scheme == "keyring"


@pytest.mark.parametrize(
    "written",
    [
        "json://token-XYZZY@example.org/",
        {"url": "json://token-XYZZY@example.org/", "titel": "x"},
        {"url": "token-XYZZY"},
        {"url": "{{ 'token-XYZZY' }}"},
        {"url": ["token-XYZZY"]},
        {"url": "json://token-XYZZY@example.org/", "text": "{{ nope }}"},
    ],
)
def test_a_literal_address_is_never_shown(bench: Any, written: object) -> None:
    try:
        made = bench("notify", written)
    except ValidationError as error:
        assert "XYZZY" not in f"{error} {error!r} {[item.get('msg') for item in error.errors()]}"  # noqa: PT017 - some are fine
        return
    shown = f"{made.filter.options!r} {made.filter.options} {made.filter.address()!r} {effects(made, 1)!r}"
    assert "XYZZY" not in shown
    assert pickle.loads(pickle.dumps(made.filter.address())).url.value.endswith("example.org/")


def test_the_text_of_a_mail_is_not_in_its_repr(bench: Any) -> None:
    assert "password" not in repr(MailItem("password"))


def test_data_that_grows_with_its_square_is_refused(bench: Any) -> None:
    text = "x" * 100_000
    with pytest.raises(DataError, match="more than"):
        bench("store").run([{"line": text} for _ in range(1_000)])
    part = list(range(10_000))
    with pytest.raises(DataError, match="more than"):
        bench("store").run([part] * 1_000)
