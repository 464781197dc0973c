"""Which probes are due in an iteration: those of a pace of their own (`every`) are not, most of the time."""

from __future__ import annotations

from ddcplay.engine.roster import narrowed
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.store.experiment_store import ExperimentStore

_LONGEST_ITERATION_S = 86400.0


class Due:
    """Knows the slow probes of one play.

    Args:
        play: whose probes may have an `every`.
        plan: everything the play does.
        store: knows when hosts were last reached.
    """

    def __init__(self, play: Play, plan: Plan, store: ExperimentStore) -> None:
        planned = set(plan.probe_names)
        self._every = {
            probe.name: probe.every_s
            for probe in play.probes
            if probe.every_s is not None and probe.name in planned
        }
        self._plan = plan
        self._store = store

    def plan(self, iteration: int, started_at: float, ends_at: float | None) -> Plan:
        """Return what an iteration is about.

        A probe is due on a host once its `every` has passed since the start of the last attempt that reached
        the host; half an interval of slack lets it keep to the iteration it belongs to (design §3).

        Args:
            iteration: its id; attempts of earlier ones count.
            started_at: UTC Unix seconds.
            ends_at: when the next one is due, None when nobody knows.
        """
        if not self._every:
            return self._plan
        slack_s = 0.0 if ends_at is None else max(0.0, ends_at - started_at) / 2
        # A laptop that slept makes long intervals; the slack must not make a probe due all the time.
        waits = {name: every_s - min(slack_s, every_s / 2) for name, every_s in self._every.items()}
        since = {name: started_at - wait_s for name, wait_s in waits.items()}
        # An attempt may have started long after its iteration did.
        looked_for = {name: at - _LONGEST_ITERATION_S for name, at in since.items()}
        reached = self._store.last_reached(looked_for, iteration)

        def is_due(host: str, probe: str) -> bool:
            at = reached.get((host, probe))
            # A start in the future was written by a clock that was wrong; it says nothing.
            return probe not in since or at is None or at <= since[probe] or at > started_at

        return narrowed(self._plan, is_due, skips=True)
