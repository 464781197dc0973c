"""Cron schedules and single-shot windows: daylight saving, blackout, missed slots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.errors import UsageError
from ddcplay.model.playbook import Blackout, Schedule
from ddcplay.planning.cron import cron_times
from ddcplay.planning.timetable import may_start, next_slot, should_continue

LISBON = "Europe/Lisbon"


def at(text: str, zone: str = LISBON, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def shown(instant: float, zone: str = LISBON) -> str:
    return datetime.fromtimestamp(instant, ZoneInfo(zone)).strftime("%d %H:%M:%S%z")


def starts(schedule: Schedule, begin: float, end: float, zone: str = LISBON) -> list[float]:
    """Return every start in [begin, end) of a run whose iterations take no time."""
    found: list[float] = []
    now, last = begin, None
    while (
        slot := next_slot(schedule, zone, now, began_at=begin, last_started_at=last, last_ended_at=last)
    ) and (slot.starts_at < end):
        found.append(slot.starts_at)
        assert slot.missed == 0
        now = last = slot.starts_at
    return found


def test_cron_starts_on_its_slots_only() -> None:
    office = Schedule(cron="*/15 8-20 * * 1-5")
    friday = at("2026-11-20T19:50:00")
    found = starts(office, friday, at("2026-11-23T08:20:00"))
    assert [shown(each) for each in found] == [
        "20 20:00:00+0000",
        "20 20:15:00+0000",
        "20 20:30:00+0000",
        "20 20:45:00+0000",
        "23 08:00:00+0000",
        "23 08:15:00+0000",
    ]


def test_a_slot_that_is_now_is_taken_and_one_that_has_just_begun_is_not_taken_twice() -> None:
    hourly = Schedule(cron="0 * * * *")
    noon = at("2026-11-20T12:00:00")
    slot = next_slot(hourly, LISBON, noon, began_at=noon, last_started_at=None, last_ended_at=None)
    assert slot is not None
    assert slot.starts_at == noon
    # the clock was set back by two seconds right after the start
    again = next_slot(hourly, LISBON, noon - 2, began_at=noon, last_started_at=noon, last_ended_at=None)
    assert again is not None
    assert again.starts_at == noon + 3600


@pytest.mark.parametrize(
    ("cron", "day", "count"),
    [
        ("*/15 * * * *", "2026-03-29", 23 * 4),
        ("*/15 * * * *", "2026-10-25", 25 * 4),
        ("30 1 * * *", "2026-03-29", 1),
        ("30 1 * * *", "2026-10-25", 1),
        ("0,30 1 * * *", "2026-03-29", 1),
        ("0 * * * *", "2026-10-25", 25),
        ("15 0-3 * * *", "2026-10-25", 4),
        ("15 0-3 * * *", "2026-03-29", 4),
    ],
)
def test_days_of_23_and_25_hours_have_no_doubled_and_no_skipped_start(
    cron: str, day: str, count: int
) -> None:
    midnight = at(f"{day}T00:00:00")
    next_day = at(f"{(datetime.fromisoformat(day) + timedelta(days=1)).date()}T00:00:00")
    assert len(starts(Schedule(cron=cron), midnight, next_day)) == count


def test_slots_that_passed_are_counted_and_not_made_up() -> None:
    hourly = Schedule(cron="0 * * * *")
    last = at("2026-11-20T12:00:00")
    slot = next_slot(
        hourly, LISBON, last + 5 * 3600 + 60, began_at=last, last_started_at=last, last_ended_at=last
    )
    assert slot is not None
    assert (slot.starts_at - last, slot.missed) == (6 * 3600, 5)


def test_years_of_silence_are_counted_up_to_a_bound_and_quickly() -> None:
    minutely = Schedule(cron="* * * * *")
    last = at("2020-01-01T00:00:00")
    now = at("2026-01-01T00:00:30")
    slot = next_slot(minutely, LISBON, now, began_at=last, last_started_at=last, last_ended_at=last)
    assert slot is not None
    assert (slot.starts_at, slot.missed) == (now + 30, 10_000)


def test_slots_in_a_blackout_are_left_out_and_not_called_missed() -> None:
    night = Schedule(cron="0 * * * *", blackout=(Blackout(22 * 60, 6 * 60),))
    last = at("2026-11-20T21:00:00")
    slot = next_slot(night, LISBON, last + 60, began_at=last, last_started_at=last, last_ended_at=last)
    assert slot is not None
    assert (shown(slot.starts_at), slot.missed, slot.waits_for_blackout) == ("21 06:00:00+0000", 0, True)


def test_a_blackout_over_every_slot_is_refused() -> None:
    never = Schedule(cron="0 3 * * *", blackout=(Blackout(2 * 60, 4 * 60),))
    with pytest.raises(UsageError, match="leave no time"):
        next_slot(never, LISBON, 1.7e9, began_at=1.7e9, last_started_at=None, last_ended_at=None)


def test_until_ends_a_cron_play() -> None:
    hourly = Schedule(cron="0 * * * *", until_s=1800)
    begin = at("2026-11-20T12:10:00")
    assert next_slot(hourly, LISBON, begin, began_at=begin, last_started_at=None, last_ended_at=None) is None


def test_an_open_iteration_of_a_cron_play_is_continued_until_the_next_slot() -> None:
    hourly = Schedule(cron="0 * * * *")
    noon = at("2026-07-01T12:00:00")
    assert should_continue(hourly, noon, noon + 3599, LISBON)
    assert not should_continue(hourly, noon, noon + 3600, LISBON)
    assert not should_continue(Schedule(single_shot=(120.0, None)), noon, noon + 1)


def test_single_shot_windows_come_every_retry_and_wait_for_the_end_of_a_blackout() -> None:
    shot = Schedule(single_shot=(120.0, None), blackout=(Blackout(8 * 60, 12 * 60),))
    begin = at("2026-11-20T07:57:00")
    found = starts(shot, begin, at("2026-11-20T12:03:00"))
    assert [shown(each)[3:8] for each in found] == ["07:57", "07:59", "12:00", "12:02"]
    assert may_start(shot, LISBON, begin)
    assert not may_start(shot, LISBON, at("2026-11-20T09:00:00"))


FIELDS = st.tuples(
    st.sampled_from(["*", "*/15", "*/7", "0", "30", "0,30", "1-59/20"]),
    st.sampled_from(["*", "*/2", "1", "2", "0-3", "8-20", "1,2,3"]),
    st.sampled_from(["*", "1-7", "*/2"]),
    st.just("*"),
    st.sampled_from(["*", "1-5", "0", "7"]),
)


@given(
    fields=FIELDS,
    zone=st.sampled_from([LISBON, "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]),
    day=st.integers(0, 365 * 3),
    second=st.integers(0, 86399),
)
def test_cron_times_only_grow_begin_where_asked_and_match_when_asked_again(
    fields: tuple[str, ...], zone: str, day: int, second: int
) -> None:
    begin = datetime(2025, 1, 1, tzinfo=UTC).timestamp() + day * 86400 + second
    times = cron_times(" ".join(fields), ZoneInfo(zone), begin)
    found = [next(times) for _ in range(30)]
    assert found[0] >= begin
    assert all(first < second for first, second in pairwise(found))
    for index in (0, 7, 20):
        assert next(cron_times(" ".join(fields), ZoneInfo(zone), found[index])) == found[index]


@pytest.mark.parametrize("text", ["", "* * * *", "61 * * * *", "0 0 30 2 *", "@daily", "x"])
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no cron expression"):
        next(cron_times(text, ZoneInfo("UTC"), 1.7e9))
