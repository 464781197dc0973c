"""Which exit code a run ends with (design §7): a pure rule, so that CI scripts can rely on every row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

from ddcplay.engine.events import IterationClosed, ProbeSummary
from ddcplay.errors import UsageError
from ddcplay.model.alert import Severity
from ddcplay.model.result import REASONS, Outcome, Reason, outcome_of

EXIT_INTERRUPTED = 130
EXIT_FAILED = 3
EXIT_UNAVAILABLE = 4
EXIT_ALERT = 5

_SEVERITY = (1, 2, EXIT_INTERRUPTED, EXIT_ALERT, EXIT_FAILED, EXIT_UNAVAILABLE)
"""Worst first (design §7)."""

_CONDITION = re.compile(r"(?P<subject>[a-z_]+)\s*(?:>\s*(?P<limit>\d+(?:\.\d+)?)\s*(?P<percent>%)?)?")
_ALERT = re.compile(r"alert\s*(?:=\s*(?P<severity>[a-z_]*))?")
_OUTCOMES = (Outcome.FAILED, Outcome.UNAVAILABLE, Outcome.SKIPPED)
_FORMS = (
    "write failed>0, failed>5%, unavailable>60%, skipped>10, a reason such as auth, alert=critical; , joins"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One term of `--fail-on`: more than `limit` attempts (or per cent of them) with this end.

    Args:
        subject: an outcome, or one reason.
        limit: attempts, or per cent when `percent`; the condition holds above it.
        percent: `limit` is a share, of what `FailOn` documents.
    """

    subject: Outcome | Reason
    limit: float = 0.0
    percent: bool = False

    @property
    def exit_code(self) -> int:
        """Return what the run ends with when the condition holds."""
        outcome = self.subject if isinstance(self.subject, Outcome) else outcome_of(self.subject)
        return EXIT_UNAVAILABLE if outcome is Outcome.UNAVAILABLE else EXIT_FAILED

    def holds(self, closed: IterationClosed) -> bool:
        """Say whether an iteration, over all its probes, goes beyond the limit."""
        count, base = _count(self.subject, closed)
        if not self.percent:
            return count > self.limit
        return base > 0 and 100.0 * count / base > self.limit


@dataclass(frozen=True, slots=True)
class AlertCondition:
    """A term `alert` or `alert=SEVERITY`: an alert at least so severe fires when the run ends.

    Args:
        severity: the least that counts.
    """

    severity: Severity = Severity.INFO
    exit_code: ClassVar[int] = EXIT_ALERT

    def holds(self, closed: IterationClosed) -> bool:
        """Say whether such an alert fires."""
        order = list(Severity)
        least = order.index(self.severity)
        return any(count for severity, count in closed.firing.items() if order.index(severity) >= least)


@dataclass(frozen=True, slots=True)
class FailOn:
    """What makes a run fail: any of its conditions.

    Counts are attempts of the last iteration. Shares: `failed` and reasons of ok + failed + unavailable,
    `skipped` of all rows. `unavailable` counts machines that are on and could not be collected, as a share
    of the machines that were on: a classroom at night is not a failure.

    Args:
        conditions: in the order written.
    """

    conditions: tuple[Condition | AlertCondition, ...] = (Condition(Outcome.FAILED),)

    @classmethod
    def parse(cls, text: str) -> FailOn:
        """Read `--fail-on`, such as `failed>5%,unavailable>60%,auth`.

        Raises:
            UsageError: a term that cannot be read, with the forms that can.
        """
        terms = [term.strip() for term in text.split(",")]
        if not any(terms):
            raise UsageError("--fail-on is empty", _FORMS)
        return cls(tuple(_condition(term) for term in terms if term))


def verdict(
    outcome: Mapping[str, IterationClosed | None],
    interrupted: bool,  # noqa: FBT001 - a row of the exit-code table reads best by position
    sigterm: bool,  # noqa: FBT001 - same
    fail_on: FailOn,
    *,
    gave_up: bool = False,
) -> int:
    """Return a run's exit code.

    Args:
        outcome: experiment → its last iteration in this process, None when none closed.
        interrupted: the run was cut short by the user.
        sigterm: it was a service manager who asked; a service that stops when told is fine (0).
        fail_on: what counts as failure.
        gave_up: a single shot ended with something never done.
    """
    if sigterm:
        return 0
    codes = {EXIT_INTERRUPTED} if interrupted else set()
    if gave_up:
        codes.add(EXIT_UNAVAILABLE)
    for closed in outcome.values():
        if closed is not None:
            codes |= {term.exit_code for term in fail_on.conditions if term.holds(closed)}
    return worst(codes)


def worst(codes: Iterable[int]) -> int:
    """Return the worst of several exit codes by design §7; 0 when there is none."""
    found = set(codes)
    return next((code for code in _SEVERITY if code in found), 0)


def _condition(term: str) -> Condition | AlertCondition:
    alert = _ALERT.fullmatch(term)
    if alert is not None:
        return AlertCondition(_severity(alert["severity"] or "info"))
    match = _CONDITION.fullmatch(term)
    if match is None:
        raise UsageError(f"--fail-on: {term!r} cannot be read", _FORMS)
    return Condition(_subject(match["subject"]), float(match["limit"] or 0), bool(match["percent"]))


def _severity(word: str) -> Severity:
    if word in set(Severity):
        return Severity(word)
    raise UsageError(f"--fail-on: {word!r} is no severity", f"write alert=, then {', '.join(Severity)}")


def _subject(word: str) -> Outcome | Reason:
    subjects: dict[str, Outcome | Reason] = {str(outcome): outcome for outcome in _OUTCOMES}
    subjects |= {str(reason): reason for reason in Reason}
    if word in subjects:
        return subjects[word]
    close = get_close_matches(word, subjects, n=1)
    hint = f"did you mean {close[0]!r}?" if close else _FORMS
    raise UsageError(f"--fail-on: {word!r} is neither an outcome nor a reason", hint)


def _count(subject: Outcome | Reason, closed: IterationClosed) -> tuple[int, int]:
    """Return how many attempts ended so, and out of how many."""
    judged = sum(probe.ok + probe.failed + probe.unavailable for probe in closed.probes)
    skipped = sum(probe.skipped for probe in closed.probes)
    match subject:
        case Outcome.FAILED:
            return sum(probe.failed for probe in closed.probes), judged
        case Outcome.SKIPPED:
            return skipped, judged + skipped
        case Outcome.UNAVAILABLE:
            on_hosts = frozenset(closed.unreached_on)
            missed = sum(_unavailable_but_on(probe, on_hosts) for probe in closed.probes)
            return missed, max(missed, sum(probe.on for probe in closed.probes))
        case Reason():
            count = sum(len(probe.reasons.get(subject, ())) for probe in closed.probes)
            base = judged + skipped if outcome_of(subject) is Outcome.SKIPPED else judged
            return count, base
        case _:
            raise ValueError(f"{subject} cannot be counted")


def _unavailable_but_on(probe: ProbeSummary, on_hosts: frozenset[str]) -> int:
    hosts = {host for reason in REASONS[Outcome.UNAVAILABLE] for host in probe.reasons.get(reason, ())}
    return len(hosts & on_hosts)
