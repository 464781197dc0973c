"""Time cut into columns and hours, and drawn: sums stay sums, clocks may change."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import lxml.etree
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcplay.model.report import IterationSpan, Visit
from ddcplay.report.charts import bars, heat_map, time_lines, week_grid
from ddcplay.report.timeline import COLLECTED, COLUMNS, MISSED, NOTHING, OFF, Timeline, Week, make_grid

MONDAY = 1_699_833_600
LISBON = ZoneInfo("Europe/Lisbon")


def spans(*starts: float) -> list[IterationSpan]:
    return [IterationSpan(int(start), start) for start in starts]


def test_a_month_of_quarter_hours_has_columns_of_an_hour():
    grid = make_grid(spans(*(MONDAY + n * 900 for n in range(2880))))
    assert (grid.step_s, sum(grid.iterations)) == (3600, 2880)


def test_iterations_that_start_a_little_late_stay_in_columns_of_their_own():
    grid = make_grid(spans(*(MONDAY + n * 900 + (n * 7) % 20 for n in range(90))))
    assert (grid.step_s, list(grid.iterations)) == (900, [1] * 90)


@given(st.lists(st.integers(0, 2**33), min_size=1, max_size=40, unique=True))
def test_every_iteration_has_a_column_and_there_are_never_too_many(starts):
    grid = make_grid(spans(*sorted(starts)))
    assert sum(grid.iterations) == len(starts)
    assert len(grid.iterations) == grid.columns <= COLUMNS + 2
    assert set(grid.column_of.values()) <= set(range(grid.columns))


@pytest.mark.parametrize(
    ("visits", "state"),
    [
        ([], NOTHING),
        (["off", "off", "ok"], OFF),
        (["ok", "off"], COLLECTED),
        (["missed", "ok"], MISSED),
        (["missed", "ok", "ok"], COLLECTED),
    ],
)
def test_a_column_says_what_a_machine_mostly_was(visits, state):
    grid = make_grid(spans(0.0, 10_000_000.0, 10_000_000.0 + len(visits)))
    line = Timeline(grid, ["pc1"])
    made = [Visit(10_000_000, "pc1", kind != "off", kind == "ok") for kind in visits]
    list(line.add_visits(made))
    assert line.states("pc1")[grid.column_of[10_000_000]] == state


def test_hours_of_the_week_follow_the_clocks_of_the_place():
    summer, winter = 1_697_958_000, 1_698_566_400  # Sundays 2023-10-22 07:00 UTC, 2023-10-29 08:00 UTC
    week = Week(LISBON, spans(float(summer), float(winter)))
    assert week.looks[6 * 24 + 8] == 2


def test_days_are_those_of_the_place():
    line = Timeline(make_grid(spans(MONDAY - 1800.0, MONDAY + 1800.0)), ["pc1"])
    assert [day for day, *_numbers in line.by_day(LISBON)] == ["2023-11-12", "2023-11-13"]


NUMBERS = st.one_of(st.none(), st.floats(0, 1e6))


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.text(max_size=20), st.sampled_from([1, 900, 86400]))
def test_every_picture_is_well_formed_whatever_it_shows(values, title, step):
    title = "".join(char for char in title if char.isprintable())
    grid = make_grid(spans(*(float(MONDAY + n * step) for n in range(len(values)))))
    line = Timeline(grid, ["pc1"])
    columns = (values * grid.columns)[: grid.columns]
    pictures = (
        heat_map(line, [("pc1", title, title)], title, LISBON),
        time_lines(grid, [("on", title, columns), ("ok", "b", columns)], title, LISBON),
        week_grid((values * 168)[:168], title, "machines"),
        bars([(title, value or 0.0, "1") for value in values], title),
    )
    for picture in pictures:
        tree = lxml.etree.fromstring(picture)
        assert tree.find("title").text == (title or None)
        assert "nan" not in picture
