"""The mail of one iteration: all there is to tell, once, with a subject that says what and how many."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ddcplay.model.alert import Happening, Severity
from ddcplay.model.effects import Outgoing
from ddcplay.model.result import AttemptResult
from ddcplay.notify.digest_page import Page, page_html, page_text
from ddcplay.notify.grouping import SHORT, Entry, Part, Rule, grouped, notes
from ddcplay.notify.message import (
    MAX_ATTACHMENTS,
    Attachment,
    Sender,
    compose,
    compose_push,
    message_id,
    thread_id,
    usable,
)
from ddcplay.notify.visible import one_line

_RULES_IN_SUBJECT = 3


@dataclass(frozen=True, slots=True)
class Digest:
    """What one iteration has to tell.

    Args:
        experiment: its name.
        play: the play's name.
        iteration: id of the iteration that has just ended.
        at: UTC Unix seconds, the mail's date.
        timezone: IANA name; times are written in it.
        entries: what is told, in order.
        rooms: host → room.
        recipients: of everything that names no others.
        max_hosts: alerts listed by name in one room of one rule, the rest is counted.
        attachments: go with the mail to `recipients`.
        max_attachments: bytes of all of them.
        simulated: nothing of this happened; marked in subject and text.
    """

    experiment: str
    play: str
    iteration: int
    at: float
    timezone: str
    entries: Sequence[Entry]
    rooms: Mapping[str, str] = field(default_factory=dict)
    recipients: tuple[str, ...] = ()
    max_hosts: int = 20
    attachments: tuple[Attachment, ...] = ()
    max_attachments: int = MAX_ATTACHMENTS
    simulated: bool = False


def compose_digest(digest: Digest, sender: Sender) -> tuple[Outgoing, ...]:
    """Make the mails of an iteration: one to the play's recipients, and one per other list of recipients.

    Returns:
        No mail where there is nothing to tell or nobody to tell it to.
    """
    by_readers: dict[tuple[str, ...], list[Entry]] = {}
    for entry in digest.entries:
        own = usable(entry.item.to) if entry.item is not None else ()
        by_readers.setdefault(own or usable(digest.recipients), []).append(entry)
    mails = []
    for readers, entries in by_readers.items():
        if readers:
            files = digest.attachments if readers == usable(digest.recipients) else ()
            mails.append(
                _mail(replace(digest, entries=entries, recipients=readers, attachments=files), sender)
            )
    return tuple(mails)


def compose_immediate(  # noqa: PLR0913 - what an attempt's mail needs to know
    experiment: str,
    play: str,
    entry: Entry,
    result: AttemptResult | None,
    recipients: Sequence[str],
    sender: Sender,
    *,
    timezone: str = "UTC",
    max_attachments: int = MAX_ATTACHMENTS,
    simulated: bool = False,
) -> Outgoing:
    """Make the mail of one item that does not wait for the digest.

    Args:
        experiment: its name.
        play: the play's name.
        entry: the item.
        result: the attempt, for what `attach` of the item asks for.
        recipients: who gets it.
        sender: who it is from.
        timezone: IANA name.
        max_attachments: bytes of all attachments.
        simulated: as in `Digest`.
    """
    attach = entry.item.attach if entry.item is not None else ()
    digest = Digest(
        experiment=experiment,
        play=play,
        iteration=entry.iteration,
        at=entry.at,
        timezone=timezone,
        entries=(entry,),
        recipients=usable(recipients),
        attachments=() if result is None else _outputs(result, attach),
        max_attachments=max_attachments,
        simulated=simulated,
    )
    return _mail(digest, sender, kind="now")


def digest_push(digest: Digest, target: str) -> Outgoing:
    """Make the push that tells a digest.

    Args:
        digest: as for the mail.
        target: the place in the playbook where the address stands.
    """
    page = _page(digest)
    event = (digest.experiment, digest.iteration, target, *_identities(digest))
    number = message_id(Sender("", "push"), "push", *event)
    return compose_push(target, digest_subject(digest), page_text(page), message_id=number, at=digest.at)


def digest_subject(digest: Digest) -> str:
    """Say in one line what happened and how often: `[labs] 3 PCs low_disk, 1 resolved: room B12`."""
    rules, items = grouped(digest.entries, digest.rooms), notes(digest.entries)
    parts = [_bad_news(rule) for rule in rules if rule.bad][:_RULES_IN_SUBJECT]
    more = sum(1 for rule in rules if rule.bad) - len(parts)
    if more > 0:
        parts.append(f"{more} more rule{'s' * (more > 1)}")
    for what in (Happening.RESOLVED, Happening.GONE):
        count = sum(rule.count(what) for rule in rules)
        if count:
            only = f" {rules[0].name}" if len(rules) == 1 and not parts else ""
            parts.append(f"{count}{only} {SHORT[what]}")
    if items:
        parts.append(
            items[0].title if len(items) == 1 and not parts else f"{len(items)} note{'s' * (len(items) > 1)}"
        )
    places = {
        digest.rooms.get(event.identity.host, "")
        for rule in rules
        for part in rule.parts
        for event in part.events
    }
    where = f": room {next(iter(places))}" if len(places) == 1 and all(places) else ""
    critical = any(rule.severity is Severity.CRITICAL and rule.bad for rule in rules)
    mark = "SIMULATED " if digest.simulated else ""
    urgent = "CRITICAL " if critical else ""
    return one_line(f"[{mark}{digest.experiment}] {urgent}{', '.join(parts)}{where}")


def _bad_news(rule: Rule) -> str:
    """Say which hosts are concerned; those that fire on are told apart from what is news."""
    news = [part for part in rule.bad if part.what is not Happening.REPEATED]
    name = rule.name if news else f"still {rule.name}"
    hosts = _hosts(news or rule.bad)
    more = set(_hosts(rule.bad)) - set(hosts)
    still = f" ({len(more)} still)" if more else ""
    if not hosts:
        return name + still
    return (f"{hosts[0]} {name}" if len(hosts) == 1 else f"{len(hosts)} PCs {name}") + still


def _hosts(parts: Sequence[Part]) -> list[str]:
    return list(dict.fromkeys(host for part in parts for host in part.hosts))


def _mail(digest: Digest, sender: Sender, kind: str = "digest") -> Outgoing:
    page = _page(digest)
    names = {entry.event.identity.name if entry.event else "" for entry in digest.entries}
    about = next(iter(names)) if len(names) == 1 else ""
    event = (digest.experiment, digest.simulated, digest.iteration, digest.recipients, *_identities(digest))
    return compose(
        sender,
        digest.recipients,
        digest_subject(digest),
        page_text(page),
        page_html(page),
        message_id=message_id(sender, kind, *event),
        at=digest.at,
        references=(thread_id(sender, digest.experiment, about),),
        attachments=digest.attachments,
        max_attachments=digest.max_attachments,
        experiment=digest.experiment,
    )


def _page(digest: Digest) -> Page:
    return Page(
        title=digest_subject(digest).partition("] ")[2],
        experiment=digest.experiment,
        play=digest.play,
        iteration=digest.iteration,
        timezone=digest.timezone,
        at=digest.at,
        rules=grouped(digest.entries, digest.rooms),
        notes=notes(digest.entries),
        max_hosts=digest.max_hosts,
        simulated=digest.simulated,
    )


def _identities(digest: Digest) -> list[object]:
    """Return what tells this digest's entries from those of another: a repeat of it has the same."""
    found: list[object] = []
    for entry in digest.entries:
        if entry.event is not None:
            who = entry.event.identity
            found.append([entry.id, who.name, who.host, who.key, entry.event.what])
        elif entry.item is not None:
            found.append([entry.id, entry.host, entry.probe, entry.item.subject, entry.item.text])
    return found


def _outputs(result: AttemptResult, attach: Sequence[str]) -> tuple[Attachment, ...]:
    stem = f"{result.host}-{result.probe}-{result.iteration}"
    data = json.dumps(result.data, indent=1, ensure_ascii=False, default=str).encode("utf-8", "replace")
    known = {
        "stdout": Attachment(f"{stem}.stdout.txt", result.stdout),
        "stderr": Attachment(f"{stem}.stderr.txt", result.stderr),
        "data": Attachment(f"{stem}.json", data, "application/json"),
    }
    return tuple(known[name] for name in attach if name in known)
