"""One pass over the pool: sweep, gate, visits as answers arrive, one row for every pair.

The iteration owns its state and lives in one thread; sweep, gate and workers talk to it through its inbox.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ddcplay.engine.dispatcher import Dispatcher, Endpoint, Job
from ddcplay.engine.events import HostSwept, IterationStarted, Observers, VisitEnded, VisitStarted
from ddcplay.engine.gate import CredentialGate, Ticket
from ddcplay.engine.inbox import Inbox
from ddcplay.engine.pipeline import Closing, Pipeline
from ddcplay.engine.roster import Pair, Roster
from ddcplay.engine.stop import StopRequest
from ddcplay.engine.visit import Login, LoginReport, News, VisitResult
from ddcplay.model.plan import Plan, Target, Visit
from ddcplay.model.playbook import PingPolicy, Play
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store.base import IterationState
from ddcplay.transport.sweep import HostState, SweepAnswer
from ddcplay.units import Clock

CANARY_S = 5.0
"""What a login-only canary may take (design §9.3)."""
LOST_AFTER_S = 10.0
"""A visit that is silent for this long past its budget was lost with its worker."""

Sweep = Callable[[Sequence[Target], PingPolicy, Callable[[SweepAnswer], None], threading.Event | None], None]


@dataclass(frozen=True, slots=True)
class Services:
    """What all iterations of a process share.

    Args:
        clock: the process's time.
        dispatcher: starts visits.
        gate: lets logins through.
        sweep: finds out who is there.
        observers: told of progress.
        stop: asked by the user.
        threaded: False runs the sweep in the caller's thread (virtual time).
    """

    clock: Clock
    dispatcher: Dispatcher
    gate: CredentialGate
    sweep: Sweep
    observers: Observers
    stop: StopRequest
    threaded: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """Which pass this is.

    Args:
        iteration: its id.
        started_at: UTC Unix seconds.
        done: pairs that have a row from before a restart.
        ends_at: UTC Unix second of the next slot, None when nothing follows; visits end by then.
    """

    iteration: int
    started_at: float
    done: frozenset[Pair] = frozenset()
    ends_at: float | None = None


class Iteration:
    """Runs one pass.

    Args:
        play: schedule, ping and limits.
        plan: its hosts and probes.
        this: which pass.
        pipeline: where attempts go.
        services: what the process shares.
    """

    def __init__(self, play: Play, plan: Plan, this: Pass, pipeline: Pipeline, services: Services) -> None:
        self._play = play
        self._plan = plan
        self._this = this
        self._pipeline = pipeline
        self._services = services
        self._clock = services.clock
        self._roster = Roster(plan, this.iteration, this.done)
        self._inbox = Inbox(services.clock)
        self._lane = f"{plan.experiment}/{this.iteration}"
        self._answers: dict[str, SweepAnswer] = {}
        self._flying: dict[str, float] = {}
        self._sweep_off = threading.Event()
        self._state: IterationState = "closed"
        self._cut_short = False

    def run(self) -> bool:
        """Make the pass.

        Returns:
            False when it was left in the middle (second Ctrl-C) and stays open for a restart.

        Raises:
            DdcplayError: results cannot be stored.
        """
        began = self._clock.monotonic()
        self._services.observers.handle(
            IterationStarted(
                self._plan.experiment,
                self._this.iteration,
                self._this.started_at,
                pairs=self._roster.pairs,
                done=len(self._this.done),
                continued=bool(self._this.done),
            )
        )
        for row in self._roster.skips(self._this.done, self._clock.now()):
            self._pipeline.put(row)
        self._services.stop.listen(self._inbox.wake)
        try:
            self._start_sweep()
            while self._roster or self._flying:
                if self._services.stop.leave.is_set():
                    return False
                self._pipeline.check()
                self._inbox.carry_out(self._pump())
                self._keep_time()
        finally:
            self._services.stop.unlisten(self._inbox.wake)
            self._withdraw()
        remote_s = self._clock.monotonic() - began
        self._pipeline.put(Closing(self._this.iteration, self._this.started_at, remote_s, self._state))
        return True

    def _start_sweep(self) -> None:
        targets = [host.target for host in self._roster.hosts()]
        if not targets:
            return

        def look() -> None:
            self._services.sweep(targets, self._play.ping, self._heard, self._sweep_off)

        if self._services.threaded:
            threading.Thread(target=look, name=f"sweep {self._lane}", daemon=True).start()
        else:
            look()

    def _heard(self, answer: SweepAnswer) -> None:
        self._inbox.post(lambda: self._on_answer(answer))

    def _on_answer(self, answer: SweepAnswer) -> None:
        """Ask the gate for a host that is there; close the pairs of one that is not."""
        host = answer.host
        if not self._roster.due(host) or host in self._answers:
            return
        self._answers[host] = answer
        self._services.observers.handle(
            HostSwept(self._plan.experiment, self._this.iteration, host, answer.state.value)
        )
        if answer.state is HostState.UP:
            self._services.gate.request(self._ticket(self._roster.plan_of(host).target))
        else:
            reason = Reason(answer.state.value)
            self._close_host(host, reason, answer.detail, _SWEEP_HINTS.get(reason, ""), on=answer.on)

    def _ticket(self, target: Target) -> Ticket:
        host = target.host
        ticket: Ticket

        def refuse(reason: Reason, detail: str, hint: str) -> None:
            self._inbox.post(lambda: self._close_host(host, reason, detail, hint, on=True))

        ticket = Ticket(
            target,
            self._lane,
            admit=lambda: self._inbox.post(lambda: self._offer(ticket, is_canary=False)),
            refuse=refuse,
            canary=lambda: self._inbox.post(lambda: self._offer(ticket, is_canary=True)),
        )
        return ticket

    def _offer(self, ticket: Ticket, *, is_canary: bool) -> None:
        """Queue a visit of one host, or a canary that only logs on."""
        host = ticket.target.host
        self._services.dispatcher.offer(
            Job(
                make=lambda: self._canary(host) if is_canary else self._visit(host),
                endpoint=self._endpoint(ticket.target),
                lane=self._lane,
                lane_width=self._play.concurrency,
                patience_s=CANARY_S if is_canary else self._visit_timeout_s(host),
                held=lambda: not is_canary and self._services.gate.held(ticket),
                started=lambda: self._inbox.post(lambda: self._on_start(host)),
                tell=lambda news: self._on_news(ticket, news),
                ended=lambda done: self._inbox.post(lambda: self._on_end(ticket, done, is_canary=is_canary)),
                in_use=lambda: self._inbox.post(lambda: self._on_host_in_use(ticket, is_canary=is_canary)),
                wake=self._inbox.wake,
            )
        )

    def _visit(self, host: str) -> Visit:
        probes = self._roster.due(host)
        budget_s = self._visit_timeout_s(host)
        if self._this.ends_at is not None:
            budget_s = max(0.0, min(budget_s, self._this.ends_at - self._clock.now()))
        return Visit(
            self._plan.experiment,
            self._this.iteration,
            self._roster.plan_of(host).target,
            probes,
            self._play.connect_timeout_s,
            budget_s,
            self._answers[host].open_ports,
        )

    def _canary(self, host: str) -> Visit:
        return Visit(
            self._plan.experiment,
            self._this.iteration,
            self._roster.plan_of(host).target,
            (),
            CANARY_S,
            CANARY_S,
            self._answers[host].open_ports,
        )

    def _visit_timeout_s(self, host: str) -> float:
        if self._play.visit_timeout_s is not None:
            return self._play.visit_timeout_s
        return sum(probe.timeout_s for probe in self._roster.due(host)) + self._play.connect_timeout_s

    def _endpoint(self, target: Target) -> Endpoint:
        answer = self._answers[target.host]
        ports = answer.open_ports or target.ports()
        return (answer.address or target.address, ports[0])

    def _on_start(self, host: str) -> None:
        self._flying[host] = self._clock.monotonic() + self._visit_timeout_s(host) + LOST_AFTER_S
        self._services.observers.handle(VisitStarted(self._plan.experiment, self._this.iteration, host))

    def _on_news(self, ticket: Ticket, news: News) -> None:
        """Pass on what a worker tells; logins go straight to the gate, which other plays wait for too."""
        if isinstance(news, LoginReport):
            self._services.gate.report(ticket, news.login)
            self._inbox.wake()
        else:
            self._inbox.post(lambda: self._on_attempt(news))

    def _on_attempt(self, result: AttemptResult) -> None:
        if self._roster.close(result.host, result.probe):
            self._pipeline.put(result)

    def _on_end(self, ticket: Ticket, done: Future[VisitResult], *, is_canary: bool) -> None:
        host = ticket.target.host
        self._flying.pop(host, None)
        error = done.exception()
        facts = {} if error else done.result().facts
        self._services.observers.handle(VisitEnded(self._plan.experiment, self._this.iteration, host, facts))
        if error is not None:
            self._services.gate.report(ticket, Login.UNKNOWN)
            self._close_host(
                host, Reason.LOST, f"the worker ended with {type(error).__name__}", _LOST_HINT, on=True
            )
        elif is_canary and self._roster.due(host):
            self._after_canary(ticket, done.result())

    def _after_canary(self, ticket: Ticket, result: VisitResult) -> None:
        """Let the canary's host have its visit, or take the canary's failure for it."""
        if result.login is Login.ACCEPTED:
            self._services.gate.request(ticket)
        elif result.failure is not None and result.failure.reason is not None:
            failure = result.failure
            reason = failure.reason or Reason.TRANSPORT
            self._close_host(ticket.target.host, reason, failure.detail, failure.hint, on=True)

    def _on_host_in_use(self, ticket: Ticket, *, is_canary: bool) -> None:
        self._services.gate.report(ticket, Login.UNKNOWN)
        if not is_canary or ticket.target.host not in self._flying:
            self._close_host(
                ticket.target.host,
                Reason.HOST_IN_USE,
                "another visit used this address all the time",
                "let the plays start at different times, or raise visit_timeout",
                on=True,
            )

    def _close_host(self, host: str, reason: Reason, detail: str, hint: str, *, on: bool | None) -> None:
        for row in self._roster.close_all(host, reason, detail, hint, on=on, at=self._clock.now()):
            self._pipeline.put(row)

    def _pump(self) -> float | None:
        """Let gate and dispatcher do what can be done now; returns how long nothing else will happen."""
        pauses = [self._services.gate.pump(), self._services.dispatcher.pump()]
        if self._flying:
            pauses.append(min(self._flying.values()) - self._clock.monotonic())
        if self._this.ends_at is not None and not self._cut_short:
            pauses.append(self._this.ends_at - self._clock.now())
        known = [max(0.0, pause) for pause in pauses if pause is not None]
        return min(known) if known else None

    def _keep_time(self) -> None:
        """Stop starting visits when asked, or when the next slot has come; give up on lost workers."""
        now = self._clock.monotonic()
        for host in [each for each, limit in self._flying.items() if now >= limit]:
            del self._flying[host]
            self._close_host(host, Reason.LOST, "the worker never came back", _LOST_HINT, on=True)
        if self._cut_short:
            return
        if self._services.stop.finish.is_set():
            self._state = "interrupted"
            self._cut(Reason.INTERRUPTED, "the run was stopped")
        elif self._this.ends_at is not None and self._clock.now() >= self._this.ends_at:
            self._cut(Reason.TIMEOUT, "the next iteration was due before this host's turn came")

    def _cut(self, reason: Reason, detail: str) -> None:
        """Start nothing more; what flies may end."""
        self._cut_short = True
        self._withdraw()
        for host in self._roster.hosts():
            if host.host not in self._flying:
                self._close_host(host.host, reason, detail, _CUT_HINTS[reason], on=self._seen_on(host.host))

    def _seen_on(self, host: str) -> bool | None:
        return self._answers[host].on if host in self._answers else None

    def _withdraw(self) -> None:
        self._sweep_off.set()
        self._services.dispatcher.withdraw(self._lane)
        self._services.gate.withdraw(self._lane)


_LOST_HINT = "this is a bug or a killed worker; the next iteration tries again"
_CUT_HINTS = {
    Reason.INTERRUPTED: "",
    Reason.TIMEOUT: "raise every, concurrency or ramp, or lower the probes' timeouts",
}
_SWEEP_HINTS = {
    Reason.PORT_CLOSED: "the machine is on but WinRM is not: run Enable-PSRemoting there, or open the port",
    Reason.NO_NAME: "the name does not resolve: correct ansible_host or DNS",
}
