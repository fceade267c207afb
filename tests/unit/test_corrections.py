"""Corrections as functions of what was told: composed, from a time on, and gone without a trace when they are undone."""

import random
from bisect import bisect_left
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from actors.batch import Entry, at, collect
from fleet.calendar import QUARTER_MS, Span, day_bounds, quarter_starts
from fleet.corrections import (
    Correction,
    CorrectionKind,
    Corrector,
    Replacement,
    Segment,
    clocks,
    corrector,
    segments,
)
from fleet.energy.clearsky import clear_sky
from fleet.energy.counters import NEIGHBOURS, count
from fleet.energy.cut_counters import Cut, count_cut
from fleet.energy.day import CounterEvent, CounterSeries, SiteDay, ceiling_w, recompute_day
from fleet.ids import DeviceId, SiteId
from fleet.profiles import shipped
from tests.factories import NOON, device_twin, profile, site_twin, telemetry

METER, SITE, PARIS = DeviceId("m"), SiteId("s"), "Europe/Paris"
IMPORT, EXPORT = "import_energy_wh", "export_energy_wh"
DAY = date(2026, 6, 21)
START, END = day_bounds(DAY, PARIS)
SUN = clear_sky(48.85, 2.35)
HOUR_MS = 3_600_000


def made(
    kind: CorrectionKind, value: float, measure: str = "", from_at: int = 0, number: int = 1, undone_at: int | None = None
) -> Correction:
    return Correction(f"c{number}", METER, kind, measure, value, from_at, number, undone_at)


SIGN = made("sign", -1, "grid_power_w")
TOLD = [250.0, 10.0, 20.0, 231.0]  # in the meter's channels: grid power, import, export, voltage


def test_a_reversed_meter_swaps_import_and_export_and_nothing_else() -> None:
    assert Corrector(profile(), [SIGN]).readings(NOON, TOLD) == [-250.0, 20.0, 10.0, 231.0]


def test_a_reversed_meter_swaps_what_it_tells_of_intervals_and_days_as_well() -> None:
    meter = next(each for each in shipped() if each.id == "imported-meter")
    told = {"grid_power_w": 250.0, IMPORT: 1.0, EXPORT: 2.0, "import_interval_wh": 3.0, "export_interval_wh": 4.0}
    told |= {"import_day_energy_wh": 5.0, "export_day_energy_wh": 6.0, "import_interval_s": 900.0, "ac_voltage_v": 231.0}
    shown = Corrector(meter, [SIGN]).readings(NOON, [told.get(channel) for channel in meter.channels])
    right = {"grid_power_w": -250.0, IMPORT: 2.0, EXPORT: 1.0, "import_interval_wh": 4.0, "export_interval_wh": 3.0}
    right |= {"import_day_energy_wh": 6.0, "export_day_energy_wh": 5.0, "export_interval_s": 900.0, "ac_voltage_v": 231.0}
    assert dict(zip(meter.channels, shown, strict=True)) == {channel: right.get(channel) for channel in meter.channels}


def test_what_a_meter_does_not_tell_changes_places_with_nothing() -> None:
    meter = structs.replace(profile(), channels=("grid_power_w", IMPORT), site_registers=(IMPORT,))
    assert Corrector(meter, [SIGN]).readings(NOON, [250.0, 10.0]) == [-250.0, None]


def test_corrections_compose_in_the_order_in_which_they_were_made() -> None:
    offset, factor = made("offset", 5, "grid_power_w", number=1), made("factor", 2, "grid_power_w", number=2)
    assert Corrector(profile(), [factor, offset]).readings(NOON, TOLD)[0] == 510.0
    later = made("offset", 5, "grid_power_w", number=3)
    assert Corrector(profile(), [factor, later]).readings(NOON, TOLD)[0] == 505.0


def test_a_factor_made_after_the_turn_belongs_to_the_register_as_it_is_shown() -> None:
    factor = made("factor", 1000, IMPORT, number=2)
    assert Corrector(profile(), [SIGN, factor]).readings(NOON, TOLD) == [-250.0, 20_000.0, 10.0, 231.0]
    before = made("factor", 1000, IMPORT, number=0)
    assert Corrector(profile(), [SIGN, before]).readings(NOON, TOLD) == [-250.0, 20.0, 10_000.0, 231.0]


def test_a_correction_counts_from_its_time_on() -> None:
    corrects = Corrector(profile(), [made("sign", -1, "grid_power_w", from_at=NOON)])
    assert corrects.readings(NOON - 1, TOLD) == TOLD
    assert corrects.readings(NOON, TOLD)[0] == -250.0


def test_what_was_not_told_stays_unknown() -> None:
    assert Corrector(profile(), [SIGN]).readings(NOON, [None, 10.0, None, None]) == [None, None, 10.0, None]
    assert Corrector(profile(), [SIGN]).readings(NOON, [1.0]) == [-1.0]


WHEN = st.integers(1, 9) | st.integers(START, END + HOUR_MS)  # made before every replacement, or also after some
corrections = st.builds(
    made,
    st.sampled_from(["sign"]),
    st.just(-1.0),
    st.just("grid_power_w"),
    st.integers(START - HOUR_MS, END),
    WHEN,
) | st.builds(
    made,
    st.sampled_from(["factor", "offset"]),
    st.sampled_from([0.001, 0.5, 3.0, 1000.0]),
    st.sampled_from(["grid_power_w", IMPORT, EXPORT]),
    st.integers(START - HOUR_MS, END),
    WHEN,
)
replacements = st.lists(st.builds(Replacement, st.just(METER), st.integers(START, END)), max_size=3)


@given(st.lists(corrections, max_size=6), replacements)
def test_an_undone_correction_leaves_no_trace(known: list[Correction], swaps: list[Replacement]) -> None:
    undone = [made("factor", 7.0, IMPORT, START, 5, undone_at=NOON), made("clock", 60.0, undone_at=NOON)]
    assert segments(profile(), [*known, *undone], swaps) == segments(profile(), known, swaps)
    assert clocks([*known, *undone], swaps) == clocks([], swaps)
    assert corrector(profile(), undone, swaps) is None


@given(st.lists(corrections, max_size=6, unique_by=lambda c: c.created_at), replacements, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_listed_does_not_matter(
    known: list[Correction], swaps: list[Replacement], luck: random.Random
) -> None:
    shuffled, swapped = list(known), list(swaps)
    luck.shuffle(shuffled)
    luck.shuffle(swapped)
    assert segments(profile(), shuffled, swapped) == segments(profile(), known, swaps)


# clocks -----------------------------------------------------------------------------------------------------------


def test_a_clock_is_moved_from_a_time_that_is_right() -> None:
    behind = Corrector(profile(), [made("clock", 3600, from_at=NOON)])
    assert behind.shift_ms(NOON - HOUR_MS, NOON) == HOUR_MS
    assert behind.shift_ms(NOON - HOUR_MS - 1, NOON) == 0
    ahead = Corrector(profile(), [made("clock", -3600, from_at=NOON)])
    assert ahead.shift_ms(NOON + HOUR_MS, NOON) == -HOUR_MS
    assert ahead.shift_ms(NOON + HOUR_MS - 1, NOON) == 0


def test_a_clock_correction_cuts_no_counter() -> None:
    assert len(segments(profile(), [made("clock", 60)])) == 1


@given(
    st.lists(st.tuples(st.integers(-7_200, 7_200), st.integers(-20_000, 20_000)), max_size=5),
    st.integers(-40_000, 40_000),
    st.lists(st.integers(-20_000, 20_000), max_size=3, unique=True),
    st.integers(-30_000, 30_000),
)
def test_clocks_corrected_again_and_again_move_as_if_one_after_the_other(
    moves: list[tuple[int, int]], told: int, swapped: list[int], arrived: int
) -> None:
    """Each made two hours after the one before, and as far as it concerns the hardware that the sample comes from."""
    known = [
        made("clock", s, from_at=NOON + from_s * 1000, number=NOON + (number * 7_200 - 15_000) * 1000)
        for number, (s, from_s) in enumerate(moves)
    ]
    swaps = sorted(NOON + s * 1000 for s in swapped)
    told, arrived = NOON + told * 1000, NOON + arrived * 1000
    expected = told
    for each in known:
        by_ms = round(each.value * 1000)
        ended = any(each.created_at < swap <= arrived for swap in swaps)
        not_yet = any(arrived < swap <= each.from_at for swap in swaps)
        if not ended and not not_yet and expected + by_ms >= each.from_at:
            expected += by_ms
    corrects = Corrector(profile(), known, [Replacement(METER, at) for at in swaps])
    assert told + corrects.shift_ms(told, arrived) == expected


# the twin ---------------------------------------------------------------------------------------------------------


def test_a_twin_shows_what_is_right_and_stores_what_was_told() -> None:
    twin = device_twin()
    twin.corrector = Corrector(profile(), [SIGN])
    rows, _ = twin.take_samples(telemetry((NOON, {"grid_power_w": 250.0, IMPORT: 5.0})), NOON)
    assert rows[0].readings == [250.0, 5.0, None, None]
    assert twin.readings == [-250.0, None, 5.0, None]
    assert (twin.snapshot().readings, twin.snapshot().told) == (twin.readings, [250.0, 5.0, None, None])


def test_a_snapshot_is_not_corrected_twice() -> None:
    twin = device_twin()
    twin.corrector = Corrector(profile(), [SIGN])
    twin.take_samples(telemetry((NOON, {"grid_power_w": 250.0})), NOON)
    again = device_twin(snapshot=twin.snapshot())
    assert again.readings[0] == 250.0  # as the registry has no correction any more
    again.corrector = Corrector(profile(), [SIGN])
    again.relearn(again)
    assert again.readings[0] == -250.0


def test_a_corrected_clock_is_right_before_the_future_is_refused() -> None:
    twin = device_twin()
    ahead = NOON + 2 * HOUR_MS
    assert twin.take_samples(telemetry((ahead, {"grid_power_w": 1.0})), NOON)[0] == []
    twin.corrector = Corrector(profile(), [made("clock", -7200)])
    rows, refused = twin.take_samples(telemetry((ahead, {"grid_power_w": 1.0})), NOON)
    assert refused is None
    assert [(row.t, row.shift_ms) for row in rows] == [(NOON, -2 * HOUR_MS)]


def test_rows_taken_in_before_a_clock_was_corrected_are_stored_where_they_are_now() -> None:
    twin = device_twin()
    site = site_twin(twin)
    rows, _ = twin.take_samples(telemetry((NOON - HOUR_MS, {"grid_power_w": 1.0})), NOON)
    entry = Entry("", site, None, rows, [])
    assert collect([entry], NOON).samples[0][2] == at(NOON - HOUR_MS)
    right = device_twin()
    right.corrector = Corrector(profile(), [made("clock", 3600)])
    site.relearn(site_twin(right))
    ((_, _, stored_at, _, _, shift_ms),) = collect([entry], NOON).samples
    assert (stored_at, shift_ms) == (at(NOON), HOUR_MS)
    right.corrector = Corrector(profile(), [made("clock", 4 * 3600)])
    site.relearn(site_twin(right))
    assert collect([entry], NOON).samples[0][2] == at(NOON - HOUR_MS)  # nothing is stored in the future


def test_a_relearned_site_keeps_what_it_heard_and_knows_who_is_gone() -> None:
    meter, gone = device_twin("m", serial="A"), device_twin("gone")
    site = site_twin(meter, gone)
    meter.take_samples(telemetry((NOON, {"grid_power_w": 7.0})), NOON)
    meter.sequence.take("s", 1, 1)
    site.relearn(site_twin(device_twin("m", serial="B"), device_twin("new")))
    assert sorted(site.devices) == ["m", "new"]
    assert site.by_serial("B") is meter
    assert site.by_serial("A") is None
    assert (meter.readings[0], meter.sequence.contiguous) == (7.0, 1)


# energy -----------------------------------------------------------------------------------------------------------

Told = dict[str, dict[int, float]]


def series(told: Told, known: list[Correction], swaps: list[Replacement], window: Span | None = None) -> list[CounterSeries]:
    """As the database is read: each register by its segments, NEIGHBOURS around the window."""
    found = []
    for register in (IMPORT, EXPORT):
        times, values, cuts = [], [], []
        cut = segments(profile(), known, swaps)
        for segment, until in zip(cut, [*(later.since for later in cut[1:]), 2**62], strict=True):
            source = segment.sources.get(register)
            samples = told[source.measure if source else register]
            for t in sorted(samples):
                if segment.since <= t < until:
                    times.append(t)
                    values.append(samples[t])
            cuts.append(Cut(segment.since, source.scale if source else 1.0, segment.replaced))
        if window:
            first, end = bisect_left(times, window[0]), bisect_left(times, window[1])
            near = slice(max(0, first - NEIGHBOURS), end + NEIGHBOURS)
            times, values = times[near], values[near]
        found.append(CounterSeries(METER, register, times, values, ceiling_w(register, 9_000), cuts=tuple(cuts[1:])))
    return found


def even(power_w: float, first_wh: float, start: int = START - HOUR_MS, end: int = END + HOUR_MS) -> dict[int, float]:
    return {t: first_wh + power_w * (t - start) / HOUR_MS for t in range(start, end, 60_000)}


increments = st.one_of(st.floats(0, 40), st.sampled_from([0.0, -5000.0, 1e6, 30.0]))


@st.composite
def counters(draw: st.DrawFn) -> dict[int, float]:
    at, value, samples = START - draw(st.integers(0, 20)) * 600_000, 5000.0, {}
    pauses = st.sampled_from([60_000, 400_000, 900_000, 3_000_000])
    for increment, pause in draw(st.lists(st.tuples(increments, pauses), max_size=40)):
        samples[at] = max(0.0, value + increment)
        value = samples[at] if draw(st.integers(0, 5)) else value
        at += pause
    return samples


stories = st.fixed_dictionaries({IMPORT: counters(), EXPORT: counters()})


@settings(deadline=None)  # a busy machine is no failure
@given(stories, st.lists(corrections, max_size=4), replacements, st.integers(1, 96))
def test_a_day_computed_in_pieces_is_the_day_computed_whole(
    told: Told, known: list[Correction], swaps: list[Replacement], length: int
) -> None:
    expected = recompute_day(SITE, DAY, PARIS, series(told, known, swaps), weight=SUN)
    blank: dict[str, tuple[float | None, ...]] = dict.fromkeys(told, (None,) * 96)
    row, events = SiteDay(SITE, DAY, PARIS, blank, (0,) * 96), list[CounterEvent]()
    for first in range(0, 96, length):
        piece = (quarter_starts(DAY, PARIS)[first], min(END, START + (first + length) * QUARTER_MS))
        part = recompute_day(
            SITE, DAY, PARIS, series(told, known, swaps, piece), weight=SUN, stored=row, span=piece
        )  # fmt: skip
        row, events = part.day, events + part.events
    assert row == expected.day
    assert sorted(events) == sorted(expected.events)


@settings(deadline=None)  # a busy machine is no failure
@given(stories, st.lists(corrections, max_size=4), replacements, st.randoms(use_true_random=False))
def test_shuffles_and_repeats_change_nothing_and_nothing_is_negative(
    told: Told, known: list[Correction], swaps: list[Replacement], luck: random.Random
) -> None:
    ordered = series(told, known, swaps)
    thrice = []
    for one in ordered:
        pairs = list(zip(one.times, one.values_wh, strict=True)) * 3
        luck.shuffle(pairs)
        times, values = [t for t, _ in pairs], [value for _, value in pairs]
        thrice.append(CounterSeries(one.device, one.register, times, values, one.ceiling_w, cuts=one.cuts))
    expected = recompute_day(SITE, DAY, PARIS, ordered, weight=SUN)
    assert recompute_day(SITE, DAY, PARIS, thrice, weight=SUN) == expected
    assert all(value is None or value >= 0 for values in expected.day.registers.values() for value in values)


@settings(deadline=None)  # a busy machine is no failure
@given(stories, st.lists(corrections, max_size=3), replacements, st.lists(corrections, min_size=1, max_size=3))
def test_corrections_made_and_undone_give_the_same_bits(
    told: Told, known: list[Correction], swaps: list[Replacement], more: list[Correction]
) -> None:
    """Whichever of them were made before a replacement, and which after it."""
    undone = [structs.replace(each, undone_at=END) for each in more]
    day = recompute_day(SITE, DAY, PARIS, series(told, [*known, *undone], swaps), weight=SUN)
    assert day == recompute_day(SITE, DAY, PARIS, series(told, known, swaps), weight=SUN)


def test_a_meter_turned_at_noon_imports_before_and_exports_after() -> None:
    told = {IMPORT: even(400, 1000), EXPORT: even(0, 50)}
    day = recompute_day(SITE, DAY, PARIS, series(told, [made("sign", -1, "grid_power_w", NOON)], []), weight=SUN).day
    at = (NOON - START) // QUARTER_MS
    assert set(day.registers[IMPORT][: at - 1]) == set(day.registers[EXPORT][at + 1 :]) == {100.0}
    assert set(day.registers[IMPORT][at + 1 :]) == set(day.registers[EXPORT][: at - 1]) == {0.0}
    assert day.quality[at - 1] == 3


@pytest.mark.parametrize("first_wh", [9e6, 3.0, 1000.0 + 400 * 13])
def test_other_hardwares_counter_is_a_swap_whatever_it_shows(first_wh: float) -> None:
    """More, less, or going on where the old one stopped: nothing is booked across, and both values are on record."""
    old = {t: wh for t, wh in even(400, 1000).items() if t < NOON}
    told = {IMPORT: old | even(400, first_wh, NOON + 60_000), EXPORT: {}}
    day = recompute_day(SITE, DAY, PARIS, series(told, [], [Replacement(METER, NOON)]), weight=SUN)
    (event,) = day.events
    assert event.correction == (NOON + 60_000, "swap", max(old.values()), first_wh, 0.0)
    assert day.day.totals_wh[IMPORT] == pytest.approx(24 * 400 - 2 * 400 / 60, abs=0.01)


def test_a_counter_in_kwh_resets_in_kwh() -> None:
    """The event holds what the device told; the energy is the corrected one."""
    times = [NOON + n * 600_000 for n in range(6)]
    told = [100.0, 100.1, 100.2, 0.1, 0.2, 0.3]
    counted = count_cut(times, told, [Cut(0, 1000.0)], ceiling_w=9_000.0, step_wh=1.0)
    (event,) = counted.corrections
    assert event == (times[3], "reset", 100.2, 0.1, 100.0)
    assert counted.total_mwh[-1] - counted.total_mwh[0] == 500_000


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_without_cuts_a_counter_is_counted_as_ever(values: list[float]) -> None:
    times = [NOON + n * 60_000 for n in range(len(values))]
    plain = count(times, values, ceiling_w=9_000.0)
    cut = count_cut(times, values, [Cut(NOON - 1, 1.0)], ceiling_w=9_000.0, step_wh=1.0)
    assert [b - a for a, b in zip(cut.total_mwh, cut.total_mwh[1:], strict=False)] == [
        b - a for a, b in zip(plain.total_mwh, plain.total_mwh[1:], strict=False)
    ]
    assert cut.corrections == plain.corrections


def test_the_first_segment_is_as_it_was_told() -> None:
    assert segments(profile(), [])[0] == Segment(-(2**62), {})
