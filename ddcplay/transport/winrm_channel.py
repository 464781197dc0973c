"""One conversation with one host: asks, reads, and rebuilds itself when the target let the connection go.

Which requests may be sent twice is decided here and nowhere else: those that were certainly not accepted, and
those without effect. A Command is never among the doubtful ones.
"""

from __future__ import annotations

from collections.abc import Callable

from ddcplay.errors import FaultError
from ddcplay.transport.winrm_faults import (
    ConnectionCutError,
    MuteError,
    NotAcceptedError,
    StaleConnectionError,
    status_fault,
)
from ddcplay.transport.winrm_login import Login
from ddcplay.transport.winrm_wire import Wire
from ddcplay.transport.wsman import Request
from ddcplay.transport.wsman_read import Element, MalformedAnswerError, read_envelope
from ddcplay.units import Deadline

_REBUILDS = 2


class Channel:
    """Sends envelopes over an authenticated connection.

    Args:
        login: makes a fresh, not yet authenticated conversation over a wire.
        wire: the sockets.
    """

    def __init__(self, login: Callable[[], Login], wire: Wire) -> None:
        self._new_login = login
        self._wire = wire
        self._login: Login | None = None
        self._answered = False
        self.round_trips = 0
        self.rebuilt = 0
        self.repeated = 0
        self.lost = ""

    def log_on(self, deadline: Deadline) -> None:
        """Authenticate for the first time.

        Raises:
            FaultError: refused, or the conversation failed.
        """
        self._login = self._new_login()
        try:
            self._login.log_on(self._wire, deadline)
        except FaultError:
            self.drop()
            raise

    def ask(self, request: Request, deadline: Deadline, *, repeatable: bool = False) -> Element:
        """Send a request and return the body of its answer.

        Args:
            request: what to send.
            deadline: when the wait for the answer ends.
            repeatable: it has no effect, so it may be asked again when the connection was cut.

        Raises:
            WsmanFaultError: the target answered with a fault.
            FaultError: no readable answer. After `connection_lost` nothing more can be asked.
        """
        if self.lost:
            lost = f"the connection was lost before: {self.lost}"
            raise NotAcceptedError("transport", lost, connection_lost=True)
        for left in range(_REBUILDS, -1, -1):
            try:
                return self._ask_once(request, deadline)
            except StaleConnectionError as stale:
                # A session in use may be forgotten; two that were never good for anything are refused.
                refused_anew = bool(stale.status and self.rebuilt and not self._answered)
                self.drop()
                if refused_anew:
                    raise stale.lasting() from stale
                if not left:
                    raise
            except ConnectionCutError as cut:
                self.drop()
                if not left or not repeatable or cut.answer_begun or self._wire.aborted:
                    raise
                self.repeated += 1
            except MuteError as mute:
                self.give_up(mute.message)
                raise
        raise AssertionError("unreachable")

    def _ask_once(self, request: Request, deadline: Deadline) -> Element:
        if self._login is None:
            self._rebuild(deadline)
        assert self._login is not None, "_rebuild makes one or raises"
        self.round_trips += 1
        try:
            answer = self._login.post(request.body, request.name, self._wire, deadline)
        except ConnectionCutError as cut:
            cut.answer_begun = self._wire.answer_bytes > 0
            raise
        except FaultError as fault:
            # What came was not understood, so the security context may be out of step with the target's.
            if not isinstance(fault, StaleConnectionError):
                self.drop()
            raise
        self._answered = True
        if not answer.body:
            raise MalformedAnswerError(request.name, "it is empty")
        try:
            return read_envelope(answer.body, request)
        except MalformedAnswerError:
            self.drop()
            if answer.status == 500:
                raise status_fault(500, request.name) from None
            raise

    def _rebuild(self, deadline: Deadline) -> None:
        self.rebuilt += 1
        try:
            self.log_on(deadline)
        except FaultError as fault:
            self.give_up(fault.message)
            # The host was reached before, so its silence now is a failure of the visit, not an absence.
            reason = fault.reason if fault.reason in ("auth", "quota", "timeout") else "transport"
            raise NotAcceptedError(
                reason, f"the session could not be rebuilt: {fault.message}", fault.hint, connection_lost=True
            ) from fault

    def drop(self) -> None:
        """Close the connection; the next request logs on anew."""
        login, self._login = self._login, None
        self._wire.bound = False
        if login is not None:
            login.close_session()

    def give_up(self, why: str) -> None:
        """Close the connection for good."""
        self.lost = self.lost or why
        self.drop()

    def close(self) -> None:
        """Close the sockets."""
        self.give_up("closed")
        self._wire.close()
