"""One visit: connect, run the probes in order, disconnect; every trouble becomes an `AttemptResult`.

`run_visit` is a module-level function of picklable values and never raises, so that it runs the same in a
thread, inline or on another machine (design §8). It is the only place that turns what a probe brought back
into outcome and reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ddcplay.engine.leftovers import Removal, removed_at_end
from ddcplay.errors import FaultError, SecretError, UsageError
from ddcplay.model.inventory import SecretRef
from ddcplay.model.plan import ProbeSpec, Visit
from ddcplay.model.result import AttemptResult, Outcome, ProbeOutput, Reason, outcome_of
from ddcplay.probing.base import Probe
from ddcplay.probing.session import run_when_free
from ddcplay.transport.base import Connection, Transport
from ddcplay.units import Clock, Deadline

_NEVER_RETRIED = frozenset({Reason.AUTH, Reason.AUTH_BLOCKED})
_EXIT_CODE_RANGE = 2**32


class Login(StrEnum):
    """What a host said to the credential; `unknown` when it was never asked (off, reset, TLS …)."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LoginReport:
    """Told as soon as the login is known, for the credential gate."""

    host: str
    login: Login
    detail: str = ""


News = LoginReport | AttemptResult
"""What a visit tells while it goes on."""


@dataclass(frozen=True, slots=True)
class VisitResult:
    """The whole visit, when it is over.

    Args:
        host: inventory name.
        login: what became of the credential.
        attempts: one per probe, in order, the same that were told as news.
        facts: what the connection chose (scheme, port, authentication, encryption).
        failure: why there was no connection, None when there was one.
    """

    host: str
    login: Login
    attempts: tuple[AttemptResult, ...]
    facts: Mapping[str, object] = field(default_factory=dict)
    failure: ProbeOutput | None = None


@dataclass(frozen=True, slots=True)
class VisitTools:
    """What a visit needs of the process it runs in.

    Args:
        transport_for: connection name → transport.
        probe_for: probe kind → probe.
        clock: the time of this visit.
        resolve: turns a reference into the secret, as late as possible.
        redact: takes secrets out of a text.
        tell: takes news as they happen.
        holding: keeps a connection known while it is open, so that a second Ctrl-C can shut its sockets.
    """

    transport_for: Callable[[str], Transport]
    probe_for: Callable[[str], Probe]
    clock: Clock
    resolve: Callable[[SecretRef], str]
    redact: Callable[[str], str]
    tell: Callable[[News], None]
    holding: Callable[[Connection], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What an attempt took: when it began (UTC Unix seconds), how many seconds, how many tries."""

    started_at: float
    elapsed_s: float
    tries: int


def run_visit(visit: Visit, tools: VisitTools) -> VisitResult:
    """Visit one host.

    Args:
        visit: what to do; without probes it is a canary that only logs on.
        tools: the process's means.

    Returns:
        One attempt per probe, whatever happened.
    """
    return _Visiting(visit, tools).go()


class _Visiting:
    """The state of one visit while it runs."""

    def __init__(self, visit: Visit, tools: VisitTools) -> None:
        self._visit = visit
        self._tools = tools
        self._clock = tools.clock
        self._budget = Deadline.after(tools.clock, visit.visit_timeout_s)
        self._attempts: list[AttemptResult] = []
        self._login = Login.UNKNOWN
        self._connection: Connection | None = None
        self._failure: ProbeOutput | None = None

    def go(self) -> VisitResult:
        facts: Mapping[str, object] = {}
        with ExitStack() as ending:
            if not self._visit.probes:
                connected = self._connect(self._budget, ending)
                self._failure = connected if isinstance(connected, ProbeOutput) else None
            for probe in self._visit.probes:
                self._attempt(probe, ending)
            if self._connection is not None:
                facts = self._connection.facts()
            elif self._login is not Login.REFUSED:
                self._report(Login.UNKNOWN, self._failure.detail if self._failure else "")
        failure = self._failure
        if failure is not None:
            failure = replace(failure, detail=self._tools.redact(failure.detail))
        return VisitResult(self._visit.target.host, self._login, tuple(self._attempts), facts, failure)

    def _attempt(self, probe: ProbeSpec, ending: ExitStack) -> None:
        """Try one probe, again while the playbook and the rules allow (design §3 retries, §9.3)."""
        started_at, began = self._clock.now(), self._clock.monotonic()
        left: tuple[str, ...] = ()
        given_up = self._failure  # what could not be reached is not asked again by the probes that follow
        tries = 1
        output = _later(given_up) if given_up else self._try(probe, ending)
        while (
            given_up is None
            and tries <= probe.retries
            and _may_retry(output, probe)
            and not self._budget.expired()
        ):
            self._clock.sleep(min(probe.retry_delay_s, self._budget.remaining_s()))
            tries, left = tries + 1, (*left, *output.left)
            output = self._try(probe, ending)
        if self._connection is None:
            self._failure = output
        elapsed_s = max(0.0, self._clock.monotonic() - began)  # what follows is not the probe's own time
        output = replace(output, left=tuple(dict.fromkeys((*left, *output.left))))
        removal = removed_at_end(output, self._connection, self._clock)
        self._finish(probe, output, removal, Spent(started_at, elapsed_s, tries))

    def _try(self, probe: ProbeSpec, ending: ExitStack) -> ProbeOutput:
        """Run one probe once; the connection is made by the first try that needs it, in that try's budget."""
        if self._budget.expired():
            return ProbeOutput(
                reason=Reason.TIMEOUT,
                detail=f"the visit's {self._visit.visit_timeout_s:.3g} s were used up before this probe",
                hint="raise visit_timeout or lower the probes' timeouts",
            )
        deadline = Deadline.after(self._clock, min(probe.timeout_s, self._budget.remaining_s()))
        connected = self._connection or self._connect(deadline.capped(self._visit.connect_timeout_s), ending)
        if isinstance(connected, ProbeOutput):
            return connected
        return _judged(self._run(probe, connected, deadline), probe)

    def _connect(self, deadline: Deadline, ending: ExitStack) -> Connection | ProbeOutput:
        """Connect and log on; returns the connection, or why there is none."""
        target = self._visit.target
        try:
            transport = self._tools.transport_for(target.connection)
            connection = transport.connect(target, deadline, self._visit.open_ports)
        except FaultError as fault:
            if fault.reason == Reason.AUTH:
                self._report(Login.REFUSED, fault.message)
            return _output_of(fault)
        except (SecretError, UsageError) as error:
            return ProbeOutput(reason=Reason.AUTH, detail=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001 - a bug on one host must not cost the others (design §9.5)
            return _bug(error)
        self._connection = connection
        ending.enter_context(self._tools.holding(connection))
        ending.callback(connection.close)
        self._report(Login.ACCEPTED, "")
        return connection

    def _run(self, probe: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        try:
            ready = _with_secrets(probe, self._tools.resolve)
            kind = self._tools.probe_for(probe.kind)
            if ready.exclusive:
                return run_when_free(kind, ready, connection, deadline)
            return kind.run(ready, connection, deadline)
        except FaultError as fault:
            return _output_of(fault)
        except SecretError as error:
            return ProbeOutput(reason=Reason.TRANSPORT, detail=error.message, hint=error.hint, accepted=True)
        except Exception as error:  # noqa: BLE001 - as in _connect
            return _bug(error)

    def _report(self, login: Login, detail: str) -> None:
        """Tell the gate once: as soon as the host said yes or no, else when it was given up."""
        self._login = login
        host = self._visit.target.host
        self._tools.tell(LoginReport(host, login, self._tools.redact(detail)))

    def _finish(self, probe: ProbeSpec, output: ProbeOutput, removal: Removal, spent: Spent) -> None:
        outcome = Outcome.OK if output.reason is None else outcome_of(output.reason)
        result = AttemptResult(
            experiment=self._visit.experiment,
            iteration=self._visit.iteration,
            host=self._visit.target.host,
            probe=probe.name,
            outcome=outcome,
            reason=output.reason,
            detail=self._tools.redact(output.detail),
            hint=output.hint,
            on=_seen_on(output),
            started_at=spent.started_at,
            elapsed_s=spent.elapsed_s,
            timeout_s=probe.timeout_s,
            tries=spent.tries,
            exit_code=output.exit_code,
            stdout=output.stdout,
            stderr=output.stderr,
            stderr_text=output.stderr_text,
            data=output.data,
            kill_verified=output.kill_verified,
            round_trips=output.round_trips + removal.round_trips,
            left=(*removal.left, *output.kept),
            cleaned=removal.cleaned,
        )
        self._attempts.append(result)
        self._tools.tell(result)


def _later(failure: ProbeOutput) -> ProbeOutput:
    """Say for the probes after the first why there is no connection; their own time was not used up."""
    if failure.reason is not Reason.TIMEOUT:
        return failure
    return replace(failure, reason=Reason.TRANSPORT, detail=f"there is no connection: {failure.detail}")


def _with_secrets(probe: ProbeSpec, resolve: Callable[[SecretRef], str]) -> ProbeSpec:
    """Put the secrets of `env` and `stdin` where their references stand; the plan keeps the references."""
    env = tuple((name, _secret(value, resolve)) for name, value in probe.env)
    stdin = probe.stdin
    if isinstance(stdin, SecretRef):
        stdin = resolve(stdin).encode(
            "utf-8" if probe.codepage == 65001 else f"cp{probe.codepage}", "replace"
        )
    return probe if env == probe.env and stdin is probe.stdin else replace(probe, env=env, stdin=stdin)


def _secret(value: str | SecretRef, resolve: Callable[[SecretRef], str]) -> str:
    return resolve(value) if isinstance(value, SecretRef) else value


def _output_of(fault: FaultError) -> ProbeOutput:
    return ProbeOutput(
        reason=Reason(fault.reason),
        detail=fault.message,
        hint=fault.hint,
        connection_lost=fault.connection_lost,
        accepted=not fault.retryable,
    )


def _bug(error: Exception) -> ProbeOutput:
    """Turn an error nobody foresaw into data; its text may hold anything, so only its type is shown."""
    return ProbeOutput(
        reason=Reason.TRANSPORT,
        detail=f"internal error: {type(error).__name__}",
        hint="this is a bug of ddcplay; run again with -vvv and report it",
        accepted=True,
    )


def _judged(output: ProbeOutput, probe: ProbeSpec) -> ProbeOutput:
    """Hold the exit code against `ok_codes`; both signed and unsigned spellings of a 32-bit code match."""
    code = output.exit_code
    if output.reason is not None or code is None:
        return output
    if code in probe.ok_codes or code - _EXIT_CODE_RANGE in probe.ok_codes:
        return output
    said = output.stderr.decode("utf-8", "replace") if output.stderr_text is None else output.stderr_text
    lines = said.strip().splitlines()
    detail = f"exit code {code}" + (f": {lines[0][:200]}" if lines else "")
    hint = "see the probe's stderr in the archive; name further good codes in ok_codes"
    return replace(output, reason=Reason.EXIT_CODE, detail=detail, hint=hint)


def _may_retry(output: ProbeOutput, probe: ProbeSpec) -> bool:
    if output.reason is None or output.reason in _NEVER_RETRIED or output.reason not in probe.retry_on:
        return False
    return output.reason is Reason.EXIT_CODE or not output.accepted


def _seen_on(output: ProbeOutput) -> bool | None:
    """Say whether the machine was on: anything that answered was, a silent one may only have been silent."""
    if output.reason in {Reason.NO_ANSWER, Reason.NO_NAME}:
        return None if output.reason is Reason.NO_NAME else False
    return True
