"""Days made of intervals, of counters of the day, and of several kinds at once."""

from bisect import bisect_left
from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.calendar import QUARTER_MS, Span, day_bounds, days_between, local_day, quarter_starts
from fleet.energy.clearsky import clear_sky
from fleet.energy.counters import NEIGHBOURS
from fleet.energy.cut_counters import Cut
from fleet.energy.day import (
    CounterEvent,
    CounterSeries,
    DayCounterSeries,
    IntervalSeries,
    Neighbours,
    Series,
    SiteDay,
    ceiling_w,
    influence,
    recompute_day,
    total_wh,
    window_of,
)
from fleet.energy.day_counters import midnight_before
from fleet.energy.intervals import AFTER_MS, BEFORE_MS, INTERVAL_MAX_MS, IntervalNeighbours, intervals, neighbours
from fleet.ids import DeviceId, SiteId

PARIS, SITE, DAY = "Europe/Paris", SiteId("site-1"), date(2026, 6, 21)
START, END = day_bounds(DAY, PARIS)
HOUR_MS = 3_600_000
PV, IMPORT, EXPORT = "pv_energy_wh", "import_energy_wh", "export_energy_wh"
SUN = clear_sky(48.85, 2.35)
Rows = dict[int, tuple[float, float]]  # Wh, and of an interval how many s


def lifetime(register: str, rows: Rows, cuts: tuple[Cut, ...] = ()) -> CounterSeries:
    times, values = sorted(rows), [rows[t][0] for t in sorted(rows)]
    return CounterSeries(
        DeviceId("d"), register, times, values, ceiling_w(register, 9_000), sleeps=register == PV, cuts=cuts
    )


def of_the_day(register: str, rows: Rows, cuts: tuple[Cut, ...] = ()) -> DayCounterSeries:
    same = lifetime(register, rows)
    return DayCounterSeries(
        same.device, register, same.times, same.values_wh, same.ceiling_w, sleeps=same.sleeps, cuts=cuts, timezone=PARIS
    )


def curve(register: str, rows: Rows) -> IntervalSeries:
    found = intervals(list(rows), [wh for wh, _ in rows.values()], [length for _, length in rows.values()])
    return IntervalSeries(DeviceId("d"), register, found, register == PV)


def halves(start: int, end: int, wh: float = 50.0) -> Rows:
    return dict.fromkeys(range(start + HOUR_MS // 2, end + 1, HOUR_MS // 2), (wh, 1_800.0))


def growing(start: int, end: int, power_w: float, first_wh: float = 0.0, step_ms: int = QUARTER_MS) -> Rows:
    return {t: (first_wh + power_w * (t - start) / HOUR_MS, 0.0) for t in range(start, end + 1, step_ms)}


def whole(*told: Series, day: date = DAY) -> SiteDay:
    return recompute_day(SITE, day, PARIS, told, weight=SUN).day


@pytest.mark.parametrize(("day", "quarters"), [(DAY, 96), (date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_a_load_curve_makes_a_day_that_is_estimated_in_shape(day: date, quarters: int) -> None:
    start, end = day_bounds(day, PARIS)
    made = whole(curve(IMPORT, halves(start, end)), curve(EXPORT, halves(start, end, 0.0)), day=day)
    assert made.registers == {IMPORT: (25.0,) * quarters, EXPORT: (0.0,) * quarters}
    assert set(made.quality) == {2}
    assert made.totals_wh == {IMPORT: quarters * 25.0, EXPORT: 0.0}


def test_a_row_at_midnight_is_of_the_day_before() -> None:
    rows = {END: (80.0, 3_600.0)}
    assert whole(curve(IMPORT, rows)).totals_wh == {IMPORT: 80.0}
    assert whole(curve(IMPORT, rows), day=DAY + timedelta(days=1)).totals_wh == {IMPORT: None}


def test_a_hole_in_a_curve_is_missing_and_its_edges_are_what_is_known() -> None:
    rows = halves(START, END)
    del rows[START + HOUR_MS], rows[START + 90 * 60_000]
    rows[START + 40 * 60_000] = (12.0, 600.0)
    made = whole(curve(IMPORT, rows))
    assert made.registers[IMPORT][:7] == (25.0, 25.0, 12.0, None, None, None, 25.0)
    assert made.quality[:7] == (2, 2, 0, 0, 0, 0, 2)


def test_intervals_count_before_counters_and_counters_before_those_of_the_day() -> None:
    """Never added up; what is told of a part of a quarter-hour alone counts where nothing else is known."""
    known = halves(START, START + 2 * HOUR_MS, 5.0) | {START + 130 * 60_000: (1.0, 600.0)}
    total = growing(START + HOUR_MS, START + 4 * HOUR_MS, 400.0, 9e5)
    today = growing(START, START + 6 * HOUR_MS, 40.0)
    made = whole(curve(IMPORT, known), lifetime(IMPORT, total), of_the_day(IMPORT, today))
    assert made.registers[IMPORT][:26] == (2.5,) * 8 + (100.0,) * 8 + (10.0,) * 8 + (None,) * 2
    alone = whole(curve(IMPORT, known))
    assert alone.registers[IMPORT][:10] == (2.5,) * 8 + (1.0, None)
    assert whole(*reversed((curve(IMPORT, known), lifetime(IMPORT, total), of_the_day(IMPORT, today)))) == made


def test_of_two_devices_each_tells_in_its_own_way() -> None:
    other = DeviceId("e")
    counter = CounterSeries(other, PV, list(range(START, END + 1, QUARTER_MS)), [25.0 * n for n in range(97)], 10_000.0)
    assert set(whole(curve(PV, halves(START, END)), counter).registers[PV]) == {50.0}


def test_a_sleeping_inverters_curve_begins_and_ends_near_the_sun() -> None:
    """What it did not tell when the sun was low was nothing; by day it is missing."""
    lit = {t: row for t, row in halves(START, END).items() if SUN((t - 1) // QUARTER_MS) > 100}
    del lit[START + 12 * HOUR_MS]
    grid = dict.fromkeys(range(START - HOUR_MS, END + HOUR_MS, QUARTER_MS), (1.0, 900.0))
    made = whole(curve(PV, lit | halves(START - 6 * HOUR_MS, START - 5 * HOUR_MS)), curve(IMPORT, grid), curve(EXPORT, grid))
    assert [index for index, quality in enumerate(made.quality) if quality == 0] == [46, 47]
    assert {made.registers[PV][index] for index in (0, 25, 85, 95)} == {0.0}
    assert [made.quality[index] for index in (0, 25, 85, 95)] == [1, 2, 2, 1]


def test_glitches_of_both_counters_are_told_apart() -> None:
    rows = growing(START, END, 400.0, step_ms=60_000)
    rows[START + 12 * HOUR_MS] = (9e6, 0.0)
    events = recompute_day(SITE, DAY, PARIS, [lifetime(IMPORT, rows), of_the_day(IMPORT, rows)], weight=SUN).events
    assert [(event.register, event.correction.kind) for event in events] == [
        (IMPORT, "glitch"),
        ("import_day_energy_wh", "glitch"),
    ]


def test_other_hardware_cuts_a_counter_of_the_day() -> None:
    noon = START + 12 * HOUR_MS
    rows = growing(START, noon - QUARTER_MS, 400.0) | growing(noon, END, 400.0, 9_000.0)
    made = whole(of_the_day(IMPORT, rows, (Cut(noon, 1.0, replaced=True),)))
    assert made.totals_wh[IMPORT] == 23.75 * 400
    assert (made.registers[IMPORT][47], made.quality[47]) == (None, 0)  # between the last word and the first


# A site's history in memory, read as the database is read ----------------------------------------------------------

Key = tuple[str, str]  # kind, register
Arrival = tuple[Key, int, tuple[float, float] | None]  # None: taken back


class History(NamedTuple):
    told: dict[Key, Rows]

    def around(self, span: Span) -> list[Series]:
        found: list[Series] = []
        for (kind, register), rows in self.told.items():
            times = sorted(rows)
            if kind == "interval":
                near = {t: rows[t] for t in times if span[0] - BEFORE_MS < t < span[1] + AFTER_MS}
                found.append(curve(register, near))
                continue
            first, end = bisect_left(times, span[0]), bisect_left(times, span[1])
            near = {t: rows[t] for t in times[max(0, first - NEIGHBOURS) : end + NEIGHBOURS]}
            found.append(lifetime(register, near) if kind == "lifetime" else of_the_day(register, near))
        return found

    def neighbours(self, span: Span) -> list[Neighbours | IntervalNeighbours]:
        found: list[Neighbours | IntervalNeighbours] = []
        for (kind, register), rows in self.told.items():
            times = sorted(rows)
            first, end = bisect_left(times, span[0]), bisect_left(times, span[1])
            if kind == "interval":
                reach = (span[0] - 2 * INTERVAL_MAX_MS, span[1] + INTERVAL_MAX_MS)
                near = {t: rows[t] for t in times if reach[0] < t < reach[1]}
                found.append(neighbours(curve(register, near).found, list(near), span))
                continue
            before, inside = times[max(0, first - NEIGHBOURS) : first], times[end - 1] if end > first else None
            zero = midnight_before(min([span[0], *before[:1]]), PARIS) if kind == "day" else None
            found.append(Neighbours(before, inside, times[end : end + NEIGHBOURS], zero))
        return found

    def whole_days(self) -> dict[date, SiteDay]:
        instants = [t for rows in self.told.values() for t in rows]
        first, last = (min(instants) - INTERVAL_MAX_MS, max(instants) + 1) if instants else (0, 0)
        days = days_between(first, last, PARIS)
        return {day: recompute_day(SITE, day, PARIS, self.around(day_bounds(day, PARIS)), weight=SUN).day for day in days}


def settle(history: History, rows: dict[date, SiteDay], dirty: dict[date, int], gone: set[date]) -> None:
    """What the roll-up does with the days that new samples marked, or some that are there no more."""
    for day, from_time in dirty.items():
        changed = (from_time, day_bounds(day, PARIS)[1])
        span = influence(changed, history.neighbours(changed), gone=day in gone)
        for touched in days_between(*span, PARIS):
            window = window_of(touched, PARIS, span, rows.get(touched))
            made = history.around(window)
            rows[touched] = recompute_day(SITE, touched, PARIS, made, weight=SUN, stored=rows.get(touched), span=span).day


ends = st.integers(-60, 400).map(lambda n: START + n * 600_000) | st.integers(START - 10 * HOUR_MS, END + 40 * HOUR_MS)
told_intervals = st.dictionaries(
    ends,
    st.tuples(
        st.floats(0, 5_000) | st.sampled_from([0.0, -1.0, float("nan")]),
        st.sampled_from([60.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 86_400.0, 90_000.0, -1.0, 1e9]),
    ),
    max_size=25,
)
increments = st.floats(0, 40) | st.sampled_from([0.0, -1e9, -1e9, -50.0, 1e6])
pauses_ms = st.sampled_from([60_000, 400_000, 900_000, HOUR_MS, 5 * HOUR_MS, 24 * HOUR_MS])


@st.composite
def counters(draw: st.DrawFn) -> Rows:
    at, value, rows = START + draw(st.integers(-60, 60)) * 600_000, draw(st.sampled_from([0.0, 5_000.0])), Rows()
    for increment, pause in draw(st.lists(st.tuples(increments, pauses_ms), max_size=25)):
        rows[at] = (max(0.0, value + increment), 0.0)
        value = rows[at][0] if draw(st.integers(0, 5)) else value
        at += pause
    return rows


histories = st.fixed_dictionaries(
    {
        ("interval", PV): told_intervals,
        ("day", PV): counters(),
        ("interval", IMPORT): told_intervals,
        ("lifetime", IMPORT): counters(),
        ("day", EXPORT): counters(),
    }
)


@settings(deadline=None, max_examples=40)  # a busy machine is no failure
@given(histories, histories, st.data())
def test_any_order_of_arrival_ends_in_the_same_days(
    final: dict[Key, Rows], undone: dict[Key, Rows], data: st.DataObject
) -> None:
    """In pieces, shuffled, with rows that a later file puts right, lengths among them, and others that are taken back."""
    everything: list[Arrival] = [(key, t, row) for key, rows in final.items() for t, row in rows.items()]
    arrivals = data.draw(st.permutations(everything)) if data.draw(st.booleans()) else sorted(everything, key=_by_time)
    wrong = data.draw(st.lists(st.sampled_from(everything), max_size=5)) if everything else []
    wrong = [(key, t, (7.0, data.draw(st.sampled_from([900.0, 7_200.0, -1.0])))) for key, t, _ in wrong]
    extra: list[Arrival] = [
        (key, t, row) for key, rows in undone.items() for t, row in list(rows.items())[:4] if t not in final[key]
    ]
    arrivals = [*wrong, *extra, *arrivals]
    for key, t, _ in extra:
        arrivals.insert(data.draw(st.integers(len(wrong) + len(extra), len(arrivals))), (key, t, None))
    history, rows = History({key: {} for key in final}), dict[date, SiteDay]()
    while arrivals:
        size = data.draw(st.integers(1, max(1, len(arrivals))))
        dirty, gone = dict[date, int](), set[date]()
        for key, t, row in arrivals[:size]:
            day = local_day(t, PARIS)
            dirty[day] = min(t, dirty.get(day, t))
            if row is None:
                history.told[key].pop(t, None)
                gone.add(day)
            else:
                history.told[key][t] = row
        arrivals = arrivals[size:]
        settle(history, rows, dirty, gone)
    expected = History(final).whole_days()
    for day in rows.keys() | expected.keys():
        assert _said(rows.get(day)) == _said(expected.get(day))


def _by_time(arrival: Arrival) -> int:
    return arrival[1]


def _said(day: SiteDay | None) -> object:
    """None of a day of which nothing is known: such a row may be there or not."""
    if day is None or ({*day.quality} == {0} and {*day.totals_wh.values()} <= {None}):
        return None
    return day.registers, day.quality


@settings(deadline=None, max_examples=60)  # a busy machine is no failure
@given(histories, st.integers(0, 95), st.integers(1, 96))
def test_a_day_computed_in_pieces_is_the_day_computed_whole(final: dict[Key, Rows], first: int, length: int) -> None:
    history = History(final)
    expected = recompute_day(SITE, DAY, PARIS, history.around((START, END)), weight=SUN)
    starts = quarter_starts(DAY, PARIS)
    blank: dict[str, tuple[float | None, ...]] = dict.fromkeys((PV, IMPORT, EXPORT), (None,) * 96)
    row, events = SiteDay(SITE, DAY, PARIS, blank, (0,) * 96), list[CounterEvent]()
    for edge in range(first % length - length, 96, length):
        piece = (starts[max(0, edge)], min(END, START + (edge + length) * QUARTER_MS))
        part = recompute_day(SITE, DAY, PARIS, history.around(piece), weight=SUN, stored=row, span=piece)
        row, events = part.day, events + part.events
    assert row == expected.day
    assert sorted(events) == sorted(expected.events)


@settings(deadline=None, max_examples=60)  # a busy machine is no failure
@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from([300, 600, 900, 1_800, 3_600, 86_400])), max_size=60))
def test_quarters_of_days_sum_to_the_intervals_exactly(made: list[tuple[int, int]]) -> None:
    at, rows = START, Rows()
    for mwh, length_s in made:
        at += length_s * 1000
        rows[at] = (mwh / 1000, float(length_s))
    for register in (PV, IMPORT):
        days = History({("interval", register): rows}).whole_days()
        assert (total_wh(day.totals_wh[register] for day in days.values()) or 0) == sum(mwh for mwh, _ in made) / 1000


@pytest.mark.parametrize("make", [lifetime, of_the_day])
def test_an_hour_of_many_days_is_the_same_read_at_once(make: Callable[[str, Rows], Series]) -> None:
    """What the roll-up does with many dirty days: one part for all of them."""
    rows = growing(START, END, 400.0) | growing(END, END + 9 * HOUR_MS, 100.0, 1.0)
    whole_day = whole(make(IMPORT, rows))
    piece = (START + 8 * HOUR_MS, START + 9 * HOUR_MS)
    again = recompute_day(SITE, DAY, PARIS, [make(IMPORT, rows)], weight=SUN, stored=whole_day, span=piece)
    assert again.day == whole_day
