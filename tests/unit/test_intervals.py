"""Energy that is told interval by interval, and what happens where intervals overlap."""

import random
from datetime import date

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet.calendar import QUARTER_MS, day_bounds
from fleet.energy.clearsky import clear_sky
from fleet.energy.intervals import AFTER_MS, BEFORE_MS, INTERVAL_MAX_MS, Interval, Spread, intervals, neighbours, spread
from fleet.energy.quarters import ESTIMATED, MEASURED, MISSING

START, END = day_bounds(date(2026, 6, 21), "Europe/Paris")
FIRST, COUNT = START // QUARTER_MS, 96
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
SUN = clear_sky(48.85, 2.35)


def told(*rows: tuple[float, float, float]) -> list[Interval]:
    """Rows of (minutes after midnight at which it ends, Wh, minutes)."""
    ends, values, lengths = zip(*rows, strict=True)
    return intervals([START + round(end * MINUTE_MS) for end in ends], values, [length * 60 for length in lengths])


def over(found: list[Interval], quarters: int = COUNT, first: int = FIRST) -> Spread:
    return spread(found, first, first + quarters)


def wh(made: Spread) -> list[float | None]:
    """None where nothing is told."""
    return [mwh / 1000 if ms else None for mwh, ms in zip(made.energy_mwh, made.covered_ms, strict=True)]


def test_five_minutes_make_a_quarter_and_are_measured() -> None:
    made = over(told((5, 10, 5), (10, 20, 5), (15, 30, 5), (20, 1, 5)), 3)
    assert wh(made) == [60.0, 1.0, None]
    assert made.quality == [MEASURED, MEASURED, MISSING]
    assert made.in_part() == {1, 2}


def test_ten_minutes_over_the_edge_of_a_quarter_are_split() -> None:
    made = over(told((10, 100, 10), (20, 60, 10), (30, 100, 10)), 2)
    assert wh(made) == [130.0, 130.0]
    assert made.quality == [MEASURED, MEASURED]


def test_a_longer_interval_has_a_measured_total_and_an_assumed_shape() -> None:
    made = over(told((30, 100.001, 30), (60, 0, 30)), 4)
    assert wh(made) == [50.0, 50.001, 0.0, 0.0]
    assert made.quality == [ESTIMATED, ESTIMATED, MEASURED, MEASURED]  # zero is zero


def test_a_solar_day_is_told_where_the_sun_is_and_an_hour_is_even() -> None:
    found = told((24 * 60, 30_000, 24 * 60))
    made = spread(found, FIRST, FIRST + COUNT, SUN)
    assert (wh(made)[8], wh(made)[-4]) == (0.0, 0.0)
    assert 0 < (wh(made)[28] or 0) < (wh(made)[56] or 0)
    assert sum(made.energy_mwh) == 30_000_000
    hour = spread(told((13 * 60, 1000, 60)), FIRST, FIRST + COUNT, SUN)
    assert wh(hour)[48:52] == [250.0] * 4


def test_what_was_told_of_the_night_is_not_lost_for_want_of_sun() -> None:
    made = spread(told((3 * 60, 12, 3 * 60)), FIRST, FIRST + COUNT, SUN)
    assert wh(made)[:12] == [1.0] * 12


@pytest.mark.parametrize(
    ("value", "minutes"),
    [
        (-1.0, 30),
        (float("nan"), 30),
        (float("inf"), 30),
        (5.0, 0),
        (5.0, -30),
        (5.0, float("nan")),
        (5.0, float("inf")),
        (5.0, 25 * 60 + 1),
    ],
)
def test_what_is_no_energy_of_a_time_is_left_out(value: float, minutes: float) -> None:
    assert told((30, value, minutes)) == []


def test_finer_rows_stand_and_the_coarser_one_gives_what_is_left() -> None:
    """An hour of which thirty minutes were told minute by minute."""
    minutes = [(minute, 2.0, 1) for minute in range(1, 31)]
    assert wh(over(told((60, 100, 60), *minutes), 4)) == [30.0, 30.0, 20.0, 20.0]
    assert wh(over(told((60, 50, 60), *minutes), 4)) == [30.0, 30.0, 0.0, 0.0]  # they said more than all of it
    assert wh(over(told((30, 50, 30), *minutes), 2)) == [30.0, 30.0]  # nothing of its time is left


def test_a_step_that_changes_from_sixty_to_thirty_minutes_counts_once() -> None:
    found = told((60, 100, 60), (120, 100, 60), (90, 10, 30), (120, 20, 30), (150, 30, 30))
    assert wh(over(found, 10)) == [25.0] * 4 + [5.0] * 2 + [10.0] * 2 + [15.0] * 2


def test_three_resolutions_within_each_other() -> None:
    found = told((60, 100, 60), (30, 70, 30), (10, 40, 10))
    assert wh(over(found, 4)) == [47.5, 22.5, 15.0, 15.0]  # 40 + 30/4, 30 · 3/4, and 100 - 70 for the other half


def test_one_that_reaches_into_finer_ones_gives_its_share() -> None:
    found = told((20, 30, 10), (30, 60, 15))  # the second from :15 on, of which five minutes are told
    assert sum(over(found).energy_mwh) == 30_000 + 40_000


def test_clocks_that_waver_cost_nothing() -> None:
    """Ten minutes that come some seconds early or late, and days that are said to have 24 hours when the clock moves."""
    late = [(10 * n + (n % 3 - 1) * 0.4, 60.0, 10) for n in range(1, 145)]
    made = over(told(*late), COUNT + 2, FIRST - 1)
    assert sum(made.energy_mwh) == 144 * 60_000
    assert made.in_part() <= {0, COUNT, COUNT + 1}
    days = told((0, 9_000, 24 * 60), (23 * 60, 10_000, 24 * 60))
    assert sum(over(days, 2 * COUNT, FIRST - COUNT).energy_mwh) == 19_000_000


def test_a_curve_told_twice_a_second_apart_counts_once() -> None:
    rows = [(30 * n + late, 50.0, 30) for n in range(1, 49) for late in (0, 1 / 60)]
    assert sum(over(told(*rows), COUNT + 1).energy_mwh) == pytest.approx(48 * 50_000, rel=0.002)


def test_a_window_that_moves_counts_its_mean_and_not_its_sum() -> None:
    """Each row tells of the last 24 hours: a fault of whoever mapped it, which must not multiply."""
    rows = [(5 * n, 2_400.0, 24 * 60) for n in range(300)]
    made = over(told(*rows), 96)
    assert sum(made.energy_mwh) == pytest.approx(2_400_000, rel=0.01)


def test_thousands_of_intervals_around_each_other_take_no_ages() -> None:
    onion = [Interval(START - n, START + n, n * 1_000) for n in range(1, 20_000)]
    assert sum(spread(onion, FIRST - 4, FIRST + 4).energy_mwh) == 19_999_000


def test_neighbours_see_as_far_as_an_interval_can() -> None:
    found = told((-30, 1, 30), (0, 1, 30), (10 * 60, 5, 24 * 60))
    ends = [one.end for one in found]
    near = neighbours(found, ends, (START, END))
    assert (near.before, near.inside, near.after) == (START - 30 * MINUTE_MS, START + 10 * HOUR_MS, None)
    assert near.overlapping == (START - INTERVAL_MAX_MS, END)
    later = neighbours(found, ends, (START + 11 * HOUR_MS, END))
    assert (later.inside, later.overlapping[0]) == (None, START - 14 * HOUR_MS)


# Any intervals ----------------------------------------------------------------------------------------------------

lengths_ms = st.sampled_from([60, 300, 600, 900, 901, 1_800, 3_600, 7_200, 86_400, 90_000]) | st.integers(1, 90_000)
rows = st.lists(
    st.builds(
        lambda end, length_s, mwh: Interval(START + end - length_s * 1000, START + end, mwh),
        st.integers(-300, 300).map(lambda n: n * 600_000) | st.integers(-(10**8), 2 * 10**8),
        lengths_ms,
        st.integers(0, 10**7) | st.just(0),
    ),
    max_size=30,
    unique_by=lambda one: one.end,
)
EVERYWHERE = (FIRST - 1_000, FIRST + 1_000)


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(rows, st.integers(-200, 200), st.integers(1, 200))
def test_a_window_needs_those_around_it_alone(found: list[Interval], first: int, count: int) -> None:
    window = (START + first * QUARTER_MS, START + (first + count) * QUARTER_MS)
    near = [one for one in found if window[0] - BEFORE_MS < one.end < window[1] + AFTER_MS]
    whole = spread(found, *EVERYWHERE, SUN)
    part = spread(near, FIRST + first, FIRST + first + count, SUN)
    shift = FIRST + first - EVERYWHERE[0]
    assert part == Spread(*(column[shift : shift + count] for column in whole))


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(rows, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(found: list[Interval], luck: random.Random) -> None:
    said = [(one.end, one.mwh / 1000, (one.end - one.start) / 1000) for one in found] * 3
    luck.shuffle(said)
    again = intervals([t for t, _, _ in said], [v for _, v, _ in said], [length for _, _, length in said])
    assert again == sorted(found, key=lambda one: one.end)
    assert spread(again, *EVERYWHERE, SUN) == spread(found, *EVERYWHERE, SUN)


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(rows)
@example([Interval(START, START + 3, 10), Interval(START, START + 7, 5)])
def test_nothing_is_negative_and_nothing_invented(found: list[Interval]) -> None:
    made = spread(found, *EVERYWHERE)
    assert min(made.energy_mwh) >= 0
    assert sum(made.energy_mwh) <= sum(one.mwh for one in found)
    assert all(0 <= ms <= QUARTER_MS for ms in made.covered_ms)


@settings(deadline=None, max_examples=100)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 10**7), lengths_ms, st.integers(0, 3) | st.integers(0, 10**7)), max_size=30))
def test_the_parts_sum_to_the_whole(made: list[tuple[int, int, int]]) -> None:
    """Of intervals that do not overlap, whatever lies between them."""
    at, found = START - 40 * HOUR_MS, []
    for mwh, length_s, pause_ms in made:
        at += pause_ms + length_s * 1000
        found.append(Interval(at - length_s * 1000, at, mwh))
    everywhere = (FIRST - 200, at // QUARTER_MS + 1)
    for weight in (None, SUN):
        assert sum(spread(found, *everywhere, weight).energy_mwh) == sum(mwh for mwh, _, _ in made)
