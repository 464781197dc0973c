from __future__ import annotations

import shlex
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import SecretError
from ddcplay.model.inventory import SecretRef
from ddcplay.secrets.redact import MASK, Redactor
from ddcplay.secrets.reference import FAILURE_LIFE_S, SecretStore, parse_secret
from ddcplay.units import SystemClock


class Clock(SystemClock):
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time


def python(code: str) -> SecretRef:
    return SecretRef("cmd", f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}")


@pytest.mark.parametrize(
    ("text", "scheme", "value"),
    [
        ("env:PW", "env", "PW"),
        ("file: ~/pw", "file", "~/pw"),
        ("keyring:winrm/admin", "keyring", "winrm/admin"),
        ("cmd:pass show winrm", "cmd", "pass show winrm"),
        ("plain: kept ", "plain", " kept "),
        ("plain:env:PW", "plain", "env:PW"),
        ("hunter2!", "plain", "hunter2!"),
        ("C:weird", "plain", "C:weird"),
        ("ENV:PW", "plain", "ENV:PW"),
        ("", "plain", ""),
    ],
)
def test_secret_is_read_by_its_scheme(text: str, scheme: str, value: str) -> None:
    assert parse_secret(text) == SecretRef(scheme, value)


@given(st.text())
def test_any_text_is_some_secret_and_never_shown(text: str) -> None:
    ref = parse_secret(text)
    if ref.scheme == "plain" and ref.value.strip("*"):
        assert str(ref) == MASK
        assert repr(ref) == f"SecretRef(plain:{MASK})"


def test_each_scheme_is_resolved_and_told_to_the_redactor(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes("\ufefffrom-file\r\n".encode())
    redactor = Redactor()
    store = SecretStore(redactor, root=tmp_path, environ={"PW": "from-env"})
    refs = {
        SecretRef("env", "PW"): "from-env",
        SecretRef("file", "pw"): "from-file",
        SecretRef("plain", "from-text"): "from-text",
        python("print('from-command')"): "from-command",
    }
    for ref, secret in refs.items():
        assert store.resolve(ref) == secret
        assert redactor.text(f"<{secret}>") == f"<{MASK}>"


def test_shell_line_is_run_by_a_shell_only_when_it_is_one(tmp_path: Path) -> None:
    store = SecretStore(Redactor(), root=tmp_path)
    assert store.resolve(SecretRef("cmd", "echo from-shell | cat")) == "from-shell"
    assert store.resolve(SecretRef("cmd", "echo 'two  words'")) == "two  words"


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        (SecretRef("env", "NOPE"), "environment variable NOPE is not set"),
        (SecretRef("env", "EMPTY"), "is empty"),
        (SecretRef("env", ""), "nothing stands after the colon"),
        (SecretRef("file", "none"), "cannot be read: No such file"),
        (SecretRef("file", "binary"), "not UTF-8"),
        (SecretRef("file", "big"), "more than 65536 bytes"),
        (SecretRef("cmd", "/no/such/program"), "cannot be started"),
        (SecretRef("cmd", "pass 'open"), "quotes do not match"),
        (SecretRef("keyring", "no-user"), "service or user is missing"),
        (SecretRef("ldap", "x"), "there is no scheme 'ldap'"),
        (python("import sys; print('hunter2!'); print('hunter2!', file=sys.stderr); sys.exit(3)"), "code 3"),
    ],
)
def test_failure_names_reference_and_fix(tmp_path: Path, ref: SecretRef, told: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00hunter2!")
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    with pytest.raises(SecretError) as caught:
        SecretStore(Redactor(), root=tmp_path, environ={"EMPTY": ""}).resolve(ref)
    assert told in str(caught.value)
    assert str(ref) in str(caught.value)
    assert caught.value.hint
    assert caught.value.__cause__ is None
    if ref.scheme == "file":
        assert "hunter2!" not in str(caught.value)


def test_output_of_a_failed_command_is_not_in_the_error() -> None:
    ref = SecretRef("cmd", "cat /dev/stdin /no/such/file")
    with pytest.raises(SecretError) as caught:
        SecretStore(Redactor()).resolve(ref)
    assert "No such file" not in str(caught.value)


def test_slow_command_ends_at_its_timeout() -> None:
    started = time.monotonic()
    with pytest.raises(SecretError, match=r"more than 0\.05 s"):
        SecretStore(Redactor(), command_timeout_s=0.05).resolve(python("import time; time.sleep(30)"))
    assert time.monotonic() - started < 5


def test_many_threads_cause_one_look_up(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    ref = python(f"open({str(counter)!r}, 'a').write('x'); print('from-command')")
    store = SecretStore(Redactor())
    threads = [threading.Thread(target=store.resolve, args=(ref,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "x"


def test_failure_is_remembered_for_a_while_and_then_tried_again() -> None:
    environ: dict[str, str] = {}
    clock = Clock()
    store = SecretStore(Redactor(), environ=environ, clock=clock)
    ref = SecretRef("env", "PW")
    with pytest.raises(SecretError):
        store.resolve(ref)
    environ["PW"] = "late-secret"
    with pytest.raises(SecretError):
        store.resolve(ref)
    clock.time += FAILURE_LIFE_S
    assert store.resolve(ref) == "late-secret"


def test_forgotten_secret_is_looked_up_anew() -> None:
    environ = {"PW": "first-secret"}
    store = SecretStore(Redactor(), environ=environ)
    ref = SecretRef("env", "PW")
    assert store.resolve(ref) == "first-secret"
    environ["PW"] = "second-secret"
    assert store.resolve(ref) == "first-secret"
    store.forget(ref)
    assert store.resolve(ref) == "second-secret"


def test_store_does_not_show_its_secrets() -> None:
    store = SecretStore(Redactor(), environ={"PW": "hunter2!"})
    store.resolve(SecretRef("env", "PW"))
    assert "hunter2!" not in repr(vars(store).get("_answers"))
