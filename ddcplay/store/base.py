"""The values that cross the border of the store; the engine and the command line see these, never SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ddcplay.model.alert import AlertEvent, AlertUpdate
from ddcplay.model.effects import MailItem, Outgoing, Sample, StaticFact
from ddcplay.model.result import AttemptResult, Reason, outcome_of

IterationState = Literal["open", "closed", "interrupted"]
Keep = Literal["always", "on_failure", "on_change", "never"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an iteration was run with, so that its figures can be explained years later.

    Args:
        playbook_path: as the user named it.
        playbook_text: the file's text; stored once per digest.
        git_commit: full hash, "" outside a repository.
        git_dirty: uncommitted changes; None when nobody could tell.
        versions: of ddcplay, Python and the libraries that matter, name → version.
    """

    playbook_path: str = ""
    playbook_text: str = ""
    git_commit: str = ""
    git_dirty: bool | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IterationRecord:
    """One row of table `iteration`.

    Args:
        id: UTC Unix second of its start, above every earlier id.
        started_at: UTC Unix seconds.
        closed_at: UTC Unix seconds, None while open.
        state: `open`, `closed`, or `interrupted` when it was cut short.
        pairs: (host, probe) pairs that were due.
        remote_s: seconds from its start to its last attempt, None while open.
        missed: slots of the schedule that passed before it without an iteration.
    """

    id: int
    started_at: float
    closed_at: float | None = None
    state: IterationState = "open"
    pairs: int = 0
    remote_s: float | None = None
    missed: int = 0


@dataclass(frozen=True, slots=True)
class PendingAttempt:
    """An acknowledged attempt with its outputs, on its way through the filters or into the archive.

    Args:
        attempt_id: its number within the experiment, growing in the order of commit 1.
        result: what came back.
        keep: the probe's archive rule when the attempt was committed.
    """

    attempt_id: int
    result: AttemptResult
    keep: str = "always"


@dataclass(frozen=True, slots=True)
class ChainDone:
    """What commit 2 writes for one attempt.

    Args:
        attempt_id: of the attempt whose filter chain ended.
        outcome_override: `Reason.FILTER` when the chain failed; the attempt's outcome follows it.
        detail: replaces the attempt's when there is an override.
        hint: replaces the attempt's when there is an override.
        of: the attempt itself, as it was before the chain; needed as soon as there is a sample, fact, state,
            event or item.
        samples: what `store` kept; `Sample.label` is unique within the attempt.
        statics: facts that are new or changed, valid from the attempt's start.
        states: filter label → its new state (JSON values); None removes it.
        alerts: alerts as they stand now.
        events: what happened to alerts; told by a later digest, in order.
        items: lines for the next digest.
        outgoing: messages that leave at once (immediate mails, pushes).
    """

    attempt_id: int
    outcome_override: Reason | None = None
    detail: str = ""
    hint: str = ""
    of: AttemptResult | None = field(default=None, repr=False)
    samples: tuple[Sample, ...] = ()
    statics: tuple[StaticFact, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict)
    alerts: tuple[AlertUpdate, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    items: tuple[MailItem, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()

    @property
    def needs_of(self) -> bool:
        """Say whether something is to be written that belongs to the attempt's host and moment."""
        return bool(self.samples or self.statics or self.states or self.events or self.items)

    def applied_to(self, pending: PendingAttempt) -> PendingAttempt:
        """Return the attempt as commit 2 leaves it; this is what the archive must be given."""
        if self.outcome_override is None:
            return pending
        reason = self.outcome_override
        changed = replace(
            pending.result, outcome=outcome_of(reason), reason=reason, detail=self.detail, hint=self.hint
        )
        return replace(pending, result=changed)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Something that waits to be told in a digest; exactly one of `event` and `item` is there.

    Args:
        id: its number within the experiment, growing.
        at: UTC Unix seconds.
        event: of an alert.
        item: of an `email` filter.
        host: of the item, empty for none.
        probe: of the item.
        iteration: in which it arose.
    """

    id: int
    at: float
    event: AlertEvent | None = None
    item: MailItem | None = None
    host: str = ""
    probe: str = ""
    iteration: int = 0


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample as it lies in the database.

    Args:
        attempt: id of the attempt it is from.
        probe: the probe's name.
        label: of the `store` filter, empty for the first of a probe.
        host: inventory name.
        iteration: id of the iteration.
        at: start of the attempt, UTC Unix seconds.
        data: JSON values.
        key: as in `Sample`.
    """

    attempt: int
    probe: str
    label: str
    host: str
    iteration: int
    at: float
    data: object = field(repr=False)
    key: str | Mapping[str, str] = ""


@dataclass(frozen=True, slots=True)
class IterationEffects:
    """What the end of an iteration changes, written in the transaction that closes it.

    Args:
        states: (probe, filter label) → state that a filter left in `iteration_end`.
        alerts: alerts as they stand now.
        events: what happened to alerts and is told later.
        told_events: what happened to alerts and is told by `outgoing`; kept for the history.
        outgoing: the digest, the report, pushes; a `message_id` that is there already is not added again.
        told: ids of the events and items that `outgoing` tells.
        reported_until: iteration up to which the report just made reaches, None when there is none.
    """

    states: Mapping[tuple[str, str], object] = field(default_factory=dict)
    alerts: tuple[AlertUpdate, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    told_events: tuple[AlertEvent, ...] = ()
    outgoing: tuple[Outgoing, ...] = ()
    told: tuple[int, ...] = ()
    reported_until: int | None = None


@dataclass(frozen=True, slots=True)
class ProbeTally:
    """Who ended how in one iteration of one probe; host names in inventory order.

    Args:
        probe: the probe's name.
        ok: hosts.
        failed: hosts.
        unavailable: hosts.
        skipped: hosts.
        elapsed_s: wall seconds from the iteration's start to the end of the probe's last attempt that was not
            skipped; filters and commits are not in it.
    """

    probe: str
    ok: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unavailable: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FileEnd:
    """How far the cumulative files of one (host, probe) are known to be good.

    Args:
        stdout_end: bytes, 0 when nothing was written yet.
        stderr_end: bytes, 0 when nothing was written yet.
        digest: of the last outputs archived, for `keep: on_change`.
    """

    stdout_end: int = 0
    stderr_end: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ArchivedAttempt:
    """An attempt whose outputs may leave the database, because they are in their files or not to be kept.

    Args:
        attempt_id: of the attempt.
        stdout_end: offset right after its block, None when no block was written.
        stderr_end: offset right after its block, None when no block was written.
    """

    attempt_id: int
    stdout_end: int | None = None
    stderr_end: int | None = None
