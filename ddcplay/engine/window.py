"""Which pass an iteration makes, and what sets a single shot's apart.

In a single shot only what ran leaves a row (design §9.8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ddcplay.engine.roster import Pair
from ddcplay.model.result import AttemptResult, Outcome, Reason

_NOT_WORTH_REPEATING = frozenset({Reason.BUSY, Reason.HOST_IN_USE, Reason.UNSUPPORTED, Reason.AUTH_BLOCKED})


@dataclass(slots=True)
class Window:
    """One window of a single shot.

    Args:
        retry_s: hosts that are silent are swept again after this long while others are visited.
        lasts_s: seconds after which it takes no more newcomers, so that an iteration ends even where somebody
            is always being visited.
        open: writes the iteration's row; called before its first attempt, if there is one.
        may_look: says whether visits may start now (blackout).
        last_reasons: pair → why it was still owed before.
        noted: filled with why pairs are still owed that left no row.
    """

    retry_s: float
    lasts_s: float
    open: Callable[[], None]
    may_look: Callable[[], bool]
    last_reasons: Mapping[Pair, str | None]
    noted: dict[Pair, str] = field(default_factory=dict)
    opened: bool = False

    def admits(self, row: AttemptResult) -> bool:
        """Say whether a row is to be written; silent hosts get none, nor does a host busy as before.

        Else a PC that is off for a fortnight, or in use all day, has a row for every two minutes.
        """
        pair = (row.host, row.probe)
        reason = row.reason
        if reason is not Reason.INTERRUPTED and (
            row.outcome is Outcome.UNAVAILABLE
            or (reason in _NOT_WORTH_REPEATING and self.last_reasons.get(pair) == reason)
        ):
            self.noted[pair] = str(reason)
            return False
        if reason is Reason.INTERRUPTED:
            return False
        if not self.opened:
            self.opened = True
            self.open()
        return True


@dataclass(frozen=True, slots=True)
class Pass:
    """Which pass this is.

    Args:
        iteration: its id.
        started_at: UTC Unix seconds.
        done: pairs that have a row from before a restart.
        ends_at: UTC Unix second of the next slot, None when nothing follows; visits end by then.
        late_sweep: silent hosts are swept once more before it closes, if that fits before `ends_at`.
        window: of a single shot, None for all other schedules.
    """

    iteration: int
    started_at: float
    done: frozenset[Pair] = frozenset()
    ends_at: float | None = None
    late_sweep: bool = False
    window: Window | None = None
