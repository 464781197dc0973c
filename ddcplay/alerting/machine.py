"""The life of one alert as a pure state machine: state and observation in, state and happenings out.

No clock, no store, no mail: whoever calls it keeps the state (design §5; flapping as Nagios computes it).
"""

from __future__ import annotations

from dataclasses import replace

from ddcplay.model.alert import AlertRule, AlertState, Happening, Status

HISTORY = 21
"""Observations that flapping is judged by; those without data are not among them."""
FLAPPING_FROM = 30.0
"""Percent of weighted changes at which an alert begins to flap."""
FLAPPING_UNTIL = 20.0
"""Percent below which it has calmed down."""
_OLDEST_WEIGHT, _NEWEST_WEIGHT = 0.75, 1.25


def observe(
    rule: AlertRule,
    state: AlertState,
    bad: bool | None,  # noqa: FBT001 - the observation itself
    at: float,
) -> tuple[AlertState, tuple[Happening, ...]]:
    """Take one observation.

    Args:
        rule: how much it takes.
        state: as the last call left it; a new `AlertState` at first.
        bad: whether the rule's condition holds; None when there was no data (host off, parse failed), which
            freezes everything.
        at: UTC Unix seconds.

    Returns:
        The new state and what is to be told, in order.
    """
    if bad is None:
        return state, ()
    state = replace(state, history=(state.history + ("x" if bad else "."))[-HISTORY:])
    state = _bad(rule, state, at) if bad else _good(rule, state)
    was_flapping = state.flapping
    state = replace(state, flapping=_flaps(state) and (was_flapping or _may_flap(rule, state)))
    return _tell(rule, state, at, was_flapping=was_flapping)


def close(state: AlertState) -> tuple[AlertState, tuple[Happening, ...]]:
    """End an alert whose rule or host is no longer there.

    Returns:
        A fresh state, and `gone` when humans still believe that it fires.
    """
    return AlertState(), ((Happening.GONE,) if state.told_firing else ())


def acknowledge(state: AlertState) -> AlertState:
    """Note that a human has taken a firing alert: no reminders until it resolves."""
    return replace(state, acknowledged=True) if state.status is Status.FIRING else state


def change_share(history: str) -> float:
    """Return the weighted percentage of changes in a history, newest changes counting most (Nagios' formula).

    Args:
        history: `x` and `.`, oldest first, at most 21.
    """
    steps = HISTORY - 1
    if len(history) < 2:
        return 0.0
    offset = HISTORY - len(history)
    total = 0.0
    for index in range(1, len(history)):
        if history[index] != history[index - 1]:
            position = offset + index - 1
            total += _OLDEST_WEIGHT + (_NEWEST_WEIGHT - _OLDEST_WEIGHT) * position / (steps - 1)
    return 100.0 * total / steps


def _bad(rule: AlertRule, state: AlertState, at: float) -> AlertState:
    since = at if state.bad_since is None else state.bad_since
    state = replace(state, bad_in_a_row=state.bad_in_a_row + 1, good_in_a_row=0, bad_since=since)
    if state.status is Status.FIRING:
        return state
    # A clock that was set back must not make the waiting longer than the rule says from here on.
    if at < since:
        state = replace(state, bad_since=at)
        since = at
    if state.bad_in_a_row >= rule.after and at - since >= rule.for_s:
        return replace(state, status=Status.FIRING, fired_at=at)
    return replace(state, status=Status.PENDING)


def _good(rule: AlertRule, state: AlertState) -> AlertState:
    state = replace(state, bad_in_a_row=0, good_in_a_row=state.good_in_a_row + 1, bad_since=None)
    if state.status is Status.FIRING and state.good_in_a_row < rule.clear_after:
        return state
    return replace(state, status=Status.OK, fired_at=None, acknowledged=False)


def _may_flap(rule: AlertRule, state: AlertState) -> bool:
    """Say whether people should hear that it flaps: what `after` and `for` hold back anyway is no news."""
    at_once = rule.after <= 1 and rule.for_s <= 0
    return state.told_firing or (at_once and state.status is Status.FIRING)


def _flaps(state: AlertState) -> bool:
    share = change_share(state.history)
    return share >= FLAPPING_UNTIL if state.flapping else share >= FLAPPING_FROM


def _tell(
    rule: AlertRule, state: AlertState, at: float, *, was_flapping: bool
) -> tuple[AlertState, tuple[Happening, ...]]:
    """Say what humans must hear; while it flaps, only the outcome, later."""
    if state.flapping:
        if was_flapping:
            return state, ()
        return replace(state, notified_at=at), (Happening.FLAPPING,)
    if state.status is Status.FIRING and not state.told_firing:
        state = replace(state, told_firing=True, notified_at=at, told_since=state.fired_at)
        return state, (Happening.FIRED,)
    if state.status is not Status.FIRING and state.told_firing:
        if state.status is Status.PENDING:
            return state, ()  # it flapped meanwhile: wait for what it becomes
        state = replace(state, told_firing=False, notified_at=None, told_since=None)
        return state, (Happening.RESOLVED,)
    return _remind(rule, state, at)


def _remind(rule: AlertRule, state: AlertState, at: float) -> tuple[AlertState, tuple[Happening, ...]]:
    silent = state.status is not Status.FIRING or state.acknowledged or rule.repeat_s is None
    if silent or state.notified_at is None:
        return state, ()
    if at < state.notified_at:  # the clock was set back: count from here
        return replace(state, notified_at=at), ()
    if rule.repeat_s is not None and at - state.notified_at >= rule.repeat_s:
        return replace(state, notified_at=at), (Happening.REPEATED,)
    return state, ()
