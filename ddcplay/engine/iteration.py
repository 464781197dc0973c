"""One pass over the pool: sweep, gate, visits as answers arrive, one row for every pair.

The iteration owns its state and lives in one thread; sweep, gate and workers talk to it through its inbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from ddcplay.engine.dispatcher import Endpoint, Job
from ddcplay.engine.events import HostSwept, IterationStarted, VisitEnded, VisitStarted
from ddcplay.engine.gate import Ticket
from ddcplay.engine.inbox import Inbox
from ddcplay.engine.pipeline import Closing, Pipeline
from ddcplay.engine.roster import Roster
from ddcplay.engine.services import Services
from ddcplay.engine.sweeping import Sweeping
from ddcplay.engine.visit import Login, LoginReport, News, VisitResult
from ddcplay.engine.window import Pass
from ddcplay.model.plan import Plan, Target, Visit
from ddcplay.model.playbook import Play
from ddcplay.model.result import AttemptResult, Reason
from ddcplay.store.base import IterationState
from ddcplay.transport.sweep import HostState, SweepAnswer

CANARY_S = 5.0
"""What a login-only canary may take (design §9.3)."""
LOST_AFTER_S = 10.0
"""A visit that is silent for this long past its budget was lost with its worker."""


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
        self._sweeping = Sweeping(services.sweep, play.ping, services.clock, self._inbox, services.threaded)
        self._flying: dict[str, float] = {}
        self._announced = False
        self._state: IterationState = "closed"
        self._began = 0.0
        self._cut_short = False

    def run(self) -> bool:
        """Make the pass.

        Returns:
            False when it was left in the middle (second Ctrl-C) and stays open for a restart.

        Raises:
            DdcplayError: results cannot be stored.
        """
        self._began = self._clock.monotonic()
        if self._this.done:  # what is continued has begun before this process did
            self._began -= max(0.0, self._clock.now() - self._this.started_at)
        if self._this.window is None:
            self._announce()
        for row in self._roster.skips(self._this.done, self._clock.now()):
            self._put(row)
        self._services.stop.listen(self._inbox.wake)
        try:
            self._sweep([host.target for host in self._roster.hosts()])
            while self._roster or self._flying:
                if self._services.stop.leave.is_set():
                    self._inbox.carry_out(0)
                    return False
                self._pipeline.check()
                self._inbox.carry_out(self._pump())
                self._sweeping.check()
                self._keep_time()
                self._look_again()
        finally:
            self._services.stop.unlisten(self._inbox.wake)
            self._withdraw()
        if self._this.window is None or self._this.window.opened:
            remote_s = round(self._clock.monotonic() - self._began, 6)
            self._pipeline.put(Closing(self._this.iteration, self._this.started_at, remote_s, self._state))
        return True

    def _announce(self) -> None:
        """Tell that the iteration begins; a window of a single shot begins with its first visit."""
        if not self._announced:
            self._announced = True
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

    def _put(self, row: AttemptResult) -> None:
        if self._this.window is None or self._this.window.admits(row):
            self._announce()
            self._pipeline.put(row)

    def _sweep(self, targets: Sequence[Target]) -> None:
        self._sweeping.start(targets, lambda answer: self._inbox.post(lambda: self._on_answer(answer)))

    def _on_answer(self, answer: SweepAnswer) -> None:
        """Ask the gate for a host that is there; close the pairs of one that is not asked again."""
        host = answer.host
        known = self._answers.get(host)
        if not self._roster.due(host) or (known is not None and host not in self._sweeping.silent):
            return
        self._answers[host] = answer
        self._sweeping.silent.pop(host, None)
        if answer.state is HostState.UP:
            self._announce()
        if self._this.window is None or answer.state is HostState.UP:
            self._services.observers.handle(
                HostSwept(self._plan.experiment, self._this.iteration, host, answer.state.value)
            )
        if answer.state is HostState.UP:
            self._services.gate.request(self._ticket(self._roster.plan_of(host).target))
        elif self._asked_again(answer.state):
            self._sweeping.silent[host] = answer
        else:
            self._close_silent(answer)

    def _asked_again(self, state: HostState) -> bool:
        """Say whether a host that is not there may be swept once more (a booting PC), or again and again."""
        if self._cut_short:
            return False
        if self._this.window is not None:
            return True
        return self._late_sweep_fits() and state is not HostState.NO_NAME

    def _late_sweep_fits(self) -> bool:
        ends_at = self._this.ends_at
        policy = self._play.ping
        takes_s = policy.attempts * policy.timeout_s
        once = self._this.late_sweep and self._sweeping.rounds == 1
        return once and ends_at is not None and self._clock.now() + takes_s < ends_at

    def _look_again(self) -> None:
        """Sweep the silent hosts once more when it is time, or let them go."""
        silent = self._sweeping.silent
        if not silent or self._sweeping.running or self._cut_short:
            return
        window = self._this.window
        waiting = bool(self._flying) or len(self._roster) > len(silent)
        if window is None and waiting:
            return
        again = self._late_sweep_fits() if window is None else waiting and self._newcomers_in() == 0
        if again and (window is None or window.may_look()):
            self._sweep([self._roster.plan_of(host).target for host in silent])
        elif not waiting:
            for answer in tuple(silent.values()):
                self._close_silent(answer)

    def _newcomers_in(self) -> float | None:
        """Return the seconds until a window's silent hosts are swept again, None for not in this window."""
        window, now = self._this.window, self._clock.monotonic()
        if window is None or not self._sweeping.silent or now - self._began >= window.lasts_s:
            return None
        return max(0.0, self._sweeping.began + window.retry_s - now)

    def _close_silent(self, answer: SweepAnswer) -> None:
        self._sweeping.silent.pop(answer.host, None)
        reason = Reason(answer.state.value)
        self._close_host(answer.host, reason, answer.detail, _SWEEP_HINTS.get(reason, ""), on=answer.on)

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
        elif not self._services.stop.leave.is_set():  # else our own abort made it fail: it stays owed
            self._inbox.post(lambda: self._on_attempt(news))

    def _on_attempt(self, result: AttemptResult) -> None:
        if self._roster.close(result.host, result.probe):
            self._put(result)

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
        if self._services.stop.leave.is_set():
            return  # what our own abort ended is not an outcome; a restart goes on with it
        for row in self._roster.close_all(host, reason, detail, hint, on=on, at=self._clock.now()):
            self._put(row)

    def _pump(self) -> float | None:
        """Let gate and dispatcher do what can be done now; returns how long nothing else will happen."""
        pauses = [self._services.gate.pump(), self._services.dispatcher.pump()]
        if not self._sweeping.running and self._flying:
            pauses.append(self._newcomers_in())
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
        for answer in tuple(self._sweeping.silent.values()):
            self._close_silent(answer)
        for host in self._roster.hosts():
            if host.host not in self._flying:
                self._close_host(host.host, reason, detail, _CUT_HINTS[reason], on=self._seen_on(host.host))

    def _seen_on(self, host: str) -> bool | None:
        return self._answers[host].on if host in self._answers else None

    def _withdraw(self) -> None:
        self._sweeping.stop()
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
