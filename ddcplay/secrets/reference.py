"""Secret references and the store that resolves them, as late as possible and once.

`env:NAME`, `file:PATH`, `keyring:SERVICE/USER`, `cmd:COMMAND` and `plain:TEXT` stand in files; the secret
itself appears when a connection is made, and the redactor hears of it first.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ddcplay.errors import SecretError
from ddcplay.model.inventory import SecretRef
from ddcplay.secrets.redact import Redactor
from ddcplay.units import Clock, SystemClock

SCHEMES = ("env", "file", "keyring", "cmd", "plain")
MAX_SECRET_BYTES = 64 * 1024
COMMAND_TIMEOUT_S = 10.0

FAILURE_LIFE_S = 30.0
"""A reference that failed is not tried again for this long: a fleet asks for it once per host."""

_SHELL_SYNTAX = re.compile(r"[|&;<>()$`*?\[\]~%\n]")


def parse_secret(text: str) -> SecretRef:
    """Read a secret as it is written in a file.

    Args:
        text: a scheme and its value as above, or the secret itself.

    Returns:
        The reference; text without a known scheme is the secret itself (scheme `plain`).
    """
    scheme, colon, value = text.partition(":")
    if colon and scheme in SCHEMES:
        return SecretRef(scheme, value if scheme == "plain" else value.strip())
    return SecretRef("plain", text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a reference gave: the secret, or the error until `retry_at` (monotonic seconds)."""

    secret: str | None = None
    error: SecretError | None = None
    retry_at: float = float("inf")

    def __repr__(self) -> str:
        return "_Answer(********)"


class SecretStore:
    """Resolves references; each is looked up once, however many threads ask.

    Args:
        redactor: is told every secret before anybody else sees it.
        root: where relative paths of `file:` start and `cmd:` runs; None for the current directory.
        environ: where `env:` looks; None for the process's environment.
        clock: for the pause after a failure.
        command_timeout_s: how long a `cmd:` may take.
    """

    def __init__(
        self,
        redactor: Redactor,
        *,
        root: Path | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> None:
        self._redactor = redactor
        self._root = root or Path()
        self._environ = os.environ if environ is None else environ
        self._clock = clock or SystemClock()
        self._timeout_s = command_timeout_s
        self._guard = threading.Lock()
        self._locks: dict[SecretRef, threading.Lock] = {}
        self._answers: dict[SecretRef, _Answer] = {}

    def resolve(self, ref: SecretRef) -> str:
        """Return the secret behind a reference.

        Raises:
            SecretError: it cannot be looked up; the text names the reference and the fix, never the value.
        """
        with self._guard:
            lock = self._locks.setdefault(ref, threading.Lock())
        with lock:  # one slow command does not hold up other references
            answer = self._answers.get(ref)
            if answer is None or self._clock.monotonic() >= answer.retry_at:
                answer = self._answers[ref] = self._ask(ref)
        if answer.secret is None:
            assert answer.error is not None
            raise SecretError(answer.error.message, answer.error.hint)
        return answer.secret

    def forget(self, ref: SecretRef | None = None) -> None:
        """Look a reference up anew the next time (all of them when None), as after a refused password."""
        with self._guard:
            if ref is None:
                self._answers.clear()
            else:
                self._answers.pop(ref, None)

    def _ask(self, ref: SecretRef) -> _Answer:
        try:
            secret = self._look_up(ref)
        except SecretError as error:
            return _Answer(error=error, retry_at=self._clock.monotonic() + FAILURE_LIFE_S)
        self._redactor.add(secret)
        return _Answer(secret=secret)

    def _look_up(self, ref: SecretRef) -> str:
        if ref.scheme == "plain":
            return ref.value
        look_up = {
            "env": self._from_env,
            "file": self._from_file,
            "keyring": self._from_keyring,
            "cmd": self._from_command,
        }.get(ref.scheme)
        if look_up is None:
            raise SecretError(f"secret {ref}: there is no scheme {ref.scheme!r}", f"use {', '.join(SCHEMES)}")
        if not ref.value:
            raise SecretError(
                f"secret {ref}: nothing stands after the colon", "a secret that looks so: plain:TEXT"
            )
        secret = look_up(ref)
        if not secret:
            raise SecretError(f"secret {ref} is empty", "set it; an empty password on purpose is plain:")
        return secret

    def _from_env(self, ref: SecretRef) -> str:
        if ref.value not in self._environ:
            raise SecretError(
                f"secret {ref}: environment variable {ref.value} is not set",
                f"set {ref.value} where ddcplay is started (a service has its own environment)",
            )
        return self._environ[ref.value]

    def _from_file(self, ref: SecretRef) -> str:
        path = self._root / Path(ref.value).expanduser()
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_SECRET_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a path"
            raise SecretError(
                f"secret {ref}: {path} cannot be read: {reason}", "check the path and who may read it"
            ) from None
        return _decoded(raw, ref)

    def _from_keyring(self, ref: SecretRef) -> str:
        service, slash, user = ref.value.rpartition("/")
        if not slash or not service or not user:
            raise SecretError(f"secret {ref}: service or user is missing", "write keyring:SERVICE/USER")
        import keyring  # noqa: PLC0415 - heavy, and most projects never use it
        from keyring.errors import KeyringError  # noqa: PLC0415 - as above

        try:
            secret = keyring.get_password(service, user)
        except KeyringError as error:
            raise SecretError(
                f"secret {ref}: the keyring does not answer ({type(error).__name__})",
                "unlock it, or use env:, file: or cmd: on a machine without one",
            ) from None
        if secret is None:
            raise SecretError(
                f"secret {ref} is not in the keyring", f"store it: keyring set {service} {user}"
            )
        return secret

    def _from_command(self, ref: SecretRef) -> str:
        hint = f"run it by hand: it must print the secret within {self._timeout_s:g} s and end with code 0"
        shell = _SHELL_SYNTAX.search(ref.value) is not None
        try:
            ended = subprocess.run(
                ref.value if shell or sys.platform == "win32" else shlex.split(ref.value),
                shell=shell,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                capture_output=True,  # what it prints on stderr may hold the secret, so it is dropped
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SecretError(
                f"secret {ref}: the command took more than {self._timeout_s:g} s", hint
            ) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its quotes do not match"
            raise SecretError(f"secret {ref}: the command cannot be started: {reason}", hint) from None
        if ended.returncode != 0:
            raise SecretError(f"secret {ref}: the command ended with code {ended.returncode}", hint)
        return _decoded(ended.stdout, ref)


def _decoded(raw: bytes, ref: SecretRef) -> str:
    """Read what a file or command gave: UTF-8, without the line breaks at its end."""
    if len(raw) > MAX_SECRET_BYTES:
        raise SecretError(f"secret {ref} has more than {MAX_SECRET_BYTES} bytes", "is it the right file?")
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecretError(f"secret {ref} is not UTF-8 text", "store it as text") from None
