"""What a filter wants done, as values: filters touch neither the database nor the network (design §5).

A chain gathers these; the engine writes them with commit 2 and hands what leaves the house to the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ddcplay.model.alert import AlertCheck
from ddcplay.model.inventory import SecretRef


@dataclass(frozen=True, slots=True)
class Sample:
    """Data to be kept: one JSON document per attempt and filter.

    Args:
        data: whatever JSON holds; integers of any size stay whole.
        key: the field that names a row where `data` is a list of rows, or field → key field for lists inside
            a mapping (`{"disks": "device"}`); empty when rows have no identity.
        label: tells several `store` filters of one probe apart; empty for the first.
    """

    data: object = field(repr=False)
    key: str | Mapping[str, str] = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class StaticFact:
    """A fact of a host that is new or has changed, valid from the attempt on."""

    field: str
    value: object


@dataclass(frozen=True, slots=True)
class MailItem:
    """Something to tell by mail.

    Args:
        text: rendered; may hold text of a target.
        subject: one line; empty for the probe's and host's name.
        immediate: a mail of its own at once, not in the iteration's digest.
        attach: `stdout` and `stderr` of the attempt go with it, and `data` as JSON.
        to: other recipients than the play's.
    """

    text: str = field(repr=False)
    subject: str = ""
    immediate: bool = False
    attach: tuple[str, ...] = ()
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Push:
    """A message for an Apprise address.

    Args:
        target: names the place in the playbook where the address stands (`probe/label`), which is what the
            database keeps: the address is a secret.
        title: one line.
        text: rendered; may hold text of a target.
    """

    target: str
    title: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Metric:
    """One sample of Prometheus' text format.

    Args:
        file: name of the `.prom` file, without directory.
        name: of the metric.
        value: a number.
        labels: besides `host` and what the file adds.
        help: one line.
        kind: `gauge` or `counter`.
    """

    file: str
    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    kind: str = "gauge"


Effect = Sample | StaticFact | MailItem | Push | Metric | AlertCheck


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message in the outbox: complete, so that every try sends the same bytes.

    Args:
        kind: `mail` or `push`.
        message_id: stable and unique within the experiment, made from the event; a mail's Message-ID.
        created_at: UTC Unix seconds; messages leave in this order.
        payload: a whole RFC 5322 message with its headers, or a push as JSON `{"title":…, "text":…}`.
        recipients: envelope addresses of a mail.
        target: of a push, as `Push.target`.
        id: its number in the outbox, 0 before it is stored.
        tries: how often it failed.
        next_try_at: UTC Unix seconds.
        last_error: of the last try, secrets redacted.
    """

    kind: str
    message_id: str
    created_at: float
    payload: bytes = field(repr=False)
    recipients: tuple[str, ...] = ()
    target: str = ""
    id: int = 0
    tries: int = 0
    next_try_at: float = 0.0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class PushAddress:
    """Where pushes of one target go; resolved when it is used."""

    target: str
    url: SecretRef
