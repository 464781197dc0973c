"""What an iteration's closing line says of its attempts, counted as they come through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from ddcplay.engine.events import ProbeSummary
from ddcplay.model.result import AttemptResult, Outcome, Reason
from ddcplay.store.base import ProbeTally


class Tallies:
    """Counts the attempts of one iteration by probe and reason."""

    def __init__(self) -> None:
        self._probes: dict[str, _Reasons] = {}

    def count(self, result: AttemptResult) -> None:
        """Take one attempt, as its filters left it."""
        self._probes.setdefault(result.probe, _Reasons()).count(result)

    def clear(self) -> None:
        """Begin with the next iteration."""
        self._probes = {}

    def on_not_collected(self, tallies: Sequence[ProbeTally]) -> tuple[str, ...]:
        """Return hosts that were on and could not be collected, in inventory order."""
        found = {host for each in self._probes.values() for host in each.on_not_collected}
        ordered = (host for tally in tallies for host in tally.unavailable if host in found)
        return tuple(dict.fromkeys(ordered))

    def summary(self, tally: ProbeTally) -> ProbeSummary:
        """Return the counts of one probe with its reasons."""
        reasons = self._probes.get(tally.probe, _Reasons())
        ordered = (*tally.failed, *tally.unavailable, *tally.skipped)  # each in inventory order
        place = {host: index for index, host in enumerate(ordered)}
        return ProbeSummary(
            probe=tally.probe,
            ok=len(tally.ok),
            failed=len(tally.failed),
            unavailable=len(tally.unavailable),
            skipped=len(tally.skipped),
            elapsed_s=tally.elapsed_s,
            reasons={
                reason: tuple(sorted(hosts, key=lambda host: place.get(host, len(place))))
                for reason, hosts in reasons.hosts.items()
            },
            hints=reasons.hints,
            on=reasons.on,
        )


class _Reasons:
    """Why attempts of one probe were not ok."""

    def __init__(self) -> None:
        self.hosts: dict[Reason, list[str]] = {}
        self.hints: dict[Reason, str] = {}
        self.on_not_collected: list[str] = []
        self.on = 0

    def count(self, result: AttemptResult) -> None:
        self.on += bool(result.on)
        if result.reason is None:
            return
        self.hosts.setdefault(result.reason, []).append(result.host)
        if result.hint:
            self.hints.setdefault(result.reason, result.hint)
        if result.on and result.outcome is Outcome.UNAVAILABLE:
            self.on_not_collected.append(result.host)
