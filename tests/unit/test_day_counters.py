"""Counters that start anew each day, at whatever hour their makers and clocks think that it begins."""

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.calendar import QUARTER_MS, day_bounds
from fleet.energy.clearsky import clear_sky
from fleet.energy.counters import NEIGHBOURS, Count
from fleet.energy.cut_counters import Cut, count_segments
from fleet.energy.day_counters import count_days, midnight_before
from fleet.energy.quarters import quarters

PARIS = "Europe/Paris"
START, END = day_bounds(date(2026, 6, 21), PARIS)
NEXT_END = day_bounds(date(2026, 6, 22), PARIS)[1]
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
SUN = clear_sky(48.85, 2.35)
solar = partial(count_days, timezone=PARIS, ceiling_w=10_800.0, sun=SUN)
drawn = partial(count_days, timezone=PARIS, ceiling_w=300_000.0)
Counting = Callable[[Sequence[int], Sequence[float]], Count]


def wh_by_day(counted: Count, *days: tuple[int, int]) -> list[float]:
    sums = []
    for start, end in days or ((START, END), (END, NEXT_END)):
        made = quarters(counted, start // QUARTER_MS, end // QUARTER_MS)
        sums.append(sum(mwh or 0 for mwh in made.energy_mwh) / 1000)
    return sums


def counted(samples: dict[int, float], by: Counting = solar) -> Count:
    return by(sorted(samples), [samples[t] for t in sorted(samples)])


def sunny(since: int, until: int, *, shown_until: int = 0, step_ms: int = 5 * MINUTE_MS) -> dict[int, float]:
    """A day of 8 kWh between 06:00 and 22:00, told from `since` to `until`; before that yesterday's is shown, or zero."""
    midnight = midnight_before(since + 1, PARIS)
    begins = midnight + 6 * HOUR_MS
    return {
        t: 8_000.0 if t < shown_until else max(0.0, min(8_000.0, 8_000.0 * (t - begins) / (16 * HOUR_MS)))
        for t in range(since, until, step_ms)
    }


def test_a_day_counts_from_midnight_and_each_for_itself() -> None:
    made = counted(sunny(START + MINUTE_MS, END) | sunny(END + MINUTE_MS, NEXT_END))
    assert wh_by_day(made) == [8_000.0, 8_000.0]
    assert (made.corrections, made.touched) == ([], [])


def test_the_first_reading_of_a_day_counts_from_midnight() -> None:
    made = counted({START + 10 * HOUR_MS: 3_000.0, START + 11 * HOUR_MS: 3_500.0})
    assert wh_by_day(made) == [3_500.0, 0.0]


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_midnight_is_the_sites_also_when_the_clock_moves(day: date) -> None:
    (start, end), rate_w = day_bounds(day, PARIS), 100.0
    after = day_bounds(date.fromordinal(day.toordinal() + 1), PARIS)
    told = {t: rate_w * (t - start) / HOUR_MS for t in range(start + QUARTER_MS, end, QUARTER_MS)}
    told |= {t: rate_w * (t - end) / HOUR_MS for t in range(end, after[1], QUARTER_MS)}
    made = counted(told, drawn)
    hours = (end - start) / HOUR_MS
    assert wh_by_day(made, (start, end), after) == [rate_w * (hours - 0.25), rate_w * 23.75]  # the last quarter was not told


def test_nothing_is_booked_across_midnight() -> None:
    made = counted({END - 4 * HOUR_MS: 7_000.0, END + 2 * HOUR_MS: 300.0}, drawn)
    assert wh_by_day(made) == [7_000.0, 300.0]
    assert made.unknown == [(END - 4 * HOUR_MS, END)]


def test_yesterdays_value_that_is_shown_until_sunrise_is_not_booked_again() -> None:
    told = sunny(START, END) | sunny(END, NEXT_END, shown_until=END + 6 * HOUR_MS)
    assert wh_by_day(counted(told)) == [8_000.0, 8_000.0]
    assert counted(told).corrections == []


def test_an_inverter_that_does_not_wake_shows_yesterday_all_day() -> None:
    told = sunny(START, END) | sunny(END, NEXT_END, shown_until=NEXT_END)
    assert wh_by_day(counted(told)) == [8_000.0, 0.0]


def test_what_is_shown_before_any_sun_is_not_of_today_even_if_nobody_saw_yesterdays_end() -> None:
    told = {START + 19 * HOUR_MS: 7_000.0} | {END + n * HOUR_MS: 8_000.0 for n in range(1, 5)} | {END + 7 * HOUR_MS: 50.0}
    assert wh_by_day(counted(told)) == [pytest.approx(7_000 + 1_000 * 5 / 6, abs=1), pytest.approx(50 + 1_000 / 6, abs=1)]
    first_words = {START + n * HOUR_MS: 8_000.0 for n in range(1, 5)} | {START + 7 * HOUR_MS: 50.0}
    assert wh_by_day(counted(first_words)) == [50.0, 0.0]


@pytest.mark.parametrize(
    "late_ms", [-2 * HOUR_MS, -HOUR_MS, -10 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 2 * HOUR_MS, 9 * HOUR_MS]
)
def test_a_device_with_a_midnight_of_its_own_loses_nothing_but_the_turn(late_ms: int) -> None:
    """A clock that knows no summer time, or runs in UTC, or in its maker's country."""
    day_ms = 24 * HOUR_MS
    told = {
        t: round(400.0 * ((t - START - late_ms) % day_ms) / HOUR_MS, 3)
        for t in range(START - day_ms, NEXT_END + day_ms, 5 * MINUTE_MS)
    }
    assert wh_by_day(counted(told, drawn)) == [pytest.approx(9_600, abs=40), pytest.approx(9_600, abs=40)]
    assert counted(told, drawn).corrections == []


def test_a_reboot_counts_from_zero_whatever_it_shows_then() -> None:
    noon = START + 12 * HOUR_MS
    told = {noon - HOUR_MS: 4_000.0, noon: 4_500.0, noon + HOUR_MS: 300.0, noon + 2 * HOUR_MS: 900.0}
    assert wh_by_day(counted(told)) == [5_400.0, 0.0]
    while_nobody_listened = {noon: 4_500.0, noon + 5 * HOUR_MS: 4_000.0}
    assert wh_by_day(counted(while_nobody_listened)) == [8_500.0, 0.0]


def test_a_glitch_is_left_out_and_said() -> None:
    told = sunny(START, END) | {START + 12 * HOUR_MS: 0.0, START + 15 * HOUR_MS: 9e6}
    made = counted(told)
    assert wh_by_day(made) == [8_000.0, 0.0]
    assert [oddity.kind for oddity in made.corrections] == ["glitch", "glitch"]


def test_once_a_day_each_reading_is_its_days() -> None:
    evenings = {START + 20 * HOUR_MS: 5_000.0, END + 20 * HOUR_MS: 5_000.0}
    assert wh_by_day(counted(evenings)) == [5_000.0, 5_000.0]
    rising = {START + 20 * HOUR_MS: 5_000.0, END + 20 * HOUR_MS: 6_000.0}
    assert wh_by_day(counted(rising, drawn)) == [5_000.0, 6_000.0]


@pytest.mark.parametrize("by", [solar, drawn])
@pytest.mark.parametrize("second", [4_000.0, 5_000.0, 6_000.0])
def test_a_reading_at_midnight_closes_the_day_before(by: Counting, second: float) -> None:
    assert wh_by_day(counted({END: 5_000.0, NEXT_END: second}, by)) == [5_000.0, second]


def test_a_zero_at_midnight_opens_the_day() -> None:
    told = {END - HOUR_MS: 5_000.0, END: 0.0, END + HOUR_MS: 70.0}
    made = counted(told, drawn)
    assert wh_by_day(made) == [5_000.0, 70.0]
    assert made.unknown == [(END - HOUR_MS, END)]


def test_after_days_of_silence_only_today_is_known() -> None:
    told = {START - 60 * HOUR_MS: 5_000.0, END + 10 * HOUR_MS: 6_000.0}
    made = counted(told)
    assert wh_by_day(made) == [0.0, 6_000.0]
    assert made.unknown == [(START - 60 * HOUR_MS, END)]


def test_replaced_hardware_counts_from_its_first_word_and_from_midnight_later() -> None:
    noon = START + 12 * HOUR_MS

    def by(times: Sequence[int], values: Sequence[float], cut: Cut) -> Count:
        return solar(times, values, step_wh=cut.scale, since=cut.since)

    told = {noon - HOUR_MS: 4_000.0, noon + HOUR_MS: 2_000.0, noon + 2 * HOUR_MS: 2_600.0, END + 12 * HOUR_MS: 4_100.0}
    made = count_segments(sorted(told), [told[t] for t in sorted(told)], [Cut(noon, 1.0, replaced=True)], by)
    assert wh_by_day(made) == [4_600.0, 4_100.0]
    assert [(oddity.kind, oddity.raw_before_wh, oddity.raw_after_wh) for oddity in made.corrections] == [("swap", 4e3, 2e3)]


# Any story --------------------------------------------------------------------------------------------------------

increments = st.floats(0, 40) | st.sampled_from([0.0, -1e9, -1e9, -50.0, 1e6])
pauses_ms = st.sampled_from([60_000, 300_000, 900_000, HOUR_MS, 3 * HOUR_MS, 10 * HOUR_MS, 24 * HOUR_MS, 24 * HOUR_MS + 1])


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    at, value = START + draw(st.sampled_from([-HOUR_MS, 0, 300_000, 9 * HOUR_MS])), draw(st.sampled_from([0.0, 5_000.0]))
    times, values = [], []
    for increment, pause in draw(st.lists(st.tuples(increments, pauses_ms), max_size=60)):
        times.append(at)
        values.append(max(0.0, value + increment))
        value = values[-1] if draw(st.integers(0, 5)) else value
        at += pause
    return times, values


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(stories(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(story: tuple[list[int], list[float]], luck: random.Random) -> None:
    thrice = list(zip(*story, strict=True)) * 3
    luck.shuffle(thrice)
    for by in (solar, drawn):
        assert by([t for t, _ in thrice], [v for _, v in thrice]) == by(*story)


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(stories())
def test_totals_never_fall(story: tuple[list[int], list[float]]) -> None:
    for by in (solar, drawn):
        made = by(*story)
        assert list(made.total_mwh) == sorted(made.total_mwh)
        assert list(made.times) == sorted(made.times)
        assert set(made.heard) == set(story[0])


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(stories(), st.data())
def test_a_window_needs_its_neighbours_alone(story: tuple[list[int], list[float]], data: st.DataObject) -> None:
    times, values = story
    first = data.draw(st.integers(START // QUARTER_MS - 8, START // QUARTER_MS + 400))
    end = first + data.draw(st.integers(1, 200))
    left, right = bisect_left(times, first * QUARTER_MS), bisect_left(times, end * QUARTER_MS)
    near = slice(max(0, left - NEIGHBOURS), right + NEIGHBOURS)
    for by in (solar, drawn):
        whole, part = by(times, values), by(times[near], values[near])
        assert quarters(part, first, end, SUN) == quarters(whole, first, end, SUN)
        inside = range(first * QUARTER_MS, end * QUARTER_MS)
        assert [o for o in part.corrections if o.at in inside] == [o for o in whole.corrections if o.at in inside]
