"""A single shot: each probe once on every host, however long it takes until the last one was switched on.

What is still to do stands in the database as debts (design §9.8), so a restart goes on where a kill left off.
Each turn of the loop is a window: the hosts that owe are swept, those that answer are visited, and an
iteration is recorded only if something ran.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from ddcplay.engine.events import Notice, Observers, Owed
from ddcplay.engine.roster import Pair, narrowed
from ddcplay.engine.window import Window
from ddcplay.model.plan import Plan
from ddcplay.model.playbook import Play
from ddcplay.planning.timetable import may_start
from ddcplay.store.debts import VOID, Debt, Debts
from ddcplay.units import Clock

WINDOW_S = 3600.0
"""A window takes no newcomers after an hour: its trace line is due, and failures are to be tried again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the debts of a play stand.

    Args:
        owed: pairs to do.
        paid: how many of the plan's pairs are done.
        given_up: how many of the plan's pairs never will be.
        left: pairs of the play that this run leaves alone (`--limit`, tags).
        void: debts of hosts or probes that left the play.
    """

    owed: dict[Pair, Debt]
    paid: int
    given_up: int
    left: int
    void: frozenset[Pair]


class SingleShot:
    """The debts of one experiment, from its beginning to its end.

    Args:
        play: schedule and probes.
        plan: what this run is about; `--limit` and tags have narrowed it.
        pool: every host of the play, whatever `--limit` says.
        debts: of the experiment.
        clock: the process's time.
        observers: told how it stands.
    """

    def __init__(
        self,
        play: Play,
        plan: Plan,
        pool: Collection[str],
        debts: Debts,
        *,
        clock: Clock,
        observers: Observers,
    ) -> None:
        self._play = play
        self._plan = plan
        self._debts = debts
        self._clock = clock
        self._tell = observers.handle
        self._pairs = {(host.host, probe.name) for host in plan.hosts for probe in host.probes}
        self._never = {(host.host, skip.probe) for host in plan.hosts for skip in host.skips}
        names = {probe.name for probe in play.probes} or set(plan.probe_names)
        self._whole = {(host, name) for host in pool for name in names} | self._pairs
        retry_s, self._give_up_after_s = play.schedule.single_shot or (0.0, None)
        self._retry_s = retry_s
        self._told: Owed | None = None
        self._changed = True
        self.gave_up = False
        """Something was given up by this process."""
        self._standing = Standing({}, 0, 0, 0, frozenset())

    def begin(self, again: Collection[str]) -> None:
        """Write the debts of pairs that are new, owe anew what `again` names, and tell how it stands."""
        now = self._clock.now()
        self._debts.begin(self._pairs, now)
        if again:
            self._debts.owe_again([pair for pair in self._pairs if pair[1] in again], now)
        before = self._take_stock()
        self._mark_void(before)
        self._standing = self._take_stock()
        self._announce()
        if not self.owed:
            done = f"{self._standing.paid} done, {self._standing.given_up} given up"
            words = f"finished before: {done}; --again PROBE runs a probe once more"
            self._tell(Notice("info", words, self._plan.experiment))
        self._tell_rest()

    @property
    def owed(self) -> Collection[Pair]:
        """Return the pairs still to do."""
        return self._standing.owed

    @property
    def changed(self) -> bool:
        """Say whether the last `review` found something new."""
        return self._changed

    def plan(self) -> Plan:
        """Return what the next window is about."""
        return narrowed(self._plan, lambda host, probe: (host, probe) in self._standing.owed, skips=False)

    def window(self, open_iteration: Callable[[], None]) -> Window:
        """Return the rules of the next window."""
        schedule, timezone = self._play.schedule, self._play.timezone
        return Window(
            retry_s=self._retry_s,
            lasts_s=WINDOW_S,
            open=open_iteration,
            may_look=lambda: may_start(schedule, timezone, self._clock.now()),
            last_reasons={pair: debt.last_reason for pair, debt in self._standing.owed.items()},
        )

    def review(self, window: Window) -> None:
        """Take stock after a window: why hosts still owe, whom to give up, and what to tell."""
        owed = self._standing.owed
        self._debts.note({p: r for p, r in window.noted.items() if p in owed and owed[p].last_reason != r})
        if self._give_up_after_s is not None:
            # Only after a window: a coordinator that slept for weeks has asked everybody once more before.
            now = self._clock.now()
            late = {debt.pair for debt in self._debts.all() if debt.open and self._is_late(debt, now)}
            self._debts.give_up(late & self._pairs, now)
        self._standing = self._take_stock()
        self._announce()

    def _is_late(self, debt: Debt, now: float) -> bool:
        return self._give_up_after_s is not None and now - debt.since >= self._give_up_after_s

    def _take_stock(self) -> Standing:
        debts = self._debts.all()
        mine = [debt for debt in debts if debt.pair in self._pairs]
        settled = {debt.pair for debt in debts if not debt.open}
        return Standing(
            owed={debt.pair: debt for debt in mine if debt.open},
            paid=sum(debt.paid_at is not None for debt in mine),
            given_up=sum(debt.given_up_at is not None for debt in mine),
            left=len(self._whole - self._pairs - self._never - settled),
            void=frozenset(
                debt.pair
                for debt in debts
                if debt.open and (debt.pair not in self._whole or debt.pair in self._never)
            ),
        )

    def _mark_void(self, standing: Standing) -> None:
        """Let `status` know which debts nobody will pay, and which came back."""
        marked = {debt.pair for debt in self._debts.all() if debt.open and debt.last_reason == VOID}
        self._debts.note(dict.fromkeys(standing.void - marked, VOID) | dict.fromkeys(marked - standing.void))

    def _announce(self) -> None:
        standing = self._standing
        oldest = min((debt.since for debt in standing.owed.values()), default=None)
        told = Owed(self._plan.experiment, len(standing.owed), oldest, standing.given_up, standing.paid)
        if self._told is not None and told.given_up > self._told.given_up:
            self.gave_up = True
        self._changed = told != self._told
        if self._changed:
            self._told = told
            self._tell(told)

    def _tell_rest(self) -> None:
        standing = self._standing
        if standing.left:
            words = f"{standing.left} more are owed outside of --limit and tags; this run leaves them alone"
            self._tell(Notice("info", words, self._plan.experiment))
        if standing.void:
            hosts = sorted({host for host, _ in standing.void})
            words = (
                f"{len(standing.void)} debts are void, their host or probe left the play: "
                f"{', '.join(hosts[:5])}{' …' if len(hosts) > 5 else ''}"
            )
            self._tell(Notice("warning", words, self._plan.experiment))
