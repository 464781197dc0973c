"""What became of an attempt: outcome, reason, outputs. Every trouble on a host ends up here as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The four ends of an attempt."""

    OK = "ok"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Why an attempt is not ok; each belongs to one outcome (`REASONS`)."""

    TIMEOUT = "timeout"
    EXIT_CODE = "exit_code"
    AUTH = "auth"
    AUTH_BLOCKED = "auth_blocked"
    QUOTA = "quota"
    TRANSPORT = "transport"
    WQL = "wql"
    OUTPUT_LIMIT = "output_limit"
    USER_LOGGED_ON = "user_logged_on"
    LOST = "lost"
    FILTER = "filter"
    NO_ANSWER = "no_answer"
    PORT_CLOSED = "port_closed"
    NO_NAME = "no_name"
    WHEN = "when"
    BUSY = "busy"
    DONE = "done"
    HOST_IN_USE = "host_in_use"
    UNSUPPORTED = "unsupported"
    INTERRUPTED = "interrupted"


REASONS: Mapping[Outcome, frozenset[Reason]] = {
    Outcome.OK: frozenset(),
    Outcome.FAILED: frozenset(
        {
            Reason.TIMEOUT,
            Reason.EXIT_CODE,
            Reason.AUTH,
            Reason.AUTH_BLOCKED,
            Reason.QUOTA,
            Reason.TRANSPORT,
            Reason.WQL,
            Reason.OUTPUT_LIMIT,
            Reason.USER_LOGGED_ON,
            Reason.LOST,
            Reason.FILTER,
        }
    ),
    Outcome.UNAVAILABLE: frozenset({Reason.NO_ANSWER, Reason.PORT_CLOSED, Reason.NO_NAME}),
    Outcome.SKIPPED: frozenset(
        {
            Reason.WHEN,
            Reason.BUSY,
            Reason.DONE,
            Reason.HOST_IN_USE,
            Reason.UNSUPPORTED,
            Reason.INTERRUPTED,
        }
    ),
}


def outcome_of(reason: Reason) -> Outcome:
    """Return the outcome a reason belongs to."""
    return next(outcome for outcome, reasons in REASONS.items() if reason in reasons)


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """What one probe brought back from one connection, good or bad.

    Args:
        exit_code: of the program, 0 to 4294967295; None when it did not end by itself or there is no program.
        stdout: raw bytes, at most `max_output`.
        stderr: raw bytes, at most `max_output`.
        stderr_text: readable text of stderr where the raw form is wrapped (PowerShell's CLIXML), else None.
        data: parsed rows for probes that bring data instead of text.
        reason: None when the probe did what was asked (`ok_codes` are judged by the visit), else why not.
        detail: one line for a human; may hold text of the target.
        hint: what an admin can do about it.
        connection_lost: the connection cannot carry further probes without being rebuilt.
        accepted: the target accepted the command, so it must never be sent again.
        kill_verified: after an expiry: True when nothing is left running, False when something is, None when
            nobody could tell.
        round_trips: requests made, authentication left out.
        left: directories on the target that the visit has to remove.
        kept: directories on the target that stay until the experiment is cleaned up.
    """

    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    stderr_text: str | None = None
    data: object = None
    reason: Reason | None = None
    detail: str = ""
    hint: str = ""
    connection_lost: bool = False
    accepted: bool = False
    kill_verified: bool | None = None
    round_trips: int = 0
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """One probe on one host in one iteration: DDC's unit, and a row of table `attempt`.

    Args:
        experiment: the experiment's name.
        iteration: id of the iteration (UTC Unix second of its start).
        host: inventory name.
        probe: the probe's name.
        outcome: ok, failed, unavailable or skipped.
        reason: None exactly when ok.
        detail: one line for a human, secrets already redacted; escape it where it is shown.
        hint: what an admin can do about it.
        on: whether the machine was seen switched on; None when nobody looked.
        started_at: UTC Unix seconds.
        elapsed_s: the remote part, in seconds.
        timeout_s: the budget it had.
        tries: 1 plus the retries made.
        exit_code: as in `ProbeOutput`.
        stdout: raw bytes.
        stderr: raw bytes.
        stderr_text: as in `ProbeOutput`.
        data: as in `ProbeOutput`.
        kill_verified: as in `ProbeOutput`.
        round_trips: requests made, authentication left out.
        left: directories still on the target that somebody has to remove: a debt, recorded with the attempt.
        cleaned: directories that were removed: what pays such a debt.
    """

    experiment: str
    iteration: int
    host: str
    probe: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    hint: str = ""
    on: bool | None = None
    started_at: float = 0.0
    elapsed_s: float = 0.0
    timeout_s: float = 0.0
    tries: int = 1
    exit_code: int | None = None
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)
    stderr_text: str | None = field(default=None, repr=False)
    data: object = field(default=None, repr=False)
    kill_verified: bool | None = None
    round_trips: int = 0
    left: tuple[str, ...] = ()
    cleaned: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.reason is None) != (self.outcome is Outcome.OK):
            raise ValueError(f"outcome {self.outcome} does not go with reason {self.reason}")
        if self.reason is not None and self.reason not in REASONS[self.outcome]:
            raise ValueError(f"reason {self.reason} does not belong to outcome {self.outcome}")
