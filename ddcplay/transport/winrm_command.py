"""One command from start to end: shell, start, stdin, output, and an end that really comes.

The loop is ours because pywinrm's asks for ever. What the target accepted is never sent again; whatever ends
a command early (time, size) ends it on the target too, and the next command gets a fresh shell.
"""

from __future__ import annotations

from ddcplay.errors import FaultError
from ddcplay.model.result import ProbeOutput, Reason
from ddcplay.transport.base import Command
from ddcplay.transport.winrm_faults import MuteError, NotAcceptedError
from ddcplay.transport.winrm_kill import Aftermath, Ask
from ddcplay.transport.winrm_shells import GRACE_S, Shells
from ddcplay.transport.wsman import MIN_OPERATION_S, STDIN_PIECE_BYTES
from ddcplay.transport.wsman_fault import (
    BUSY,
    OPERATION_TIMEOUT,
    PIPE_ENDED,
    SHELL_NOT_FOUND,
    WsmanFaultError,
)
from ddcplay.transport.wsman_read import Received, read_command_id, read_received
from ddcplay.units import Deadline

LATEST_S = 4.5
"""When the clean-up of an expired command is given up: the visit moves on at 5 s (design §9.1)."""
CLEANUP_S = 4.0
"""Budget of the clean-up when there is time left."""
BREAK_GRACE_S = 1.0
"""What a program gets to end by itself after Ctrl-Break."""
_BUSY_PAUSE_S = 0.5
_SHORT_ANSWER_S = 0.05
_LISTEN_PAUSE_S = 0.25
_LOOK_S = 15.0
"""Budget of one look by the watch."""
_AGAIN = "nothing to do: it runs again when it is due"
_UNUSABLE_SHELL = (SHELL_NOT_FOUND, 2147943418, 2150859174, 2150859204, *range(2150859236, 2150859243))
"""Refusals of a Command that a fresh shell cures (the last ones: quotas of a shell, such as WinRM 2.0's 15
processes); it was certainly not accepted."""


class OutputLimitError(FaultError):
    """A stream grew beyond what was asked for."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "output_limit",
            f"more than {limit} bytes of output; the command was ended",
            "raise `max_output`, or let the probe print less",
        )


class CommandRun:
    """One command on its way.

    Args:
        shells: the connection's shells.
        command: what to run.
        deadline: its budget.
        ask: runs WQL, to see what an ended command left behind; None looks for nothing.
        latest: when the clean-up is given up; None for `LATEST_S` after the deadline.
    """

    def __init__(
        self,
        shells: Shells,
        command: Command,
        deadline: Deadline,
        ask: Ask | None = None,
        latest: Deadline | None = None,
    ) -> None:
        self._shells = shells
        self._channel = shells.channel
        self._command = command
        self._deadline = deadline
        self._ask = ask
        self._latest = latest
        self._kill_verified: bool | None = None
        self._done = False
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._exit_code: int | None = None
        self._accepted = False
        self._shell_id = ""
        self._command_id = ""
        self._pause_s = 0.0
        self._look_at = 0.0
        self._failed_looks = 0
        self._gap = False

    def run(self) -> ProbeOutput:
        """Run to the end, to the deadline or to trouble; never raises for trouble of the host."""
        before = self._channel.round_trips
        fault: FaultError | None = None
        try:
            self._start()
            self._feed()
            self._collect()
        except FaultError as trouble:
            fault = trouble
        self._clean_up(fault)
        return self._output(fault, self._channel.round_trips - before)

    def _start(self) -> None:
        for last_try in (False, True):
            self._check_time()
            self._shell_id = self._shells.shell_for(self._command, self._deadline)
            self._check_time()
            operation_s, latest = self._shells.times(self._deadline)
            request = self._shells.envelopes.command(
                self._shell_id,
                self._command.line,
                operation_s,
                feeds_stdin=self._command.stdin is not None,
                skip_shell=self._command.skip_shell,
            )
            try:
                answer = self._channel.ask(request, latest)
                self._accepted = True
                self._command_id = read_command_id(answer)
            except WsmanFaultError as fault:
                self._accepted = fault.is_code(OPERATION_TIMEOUT)
                if last_try or not fault.is_code(*_UNUSABLE_SHELL):
                    raise
                self._recycle(fault)
            except FaultError as fault:
                # Unless it was turned away nobody knows whether it runs; sending it again could run it twice.
                self._accepted = not isinstance(fault, NotAcceptedError)
                raise
            else:
                return

    def _recycle(self, fault: WsmanFaultError) -> None:
        if fault.is_code(SHELL_NOT_FOUND):
            self._shells.forget()
        else:
            self._shells.delete(*self._shells.times(self._deadline))

    def _feed(self) -> None:
        stdin = self._command.stdin
        if stdin is None:
            return
        pieces = [stdin[at : at + STDIN_PIECE_BYTES] for at in range(0, len(stdin), STDIN_PIECE_BYTES)] or [
            b""
        ]
        for number, piece in enumerate(pieces, start=1):
            if not self._feed_piece(piece, end=number == len(pieces)):
                return

    def _feed_piece(self, piece: bytes, *, end: bool) -> bool:
        while True:
            self._check_time()
            operation_s, latest = self._shells.times(self._deadline)
            request = self._shells.envelopes.send(
                self._shell_id, self._command_id, piece, operation_s, end=end
            )
            try:
                self._channel.ask(request, latest)
            except WsmanFaultError as fault:
                if fault.is_code(*PIPE_ENDED):
                    return False  # the program ended, or closed its stdin, before it had read all
                if not fault.is_code(*BUSY):
                    raise
                self._sleep(_BUSY_PAUSE_S)
            else:
                return True

    def _collect(self) -> None:
        self._plan_look()
        while True:
            self._check_time()
            self._look()
            asked_at = self._deadline.clock.monotonic()
            received = self._receive()
            if received is not None:
                self._keep(received)
                if received.done:
                    self._done = True
                    self._exit_code = received.exit_code
                    if self._exit_code is None:
                        raise FaultError("transport", "the target did not tell the exit code of the command")
                    return
            if received is None or not (received.stdout or received.stderr):
                self._calm(asked_at)
            else:
                self._pause_s = 0.0

    def _plan_look(self) -> None:
        watch = self._command.watch
        if watch is not None:
            self._look_at = self._deadline.clock.monotonic() + watch.every_s

    def _look(self) -> None:
        """Ask the watch when it is its time; a look that fails once is tried again at the next one."""
        watch = self._command.watch
        if watch is None or self._deadline.clock.monotonic() < self._look_at:
            return
        try:
            why = watch.ask(self._deadline.capped(_LOOK_S))
        except FaultError as fault:
            self._failed_looks += 1
            if self._channel.lost or self._failed_looks > 1:
                raise _not_of_the_probe(fault, self._deadline) from fault
        else:
            self._failed_looks = 0
            if why is not None:
                raise FaultError(watch.reason, f"{why}; the command was ended", _AGAIN)
        self._plan_look()

    def _times(self) -> tuple[float, Deadline]:
        """Return the times of a Receive: with a watch it never waits beyond the next look."""
        operation_s, latest = self._shells.times(self._deadline)
        if self._command.watch is not None:
            operation_s = min(operation_s, max(0.5, self._look_at - self._deadline.clock.monotonic()))
        return operation_s, latest

    def _receive(self) -> Received | None:
        operation_s, latest = self._times()
        request = self._shells.envelopes.receive(self._shell_id, self._command_id, operation_s)
        repeated = self._channel.repeated
        try:
            return read_received(self._channel.ask(request, latest, repeatable=True), self._command_id)
        except WsmanFaultError as fault:
            if fault.is_code(OPERATION_TIMEOUT):
                return None  # nothing to say yet: the poll ended, not the command
            raise
        finally:
            # A target that had answered the lost request does not say the same again.
            self._gap = self._gap or self._channel.repeated > repeated

    def _keep(self, received: Received) -> None:
        limit = self._command.max_output_bytes
        self._stdout += received.stdout
        self._stderr += received.stderr
        if max(len(self._stdout), len(self._stderr)) > limit:
            del self._stdout[limit:]
            del self._stderr[limit:]
            self._exit_code = received.exit_code
            raise OutputLimitError(limit)

    def _calm(self, asked_at: float) -> None:
        # A target that says "nothing yet" at once, again and again, must not cost a processor here.
        if self._deadline.clock.monotonic() - asked_at < _SHORT_ANSWER_S:
            self._pause_s = min(0.5, self._pause_s * 2 or 0.01)
            self._sleep(self._pause_s)

    def _sleep(self, seconds: float) -> None:
        self._deadline.clock.sleep(min(seconds, self._deadline.remaining_s()))

    def _check_time(self) -> None:
        if self._deadline.expired():
            raise FaultError(
                "timeout",
                f"not done after {self._deadline.budget_s:.3g} s; the command was ended",
                "raise `timeout` if the probe needs longer",
            )

    def _clean_up(self, fault: FaultError | None) -> None:
        channel, shells = self._channel, self._shells
        if channel.lost:
            shells.forget()
            return
        if isinstance(fault, WsmanFaultError) and fault.is_code(SHELL_NOT_FOUND):
            # The code stands for an unknown shell and for an unknown command alike; Delete is right for both.
            shells.delete(*shells.times(self._deadline))
            return
        if fault is None:
            if not self._command.last:
                self._signal("terminate", *shells.times(self._deadline))
            return
        clock = self._deadline.clock
        end = self._latest or Deadline(clock, self._deadline.expires_at + LATEST_S, 0.0).capped(CLEANUP_S)
        aftermath = None
        if self._command_id and self._done:
            self._signal("terminate", MIN_OPERATION_S, end.capped(end.remaining_s() / 2))
        elif self._command_id:
            if self._ask is not None:
                aftermath = Aftermath(shells, self._ask, self._shell_id, self._command.line)
                aftermath.look(end)
            # After a lost answer last words would follow a hole; beyond the limit they are not wanted.
            self._break_off(end, hear=fault.reason == "timeout")
        if self._accepted:
            shells.delete(end.remaining_s(), end)
        if aftermath is not None:
            self._kill_verified = aftermath.settle(end, self._run_after if self._command.kill_tree else None)

    def _break_off(self, end: Deadline, *, hear: bool) -> None:
        """Ask the program to end (Ctrl-Break, which `start /b` lets through), then end it."""
        half_s = end.remaining_s() / 2
        if self._signal("ctrl_break", half_s, end.capped(half_s)) and hear and self._last_words(end):
            return
        half_s = end.remaining_s() / 2
        self._signal("terminate", half_s, end.capped(half_s))

    def _last_words(self, end: Deadline) -> bool:
        """Fetch what the program still says; returns whether it has ended."""
        grace = end.capped(min(BREAK_GRACE_S, end.remaining_s() / 3))
        limit = self._command.max_output_bytes
        while not grace.expired():
            operation_s = max(MIN_OPERATION_S, grace.remaining_s())
            request = self._shells.envelopes.receive(self._shell_id, self._command_id, operation_s)
            try:
                answer = self._channel.ask(request, end.capped(operation_s + GRACE_S), repeatable=True)
                received = read_received(answer, self._command_id)
            except FaultError:
                return False
            self._stdout += received.stdout[: max(0, limit - len(self._stdout))]
            self._stderr += received.stderr[: max(0, limit - len(self._stderr))]
            if received.done:
                return True
            if not (received.stdout or received.stderr):
                grace.clock.sleep(min(_LISTEN_PAUSE_S, grace.remaining_s()))
        return False

    def _run_after(self, line: str, latest: Deadline) -> None:
        deadline = latest.capped(latest.remaining_s() * 0.6)
        CommandRun(self._shells, Command(line, last=True), deadline, latest=latest).run()

    def _signal(self, code: str, operation_s: float, deadline: Deadline) -> bool:
        request = self._shells.envelopes.signal(
            self._shell_id, self._command_id, max(MIN_OPERATION_S, operation_s), code
        )
        try:
            self._channel.ask(request, deadline)
        except FaultError:
            # The output is complete or its loss is known; a broken connection is rebuilt when it is needed.
            # "Not found" (2150858843) may mean the ended command alone, so the shell is still ours to delete.
            return False
        return True

    def _output(self, fault: FaultError | None, round_trips: int) -> ProbeOutput:
        reason = None
        detail, hint = (_GAP, "") if self._gap else ("", "")
        if fault is not None:
            reason, detail, hint = _reason_of(fault, self._deadline), fault.message, fault.hint
        return ProbeOutput(
            exit_code=self._exit_code,
            stdout=bytes(self._stdout),
            stderr=bytes(self._stderr),
            reason=reason,
            detail=detail,
            hint=hint,
            connection_lost=bool(self._channel.lost),
            accepted=self._accepted,
            kill_verified=self._kill_verified,
            round_trips=round_trips,
        )


_GAP = "the connection was lost while output was read: a piece of it may be missing"


def _not_of_the_probe(fault: FaultError, deadline: Deadline) -> FaultError:
    """Tell a look that took too long apart from a probe that did: the probe had time left."""
    if fault.reason != Reason.TIMEOUT or deadline.expired():
        return fault
    return FaultError("transport", fault.message, fault.hint, connection_lost=fault.connection_lost)


def _reason_of(fault: FaultError, deadline: Deadline) -> Reason:
    if isinstance(fault, MuteError) and not deadline.expired():
        return Reason.TRANSPORT  # the probe had time left: the peer is dead, not the command slow
    return Reason(fault.reason)
