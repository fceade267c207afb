import random
from bisect import bisect_left
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.calendar import QUARTER_MS, Span, day_bounds, days_between, local_day, quarter_starts
from fleet.energy.clearsky import clear_sky
from fleet.energy.counters import NEIGHBOURS
from fleet.energy.day import (
    CounterSeries,
    Neighbours,
    SiteDay,
    ceiling_w,
    consumption_by_quarter,
    consumption_wh,
    influence,
    recompute_day,
    total_wh,
    window_of,
)
from fleet.ids import DeviceId, SiteId

PARIS = "Europe/Paris"
SITE = SiteId("site-1")
DAY = date(2026, 6, 21)
START, END = day_bounds(DAY, PARIS)
PV, IMPORT, EXPORT = "pv_energy_wh", "import_energy_wh", "export_energy_wh"
SUN = clear_sky(48.85, 2.35)


def series(register: str, samples: dict[int, float], *, device: str = "", sleeps: bool = False) -> CounterSeries:
    return CounterSeries(
        DeviceId(device or register[:2]),
        register,
        sorted(samples),
        [samples[t] for t in sorted(samples)],
        ceiling_w=ceiling_w(register, 9_000.0),
        sleeps=sleeps,
    )


def whole(*made: CounterSeries, day: date = DAY) -> SiteDay:
    return recompute_day(SITE, day, PARIS, made, weight=SUN).day


def even(start: int, end: int, power_w: float, *, step_ms: int = 10_000, first_wh: float = 1000.0) -> dict[int, float]:
    return {t: first_wh + round(power_w * (t - start) / 3_600) / 1000 for t in range(start, end, step_ms)}


def test_even_power_gives_even_quarters() -> None:
    day = whole(series(IMPORT, even(START - 60_000, END + 60_000, 400.0)))
    assert set(day.registers[IMPORT]) == {100.0}
    assert day.totals_wh == {IMPORT: 9_600.0}
    assert set(day.quality) == {1}


@pytest.mark.parametrize(("day", "quarters"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_days_on_which_the_clock_moves_sum_right(day: date, quarters: int) -> None:
    start, end = day_bounds(day, PARIS)
    row = whole(series(IMPORT, even(start - 60_000, end + 60_000, 400.0, step_ms=60_000)), day=day)
    assert len(row.registers[IMPORT]) == len(row.quality) == quarters
    assert row.totals_wh[IMPORT] == quarters * 100.0


def test_a_register_that_says_nothing_is_unknown_and_not_zero() -> None:
    day = whole(series(IMPORT, even(START, START + 3_600_000, 400.0)), series(EXPORT, {}))
    assert day.registers[EXPORT] == (None,) * 96
    assert day.totals_wh[EXPORT] is None
    assert day.registers[IMPORT][4] is None
    assert PV not in day.registers


def test_a_gap_is_measured_in_total_and_estimated_in_shape() -> None:
    start, end = START + 4 * QUARTER_MS, START + 12 * QUARTER_MS
    samples = even(START, start + 1, 400.0) | even(end, END + 1, 400.0, first_wh=3000.0)
    day = whole(series(IMPORT, samples))
    assert day.registers[IMPORT][4:12] == (200.0,) * 8
    assert day.quality[:13] == (1,) * 4 + (2,) * 8 + (1,)
    assert day.totals_wh[IMPORT] == samples[END] - samples[START]


def test_the_suns_energy_of_a_gap_lies_where_the_sun_is() -> None:
    samples = {START - 7_200_000: 1000.0, START + 36 * 3_600_000: 61_000.0}
    today, tomorrow = (whole(series(PV, samples), day=DAY + timedelta(days=n)).registers[PV] for n in (0, 1))
    morning, noon = today[28] or 0.0, today[56] or 0.0  # 07:00 and 14:00
    assert today[4] == today[92] == 0.0
    assert 0.0 < morning < noon
    assert (total_wh(today) or 0) + (total_wh(tomorrow) or 0) == 60_000.0


def test_a_swapped_meter_leaves_a_hole_and_not_a_heap() -> None:
    samples = even(START, START + 3_600_000, 400.0) | even(START + 7_200_000, END + 1, 400.0, first_wh=9e6)
    day = whole(series(IMPORT, samples))
    assert day.registers[IMPORT][4:8] == (None,) * 4
    assert day.quality[3] == 3
    assert day.totals_wh[IMPORT] == pytest.approx(23 * 400.0, abs=2.0)


def test_a_sleeping_inverter_makes_nothing_at_night_while_the_meter_goes_on() -> None:
    evening = START + 22 * 3_600_000
    grid = even(START - 3_600_000, END + 3_600_000, 400.0, step_ms=60_000)
    inverter = even(START + 6 * 3_600_000, evening, 1000.0, step_ms=60_000)
    asleep = whole(series(IMPORT, grid), series(EXPORT, dict.fromkeys(grid, 5.0)), series(PV, inverter, sleeps=True))
    assert asleep.registers[PV][-4:] == (0.0,) * 4
    assert asleep.quality[-1] == 1
    assert consumption_by_quarter(asleep)[-1] == 100.0
    silent = whole(series(IMPORT, grid), series(EXPORT, dict.fromkeys(grid, 5.0)), series(PV, inverter))
    assert silent.registers[PV][-4:] == (None,) * 4
    assert silent.quality[-1] == 0
    assert consumption_by_quarter(silent)[-1] is None


def test_consumption_is_shown_as_it_comes_out() -> None:
    flows: dict[str, float | None] = {PV: 100.0, IMPORT: 10.0, EXPORT: 150.0}
    assert consumption_wh(flows) == -40.0
    assert consumption_wh({**flows, "discharge_energy_wh": 60.0, "charge_energy_wh": 5.0}) == 15.0
    assert consumption_wh({**flows, PV: None}) is None
    assert consumption_wh({PV: 100.0}) is None


def test_two_inverters_add_up() -> None:
    samples = even(START, END + 1, 400.0, step_ms=60_000)
    day = whole(series(PV, samples, device="a"), series(PV, samples, device="b"))
    assert set(day.registers[PV]) == {200.0}


# A site's history in memory, read as the database is read ----------------------------------------------------------


class History(NamedTuple):
    counters: dict[str, dict[int, float]]

    def around(self, span: Span) -> list[CounterSeries]:
        made = []
        for register, samples in self.counters.items():
            times = sorted(samples)
            first, end = bisect_left(times, span[0]), bisect_left(times, span[1])
            near = {t: samples[t] for t in times[max(0, first - NEIGHBOURS) : end + NEIGHBOURS]}
            made.append(series(register, near, sleeps=register == PV))
        return made

    def neighbours(self, span: Span) -> list[Neighbours]:
        found = []
        for samples in self.counters.values():
            times = sorted(samples)
            first, end = bisect_left(times, span[0]), bisect_left(times, span[1])
            inside = times[end - 1] if end > first else None
            found.append(Neighbours(times[max(0, first - NEIGHBOURS) : first], inside, times[end : end + NEIGHBOURS]))
        return found

    def whole_days(self) -> dict[date, SiteDay]:
        instants = [t for samples in self.counters.values() for t in samples]
        days = days_between(min(instants), max(instants) + 1, PARIS) if instants else []
        return {day: recompute_day(SITE, day, PARIS, self.around(day_bounds(day, PARIS)), weight=SUN).day for day in days}


def settle(history: History, rows: dict[date, SiteDay], dirty: dict[date, int]) -> None:
    """What the roll-up does with the days that new samples marked."""
    for day, from_time in dirty.items():
        changed = (from_time, day_bounds(day, PARIS)[1])
        span = influence(changed, history.neighbours(changed))
        for touched in days_between(*span, PARIS):
            window = window_of(touched, PARIS, span, rows.get(touched))
            made = history.around(window)
            rows[touched] = recompute_day(SITE, touched, PARIS, made, weight=SUN, stored=rows.get(touched), span=span).day


increments = st.one_of(st.floats(0, 40), st.floats(0, 40), st.sampled_from([0.0, -5000.0, -1.0, 1e6, 30.0]))
pauses_ms = st.sampled_from([10_000, 10_000, 60_000, 400_000, 900_000, 3_000_000, 20_000_000])


@st.composite
def counters(draw: st.DrawFn) -> dict[int, float]:
    at = START + draw(st.integers(-60, 60)) * 600_000 + draw(st.integers(0, 9_999))
    value, samples = draw(st.sampled_from([0.0, 5000.0, 99_990.0])), {}
    for increment, pause in draw(st.lists(st.tuples(increments, pauses_ms), max_size=40)):
        samples[at] = max(0.0, value + increment)
        if draw(st.integers(0, 5)):  # else it was a glitch
            value = samples[at]
        at += pause
    return samples


histories = st.fixed_dictionaries({PV: counters(), IMPORT: counters(), EXPORT: counters()})


@settings(deadline=None)  # a busy machine is no failure
@given(histories, st.data())
def test_any_order_of_arrival_ends_in_the_same_days(final: dict[str, dict[int, float]], data: st.DataObject) -> None:
    everything = [(register, t, value) for register, samples in final.items() for t, value in samples.items()]
    arrivals = data.draw(st.permutations(everything)) if data.draw(st.booleans()) else sorted(everything, key=lambda s: s[1])
    history, rows = History({register: {} for register in final}), dict[date, SiteDay]()
    while arrivals:
        size = data.draw(st.integers(1, max(1, len(arrivals))))
        dirty: dict[date, int] = {}
        for register, t, value in arrivals[:size]:
            history.counters[register][t] = value
            day = local_day(t, PARIS)
            dirty[day] = min(t, dirty.get(day, t))
        arrivals = arrivals[size:]
        settle(history, rows, dirty)
    expected = History(final).whole_days()
    assert {day: row for day, row in rows.items() if day in expected} == expected
    assert all(set(row.quality) == {0} for day, row in rows.items() if day not in expected)


@settings(deadline=None)  # a busy machine is no failure
@given(histories, st.integers(0, 95), st.integers(1, 96))
def test_a_day_computed_in_pieces_is_the_day_computed_whole(
    final: dict[str, dict[int, float]], first: int, length: int
) -> None:
    history = History(final)
    expected = recompute_day(SITE, DAY, PARIS, history.around((START, END)), weight=SUN)
    starts = quarter_starts(DAY, PARIS)
    blank: dict[str, tuple[float | None, ...]] = dict.fromkeys(final, (None,) * 96)
    row, events = SiteDay(SITE, DAY, PARIS, blank, (0,) * 96), []
    for edge in range(first % length - length, 96, length):
        piece = (starts[max(0, edge)], min(END, START + (edge + length) * QUARTER_MS))
        part = recompute_day(SITE, DAY, PARIS, history.around(piece), weight=SUN, stored=row, span=piece)
        row = part.day
        events += part.events
    assert row == expected.day
    assert sorted(events) == sorted(expected.events)


@settings(deadline=None)  # a busy machine is no failure
@given(histories)
def test_no_energy_is_negative_and_none_is_invented(final: dict[str, dict[int, float]]) -> None:
    for row in History(final).whole_days().values():
        assert all(value is None or value >= 0 for values in row.registers.values() for value in values)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(st.floats(0, 50), pauses_ms), min_size=2, max_size=60))
def test_quarters_add_up_to_what_the_counter_grew_by(made: list[tuple[float, int]]) -> None:
    """Without faults; whatever gaps there are, over the days that they span."""
    at, value, samples = START + 12_345, 0.0, dict[int, float]()
    for increment, pause in made:
        value = round(value + increment, 3)
        samples[at] = value
        at += max(pause, 60_000)
    for register in (PV, IMPORT):
        rows = History({register: samples}).whole_days()
        grown = total_wh(total for row in rows.values() for total in [row.totals_wh[register]])
        assert (grown or 0.0) == pytest.approx(max(samples.values()) - min(samples.values()), abs=1e-6)


@settings(deadline=None)  # a busy machine is no failure
@given(histories, st.randoms(use_true_random=False))
def test_shuffled_and_tripled_streams_give_the_same_bits(
    final: dict[str, dict[int, float]], shuffler: random.Random
) -> None:
    def disturbed(made: CounterSeries) -> CounterSeries:
        thrice = list(zip(made.times, made.values_wh, strict=True)) * 3
        shuffler.shuffle(thrice)
        times, values = [t for t, _ in thrice], [value for _, value in thrice]
        return CounterSeries(made.device, made.register, times, values, made.ceiling_w, made.step_wh, made.sleeps)

    ordered = History(final).around((START, END))
    recompute = partial(recompute_day, SITE, DAY, PARIS, weight=SUN)
    assert recompute([disturbed(made) for made in ordered]) == recompute(ordered)


def test_the_sun_is_up_at_noon_and_down_at_night() -> None:
    assert SUN((START + 14 * 3_600_000) // QUARTER_MS) > 800
    assert SUN((START + 2 * 3_600_000) // QUARTER_MS) == 0
