"""Filters that tell people something: `email` and `notify`.

What they render holds text of targets, so subjects and titles are made one line of printable characters here,
before anything else sees them, and texts are bounded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from ddcplay.errors import DdcplayError
from ddcplay.filtering.base import Filter, FilterContext, Record
from ddcplay.filtering.options import Names, OptionError, Template, short_form
from ddcplay.filtering.scope import RecordScope
from ddcplay.filtering.trouble import kind_of
from ddcplay.model.effects import MailItem, Push, PushAddress
from ddcplay.model.inventory import SecretRef
from ddcplay.secrets.reference import parse_secret
from ddcplay.templating.environment import render_record

MAX_TEXT = 64 * 1024
"""Characters of one text in a mail; a digest has many."""

MAX_LINE = 200
"""Characters of a subject or title."""

_SHOWN_OUTPUT = 2000
_NOT_IN_A_TEXT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
_ADDRESS = re.compile(r"[^\s@<>,;:\"\\()\[\]\x00-\x1f\x7f]+@[^\s@<>,;:\"\\()\[\]\x00-\x1f\x7f]+")


def one_line(text: str) -> str:
    """Make one line of printable characters, so that no header can be smuggled in and nothing misleads."""
    # Not printable: line ends of any kind, controls, surrogates, what turns the direction of writing round.
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * MAX_LINE])
    words = " ".join(clean.split())
    return words if len(words) <= MAX_LINE else words[: MAX_LINE - 1] + "…"


def readable(text: str) -> str:
    """Return text without control characters, bounded; lines and tabs stay."""
    clean = _NOT_IN_A_TEXT.sub("\ufffd", text[:MAX_TEXT].replace("\r\n", "\n").replace("\r", "\n"))
    return clean if len(text) <= MAX_TEXT else f"{clean}\n… ({len(text) - MAX_TEXT} more characters)"


def _rendered(template: str, scope: Mapping[str, object]) -> str:
    """Render a message; one that cannot be rendered is told as it stands: somebody has to hear of it."""
    try:
        value = render_record(template, scope)
    except DdcplayError as error:
        return f"{template}\n(this message cannot be rendered: {error.message})"
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)


def _summary(record: Record) -> str:
    """Say what a record is, for messages nobody wrote."""
    outcome = record.outcome.value if record.reason is None else f"{record.outcome}: {record.reason}"
    first = f"{record.host}, {record.probe}: {outcome}"
    if record.exit_code:
        first += f", exit code {record.exit_code}"
    if record.data is not None:
        body = json.dumps(record.data, ensure_ascii=False, default=str, indent=1)
    else:
        body = record.stdout.strip() or record.stderr.strip()
    return f"{first}\n{body[:_SHOWN_OUTPUT]}".rstrip()


def _tuple(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    for index, text in enumerate(value):
        if not _ADDRESS.fullmatch(text):
            raise OptionError(
                f"{text[:60]!r} is no mail address", "write it bare, as in it@example.edu", (index,)
            )
    return value


class Email(Filter):
    """Adds lines to the iteration's mail, or sends a mail at once.

    ::

        - email                                       # what the record holds, in the iteration's digest
        - email: "{{ host.name }} has {{ data.count }} broken disks"
        - email:
            text: "{{ host.name }}: {{ data.error }}"
            subject: "Disk of {{ host.name }}"        # one line, whatever a target sent
            immediate: true                           # a mail of its own, not the digest
            attach: [stdout, data]
            to: [disks@example.edu]                   # else the play's `alerts: email: to`
    """

    class Options(Filter.Options):
        """The mail."""

        text: Template | None = None
        subject: Template = ""
        immediate: bool = False
        attach: Annotated[
            tuple[Literal["stdout", "stderr", "data"], ...],
            BeforeValidator(_tuple),
        ] = ()
        to: Annotated[Names | tuple[()], AfterValidator(_addresses)] = ()

        @model_validator(mode="after")
        def _attached_to_what(self) -> Self:
            if self.attach and not self.immediate:
                # A digest is made when the outputs have gone to the archive already.
                raise OptionError(
                    "attach goes with a mail of its own, not with the digest",
                    "add immediate: true",
                    ("attach",),
                )
            return self

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text as `text`."""
        return short_form(written, "text", str)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Leave the mail in the context; the record goes on as it is."""
        options, scope = self.options, RecordScope(record, context)
        text = _summary(record) if options.text is None else _rendered(options.text, scope)
        subject = one_line(_rendered(options.subject, scope))
        context.emit(MailItem(readable(text), subject, options.immediate, options.attach, options.to))
        return record


def _address(value: object) -> SecretRef:
    """Read the address of `notify`; no message may show it."""
    if isinstance(value, SecretRef):
        return value
    hint = "keep it out of the playbook: url: env:TEAMS_URL"
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"url must be an Apprise address or a secret, not {kind_of(value)}", hint)
    if "{{" in value or "{%" in value:
        raise OptionError("url must be no template", hint)
    ref = parse_secret(value.strip())
    if ref.scheme == "plain" and not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S", ref.value):
        raise OptionError("url must be an Apprise address (scheme://…) or a secret", hint)
    return ref


class Notify(Filter):
    """Sends a message to an Apprise address: Teams, Slack, ntfy and a hundred others.

    ::

        - notify: env:TEAMS_URL
        - notify:
            url: env:TEAMS_URL           # env: file: keyring: cmd:, or the address itself
            title: "{{ host.name }}"
            text: "{{ data.free_pct }} % free"
    """

    secret_options: ClassVar[tuple[str, ...]] = ("url",)
    """Options whose values no message may show."""

    class Options(Filter.Options):
        """The message and where it goes."""

        model_config: ClassVar[ConfigDict] = ConfigDict(hide_input_in_errors=True)
        url: Annotated[SecretRef, PlainValidator(_address), WithJsonSchema({"type": "string"})] = Field(
            repr=False
        )
        title: Template = "{{ host.name }}: {{ record.probe }}"
        text: Template | None = None

    options: Options

    @classmethod
    def options_from(cls, written: object) -> object:
        """Take text or a secret as `url`."""
        return short_form(written, "url", str, SecretRef)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._target = "notify"

    def placed(self, probe: str, label: str) -> None:
        """Learn the filter's place, which is all that the database keeps of its address."""
        self._target = f"{probe}/{label}"

    def address(self) -> PushAddress:
        """Return where this filter's messages go; resolved when one is sent."""
        return PushAddress(self._target, self.options.url)

    def process(self, record: Record, context: FilterContext) -> Record:
        """Leave the message in the context; the record goes on as it is."""
        scope = RecordScope(record, context)
        text = _summary(record) if self.options.text is None else _rendered(self.options.text, scope)
        title = one_line(_rendered(self.options.title, scope))
        context.emit(Push(self._target, title, readable(text)))
        return record
