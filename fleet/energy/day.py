"""A site's day: energy per register and quarter-hour, recomputed from what its counters and load curves told.

A device may tell of one register in several ways, which are never added up. In each quarter-hour that counts first which is
known of it: intervals, where they cover the whole of it; the counter that only grows; the counter of the day; and then what
intervals tell of a part of it.

A day can be recomputed whole, or only over a window of its quarters while the others are kept: `influence` says over which
window, and the result is the same to the bit.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date
from functools import partial
from typing import Final, NamedTuple

import msgspec

from fleet.calendar import QUARTER_MS, Span, day_bounds, quarter_ceil, quarter_floor, quarter_starts
from fleet.energy.counters import NEIGHBOURS, Count, Oddity, count
from fleet.energy.cut_counters import Cut, count_cut, count_segments
from fleet.energy.day_counters import count_days
from fleet.energy.intervals import Interval, IntervalNeighbours, Spread, spread
from fleet.energy.quarters import ESTIMATED, MEASURED, MISSING, Quarters, Weight, quarters
from fleet.ids import DeviceId, SiteId
from fleet.measures import DAY_COUNTER_OF, REGISTERS
from fleet.telemetry import UnixMs

# A device that spoke within this time is expected to go on; after a longer silence its lack makes no quarter incomplete.
EXPECTED_MS: Final = 24 * 3_600_000
_PV: Final = "pv_energy_wh"
_ASLEEP_BELOW_W_M2: Final = 100  # of clear sky, at about 8°: under clouds inverters stop and start near that
_GRID_CEILING_W: Final = 300_000.0  # 1.2 x 250 kVA, the largest low-voltage connection


class CounterSeries(msgspec.Struct, frozen=True):
    """Raw samples of one counter: of the window, NEIGHBOURS before it and NEIGHBOURS after it, as far as there are any.

    sleeps: silence at night is normal, and means zero. cuts: where another correction or other hardware begins.
    """

    device: DeviceId
    register: str
    times: Sequence[UnixMs]
    values_wh: Sequence[float]
    ceiling_w: float
    step_wh: float = 1.0
    sleeps: bool = False
    cuts: Sequence[Cut] = ()


class DayCounterSeries(CounterSeries, frozen=True, kw_only=True):
    """Likewise, of a counter that starts anew at each local midnight."""

    timezone: str


class IntervalSeries(msgspec.Struct, frozen=True):
    """What one device told interval by interval, in order: all that overlap the window, and those that overlap them."""

    device: DeviceId
    register: str
    found: Sequence[Interval]
    sleeps: bool = False


Series = CounterSeries | DayCounterSeries | IntervalSeries


class CounterEvent(NamedTuple):
    device: DeviceId
    register: str
    correction: Oddity


class SiteDay(msgspec.Struct, frozen=True):
    """registers: those that the site has, each with its Wh per quarter-hour (92, 96 or 100); None where nothing is known.

    quality, per quarter: 0 something is missing (what is known still stands), 1 measured, 2 estimated, 3 corrected.
    """

    site: SiteId
    day: date
    timezone: str
    registers: dict[str, tuple[float | None, ...]]
    quality: tuple[int, ...]

    @property
    def totals_wh(self) -> dict[str, float | None]:
        return {register: total_wh(values) for register, values in self.registers.items()}


class Recomputed(NamedTuple):
    """events: all that lie in the window, and replace whatever was known of it."""

    day: SiteDay
    window: Span
    events: list[CounterEvent]


class Neighbours(NamedTuple):
    """What lies around the changed time of one counter (see influence).

    before: the NEIGHBOURS last instants before it, or as many as there are. after: likewise, the first ones after it.
    inside: the last instant in it, if any. zero: of a counter of the day, the midnight before the first of them all.
    """

    before: Sequence[UnixMs]
    inside: UnixMs | None
    after: Sequence[UnixMs]
    zero: UnixMs | None = None


def ceiling_w(register: str, peak_power_w: float) -> float:
    """What is more is no energy: 1.2 x the peak power; for grid and battery what a connection bears."""
    if register == _PV and peak_power_w > 0:
        return 1.2 * peak_power_w
    return max(_GRID_CEILING_W, 1.2 * peak_power_w)


def total_wh(values: Iterable[float | None]) -> float | None:
    """Exact, in whole mWh. None when nothing is known."""
    known = [round(value * 1000) for value in values if value is not None]
    return sum(known) / 1000 if known else None


def consumption_wh(flows: Mapping[str, float | None]) -> float | None:
    """PV + import + discharge - export - charge; a negative one is a fault of the data and is shown as it is.

    flows: the site's registers over one and the same time. A register that the site does not have counts as zero; without a
    grid counter, or where one that it has is unknown, consumption is unknown.
    """
    if "import_energy_wh" not in flows or any(value is None for value in flows.values()):
        return None
    pv, imported, exported, charged, discharged = (round((flows.get(register) or 0.0) * 1000) for register in REGISTERS)
    return (pv + imported + discharged - exported - charged) / 1000


def consumption_by_quarter(day: SiteDay) -> tuple[float | None, ...]:
    registers = day.registers
    return tuple(
        consumption_wh({register: values[index] for register, values in registers.items()})
        for index in range(len(day.quality))
    )


def influence(changed: Span, neighbours: Sequence[Neighbours | IntervalNeighbours], *, gone: bool = False) -> Span:
    """Over which time energy may come out differently because samples in `changed` are new, or say something else.

    neighbours: one for each way in which a device of the site tells of a register. gone: samples may also be there no more.
    """
    start, end = changed
    silent_since = max((last for near in neighbours for last in _last_before(near)), default=start)
    start = min(start, silent_since)
    for near in neighbours:
        if near.inside is None and not gone:
            continue  # nothing of this counter can be new
        first, last = _reach(near, changed)
        start, end = min(start, first), max(end, last)
    return quarter_floor(start), quarter_ceil(end)


def _reach(near: Neighbours | IntervalNeighbours, changed: Span) -> Span:
    heard = changed[1] if near.inside is None else near.inside
    if isinstance(near, IntervalNeighbours):
        last = heard + EXPECTED_MS if near.after is None else near.after
        return near.overlapping[0], max(near.overlapping[1], last)
    first = near.before[0] if near.before else changed[0]
    if near.zero is not None and len(near.before) < NEIGHBOURS:
        first = min(first, near.zero)
    heard = near.after[-1] if near.after else heard
    return first, heard if len(near.after) == NEIGHBOURS else heard + EXPECTED_MS


def _last_before(near: Neighbours | IntervalNeighbours) -> Sequence[UnixMs]:
    if isinstance(near, IntervalNeighbours):
        return [] if near.before is None else [near.before]
    return near.before[-1:]


def window_of(day: date, timezone: str, span: Span, stored: SiteDay | None) -> Span:
    """The quarters of `day` to compute: those in `span`, or all of them when no stored row has the others."""
    bounds = day_bounds(day, timezone)
    if stored is None or stored.timezone != timezone or len(stored.quality) != (bounds[1] - bounds[0]) // QUARTER_MS:
        return bounds
    return max(bounds[0], quarter_floor(span[0])), min(bounds[1], quarter_ceil(span[1]))


def by_register(series: Iterable[Series]) -> list[list[Series]]:
    """All that one device tells of one register together, as Part wants it."""
    groups: dict[tuple[DeviceId, str], list[Series]] = {}
    for one in series:
        groups.setdefault((one.device, one.register), []).append(one)
    return list(groups.values())


class Part:
    """What one device adds to one register over a window of quarters."""

    def __init__(self, told: Sequence[Series], window: Span, weight: Weight) -> None:
        self.device, self.register = told[0].device, told[0].register
        self.sleeps = any(series.sleeps for series in told)
        self.corrections: list[CounterEvent] = []
        self._first, self._end = window[0] // QUARTER_MS, window[1] // QUARTER_MS
        self._sun = weight if self.register == _PV else None
        curves = [series for series in told if isinstance(series, IntervalSeries)]
        spreads = [spread(curve.found, self._first, self._end, self._sun) for curve in curves]
        heard: list[Sequence[UnixMs]] = [[one.end for one in curve.found] for curve in curves]
        layers = []
        for series in sorted((each for each in told if isinstance(each, CounterSeries)), key=_is_of_the_day):
            if series.times:
                counted, layer = self._counted(series)
                heard.append(counted.heard)
                layers.append(layer)
        self._heard = heard[0] if len(heard) == 1 else sorted({at for instants in heard for at in instants})
        self._quarters, self._in_part = _layered(spreads, layers, self._end - self._first)

    def _counted(self, series: CounterSeries) -> tuple[Count, Quarters]:
        counted = _count(series, self._sun)
        measure = DAY_COUNTER_OF[self.register] if _is_of_the_day(series) else self.register
        self.corrections += [CounterEvent(self.device, measure, oddity) for oddity in counted.corrections]
        return counted, quarters(counted, self._first, self._end, self._sun)

    def quarter(self, number: int) -> tuple[int | None, int, bool]:
        """mWh and quality of it, and whether anything is told of all of it."""
        index = number - self._first
        mwh = self._quarters.energy_mwh[index]
        return mwh, self._quarters.quality[index], mwh is not None and index not in self._in_part

    def spoke_before(self, instant: UnixMs) -> bool:
        position = bisect_right(self._heard, instant)
        return position > 0 and self._heard[position - 1] >= instant - EXPECTED_MS

    def speaks_after(self, instant: UnixMs) -> bool:
        position = bisect_left(self._heard, instant)
        return position < len(self._heard) and self._heard[position] <= instant + EXPECTED_MS


def _is_of_the_day(series: CounterSeries) -> bool:
    return isinstance(series, DayCounterSeries)


def _count(series: CounterSeries, sun: Weight | None) -> Count:
    times, values_wh, ceiling_w, step_wh = series.times, series.values_wh, series.ceiling_w, series.step_wh
    if isinstance(series, DayCounterSeries):
        count_day = partial(count_days, timezone=series.timezone, ceiling_w=ceiling_w, sun=sun)
        if not series.cuts:
            return count_day(times, values_wh, step_wh=step_wh)
        return count_segments(
            times,
            values_wh,
            series.cuts,
            lambda times, values_wh, cut: count_day(times, values_wh, step_wh=step_wh * cut.scale, since=cut.since),
        )
    if series.cuts:
        return count_cut(times, values_wh, series.cuts, ceiling_w=ceiling_w, step_wh=step_wh)
    return count(times, values_wh, ceiling_w=ceiling_w, step_wh=step_wh)


def _layered(spreads: Sequence[Spread], counted: Sequence[Quarters], size: int) -> tuple[Quarters, Set[int]]:
    """What counts first in each quarter, and in which of them a part is known at the best."""
    curves = [(curve.quarters(), curve.in_part()) for curve in spreads]
    layers: list[tuple[Quarters, Set[int]]] = [*curves, *((layer, frozenset()) for layer in counted)]
    if len(layers) == 1:
        return layers[0]
    made = Quarters([None] * size, [MISSING] * size)
    in_part: set[int] = set()
    for index in range(size):
        known = [layer for layer, parts in layers if layer.energy_mwh[index] is not None and index not in parts]
        if not known:
            known = [layer for layer, _ in layers if layer.energy_mwh[index] is not None]
            in_part.add(index)
        if known:
            made.energy_mwh[index], made.quality[index] = known[0].energy_mwh[index], known[0].quality[index]
    return made, in_part


def recompute_day(
    site: SiteId,
    day: date,
    timezone: str,
    series: Iterable[Series],
    *,
    weight: Weight,
    stored: SiteDay | None = None,
    span: Span | None = None,
) -> Recomputed:
    """weight: the sun's (.clearsky). span None: the whole day; else the quarters outside of it are `stored`'s."""
    window = window_of(day, timezone, span or day_bounds(day, timezone), stored)
    parts = [Part(told, window, weight) for told in by_register(series)]
    return assemble(site, day, timezone, parts, weight=weight, window=window, stored=stored)


def assemble(
    site: SiteId, day: date, timezone: str, parts: Sequence[Part], *, weight: Weight, window: Span, stored: SiteDay | None
) -> Recomputed:
    """The day from its parts; `window` (of window_of) lies in the one that they were made for."""
    starts = quarter_starts(day, timezone)
    registers = [register for register in REGISTERS if any(part.register == register for part in parts)]
    kept = stored if window != day_bounds(day, timezone) else None
    unknown: tuple[float | None, ...] = (None,) * len(starts)
    values = {register: list(kept.registers.get(register, unknown) if kept else unknown) for register in registers}
    quality = list(kept.quality) if kept else [MISSING] * len(starts)
    for start in range(window[0], window[1], QUARTER_MS):
        index = (start - starts[0]) // QUARTER_MS
        sums_mwh, quality[index] = _quarter(parts, start, weight)
        for register in registers:
            mwh = sums_mwh.get(register)
            values[register][index] = None if mwh is None else mwh / 1000
    events = [event for part in parts for event in part.corrections if window[0] <= event.correction.at < window[1]]
    row = SiteDay(site, day, timezone, {register: tuple(found) for register, found in values.items()}, tuple(quality))
    return Recomputed(row, window, events)


def _quarter(parts: Sequence[Part], start: UnixMs, weight: Weight) -> tuple[dict[str, int], int]:
    """mWh by register, and the quality, of one quarter-hour."""
    number, end = start // QUARTER_MS, start + QUARTER_MS
    sums_mwh: dict[str, int] = {}
    worst = MISSING
    incomplete = False
    for part in parts:
        mwh, quality, whole = part.quarter(number)
        if not whole and part.spoke_before(start) and any(other.speaks_after(end) for other in parts):
            if part.sleeps and part.register == _PV and (sun := weight(number)) < _ASLEEP_BELOW_W_M2:
                mwh, quality = mwh or 0, max(quality, ESTIMATED if sun else MEASURED)
            else:
                incomplete = True
        if mwh is not None:
            sums_mwh[part.register] = sums_mwh.get(part.register, 0) + mwh
            worst = max(worst, quality)
    return sums_mwh, MISSING if incomplete else worst
