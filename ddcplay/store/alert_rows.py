"""Between rows and the values of alerts, digests, silences and the outbox: which column holds which field."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from ddcplay.model.alert import (
    AlertEvent,
    AlertIdentity,
    AlertState,
    AlertUpdate,
    Happening,
    Severity,
    Silence,
    Status,
)
from ddcplay.model.effects import MailItem, Outgoing
from ddcplay.model.result import AttemptResult
from ddcplay.store.base import StoredEvent
from ddcplay.store.documents import dump_document
from ddcplay.store.rows import storable

Row = dict[str, object]
_STATE = tuple(field.name for field in dataclasses.fields(AlertState))


def of_update(experiment_id: int, update: AlertUpdate) -> Row:
    """Return the row of an alert as it stands."""
    return {
        "experiment_id": experiment_id,
        **of_identity(update.identity),
        "status": update.state.status.value,
        "fired_at": update.state.fired_at,
        "acknowledged": update.state.acknowledged,
        "state": dump_document({name: getattr(update.state, name) for name in _STATE}),
        "severity": update.severity.value,
        "message": storable(update.message),
        "runbook": storable(update.runbook),
        "at": update.at,
        "probe": update.probe,
    }


def update_from(row: Mapping[str, Any], experiment: str) -> AlertUpdate:
    """Rebuild an alert from its row."""
    # A field this program does not know, or that an older one did not write, must not cost the alert.
    written = {name: value for name, value in json.loads(row["state"]).items() if name in _STATE}
    return AlertUpdate(
        identity=AlertIdentity(experiment, row["name"], row["host"], row["key"]),
        state=AlertState(**{**written, "status": Status(row["status"])}),
        severity=Severity(row["severity"]),
        message=row["message"],
        runbook=row["runbook"],
        at=row["at"],
        probe=row["probe"],
    )


def of_identity(identity: AlertIdentity) -> Row:
    """Return the columns that say which alert; the experiment's own is left out."""
    return {
        "name": storable(identity.name),
        "host": storable(identity.host),
        "key": storable(identity.key),
    }


def of_event(iteration: int, event: AlertEvent, probe: str = "") -> Row:
    """Return the row of something that happened to an alert; its number is given later."""
    payload = {
        "name": event.identity.name,
        "key": event.identity.key,
        "what": event.what.value,
        "severity": event.severity.value,
        "message": event.message,
        "runbook": event.runbook,
        "since": event.since,
    }
    return {
        "iteration": iteration,
        "at": event.at,
        "kind": "alert",
        "host": storable(event.identity.host),
        "probe": probe,
        "payload": dump_document(payload),
    }


def of_item(of: AttemptResult, item: MailItem) -> Row:
    """Return the row of lines for a digest; its number is given later."""
    payload = {
        "text": item.text,
        "subject": item.subject,
        "immediate": item.immediate,
        "attach": list(item.attach),
        "to": list(item.to),
    }
    return {
        "iteration": of.iteration,
        "at": of.started_at,
        "kind": "item",
        "host": of.host,
        "probe": of.probe,
        "payload": dump_document(payload),
    }


def event_from(row: Mapping[str, Any], experiment: str) -> StoredEvent:
    """Rebuild an event or an item from its row."""
    told = json.loads(row["payload"])
    event = item = None
    if row["kind"] == "alert":
        event = AlertEvent(
            identity=AlertIdentity(experiment, told["name"], row["host"], told["key"]),
            what=Happening(told["what"]),
            at=row["at"],
            severity=Severity(told["severity"]),
            message=told["message"],
            runbook=told["runbook"],
            since=told["since"],
        )
    else:
        item = MailItem(
            told["text"], told["subject"], told["immediate"], tuple(told["attach"]), tuple(told["to"])
        )
    return StoredEvent(row["id"], row["at"], event, item, row["host"], row["probe"], row["iteration"])


def of_outgoing(experiment_id: int, number: int, message: Outgoing) -> Row:
    """Return the row of a message that waits."""
    return {
        "experiment_id": experiment_id,
        "id": number,
        "kind": message.kind,
        "message_id": storable(message.message_id),
        "created_at": message.created_at,
        "payload": message.payload,
        "recipients": dump_document(list(message.recipients)),
        "target": storable(message.target),
        "tries": message.tries,
        "next_try_at": message.next_try_at,
        "sent_at": None,
        "given_up_at": None,
        "last_error": storable(message.last_error),
    }


def outgoing_from(row: Mapping[str, Any]) -> Outgoing:
    """Rebuild a message from its row."""
    return Outgoing(
        kind=row["kind"],
        message_id=row["message_id"],
        created_at=row["created_at"],
        payload=row["payload"],
        recipients=tuple(json.loads(row["recipients"])),
        target=row["target"],
        id=row["id"],
        tries=row["tries"],
        next_try_at=row["next_try_at"],
        last_error=row["last_error"],
    )


def of_silence(experiment_id: int, silence: Silence, number: int) -> Row:
    """Return the row of a silence."""
    return {
        "experiment_id": experiment_id,
        "id": number,
        "matchers": dump_document([list(pair) for pair in silence.matchers]),
        "starts_at": silence.starts_at,
        "ends_at": silence.ends_at,
        "comment": storable(silence.comment),
        "created_by": storable(silence.created_by),
    }


def silence_from(row: Mapping[str, Any]) -> Silence:
    """Rebuild a silence from its row."""
    return Silence(
        id=row["id"],
        matchers=tuple((name, glob) for name, glob in json.loads(row["matchers"])),
        starts_at=row["starts_at"],
        ends_at=row["ends_at"],
        comment=row["comment"],
        created_by=row["created_by"],
    )
