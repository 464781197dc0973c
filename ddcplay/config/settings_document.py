"""The settings as Pydantic models, and how a variable of the environment names one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from ddcplay.config.documents import Document
from ddcplay.config.reading import Reading
from ddcplay.config.validation import Level
from ddcplay.config.values import Duration, PositiveDuration, Rendered, Text, Texts, Truth, Whole
from ddcplay.config.words import WrongValueError, describe, nearest
from ddcplay.errors import Place
from ddcplay.model.inventory import SecretRef
from ddcplay.secrets.reference import SCHEMES, parse_secret

PREFIX = "DDCPLAY_"
_FORMS = "write env:NAME, file:PATH, keyring:SERVICE/USER, cmd:COMMAND or plain:TEXT"
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*([smh])")
_RATE_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def _is_reference(text: str) -> bool:
    return text.partition(":")[0] in SCHEMES


def _secret(value: Any) -> SecretRef:
    """Read a reference; no message here may show the value."""
    if isinstance(value, SecretRef):
        return value
    if not isinstance(value, str) or not value:
        raise WrongValueError("must be a reference to a secret", _FORMS)
    if not _is_reference(value):
        raise WrongValueError("a secret stands here in clear", _FORMS)
    return parse_secret(value)


def _secret_url(value: Any) -> Any:
    """Read an address that is a secret as a whole; a bare one is kept out of every message from here on."""
    bare = isinstance(value, str) and "://" in value and not _is_reference(value)
    return SecretRef("plain", value) if bare else _secret(value)


def _database(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        return _secret(value)
    if _is_reference(value) and "://" not in value.partition(":")[0]:
        return parse_secret(value)
    if "://" not in value:
        raise WrongValueError(
            "is not the URL of a database", "write postgresql://USER@HOST/NAME, or env:NAME"
        )
    try:
        password = urlsplit(value).password
    except ValueError as error:
        raise WrongValueError("is not a URL", "write postgresql://USER@HOST/NAME, or env:NAME") from error
    return value if password is None else SecretRef("plain", value)


def _rate(value: Any) -> float:
    """Read `50/s`, `300/m` or a number per second."""
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        rate = float(match[1]) / _RATE_UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        rate = float(min(value, 10**9))
    else:
        raise WrongValueError(f"{describe(value)} is not a rate", "write 50/s")
    if not 0 < rate <= 1e6:
        raise WrongValueError("must be more than 0", "write 50/s")
    return rate


def _no_url(value: Any) -> Any:
    if isinstance(value, str) and "://" in value:
        raise WrongValueError(f"{describe(value)} is an address of a page", "write the bare host name")
    return value


class RetentionDocument(Document):
    """How long data is kept."""

    archive: Duration = 0
    attempts: Duration = 0
    samples: Duration = 0


class SmtpDocument(Document):
    """The mail server; what it must have is checked once all layers are merged."""

    host: Annotated[Text, BeforeValidator(_no_url)] = ""
    port: Annotated[Whole, Field(ge=1, le=65535)] = 587
    from_: Annotated[Text, Field(alias="from")] = ""
    username: Text = ""
    password: Annotated[SecretRef | None, BeforeValidator(_secret)] = None
    starttls: Truth = True
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca_trust_path: Text = ""
    verify: Truth = True
    timeout: PositiveDuration = 30.0


class SettingsDocument(Document):
    """`ddcplay.yml`."""

    data_dir: Text = ""
    inventory: Text = ""
    database: Annotated[str | SecretRef, BeforeValidator(_database)] = ""
    executor: Text = ""
    workers: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    network_check: Texts = ()
    auth_breaker: Annotated[Whole, Field(ge=1, le=100)] = 1
    auth_retry: PositiveDuration = 0
    ramp: Annotated[float, BeforeValidator(_rate)] = 0
    retention: RetentionDocument = RetentionDocument()
    max_backlog: Annotated[Whole, Field(ge=1)] = 1
    durability: Literal["full", "batch"] = "full"
    filter_timeout: PositiveDuration = 0
    heartbeat: Annotated[SecretRef | None, BeforeValidator(_secret_url)] = None
    smtp: SmtpDocument = SmtpDocument()


_SECRET_KEYS = ("password", "heartbeat", "database")
RETENTION = Level("retention settings", RetentionDocument, {}, {})
SMTP = Level("smtp settings", SmtpDocument, {}, {}, secret=_SECRET_KEYS)
SETTINGS = Level(
    "settings", SettingsDocument, {"retention": RETENTION, "smtp": SMTP}, {}, secret=_SECRET_KEYS
)


def variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every variable of the environment that is a setting, with the way to it."""
    for key in SETTINGS.known_keys():
        inner = SETTINGS.inside.get(key)
        for way in [(key, part) for part in inner.known_keys()] if inner else [(key,)]:
            yield PREFIX + "_".join(way).upper(), way


def from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[tuple[str, ...], Place]]:
    """Gather the settings of the environment.

    Returns:
        The same shape as `ddcplay.yml`, and way → the variable, as a place for messages.
    """
    data: dict[str, Any] = {}
    places: dict[tuple[str, ...], Place] = {}
    for name, way in variables():
        text = environ.get(name)
        if not text:
            continue
        value: Any = Rendered(text)
        if way == ("network_check",):
            value = [part.strip() for part in text.split(",")]
        elif way[-1] in _SECRET_KEYS and not _is_reference(text) and "://" not in text:
            # The variable is the reference, so the secret is not copied into the settings.
            value = SecretRef("env", name)
        places[way] = Place(name)
        into = data if len(way) == 1 else data.setdefault(way[0], {})
        into[way[-1]] = value
    return data, places


def refuse_near_misses(environ: Mapping[str, str], reading: Reading) -> None:
    """Note variables that look like a misspelt setting.

    Others that begin with `DDCPLAY_` are left alone: a secret behind `env:NAME` may well be called so.
    """
    known = {name.removeprefix(PREFIX): name for name, _ in variables()}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in known:
            continue
        close = nearest(name.removeprefix(PREFIX), known, cutoff=0.85)
        if close:
            message = "this variable is no setting"
            reading.report(Place(name), message, f"did you mean {known[close]}? Else give it another name")
