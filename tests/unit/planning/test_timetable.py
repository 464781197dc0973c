from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import UsageError
from ddcplay.model.playbook import Blackout, Schedule
from ddcplay.planning.timetable import Slot, iteration_id, next_slot, should_continue

ZONES = ["Europe/Lisbon", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]
DAY = 86400
START = 1_767_225_600.0  # 2026-01-01T00:00:00Z

instants = st.floats(min_value=START, max_value=START + 3 * 365 * DAY)
periods = st.one_of(
    st.sampled_from([1.0, 7.0, 60.0, 900.0, 1800.0, 3600.0, 7200.0, 25200.0, 86400.0, 129600.0, 604800.0]),
    st.integers(1, 200_000).map(float),
)
windows = st.builds(
    Blackout,
    start_minute=st.integers(0, 1439),
    end_minute=st.integers(0, 1439),
    weekdays=st.frozensets(st.integers(0, 4), max_size=5),  # weekends stay free, so a start always exists
)


def local(text: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def slot_after(
    schedule: Schedule,
    now: float,
    *,
    zone: str = "UTC",
    began: float = START,
    started: float | None = None,
    ended: float | None = None,
) -> Slot | None:
    return next_slot(schedule, zone, now, began_at=began, last_started_at=started, last_ended_at=ended)


def walk(schedule: Schedule, zone: str, first: float, last: float) -> list[str]:
    """Local wall-clock times of all starts from `first` to `last` when every iteration is instant."""
    starts: list[str] = []
    now, started = first, None
    while True:
        slot = slot_after(schedule, now, zone=zone, began=first, started=started, ended=started)
        assert slot is not None
        if slot.starts_at > last:
            return starts
        starts.append(datetime.fromtimestamp(slot.starts_at, ZoneInfo(zone)).strftime("%d %H:%M"))
        assert slot.missed == 0
        now = started = slot.starts_at


# -- one pass ------------------------------------------------------------------------------------------------


def test_one_pass_starts_now_and_never_again() -> None:
    assert slot_after(Schedule(), START) == Slot(START, 0, waits_for_blackout=False)
    assert slot_after(Schedule(), START + 5, started=START, ended=START + 4) is None


# -- every ---------------------------------------------------------------------------------------------------


def test_first_iteration_starts_now() -> None:
    assert slot_after(Schedule(every_s=900), START + 17.5) == Slot(START + 17.5, 0, waits_for_blackout=False)


def test_every_counts_from_start_to_start() -> None:
    slot = slot_after(Schedule(every_s=900, min_gap_s=30), START + 400, started=START, ended=START + 399)
    assert slot == Slot(START + 900, 0, waits_for_blackout=False)


def test_iteration_ending_just_in_time_is_not_delayed_by_min_gap() -> None:
    slot = slot_after(Schedule(every_s=900, min_gap_s=30), START + 895, started=START, ended=START + 895)
    assert slot == Slot(START + 900, 0, waits_for_blackout=False)


@pytest.mark.parametrize(("took_s", "missed"), [(901, 0), (1700, 0), (1790, 1), (1801, 1), (4000, 3)])
def test_overrun_pauses_for_min_gap_and_counts_the_slots_it_ate(took_s: float, missed: int) -> None:
    ended = START + took_s
    slot = slot_after(Schedule(every_s=900, min_gap_s=30), ended + 1, started=START, ended=ended)
    assert slot == Slot(ended + 30, missed, waits_for_blackout=False)


def test_after_a_downtime_one_iteration_starts_now_and_the_rest_is_counted() -> None:
    slot = slot_after(Schedule(every_s=900), START + 10 * 900 + 5, started=START, ended=START + 60)
    assert slot == Slot(START + 10 * 900 + 5, 9, waits_for_blackout=False)


def test_clock_set_back_does_not_spin() -> None:
    slot = slot_after(Schedule(every_s=1), START - 3600, started=START, ended=START + 0.2)
    assert slot is not None
    assert slot.starts_at >= START + 1
    assert slot.missed == 0


def test_until_ends_the_experiment() -> None:
    schedule = Schedule(every_s=900, until_s=3600)
    assert slot_after(schedule, START + 2701, started=START + 1800, ended=START + 1900) is not None
    assert slot_after(schedule, START + 2801, started=START + 2700, ended=START + 2800) is None


# -- align ---------------------------------------------------------------------------------------------------


def test_aligned_start_waits_for_the_next_multiple() -> None:
    now = local("2026-03-02T10:07:00", "Europe/Lisbon")
    slot = slot_after(Schedule(every_s=900, align=True), now, zone="Europe/Lisbon")
    assert slot == Slot(local("2026-03-02T10:15:00", "Europe/Lisbon"), 0, waits_for_blackout=False)


def test_aligned_multiples_start_anew_at_midnight() -> None:
    first = local("2026-03-02T00:00:00", "Asia/Kolkata")
    starts = walk(Schedule(every_s=7 * 3600, align=True), "Asia/Kolkata", first, first + 1.1 * DAY)
    assert starts == ["02 00:00", "02 07:00", "02 14:00", "02 21:00", "03 00:00"]


def test_aligned_overrun_goes_on_at_a_multiple_and_counts() -> None:
    slot = slot_after(
        Schedule(every_s=900, align=True, min_gap_s=30), START + 2701, started=START, ended=START + 2695
    )
    assert slot == Slot(START + 3600, 3, waits_for_blackout=False)


def test_aligned_downtime_of_a_year_is_counted_exactly() -> None:
    schedule = Schedule(every_s=60, align=True)
    now = local("2027-01-01T00:00:00", "Europe/Lisbon")
    slot = slot_after(schedule, now, zone="Europe/Lisbon", started=START, ended=START + 1)
    assert slot == Slot(now, 365 * 1440 - 1, waits_for_blackout=False)


def test_23_hour_day_leaves_out_what_the_wall_clock_skips() -> None:
    first = local("2026-03-08T00:00:00", "America/New_York")
    hourly = walk(Schedule(every_s=3600, align=True), "America/New_York", first, first + 4 * 3600)
    assert hourly == ["08 00:00", "08 01:00", "08 03:00", "08 04:00", "08 05:00"]
    rarer = walk(Schedule(every_s=7200, align=True), "America/New_York", first, first + 6 * 3600)
    assert rarer == ["08 00:00", "08 04:00", "08 06:00"]


def test_25_hour_day_repeats_frequent_slots_and_never_doubles_rare_ones() -> None:
    first = local("2026-11-01T00:00:00", "America/New_York")
    half_hourly = walk(Schedule(every_s=1800, align=True), "America/New_York", first, first + 3.5 * 3600)
    assert half_hourly == [
        *("01 00:00", "01 00:30", "01 01:00", "01 01:30"),
        *("01 01:00", "01 01:30", "01 02:00", "01 02:30"),
    ]
    five_thirds = walk(Schedule(every_s=6000, align=True), "America/New_York", first, first + 6 * 3600)
    assert five_thirds == ["01 00:00", "01 01:40", "01 03:20", "01 05:00"]


def test_half_hour_change_of_lord_howe_keeps_hourly_slots_single() -> None:
    first = local("2026-04-05T00:00:00", "Australia/Lord_Howe")  # 02:00 becomes 01:30
    starts = walk(Schedule(every_s=5400, align=True), "Australia/Lord_Howe", first, first + 4 * 3600)
    assert starts == ["05 00:00", "05 01:30", "05 03:00"]


def test_daily_slot_happens_at_the_jump_where_midnight_does_not_exist() -> None:
    first = local("2026-04-22T00:00:00", "Africa/Cairo")  # summer time starts on Friday 24 at 00:00
    starts = walk(Schedule(every_s=DAY, align=True), "Africa/Cairo", first, first + 4 * DAY)
    assert starts == ["22 00:00", "23 00:00", "24 01:00", "25 00:00", "26 00:00"]


def test_periods_longer_than_a_day_count_from_the_midnight_of_the_first_day() -> None:
    first = local("2026-03-27T10:00:00", "Europe/Lisbon")
    starts = walk(Schedule(every_s=2 * DAY, align=True), "Europe/Lisbon", first, first + 7 * DAY)
    assert starts == ["29 00:00", "31 00:00", "02 00:00"]


# -- blackout ------------------------------------------------------------------------------------------------


def test_blackout_moves_the_start_to_its_end() -> None:
    schedule = Schedule(every_s=900, blackout=(Blackout(120, 180),))
    now = START + 2.5 * 3600
    assert slot_after(schedule, now) == Slot(START + 3 * 3600, 0, waits_for_blackout=True)
    assert slot_after(schedule, START + 3 * 3600) == Slot(START + 3 * 3600, 0, waits_for_blackout=False)


def test_blackout_over_midnight_belongs_to_the_day_on_which_it_starts() -> None:
    friday_night = Schedule(every_s=900, blackout=(Blackout(22 * 60, 6 * 60, frozenset({4})),))
    saturday_3am = START + 2 * DAY + 3 * 3600  # 2026-01-03 is a Saturday
    assert slot_after(friday_night, saturday_3am) == Slot(
        START + 2 * DAY + 6 * 3600, 0, waits_for_blackout=True
    )
    sunday_3am = saturday_3am + DAY
    assert slot_after(friday_night, sunday_3am) == Slot(sunday_3am, 0, waits_for_blackout=False)


def test_windows_that_touch_are_one() -> None:
    schedule = Schedule(blackout=(Blackout(0, 60), Blackout(60, 90), Blackout(80, 200)))
    assert slot_after(schedule, START + 5) == Slot(START + 200 * 60, 0, waits_for_blackout=True)


def test_aligned_start_that_waited_for_a_blackout_goes_back_to_the_multiples() -> None:
    schedule = Schedule(every_s=3600, align=True, blackout=(Blackout(50, 130),))
    slot = slot_after(schedule, START + 70, started=START, ended=START + 60)
    waited = START + 130 * 60
    assert slot == Slot(waited, 0, waits_for_blackout=True)
    after = slot_after(schedule, waited + 70, started=waited, ended=waited + 60)
    assert after == Slot(START + 3 * 3600, 0, waits_for_blackout=False)


def test_a_daily_start_inside_a_nightly_window_comes_at_its_end() -> None:
    schedule = Schedule(every_s=DAY, align=True, blackout=(Blackout(22 * 60, 6 * 60),))
    slot = slot_after(schedule, START + 5)
    assert slot == Slot(START + DAY + 6 * 3600, 0, waits_for_blackout=True)


def test_blackout_through_the_change_to_summer_time_ends_at_its_wall_clock_end() -> None:
    schedule = Schedule(blackout=(Blackout(22 * 60, 6 * 60),))
    now = local("2026-03-28T23:00:00", "Europe/Lisbon")
    slot = slot_after(schedule, now, zone="Europe/Lisbon")
    assert slot == Slot(local("2026-03-29T06:00:00", "Europe/Lisbon"), 0, waits_for_blackout=True)


@pytest.mark.parametrize("align", [False, True])
def test_blackout_without_an_end_is_refused(align: bool) -> None:
    schedule = Schedule(every_s=900, align=align, blackout=(Blackout(0, 0),))
    with pytest.raises(UsageError, match="leave no time"):
        slot_after(schedule, START)


# -- refusals and rules of restart ---------------------------------------------------------------------------


def test_unknown_time_zone_is_refused() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(UsageError, match="IANA"):
            slot_after(Schedule(), START, zone=name)


def test_open_iteration_is_continued_until_the_next_slot() -> None:
    assert should_continue(Schedule(), START, START + 99 * DAY)
    assert should_continue(Schedule(every_s=900), START, START + 899)
    assert not should_continue(Schedule(every_s=900), START, START + 900)


@given(now=st.floats(0, 4e9), last=st.none() | st.integers(0, 4_000_000_000))
def test_iteration_ids_only_grow(now: float, last: int | None) -> None:
    made = iteration_id(now, last)
    assert made >= int(now)
    assert last is None or made > last
    assert last is not None or made == int(now)


# -- properties ----------------------------------------------------------------------------------------------


def in_window(window: Blackout, here: datetime) -> bool:
    minute = here.hour * 60 + here.minute
    yesterday = (here - timedelta(days=1)).weekday()
    if window.start_minute < window.end_minute:
        return here.weekday() in window.weekdays and window.start_minute <= minute < window.end_minute
    after = here.weekday() in window.weekdays and minute >= window.start_minute
    return after or (yesterday in window.weekdays and minute < window.end_minute)


@given(
    zone=st.sampled_from(ZONES),
    now=instants,
    every=periods,
    align=st.booleans(),
    blackout=st.lists(windows, max_size=3).map(tuple),
    started_ago=st.none() | st.floats(-2 * DAY, 40 * DAY),
    took=st.none() | st.floats(0, 3 * DAY),
    min_gap=st.sampled_from([0.0, 30.0]),
)
def test_slots_are_never_early_never_in_a_window_and_on_the_grid(
    *,
    zone: str,
    now: float,
    every: float,
    align: bool,
    blackout: tuple[Blackout, ...],
    started_ago: float | None,
    took: float | None,
    min_gap: float,
) -> None:
    schedule = Schedule(every_s=every, align=align, blackout=blackout, min_gap_s=min_gap)
    started = None if started_ago is None else now - started_ago
    ended = None if started is None or took is None else started + took
    slot = slot_after(schedule, now, zone=zone, began=started or now, started=started, ended=ended)
    assert slot is not None
    assert slot.starts_at >= now
    assert slot.missed >= 0
    if started is not None:
        assert slot.starts_at >= started + 1
    here = datetime.fromtimestamp(slot.starts_at, ZoneInfo(zone))
    # A window's end is exact to the microsecond of a datetime; an instant before it would show as 59.999999.
    assert not any(in_window(window, here + timedelta(microseconds=1)) for window in blackout)
    if align and every < DAY and not slot.waits_for_blackout:
        second = here.hour * 3600 + here.minute * 60 + here.second + here.microsecond / 1e6
        assert min(second % every, every - second % every, DAY - second) < 1e-3


@given(
    zone=st.sampled_from(ZONES), now=instants, every=periods, align=st.booleans(), steps=st.integers(2, 30)
)
def test_a_chain_of_instant_iterations_grows_and_misses_nothing(
    *, zone: str, now: float, every: float, align: bool, steps: int
) -> None:
    schedule = Schedule(every_s=every, align=align)
    began, started = now, None
    for _ in range(steps):
        slot = slot_after(schedule, now, zone=zone, began=began, started=started, ended=started)
        assert slot is not None
        assert slot.missed == 0
        if started is not None:
            assert slot.starts_at >= started + 1
            assert slot.starts_at <= started + every + 2 * 3600
        now = started = slot.starts_at
