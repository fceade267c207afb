"""A site's day: energy per register and quarter-hour, recomputed from its counters' samples.

A day can be recomputed whole, or only over a window of its quarters while the others are kept: `influence` says over which
window, and the result is the same to the bit.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final, NamedTuple

import msgspec

from fleet.calendar import QUARTER_MS, Span, day_bounds, quarter_ceil, quarter_floor, quarter_starts
from fleet.counters import NEIGHBOURS, Count, Oddity, count
from fleet.cut_counters import Cut, count_cut
from fleet.ids import DeviceId, SiteId
from fleet.measures import REGISTERS
from fleet.quarters import MEASURED, MISSING, Quarters, Weight, quarters
from fleet.telemetry import UnixMs

# A device that spoke within this time is expected to go on; after a longer silence its lack makes no quarter incomplete.
EXPECTED_MS: Final = 24 * 3_600_000
_PV: Final = "pv_energy_wh"
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
    inside: the last instant in it, if any.
    """

    before: Sequence[UnixMs]
    inside: UnixMs | None
    after: Sequence[UnixMs]


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


def influence(changed: Span, neighbours: Sequence[Neighbours]) -> Span:
    """Over which time energy may come out differently because samples in `changed` are new.

    neighbours: one for each counter of the site.
    """
    start, end = changed
    silent_since = max((near.before[-1] for near in neighbours if near.before), default=start)
    start = min(start, silent_since)
    for near in neighbours:
        if near.inside is None:
            continue  # nothing of this counter can be new
        start = min(start, near.before[0] if near.before else start)
        last = near.after[-1] if near.after else near.inside
        end = max(end, last if len(near.after) == NEIGHBOURS else last + EXPECTED_MS)
    return quarter_floor(start), quarter_ceil(end)


def window_of(day: date, timezone: str, span: Span, stored: SiteDay | None) -> Span:
    """The quarters of `day` to compute: those in `span`, or all of them when no stored row has the others."""
    bounds = day_bounds(day, timezone)
    if stored is None or stored.timezone != timezone or len(stored.quality) != (bounds[1] - bounds[0]) // QUARTER_MS:
        return bounds
    return max(bounds[0], quarter_floor(span[0])), min(bounds[1], quarter_ceil(span[1]))


def _counted(series: CounterSeries) -> Count:
    times, values_wh, ceiling_w, step_wh = series.times, series.values_wh, series.ceiling_w, series.step_wh
    if series.cuts:
        return count_cut(times, values_wh, series.cuts, ceiling_w=ceiling_w, step_wh=step_wh)
    return count(times, values_wh, ceiling_w=ceiling_w, step_wh=step_wh)


class Part:
    """What one counter adds to a window of quarters."""

    def __init__(self, series: CounterSeries, window: Span, weight: Weight) -> None:
        self.device, self.register, self.sleeps = series.device, series.register, series.sleeps
        counted = _counted(series)
        first, end = window[0] // QUARTER_MS, window[1] // QUARTER_MS
        self.quarters: Quarters = quarters(counted, first, end, weight if self.register == _PV else None)
        self.corrections = [correction for correction in counted.corrections if window[0] <= correction.at < window[1]]
        self._heard = counted.heard

    def spoke_before(self, instant: UnixMs) -> bool:
        position = bisect_right(self._heard, instant)
        return position > 0 and self._heard[position - 1] >= instant - EXPECTED_MS

    def speaks_after(self, instant: UnixMs) -> bool:
        position = bisect_left(self._heard, instant)
        return position < len(self._heard) and self._heard[position] <= instant + EXPECTED_MS


def recompute_day(
    site: SiteId,
    day: date,
    timezone: str,
    series: Sequence[CounterSeries],
    *,
    weight: Weight,
    stored: SiteDay | None = None,
    span: Span | None = None,
) -> Recomputed:
    """weight: the sun's (fleet.clearsky). span None: the whole day; else the quarters outside of it are `stored`'s."""
    window = window_of(day, timezone, span or day_bounds(day, timezone), stored)
    parts = [Part(one, window, weight) for one in series]
    return assemble(site, day, timezone, parts, weight=weight, window=window, stored=stored)


def assemble(
    site: SiteId, day: date, timezone: str, parts: Sequence[Part], *, weight: Weight, window: Span, stored: SiteDay | None
) -> Recomputed:
    """The day from its counters' parts, each made for the same `window` (of window_of)."""
    starts = quarter_starts(day, timezone)
    registers = [register for register in REGISTERS if any(part.register == register for part in parts)]
    index_of = {start: index for index, start in enumerate(starts)}
    kept = stored if window != day_bounds(day, timezone) else None
    unknown: tuple[float | None, ...] = (None,) * len(starts)
    values = {register: list(kept.registers.get(register, unknown) if kept else unknown) for register in registers}
    quality = list(kept.quality) if kept else [MISSING] * len(starts)
    for offset, start in enumerate(range(window[0], window[1], QUARTER_MS)):
        sums_mwh, quality[index_of[start]] = _quarter(parts, offset, start, weight)
        for register in registers:
            mwh = sums_mwh.get(register)
            values[register][index_of[start]] = None if mwh is None else mwh / 1000
    events = [CounterEvent(part.device, part.register, correction) for part in parts for correction in part.corrections]
    row = SiteDay(site, day, timezone, {register: tuple(found) for register, found in values.items()}, tuple(quality))
    return Recomputed(row, window, events)


def _quarter(parts: Sequence[Part], offset: int, start: UnixMs, weight: Weight) -> tuple[dict[str, int], int]:
    """mWh by register, and the quality, of one quarter-hour."""
    end = start + QUARTER_MS
    sums_mwh: dict[str, int] = {}
    worst = MISSING
    incomplete = False
    for part in parts:
        mwh, quality = part.quarters.energy_mwh[offset], part.quarters.quality[offset]
        if mwh is None and part.spoke_before(start) and any(other.speaks_after(end) for other in parts):
            if part.sleeps and part.register == _PV and weight(start // QUARTER_MS) == 0:
                mwh, quality = 0, MEASURED
            else:
                incomplete = True
        if mwh is not None:
            sums_mwh[part.register] = sums_mwh.get(part.register, 0) + mwh
            worst = max(worst, quality)
    return sums_mwh, MISSING if incomplete else worst
