"""What `ping --login` and `probe` need beside the engine: a probe that only logs on, and an observer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ddcplay.engine.events import AttemptRecorded, Event
from ddcplay.engine.sweeping import Sweep
from ddcplay.model.plan import ProbeSpec, Target
from ddcplay.model.playbook import PingPolicy
from ddcplay.model.result import AttemptResult, Outcome, ProbeOutput
from ddcplay.transport.base import Connection
from ddcplay.transport.sweep import SweepAnswer
from ddcplay.units import Deadline

LOGIN = "login"
"""The kind of the probe of `ping --login`, which no playbook can name."""


class LoginProbe:
    """Asks nothing: the visit around it has connected and authenticated, and that is the answer."""

    kind = LOGIN

    def command_line(self, spec: ProbeSpec) -> str:
        """Return nothing: no process is started."""
        del spec
        return ""

    def run(self, spec: ProbeSpec, connection: Connection, deadline: Deadline) -> ProbeOutput:
        """Report success; being here is the proof."""
        del spec, connection, deadline
        return ProbeOutput()


class Answers:
    """Keeps what the sweep saw and what became of each host, in order of arrival.

    Args:
        sweep: the real sweep.
        on_result: told once per host, with what the sweep saw of it (None when it was not reached).
    """

    def __init__(self, sweep: Sweep, on_result: Callable[[SweepAnswer | None, AttemptResult], None]) -> None:
        self._sweep = sweep
        self._on_result = on_result
        self._seen: dict[str, SweepAnswer] = {}
        self.results: dict[str, AttemptResult] = {}

    @property
    def ok(self) -> int:
        """Count the hosts that answered well."""
        return sum(result.outcome is Outcome.OK for result in self.results.values())

    def sweep(
        self,
        targets: Sequence[Target],
        policy: PingPolicy,
        on_answer: Callable[[SweepAnswer], None],
        stop: threading.Event | None = None,
    ) -> None:
        """Sweep, and remember the answers."""

        def remember(answer: SweepAnswer) -> None:
            self._seen[answer.host] = answer
            on_answer(answer)

        self._sweep(targets, policy, remember, stop)

    def handle(self, event: Event) -> None:
        """Take results as they are acknowledged."""
        if isinstance(event, AttemptRecorded):
            result = event.result
            self.results[result.host] = result
            self._on_result(self._seen.get(result.host), result)
