import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.energy.counters import GAP_MAX_MS, NEIGHBOURS, Count, count

T0 = 1_780_000_000_000
CEILING_W = 12_000.0  # 33.3 Wh in 10 s


def counted(values: list[float], *, step_ms: int = 10_000, ceiling_w: float = CEILING_W) -> Count:
    return count([T0 + step_ms * n for n in range(len(values))], values, ceiling_w=ceiling_w)


def total_wh(result: Count) -> float:
    return (result.total_mwh[-1] - result.total_mwh[0]) / 1000


def kinds(result: Count) -> list[str]:
    return [correction.kind for correction in result.corrections]


def test_plain_counting_is_the_difference() -> None:
    result = counted([100.0, 101.5, 101.5, 120.25])
    assert total_wh(result) == 20.25
    assert result.corrections + result.unknown + result.touched == []


def test_a_reset_counts_from_zero() -> None:
    result = counted([5000.0, 5010.0, 0.0, 4.0, 9.0])
    assert kinds(result) == ["reset"]
    assert total_wh(result) == 10 + 9
    assert result.corrections[0].raw_before_wh == 5010.0


def test_a_reset_that_was_noticed_late_books_what_was_counted_since() -> None:
    result = counted([5000.0, 7.0])
    assert (kinds(result), total_wh(result)) == (["reset"], 7.0)


@pytest.mark.parametrize("modulus", [65_536, 6_553_600, 2**32, 2**32 / 10, 10**5, 10**6, 10**8, 10**9])
def test_a_register_that_is_full_goes_on_at_zero(modulus: float) -> None:
    result = counted([modulus - 12, modulus - 4, 6.0, 14.0])
    assert kinds(result) == ["rollover"]
    assert total_wh(result) == pytest.approx(26, abs=0.001)
    assert result.unknown == []


@pytest.mark.parametrize("after", [90_000.0, 400.0])
def test_another_meter_books_nothing(after: float) -> None:
    result = counted([5000.0, 5001.0, after, after + 2, after + 3])
    assert kinds(result) == ["swap"]
    assert total_wh(result) == 4
    assert result.unknown == [(T0 + 10_000, T0 + 20_000)]


@pytest.mark.parametrize("wrong", [[0.0], [90_000.0], [0.0, 0.0], [90_000.0, 90_001.0, 0.0], [5000.5], [5001.5, 0.0]])
def test_a_glitch_is_left_out(wrong: list[float]) -> None:
    result = counted([5000.0, 5001.0, 5002.0, *wrong, 5003.0, 5004.0, 5005.0])
    assert set(kinds(result)) == {"glitch"}
    assert total_wh(result) == 5
    assert len(result.times) == 6


def test_a_wrong_value_after_a_gap_is_a_glitch_although_the_gap_could_hold_it() -> None:
    times = [T0, T0 + 36_000_000, T0 + 36_010_000, T0 + 36_020_000]
    result = count(times, [5000.0, 60_000.0, 5003.0, 5004.0], ceiling_w=CEILING_W)
    assert (kinds(result), total_wh(result)) == (["glitch"], 4.0)


def test_two_meters_on_one_name_book_nothing() -> None:
    result = counted([value for n in range(50) for value in (5000.0 + n, 90_000.0 + n)])
    assert total_wh(result) <= 100


def test_a_slow_counter_of_whole_kilowatt_hours_is_no_swap() -> None:
    times = [T0 + 10_000 * n for n in range(4)]
    assert kinds(count(times, [5000.0, 5000.0, 6000.0, 6000.0], ceiling_w=3000.0, step_wh=1000.0)) == []
    assert kinds(count(times, [5000.0, 5000.0, 6000.0, 6000.0], ceiling_w=3000.0)) == ["swap"]


def test_growth_over_a_silence_that_is_too_long_is_unknown() -> None:
    result = count([T0, T0 + GAP_MAX_MS + 1], [0.0, 50.0], ceiling_w=CEILING_W)
    assert (total_wh(result), len(result.unknown)) == (0.0, 1)


def test_what_is_no_reading_is_left_out() -> None:
    assert total_wh(counted([100.0, float("nan"), 101.0, -1.0, 102.0, float("inf"), 103.0])) == 3
    assert counted([]).times == []


steps_wh = st.one_of(st.floats(0, 30), st.sampled_from([-5000.0, -1.0, 0.0, 1e5, 1e9]))
values_wh = st.one_of(
    st.lists(st.sampled_from([0.0, 5.0, 99_990.0, 99_999.0, 100_020.0, 65_530.0, 5000.0, 5001.0]), max_size=40),
    st.tuples(st.floats(0, 1e6), st.lists(steps_wh, max_size=60)).map(
        lambda made: [max(0.0, made[0] + sum(made[1][:n])) for n in range(len(made[1]) + 1)]
    ),
)
gaps_ms = st.sampled_from([1, 1_000, 10_000, 10_000, 10_000, 900_000, 40_000_000])


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    values = draw(values_wh)
    times, at = [], T0
    for _ in values:
        at += draw(gaps_ms)
        times.append(at)
    return times, values


@settings(deadline=None)  # a busy machine is no failure
@given(streams())
def test_energy_is_never_negative_and_never_more_than_the_ceiling_allows(stream: tuple[list[int], list[float]]) -> None:
    result = count(*stream, ceiling_w=CEILING_W)
    links = zip(pairwise(result.times), pairwise(result.total_mwh), strict=True)
    for (t0, t1), (before, after) in links:
        assert 0 <= after - before <= CEILING_W * (t1 - t0 + 2_000) / 3_600 + 1_000


@settings(deadline=None)  # a busy machine is no failure
@given(streams(), st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(stream: tuple[list[int], list[float]], shuffler: random.Random) -> None:
    thrice = list(zip(*stream, strict=True)) * 3
    shuffler.shuffle(thrice)
    assert count([t for t, _ in thrice], [v for _, v in thrice], ceiling_w=CEILING_W) == count(*stream, ceiling_w=CEILING_W)


@settings(deadline=None)  # a busy machine is no failure
@given(streams(), st.data())
def test_what_is_decided_between_two_instants_depends_on_the_neighbours_alone(
    stream: tuple[list[int], list[float]], data: st.DataObject
) -> None:
    times, values = stream
    first = data.draw(st.integers(0, len(times)))
    end = data.draw(st.integers(first, len(times)))
    near = slice(max(0, first - NEIGHBOURS), end + NEIGHBOURS)
    whole = count(times, values, ceiling_w=CEILING_W)
    part = count(times[near], values[near], ceiling_w=CEILING_W)
    inside = set(times[first:end])
    assert _links(part, inside) == _links(whole, inside)
    assert [c for c in part.corrections if c.at in inside] == [c for c in whole.corrections if c.at in inside]


def _links(result: Count, inside: set[int]) -> list[tuple[int, int, int]]:
    """(from, until, mWh) of all that are known and begin or end in it."""
    links = zip(pairwise(result.times), pairwise(result.total_mwh), strict=True)
    known = [(*link, after - before) for link, (before, after) in links if link not in result.unknown]
    return [link for link in known if not inside.isdisjoint(link[:2])]
