"""`alerts` and `report` of a play as Pydantic models, and the policies made of them (design §3, §5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from ddcplay.config.schedule_document import STRICT
from ddcplay.config.validation import Level
from ddcplay.config.values import (
    Cron,
    Duration,
    FileName,
    Interval,
    PositiveDuration,
    Rendered,
    Size,
    Text,
    Whole,
)
from ddcplay.config.words import WrongValueError, describe
from ddcplay.model.alert import Severity
from ddcplay.model.inventory import SecretRef
from ddcplay.model.playbook import Absent, AlertPolicy, ReportPolicy, Vanish
from ddcplay.secrets.reference import SCHEMES, parse_secret
from ddcplay.units import parse_duration

# RFC 5321 §4.1.2 without quoted local parts and address literals, which nobody's mail server wants.
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_MAX_ADDRESS = 254
_LONGEST_S = 3650 * 86400
_MAIL = {"email": "email: {to: [it@example.edu]}"}
_PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%?\s*")
_LOOKUP = re.compile(r"""\{\{\s*lookup\(\s*(['"])(env|file)\1\s*,\s*(['"])([^'"{}]+)\3\s*\)\s*\}\}""")
_FORMS = "write env:NAME, file:PATH, keyring:SERVICE/USER, cmd:COMMAND or plain:URL"


def _address(value: Any) -> str:
    """Read one address; whatever could begin another header line is refused (RFC 5322 §2.2)."""
    if not isinstance(value, str):
        raise WrongValueError(f"{describe(value)} is no mail address", "write it@example.edu")
    if any(not char.isprintable() for char in value):
        raise WrongValueError(
            f"the address {value[:40]!a} holds a line break or control character", "remove it"
        )
    text = value.strip()
    if text.endswith(">"):
        raise WrongValueError(
            f"{text[:64]!r} has a name beside the address", "write the address alone: it@example.edu"
        )
    if not text.isascii():
        raise WrongValueError(
            f"{text[:64]!r} holds characters a mail address cannot have", "write the domain as xn--…"
        )
    if len(text) > _MAX_ADDRESS or not _ADDRESS.fullmatch(text):
        raise WrongValueError(f"{text[:64]!r} is no mail address", "write it@example.edu")
    return text


def _addresses(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise WrongValueError(
            f"must be a list of mail addresses, not {describe(value)}", "write [it@example.edu]"
        )
    found = []
    for index, item in enumerate(items):
        try:
            found.append(_address(item))
        except WrongValueError as error:
            at = () if isinstance(value, str) else (index,)
            raise WrongValueError(str(error), error.hint, at) from None
    if not found:
        raise WrongValueError("is an empty list", "name at least one address, or remove `email`")
    return tuple(dict.fromkeys(found))


def _words(*known: str) -> BeforeValidator:
    """Read one word or a list of words out of `known`."""

    def read(value: Any) -> tuple[str, ...]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            raise WrongValueError(f"must be a list, not {describe(value)}", f"known: {', '.join(known)}")
        for index, item in enumerate(items):
            if item not in known:
                at = () if isinstance(value, str) else (index,)
                words = f"{describe(item)} cannot be attached"
                raise WrongValueError(words, f"known: {', '.join(known)}", at)
        return tuple(dict.fromkeys(str(item) for item in items))

    return BeforeValidator(read)


def _urls(value: Any) -> tuple[SecretRef, ...]:
    """Read Apprise addresses; they are secrets, so no message here shows one."""
    items = [value] if isinstance(value, str | SecretRef) else value
    if not isinstance(items, list | tuple) or not items:
        raise WrongValueError("must be a list of Apprise addresses", _FORMS)
    found = []
    for index, item in enumerate(items):
        if isinstance(item, SecretRef):
            found.append(item)
        elif isinstance(item, str) and item.partition(":")[0] in SCHEMES:
            found.append(parse_secret(item))
        elif isinstance(item, str) and "://" in item and item.isprintable():
            found.append(SecretRef("plain", item))
        else:
            at = () if isinstance(value, str) else (index,)
            raise WrongValueError("must be Apprise addresses or references to them", _FORMS, at)
    return tuple(found)


def _percent(value: Any) -> float:
    """Read `30%` or a number of percent."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match:
        percent = float(match[1])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        percent = float(min(max(value, -1), 101))
    else:
        raise WrongValueError(f"{describe(value)} is no share", "write 30%")
    if isinstance(value, float) and 0 < value < 1:  # Prometheus' way to write a half
        hint = f"write {100 * value:g}%, or '{value:g}%' when that little is meant"
        raise WrongValueError(f"{describe(value)} would be less than one percent", hint)
    if not 0 <= percent < 100:  # NaN is refused, too
        raise WrongValueError("must be at least 0% and below 100%", "nothing is ever over 100%")
    return percent


def _reminders(value: Any) -> Any:
    """Read a duration, or `never` as none."""
    if value == "never":
        return None
    seconds = parse_duration(value)
    if not 0 < seconds <= _LONGEST_S:
        raise WrongValueError("must be longer than 0 and at most ten years", "write 4h, or never")
    return seconds


def _html_file(name: str) -> str:
    if not name.lower().endswith((".html", ".htm")):
        hint = "write report.html; it stands in the experiment's directory"
        raise WrongValueError(f"{name!r} does not end in .html", hint)
    return name


Addresses = Annotated[tuple[str, ...], BeforeValidator(_addresses)]
Urls = Annotated[tuple[SecretRef, ...], BeforeValidator(_urls)]
Percent = Annotated[float, BeforeValidator(_percent)]
Word = Literal["info", "warning", "critical"]


class AlertMailDocument(BaseModel):
    """Who gets the digests, and what goes with them."""

    model_config = STRICT

    to: Addresses
    attach: Annotated[tuple[str, ...], _words("trace")] = ()


class ReportMailDocument(BaseModel):
    """Who gets the reports, and what goes with them."""

    model_config = STRICT

    to: Addresses
    attach: Annotated[tuple[str, ...], _words("trace", "report")] = ()


class AbsentDocument(BaseModel):
    """Hosts that were not seen on for long."""

    model_config = STRICT

    for_: Annotated[PositiveDuration, Field(alias="for")]
    of: Text = ""
    severity: Word = "warning"


class VanishDocument(BaseModel):
    """Hosts of a group that go off all at once."""

    model_config = STRICT

    over: Percent
    of: Text = ""
    active: Cron = ""
    severity: Word = "critical"


class AlertsDocument(BaseModel):
    """How people are told of a play's alerts."""

    model_config = STRICT

    email: AlertMailDocument | None = None
    notify: Urls = ()
    repeat_interval: Annotated[float | None, BeforeValidator(_reminders)] = None
    group_wait: Duration = 0
    absent: AbsentDocument | None = None
    vanish: VanishDocument | None = None
    max_hosts: Annotated[Whole, Field(ge=1, le=10_000)] = 1
    max_attachments: Size = 1

    @model_validator(mode="before")
    @classmethod
    def _parts_are_written(cls, value: Any) -> Any:
        return _mappings(value, {**_MAIL, "absent": "absent: {for: 7d}", "vanish": "vanish: {over: 50%}"})


class ReportDocument(BaseModel):
    """When and where reports go."""

    model_config = STRICT

    every: Interval
    file: Annotated[FileName, AfterValidator(_html_file)] = ""
    email: ReportMailDocument | None = None

    @model_validator(mode="before")
    @classmethod
    def _parts_are_written(cls, value: Any) -> Any:
        return _mappings(value, _MAIL)

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.file and self.email is None:
            raise WrongValueError("a report goes nowhere", "add file: report.html, or email: {to: [...]}")
        if self.email is not None and "report" in self.email.attach and not self.file:
            raise WrongValueError(
                "'attach' names the report, and there is no 'file'", "add file: report.html"
            )
        return self


def _mappings(value: Any, parts: Mapping[str, str]) -> Any:
    """Refuse parts that are written in a short form there is none of; `parts`: key → what to write."""
    if not isinstance(value, Mapping):
        return value
    for key, example in parts.items():
        if isinstance(value.get(key), str | int | float | list):
            words = f"{key!r} must be a mapping, not {describe(value[key])}"
            raise WrongValueError(words, f"write {example}", (key,))
    # None is the models' "not written"; in a file it is a forgotten value, and told as one.
    return {key: {} if key in parts and part is None else part for key, part in value.items()}


ALERTS = Level(
    "alerts",
    AlertsDocument,
    {
        "email": Level("email of the alerts", AlertMailDocument, {}, {}),
        "absent": Level("absent rule", AbsentDocument, {}, {}),
        "vanish": Level("vanish rule", VanishDocument, {}, {}),
    },
    {
        "group_by": "a digest is grouped by rule, then by room; rooms are the play's `rooms`",
        "group_interval": "there is one digest per iteration; `group_wait` makes it wait for company",
        "receiver": "mail goes to email: {to: [...]}, pushes (Teams, Slack, ntfy …) to notify: [env:URL]",
        "receivers": "mail goes to email: {to: [...]}, pushes (Teams, Slack, ntfy …) to notify: [env:URL]",
        "contacts": "mail goes to email: {to: [...]}, pushes (Teams, Slack, ntfy …) to notify: [env:URL]",
        "route": "there is one route for a play: email: {to: [...]} and notify: [env:URL]",
        **dict.fromkeys(("slack", "teams", "webhook"), "pushes go to Apprise addresses: notify: [env:URL]"),
        "notification_interval": "how often reminders come is `repeat_interval`",
        "silences": "silences are made while it runs: ddcplay alerts silence name=… --for 2h",
        "timezone": "it stands in the play: timezone: Europe/Lisbon",
        "every": "how often reminders come is `repeat_interval`",
        "repeat": "how often reminders come is `repeat_interval`",
        "to": "recipients stand inside email: email: {to: [...]}",
        "attach": "it stands inside email: email: {to: [...], attach: [trace]}",
        "rules": "conditions are filters: an `alert` in the chain of a probe",
        "share": "it belongs to an `alert` filter, in the chain of a probe",
    },
    secret=("notify",),
)
REPORT = Level(
    "report",
    ReportDocument,
    {"email": Level("email of the report", ReportMailDocument, {}, {})},
    {
        "to": "recipients stand inside email: email: {to: [...]}",
        "attach": "it stands inside email: email: {to: [...], attach: [trace]}",
    },
)


def without_lookups(alerts: object) -> object:
    """Turn `{{ lookup('env'|'file', …) }}` under `notify` into references before anything is rendered.

    What such an address names is a secret, so it must not become text of the play.
    """
    if not isinstance(alerts, Mapping) or "notify" not in alerts:
        return alerts
    written = alerts["notify"]
    notify = [_referred(item) for item in written] if isinstance(written, list) else _referred(written)
    return {**alerts, "notify": notify}


def _referred(value: object) -> object:
    match = (
        _LOOKUP.fullmatch(value.strip())
        if type(value) in {str, Rendered} and isinstance(value, str)
        else None
    )
    return SecretRef(match[2], match[4]) if match else value


def alert_policy(document: AlertsDocument) -> AlertPolicy:
    """Build the policy; what was not written keeps the defaults of the model."""
    values: dict[str, Any] = {}
    names = {"notify": "notify", "group_wait": "group_wait_s", "max_hosts": "max_hosts"}
    names |= {"max_attachments": "max_attachments"}
    for key in sorted(document.model_fields_set & names.keys()):
        values[names[key]] = getattr(document, key)
    if "repeat_interval" in document.model_fields_set:
        values["repeat_s"] = document.repeat_interval
    if document.email is not None:
        values |= {"email_to": document.email.to, "attach": document.email.attach}
    if document.absent is not None:
        absent = document.absent
        values["absent"] = Absent(absent.for_, absent.of, Severity(absent.severity))
    if document.vanish is not None:
        vanish = document.vanish
        values["vanish"] = Vanish(vanish.over, vanish.of, vanish.active or None, Severity(vanish.severity))
    return AlertPolicy(**values)


def report_policy(document: ReportDocument) -> ReportPolicy:
    """Build the policy of reports."""
    mail = document.email
    return ReportPolicy(document.every, document.file, mail.to if mail else (), mail.attach if mail else ())
