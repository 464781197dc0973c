"""What a connection variable may hold: a reader gives the value a `Target` wants, or says what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from ddcplay.model.inventory import SecretRef
from ddcplay.planning.connection_names import CONNECTIONS, LATER_CONNECTIONS
from ddcplay.secrets.reference import parse_secret

AUTH = {
    "basic": ("basic",),
    "plaintext": ("basic",),
    "ssl": ("basic",),
    "certificate": ("certificate",),
    "kerberos": ("kerberos",),
    "ntlm": ("ntlm",),
    "credssp": ("credssp",),
    "negotiate": ("kerberos", "ntlm"),
}
_TRUE = {"yes", "on", "1", "true", "y", "t"}
_FALSE = {"no", "off", "0", "false", "n", "f"}


class WrongValueError(Exception):
    """A value that its variable does not take.

    Args:
        message: what is wrong, without the variable's name.
        hint: what to write.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def read_connection(value: object) -> str:
    """Read `ansible_connection`.

    Raises:
        WrongValueError: unknown, or not there yet.
    """
    name = str(value).removeprefix("ansible.builtin.").lower()
    if name in LATER_CONNECTIONS:
        raise WrongValueError(f"connection {name!r} is not there yet", "use winrm or psrp")
    if name not in CONNECTIONS:
        raise WrongValueError(
            f"{value!r} is no connection", f"known: {', '.join((*CONNECTIONS, *LATER_CONNECTIONS))}"
        )
    return name


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongValueError(f"takes text, not a {type(value).__name__}", "write it as text, in quotes")
    return str(value)


def _optional_text(value: object) -> str | None:
    return _text(value) or None


def _address(value: object) -> str:
    text = _text(value).strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if not text or any(character.isspace() or character in "/\\@" for character in text):
        raise WrongValueError(f"{text!r} is neither a name nor an address", "a name or an IP address, no URL")
    return text


def _port(value: object) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise WrongValueError(f"{value!r} is no port number", "a number from 1 to 65535, such as 5986")
    return int(text)


def _choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = str(value).strip().lower()
        if text not in choices:
            raise WrongValueError(
                f"{value!r} is none of {', '.join(choices)}", f"did you mean {_near(text, choices)!r}?"
            )
        return text

    return read


def _near(text: str, choices: Iterable[str]) -> str:
    known = list(choices)
    return next(iter(get_close_matches(text, known, n=1)), known[0])


def _bool(value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise WrongValueError(f"{value!r} is neither true nor false", "write true or false")


def _cert_validation(value: object) -> bool:
    return _choice("validate", "ignore")(value) == "validate"


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if isinstance(value, bool) or not 0 < seconds <= 86400:
        raise WrongValueError(f"{value!r} is no number of seconds", "such as 20")
    return seconds


def _auth(value: object) -> tuple[str, ...]:
    words = value if isinstance(value, list | tuple) else str(value).replace(",", " ").split()
    names: list[str] = []
    for word in words:
        name = str(word).strip().lower()
        if name not in AUTH:
            hint = f"did you mean {_near(name, AUTH)!r}? Known: {', '.join(AUTH)}"
            raise WrongValueError(f"{name!r} is no authentication", hint)
        names.extend(AUTH[name])
    chosen = tuple(dict.fromkeys(names))
    return () if chosen == AUTH["negotiate"] else chosen


def _path(value: object) -> str:
    return _text(value).lstrip("/") or "wsman"


def _password(value: object) -> SecretRef | None:
    if isinstance(value, SecretRef):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise WrongValueError(
            "takes text", "write env:NAME, file:PATH, keyring:SERVICE/USER, cmd:COMMAND or plain:TEXT"
        )
    return parse_secret(str(value))


def _proxy(value: object) -> str | None:
    text = _text(value).strip()
    # pywinrm's own word for "what the environment says", which we never read.
    return None if text in {"", "legacy_requests"} else text


READERS: Mapping[str, Callable[[object], Any]] = {
    "address": _address,
    "port": _port,
    "smb_port": _port,
    "user": _optional_text,
    "password": _password,
    "scheme": _choice("http", "https"),
    "path": _path,
    "auth": _auth,
    "message_encryption": _choice("auto", "always", "never"),
    "cert_validation": _cert_validation,
    "ca_trust_path": _optional_text,
    "cert_pem": _optional_text,
    "cert_key_pem": _optional_text,
    "send_cbt": _bool,
    "operation_timeout_s": _seconds,
    "read_timeout_s": _seconds,
    "connection_timeout_s": _seconds,
    "kerberos_hostname_override": _optional_text,
    "kerberos_delegation": _bool,
    "service": _text,
    "proxy": _proxy,
    "realm": _optional_text,
}
"""Field of a `Target` (or what `connection` makes one from) → how its variables are read."""
