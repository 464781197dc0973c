"""Whole mails and pushes, ready for the outbox: made once, so that every try sends the same bytes.

All text may come from targets. Headers are built by the standard library's email package from text that has
no control characters any more, so a hostile host can neither add a header nor end one (design §9.5).
"""

from __future__ import annotations

import gzip
import hashlib
import html as html_module
import json
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from ddcplay.model.effects import Outgoing
from ddcplay.notify.visible import block, one_line

GZIP_ABOVE = 64 * 1024
"""Bytes from which on an attachment is compressed."""

MAX_ATTACHMENTS = 5 * 1024 * 1024
"""Bytes of all attachments of one mail, as they are after compression."""

MAX_TEXT = 512 * 1024
"""Characters of a text or HTML part; servers refuse mails that are much larger."""

_POLICY = SMTP.clone(cte_type="7bit")  # no server has to know 8BITMIME
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail.

    Args:
        name: file name; what a file system may not like is replaced.
        content: raw bytes.
        type: MIME type.
    """

    name: str
    content: bytes = field(repr=False)
    type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who a mail is from.

    Args:
        address: `NAME@DOMAIN` or `Words <NAME@DOMAIN>`.
        domain: right half of every Message-ID.
    """

    address: str
    domain: str

    @classmethod
    def of(cls, address: str) -> Sender:
        """Return the sender that setting `smtp: from` names; its domain is that of the address."""
        bare = bare_address(address)
        domain = bare.rpartition("@")[2] if bare else socket.gethostname()
        return cls(address, re.sub(r"[^A-Za-z0-9.-]", "", domain) or "localhost")


def bare_address(text: str) -> str:
    """Return `name@domain` of an address with or without words around it, empty when it is none.

    A domain with letters beyond ASCII is written the way DNS has it; such letters left of the `@` need a
    server with SMTPUTF8, which is rare, so they count as no address.
    """
    if len(text) > 320 or not text.isprintable():
        return ""
    local, at, domain = parseaddr(text)[1].rpartition("@")
    try:
        found = f"{local}{at}{domain.encode('idna').decode('ascii') if not domain.isascii() else domain}"
    except UnicodeError:
        return ""
    return found if _ADDRESS.fullmatch(found) else ""


def usable(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return those of the addresses that mail can be sent to, bare and each once."""
    return tuple(dict.fromkeys(filter(None, map(bare_address, addresses))))


def message_id(sender: Sender, kind: str, *event: object) -> str:
    """Make a Message-ID that is the same whenever it is made for the same event.

    Args:
        sender: gives the domain.
        kind: a word of ours, such as `digest`; it stands in front, for people who read mail logs.
        event: what the mail is about, values that JSON holds.
    """
    digest = hashlib.sha256(json.dumps([kind, *event], sort_keys=True, default=str).encode()).hexdigest()
    return f"<ddcplay.{kind}.{digest[:32]}@{sender.domain}>"


def thread_id(sender: Sender, experiment: str, rule: str = "") -> str:
    """Make the id that all mails about one rule (or one experiment) refer to, so that clients thread them."""
    return message_id(sender, "thread", experiment, rule)


def compose(  # noqa: PLR0913 - a mail has that many parts
    sender: Sender,
    recipients: Sequence[str],
    subject: str,
    text: str,
    html: str,
    *,
    message_id: str,
    at: float,
    references: Sequence[str] = (),
    attachments: Sequence[Attachment] = (),
    max_attachments: int = MAX_ATTACHMENTS,
    experiment: str = "",
) -> Outgoing:
    """Make a mail.

    Args:
        sender: who it is from.
        recipients: addresses; those nothing can be sent to are left out.
        subject: one line; made harmless here.
        text: the plain part; made harmless here.
        html: a whole page, whatever targets said escaped already; empty for a mail of text alone.
        message_id: with its angle brackets, see `message_id`.
        at: UTC Unix seconds, for `Date`.
        references: Message-IDs of the thread; the last one is what this mail answers.
        attachments: files; large ones are compressed, and those past the limit are named in the text.
        max_attachments: bytes of all attachments as they are sent, base64 not counted.
        experiment: for the header `X-Ddcplay-Experiment`, so that people can sort by it.
    """
    files, notes = _fitting(attachments, max_attachments)
    message = EmailMessage(policy=_POLICY)
    message["From"] = _from(sender)
    to = usable(recipients)
    message["To"] = tuple(Address(addr_spec=address) for address in to)
    message["Subject"] = _header_text(subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(at, UTC))
    message["Message-ID"] = message_id
    if references:
        message["In-Reply-To"] = references[-1]
        message["References"] = " ".join(references)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notices, please
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    if experiment:
        message["X-Ddcplay-Experiment"] = _header_text(experiment)
    message.set_content(_with_notes(text, notes), cte="quoted-printable")
    if html:
        message.add_alternative(_html_with_notes(html, notes), subtype="html", cte="quoted-printable")
    for file in files:
        main, _, sub = file.type.partition("/")
        message.add_attachment(file.content, main, sub, filename=file.name)
    return Outgoing("mail", message_id, at, message.as_bytes(), to)


def compose_push(target: str, title: str, text: str, *, message_id: str, at: float) -> Outgoing:
    """Make a message for an Apprise address.

    Args:
        target: the place in the playbook where the address stands.
        title: one line; made harmless here.
        text: made harmless here.
        message_id: unique within the experiment.
        at: UTC Unix seconds.
    """
    payload = {"title": one_line(title), "text": block(text, 8000)}
    return Outgoing("push", message_id, at, json.dumps(payload).encode(), target=target)


def _from(sender: Sender) -> Address:
    words = one_line(parseaddr(sender.address)[0]).replace("=?", "= ?")
    return Address(words or "ddcplay", addr_spec=bare_address(sender.address) or f"ddcplay@{sender.domain}")


def _header_text(text: str) -> str:
    # `=?` would begin an encoded word, which readers decode: text of a target must not hide in one.
    return one_line(text).replace("=?", "= ?")


def _fitting(files: Sequence[Attachment], limit: int) -> tuple[list[Attachment], list[str]]:
    """Return what fits, compressed where that is worth it, and a line for each file that does not."""
    kept, notes, used, names = [], [], 0, set[str]()
    for file in files:
        name = _file_name(file.name, names)
        ready = Attachment(name, file.content, file.type)
        if len(file.content) > GZIP_ABOVE:
            ready = Attachment(f"{name}.gz", gzip.compress(file.content, 6, mtime=0), "application/gzip")
        if used + len(ready.content) > limit:
            notes.append(f"Not attached, too large: {name} ({_size(len(ready.content))})")
            continue
        used += len(ready.content)
        kept.append(ready)
    return kept, notes


def _file_name(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^\w.()+-]", "_", one_line(name, 120)).lstrip(".") or "file"
    found, number = plain, 1
    while found in taken:
        number += 1
        stem, dot, ending = plain.rpartition(".")
        found = f"{stem}-{number}.{ending}" if dot else f"{plain}-{number}"
    taken.add(found)
    return found


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB" if count >= 1024 * 1024 else f"{max(1, count // 1024)} KiB"


def _with_notes(text: str, notes: Sequence[str]) -> str:
    body = block(text, MAX_TEXT).rstrip("\n")
    return "\n".join([body, *(["", *notes] if notes else []), ""])


def _html_with_notes(html: str, notes: Sequence[str]) -> str:
    page = block(html)
    if not notes:
        return page
    told = "".join(f'<p style="font-size:13px">{html_module.escape(note)}</p>' for note in notes)
    head, end, tail = page.rpartition("</body>")
    return f"{head}{told}{end}{tail}" if end else page + told
