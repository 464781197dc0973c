"""The credential gate: no wrong password ever meets more than a few machines (design §9.3).

A refused login counts against an account's lockout threshold in the whole domain, so the coordinator asks
here before a visit is submitted. One gate serves all plays; what it learned lives in the ledger.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ddcplay.engine.credential import Account, account_of
from ddcplay.engine.visit import Login
from ddcplay.errors import SecretError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import Target
from ddcplay.model.result import Reason
from ddcplay.store.ledger import CredentialLedger, CredentialState
from ddcplay.units import Clock

SETTLE_S = 0.15
"""How long the first hosts to answer are gathered, so that a canary is drawn from several."""
SECOND_CANARY_S = 1.0
"""A canary without an answer for this long (a mute host) gets company, within the breaker."""
FRESH_S = 60.0
"""A login accepted this recently lets all others through without waiting."""
REFUSALS_IN_A_ROW = 3
"""Refusals with no success between them that block a proven credential (design §9.3)."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A host that wants to log on; each callable only posts to its iteration and returns at once.

    Args:
        target: host and credential.
        lane: the play it belongs to.
        admit: the visit may start.
        refuse: it may not: reason (`auth` or `auth_blocked`), detail, hint.
        canary: log on to this host only, and report.
    """

    target: Target
    lane: str
    admit: Callable[[], None] = field(repr=False)
    refuse: Callable[[Reason, str, str], None] = field(repr=False)
    canary: Callable[[], None] = field(repr=False)


class Draw(Protocol):
    """Chance, as far as the gate needs it."""

    def randrange(self, stop: int, /) -> int:
        """Return a number from 0 up to, but not including, `stop`."""


class _Credential:
    """What is known of one credential in this process."""

    def __init__(self, account: Account, state: CredentialState) -> None:
        self.account = account
        self.state = state
        self.waiting: list[Ticket] = []
        self.waiting_since = 0.0
        self.in_flight: dict[Ticket, float] = {}
        self.careful: set[Ticket] = set()
        self.in_a_row = 0
        self.accepted_at: float | None = None
        self.good: Ticket | None = None


class CredentialGate:
    """Lets logins through, one careful step at a time until the credential has proven itself.

    Args:
        ledger: what earlier runs learned.
        resolve: turns a reference into the secret, to tell a changed one; never stored.
        clock: monotonic for waiting, UTC for trials.
        breaker: refusals in all that block an unproven credential (`auth_breaker`).
        retry_s: a blocked credential gets one trial per this many seconds (`auth_retry`).
        notice: told once when a credential is blocked.
        draw: chooses which host is asked first.
    """

    def __init__(
        self,
        ledger: CredentialLedger,
        resolve: Callable[[SecretRef], str],
        clock: Clock,
        *,
        breaker: int = 2,
        retry_s: float = 3600.0,
        notice: Callable[[str], None] = lambda _text: None,
        draw: Draw | None = None,
    ) -> None:
        self._ledger = ledger
        self._resolve = resolve
        self._clock = clock
        self._breaker = breaker
        self._retry_s = retry_s
        self._notice = notice
        self._lock = threading.RLock()
        self._known: dict[tuple[str, str], _Credential] = {}
        self._flying: dict[Ticket, _Credential] = {}
        self._draw: Draw = draw or random.Random()  # noqa: S311 - spreads canaries, guards nothing

    def request(self, ticket: Ticket) -> None:
        """Ask for one host; the answer comes through the ticket, at once or from a later `pump`."""
        if ticket.target.password is None:
            ticket.admit()  # a ticket of the domain or a certificate: no password that could lock an account
            return
        try:
            secret = self._resolve(ticket.target.password)
        except SecretError as error:
            ticket.refuse(Reason.AUTH, error.message, error.hint)
            return
        with self._lock:
            credential = self._credential(account_of(ticket.target), secret)
            if not credential.waiting:
                credential.waiting_since = self._clock.monotonic()
            credential.waiting.append(ticket)

    def _credential(self, account: Account, secret: str) -> _Credential:
        """Find what is known; a changed secret starts anew, whatever became of the old one."""
        digest = self._ledger.digest(secret)
        credential = self._known.get((account.identity, digest))
        if credential is None:
            state = self._ledger.load(account.identity)
            if state is None or state.secret_hash != digest:
                state = CredentialState(key=account.identity, secret_hash=digest)
            credential = self._known[account.identity, digest] = _Credential(account, state)
        return credential

    def report(self, ticket: Ticket, login: Login) -> None:
        """Take what a host said to a login of this ticket (a canary's or a visit's)."""
        with self._lock:
            credential = self._flying.pop(ticket, None)
            if credential is None:
                return
            del credential.in_flight[ticket]
            credential.careful.discard(ticket)
            if login is Login.ACCEPTED:
                self._accepted(credential, ticket)
            elif login is Login.REFUSED:
                self._refused(credential, ticket)
            if (
                credential.state.proven
                and credential.in_a_row >= REFUSALS_IN_A_ROW
                and not credential.in_flight
            ):
                self._block(credential)

    def held(self, ticket: Ticket) -> bool:
        """Say whether an admitted visit that has not started must wait after all; it is then back in line.

        A password that changes in mid-iteration would otherwise be refused by everything already admitted.
        """
        with self._lock:
            credential = self._flying.get(ticket)
            if credential is None or credential.account.owner or ticket in credential.careful:
                return False
            if self._trusted(credential):
                return False
            del self._flying[ticket], credential.in_flight[ticket]
            credential.waiting.append(ticket)
            return True

    def withdraw(self, lane: str) -> None:
        """Forget the tickets of a play whose iteration is over."""
        with self._lock:
            for credential in self._known.values():
                credential.waiting = [each for each in credential.waiting if each.lane != lane]
                if credential.good is not None and credential.good.lane == lane:
                    credential.good = None
                for ticket in [each for each in credential.in_flight if each.lane == lane]:
                    del self._flying[ticket], credential.in_flight[ticket]

    def pump(self) -> float | None:
        """Decide what can be decided now.

        Returns:
            Seconds until time alone allows more, None when only a report can.
        """
        with self._lock:
            pauses = [self._decide(each) for each in self._known.values() if each.waiting]
        known = [pause for pause in pauses if pause is not None]
        return min(known) if known else None

    def _decide(self, credential: _Credential) -> float | None:
        if credential.state.blocked_since is not None:
            return self._decide_blocked(credential)
        if self._trusted(credential) or credential.account.owner:
            for ticket in self._take_all(credential):
                self._admit(credential, ticket)
            return None
        if credential.state.proven:
            return self._ask_carefully(credential)
        return self._send_canary(credential)

    def _trusted(self, credential: _Credential) -> bool:
        recent = credential.accepted_at is not None and (
            self._clock.monotonic() - credential.accepted_at < FRESH_S
        )
        return recent and credential.in_a_row < REFUSALS_IN_A_ROW - 1

    def _ask_carefully(self, credential: _Credential) -> float | None:
        """Let one login through; after refusals ask a host that accepted before, to tell whose fault."""
        pause = self._patience(credential, REFUSALS_IN_A_ROW - credential.in_a_row)
        if pause != 0:
            return pause
        good = credential.good
        if credential.in_a_row and good is not None and good not in credential.in_flight:
            self._fly(credential, good)
            good.canary()
        else:
            ticket = self._draw_one(credential)
            credential.careful.add(ticket)
            self._admit(credential, ticket)
        return SECOND_CANARY_S

    def _patience(self, credential: _Credential, at_most: int) -> float | None:
        """Return how long to wait before one more login may start: 0 now, None until a report comes."""
        flying = len(credential.in_flight)
        if not flying:
            return 0
        if flying >= at_most:
            return None
        return max(0.0, max(credential.in_flight.values()) + SECOND_CANARY_S - self._clock.monotonic())

    def _decide_blocked(self, credential: _Credential) -> float | None:
        trial_at = credential.state.next_trial_at
        if trial_at is not None and self._clock.now() >= trial_at:
            if not credential.in_flight:
                self._start_canary(credential)
            return None
        for ticket in self._take_all(credential):
            ticket.refuse(Reason.AUTH_BLOCKED, *self._blocked_text(credential))
        return None

    def _send_canary(self, credential: _Credential) -> float | None:
        settled_in = credential.waiting_since + SETTLE_S - self._clock.monotonic()
        if not credential.in_flight and settled_in > 0:
            return settled_in
        pause = self._patience(credential, self._breaker - credential.state.refusals)
        if pause != 0:
            return pause
        self._start_canary(credential)
        return SECOND_CANARY_S

    def _start_canary(self, credential: _Credential) -> None:
        ticket = self._draw_one(credential)
        self._fly(credential, ticket)
        ticket.canary()

    def _draw_one(self, credential: _Credential) -> Ticket:
        return credential.waiting.pop(self._draw.randrange(len(credential.waiting)))

    def _take_all(self, credential: _Credential) -> list[Ticket]:
        taken, credential.waiting = credential.waiting, []
        return taken

    def _admit(self, credential: _Credential, ticket: Ticket) -> None:
        self._fly(credential, ticket)
        ticket.admit()

    def _fly(self, credential: _Credential, ticket: Ticket) -> None:
        credential.in_flight[ticket] = self._clock.monotonic()
        self._flying[ticket] = credential

    def _accepted(self, credential: _Credential, ticket: Ticket) -> None:
        credential.accepted_at = self._clock.monotonic()
        credential.in_a_row = 0
        credential.good = ticket
        if not credential.state.proven or credential.state.blocked_since is not None:
            self._save(
                credential,
                replace(credential.state, proven=True, refusals=0, blocked_since=None, next_trial_at=None),
            )

    def _refused(self, credential: _Credential, ticket: Ticket) -> None:
        credential.in_a_row += 1
        state = credential.state
        if credential.good is ticket:
            credential.good = None
        if state.blocked_since is not None:
            self._save(credential, replace(state, next_trial_at=self._clock.now() + self._retry_s))
        elif not state.proven:
            state = replace(state, refusals=state.refusals + 1)
            self._save(credential, state)
            if state.refusals >= self._breaker:
                self._block(credential)

    def _block(self, credential: _Credential) -> None:
        now = self._clock.now()
        self._save(
            credential,
            replace(credential.state, proven=False, blocked_since=now, next_trial_at=now + self._retry_s),
        )
        detail, hint = self._blocked_text(credential)
        self._notice(f"{detail}; {hint}")

    def _save(self, credential: _Credential, state: CredentialState) -> None:
        credential.state = state
        self._ledger.save(state)

    def _blocked_text(self, credential: _Credential) -> tuple[str, str]:
        count = max(credential.state.refusals, credential.in_a_row)
        times = f"by {count} hosts in a row" if count else "by the last hosts asked"
        return (
            f"credential {credential.account.label} was refused {times} and is blocked",
            f"correct the secret, or wait: one trial is made every {self._retry_s / 60:g} minutes",
        )
