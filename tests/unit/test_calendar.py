from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.calendar import QUARTER_MS, day_bounds, days_between, local_day, quarter_starts, steps
from fleet.errors import BadInput

PARIS = "Europe/Paris"
ZONES = (
    PARIS,
    "UTC",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Havana",
    "Africa/Cairo",
    "Indian/Reunion",
    "America/Asuncion",
)
days = st.dates(date(2015, 1, 1), date(2035, 12, 31))


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("day", "quarters"),
    [(date(2026, 3, 29), 92), (date(2026, 6, 21), 96), (date(2026, 10, 25), 100), (date(2027, 3, 28), 92)],
)
def test_a_day_has_as_many_quarters_as_the_clock_leaves_it(day: date, quarters: int) -> None:
    assert len(quarter_starts(day, PARIS)) == quarters


def test_half_an_hour_of_summer_time() -> None:
    assert {len(quarter_starts(date(2026, 1, 1) + timedelta(days=n), "Australia/Lord_Howe")) for n in range(365)} == {
        94,
        96,
        98,
    }


def test_the_local_day_begins_at_local_midnight() -> None:
    assert local_day(ms(2026, 6, 20, 21, 59), PARIS) == date(2026, 6, 20)
    assert local_day(ms(2026, 6, 20, 22, 0), PARIS) == date(2026, 6, 21)
    assert day_bounds(date(2026, 6, 21), PARIS) == (ms(2026, 6, 20, 22), ms(2026, 6, 21, 22))


@settings(deadline=None)  # a busy machine is no failure
@given(days, st.sampled_from(ZONES))
def test_days_tile_time_without_gap_or_overlap(day: date, timezone: str) -> None:
    start, end = day_bounds(day, timezone)
    assert start % QUARTER_MS == end % QUARTER_MS == 0
    assert end == day_bounds(day + timedelta(days=1), timezone)[0]
    assert {local_day(at, timezone) for at in quarter_starts(day, timezone)} == {day}
    assert local_day(end - 1, timezone) == day


@settings(deadline=None)  # a busy machine is no failure
@given(days, st.integers(0, 800), st.integers(0, 95), st.sampled_from(ZONES), st.sampled_from(["1h", "1d", "1mo", "1y"]))
def test_steps_tile_their_range(day: date, length_h: int, offset: int, timezone: str, step: str) -> None:
    start = day_bounds(day, timezone)[0] + offset * QUARTER_MS
    end = start + length_h * 3_600_000
    tiles = steps(start, end, step, timezone)  # type: ignore[arg-type]
    assert [a for a, _ in tiles] == ([start, *(b for _, b in tiles[:-1])] if tiles else [])
    assert not tiles or tiles[-1][1] == end
    assert all(a < b for a, b in tiles)


def test_months_and_years_are_the_calendars() -> None:
    start, end = day_bounds(date(2025, 11, 10), PARIS)[0], day_bounds(date(2026, 3, 31), PARIS)[1]
    months = [local_day(a, PARIS) for a, _ in steps(start, end, "1mo", PARIS)]
    assert months == [date(2025, 11, 10), date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)]
    assert [local_day(a, PARIS) for a, _ in steps(start, end, "1y", PARIS)] == [date(2025, 11, 10), date(2026, 1, 1)]


def test_the_hour_that_comes_twice_is_two_steps() -> None:
    assert len(steps(*day_bounds(date(2026, 10, 25), PARIS), "1h", PARIS)) == 25
    assert len(steps(*day_bounds(date(2026, 3, 29), PARIS), "1h", PARIS)) == 23


def test_days_between() -> None:
    assert days_between(ms(2026, 6, 20, 21), ms(2026, 6, 21, 23), PARIS) == [
        date(2026, 6, 20) + timedelta(days=n) for n in range(3)
    ]
    assert days_between(5, 5, PARIS) == []


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(BadInput, match="unknown_timezone"):
        local_day(0, "Europe/Nowhere")
