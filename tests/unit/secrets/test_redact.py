from __future__ import annotations

import base64
import json
import logging
import threading
import time
from typing import NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.secrets.redact import MASK, RedactingFilter, Redactor

SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=6, max_size=30)


def redactor(*secrets: str) -> Redactor:
    result = Redactor()
    for secret in secrets:
        result.add(secret)
    return result


@given(SECRETS, st.text(max_size=5), st.text(max_size=5))
def test_secret_is_found_in_every_form_it_travels_in(secret: str, before: str, after: str) -> None:
    forms = [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        escape(secret),
        quoteattr(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
        base64.b64encode(secret.encode("utf-16-le")).decode(),
    ]
    known = redactor(secret)
    for form in forms:
        told = known.text(f"{before}{form}{after}")
        assert form not in told
        assert MASK in told


@given(SECRETS, st.text(st.characters(codec="ascii"), max_size=8))
def test_most_of_a_secret_is_gone_from_a_basic_header(secret: str, user: str) -> None:
    header = base64.b64encode(f"{user}:{secret}".encode()).decode()
    told = redactor(secret).text(f"Authorization: Basic {header}")
    assert MASK in told
    assert header not in told


NESTED = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just("@SECRET@") | st.just(b"@SECRET@"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("@SECRET@"), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def plant(value: object, secret: str) -> object:
    if isinstance(value, str):
        return value.replace("@SECRET@", f"a{secret}b")
    if isinstance(value, bytes):
        return value.replace(b"@SECRET@", f"a{secret}b".encode())
    if isinstance(value, dict):
        return {plant(key, secret): plant(item, secret) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plant(item, secret) for item in value)
    return value


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in texts(part)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in texts(item)]
    return [value.decode() if isinstance(value, bytes) else str(value)]


@given(NESTED, SECRETS.filter(lambda secret: not secret.isdigit()))
def test_every_planted_secret_is_found_in_nested_values(value: object, secret: str) -> None:
    told = redactor(secret).value(plant(value, secret))
    assert not any(secret in text for text in texts(told))
    assert type(told) is type(value)


def test_longest_of_overlapping_secrets_goes_first() -> None:
    assert redactor("secret", "secret-long").text("secret-long secret") == f"{MASK} {MASK}"


def test_short_secret_is_not_looked_for() -> None:
    assert redactor("short").text("a short word") == "a short word"


def test_text_without_a_secret_is_the_same_object() -> None:
    text = "nothing to see " * 100
    assert redactor("hunter2!").text(text) is text


def test_named_tuple_stays_one() -> None:
    class Login(NamedTuple):
        user: str
        password: str

    assert redactor("hunter2!").value(Login("u", "hunter2!")) == Login("u", MASK)


def test_many_threads_may_add_and_redact() -> None:
    known = Redactor()

    def add(number: int) -> None:
        for count in range(20):
            known.add(f"secret-{number}-{count}")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(known.text(f"<secret-{n}-{i}>") == f"<{MASK}>" for n in range(8) for i in range(20))


@given(st.lists(SECRETS, min_size=1, max_size=12, unique=True), st.data())
def test_secret_among_many_is_found_as_among_few(secrets: list[str], data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from(secrets))
    assert secret not in redactor(*secrets).text(f"before {secret} after")


def test_secret_is_found_in_bytes_that_are_no_text() -> None:
    assert redactor("hunter2!").raw(b"\xff\x00hunter2!\xfe") == b"\xff\x00********\xfe"


def test_secret_of_each_of_a_thousand_hosts_is_found_quickly() -> None:
    started = time.process_time()
    known = redactor(*(f"password-{number:04}" for number in range(1000)))
    assert known.text("login with password-0777 refused") == f"login with {MASK} refused"
    for _ in range(100):
        known.text("2026-11-22 pc042 usage: ok in 0.412 s " * 3)
    assert time.process_time() - started < 2


def test_line_without_a_secret_costs_little_with_a_hundred_secrets() -> None:
    known = redactor(*(f"password-{number}-{'x' * 10}" for number in range(100)))
    started = time.process_time()
    for _ in range(100):
        known.text("2026-11-22 pc042 usage: ok in 0.412 s " * 3)
    assert time.process_time() - started < 1


def test_log_lines_arguments_tracebacks_and_extras_are_redacted() -> None:
    lines: list[str] = []
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(RedactingFilter(redactor("hunter2!")))
    log = logging.Logger("test")  # noqa: LOG001 - a logger of its own, so that tests in parallel do not meet
    log.addHandler(handler)
    try:
        int("refused hunter2!")
    except ValueError:
        log.exception("login of %s with %r", "u", {"password": "hunter2!"}, extra={"sent": ["hunter2!"]})
    assert "hunter2!" not in lines[0]
    assert "ValueError: invalid literal" in lines[0]
    assert f"refused {MASK}" in lines[0]
    assert records[0].__dict__["sent"] == [MASK]


@pytest.mark.parametrize("value", [None, 5, True, 1.5])
def test_other_values_pass(value: object) -> None:
    assert redactor("hunter2!").value(value) is value
