"""Which pairs of host and probe an iteration still owes a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ddcplay.model.plan import HostPlan, Plan, ProbeSpec
from ddcplay.model.result import AttemptResult, Reason, outcome_of

Pair = tuple[str, str]


def narrowed(plan: Plan, wanted: Callable[[str, str], bool], *, skips: bool) -> Plan:
    """Return a plan of the pairs an iteration is about; hosts without any are left out.

    Args:
        plan: of the play.
        wanted: says whether (host, probe) is due.
        skips: keep the rows of probes whose `when` is false, for probes that are due somewhere.
    """
    hosts = [
        replace(host, probes=tuple(probe for probe in host.probes if wanted(host.host, probe.name)))
        for host in plan.hosts
    ]
    due = {probe.name for host in hosts for probe in host.probes} if skips else set()
    hosts = [replace(host, skips=tuple(skip for skip in host.skips if skip.probe in due)) for host in hosts]
    return replace(plan, hosts=tuple(host for host in hosts if host.probes or host.skips))


class Roster:
    """The open pairs of one iteration; each is closed exactly once.

    Args:
        plan: hosts and probes.
        iteration: id, for the rows made here.
        done: pairs that have a row already (from before a restart).
    """

    def __init__(self, plan: Plan, iteration: int, done: frozenset[Pair]) -> None:
        self._experiment = plan.experiment
        self._iteration = iteration
        self._hosts = {host.host: host for host in plan.hosts}
        self._open: dict[str, dict[str, ProbeSpec]] = {}
        for host in plan.hosts:
            due = {probe.name: probe for probe in host.probes if (host.host, probe.name) not in done}
            if due:
                self._open[host.host] = due
        self.pairs = sum(len(host.probes) + len(host.skips) for host in plan.hosts)

    def __len__(self) -> int:
        return len(self._open)

    def hosts(self) -> tuple[HostPlan, ...]:
        """Return the hosts that still owe a row, in inventory order."""
        return tuple(self._hosts[name] for name in self._open)

    def plan_of(self, host: str) -> HostPlan:
        """Return everything planned for a host."""
        return self._hosts[host]

    def due(self, host: str) -> tuple[ProbeSpec, ...]:
        """Return the probes a host still owes, in order."""
        return tuple(self._open.get(host, {}).values())

    def close(self, host: str, probe: str) -> bool:
        """Close one pair; False when it was closed before (a late or doubled result)."""
        due = self._open.get(host)
        if due is None or due.pop(probe, None) is None:
            return False
        if not due:
            del self._open[host]
        return True

    def close_all(
        self,
        host: str,
        reason: Reason,
        detail: str,
        hint: str = "",
        *,
        on: bool | None,
        at: float,
    ) -> Iterator[AttemptResult]:
        """Close every pair a host owes with one reason; yields their rows."""
        for probe in self._open.pop(host, {}).values():
            yield self._row(host, probe.name, reason, detail, hint, on=on, at=at, timeout_s=probe.timeout_s)

    def skips(self, done: frozenset[Pair], at: float) -> Iterator[AttemptResult]:
        """Yield the rows of probes that will not run on a host (their `when` is false)."""
        for host in self._hosts.values():
            for skip in host.skips:
                if (host.host, skip.probe) not in done:
                    yield self._row(host.host, skip.probe, skip.reason, skip.detail, "", on=None, at=at)

    def _row(  # noqa: PLR0913 - the columns of a row
        self,
        host: str,
        probe: str,
        reason: Reason,
        detail: str,
        hint: str,
        *,
        on: bool | None,
        at: float,
        timeout_s: float = 0.0,
    ) -> AttemptResult:
        return AttemptResult(
            experiment=self._experiment,
            iteration=self._iteration,
            host=host,
            probe=probe,
            outcome=outcome_of(reason),
            reason=reason,
            detail=detail,
            hint=hint,
            on=on,
            started_at=at,
            timeout_s=timeout_s,
        )
