"""Counters of a day: Wh since local midnight, told instead of a register that only ever grows, or beside it.

Each midnight cuts the history, and from a zero there the first reading of a day counts; between the last reading of a day
and midnight nothing is booked. Devices begin anew at midnight, at sunrise, when they are started, or at a midnight of their
own (a clock that knows no summer time). So at a fall the counter has begun anew, whenever that is, and a midnight cuts
nothing when yesterday's value goes on beyond it. It does where the next reading is no lower, and

    comes shortly after the last one       it counts on, or is still being shown
    is the same, and less than 20 h later  it is still being shown
    is a solar one, before any sun         it cannot be of today

What a device tells at midnight exactly closes the day before, unless it is the new day's zero. As with other counters,
whatever is decided is decided by the neighbours alone: NEIGHBOURS of them, and the midnights between them.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from fleet.calendar import QUARTER_MS, day_bounds, local_day
from fleet.energy.counters import Count, count_in_order, in_order
from fleet.energy.quarters import Weight
from fleet.telemetry import UnixMs

_SHORTLY_MS: Final = 3 * 3_600_000  # hourly rows, one of them lost
_SHOWN_MS: Final = 20 * 3_600_000  # a winter's night; below a day, since two days may well end with the same value


def count_days(
    times: Sequence[UnixMs],
    values_wh: Sequence[float],
    *,
    timezone: str,
    ceiling_w: float,
    step_wh: float = 1.0,
    since: UnixMs | None = None,
    sun: Weight | None = None,
) -> Count:
    """As fleet.energy.counters.count: `heard` has the readings, `times` the zeros as well.

    since: when this hardware began to count here; a midnight before it is no zero of its. sun: of a solar counter.
    """
    times, mwh = in_order(times, values_wh)
    stretches = _Stretches(times)
    cuts = list(_cuts(times, mwh, timezone, sun))
    ends = [*(first for first, _ in cuts[1:]), len(times)]
    for (first, midnight), end in zip(cuts, ends, strict=False):
        own_times, own_mwh = times[first:end], mwh[first:end]
        from_zero = midnight is not None and midnight < own_times[0] and (since is None or since <= midnight)
        if midnight is not None and from_zero:
            own_times, own_mwh = [midnight, *own_times], [0, *own_mwh]
        stretches.append(
            count_in_order(own_times, own_mwh, ceiling_w=ceiling_w, step_wh=step_wh, restarts=True, from_zero=from_zero)
        )
    return stretches.count


def midnight_before(at: UnixMs, timezone: str) -> UnixMs:
    """The zero from which a reading at this time counts."""
    return day_bounds(local_day(at - 1, timezone), timezone)[0]


class _Stretches:
    """Counted one by one. What flowed between the last reading of one and the zero of the next is unknown."""

    def __init__(self, heard: Sequence[UnixMs]) -> None:
        self._times: list[UnixMs] = []
        self._total_mwh: list[int] = []
        self.count = Count(heard, self._times, self._total_mwh, [], [], [])

    def append(self, counted: Count) -> None:
        shift_mwh = 0
        if self._times:
            self.count.unknown.append((self._times[-1], counted.times[0]))
            shift_mwh = self._total_mwh[-1] - counted.total_mwh[0]
        self._times += counted.times
        self._total_mwh += [total_mwh + shift_mwh for total_mwh in counted.total_mwh]
        self.count.unknown.extend(counted.unknown)
        self.count.touched.extend(counted.touched)
        self.count.corrections.extend(counted.corrections)


def _cuts(
    times: Sequence[UnixMs], mwh: Sequence[int], timezone: str, sun: Weight | None
) -> Iterator[tuple[int, UnixMs | None]]:
    """Where the counter begins anew: position of the first reading, and the midnight before it; None: it is not of today."""
    for position, midnight in _first_readings(times, mwh, timezone):
        if position == 0:
            yield 0, None if _is_dark(midnight, times[0], sun) else midnight
        elif not _goes_on(times, mwh, position, midnight, sun):
            yield position, midnight


def _first_readings(times: Sequence[UnixMs], mwh: Sequence[int], timezone: str) -> Iterator[tuple[int, UnixMs]]:
    """Position of each day's first reading, and the midnight before it."""

    def day_of(position: int) -> date:
        """What is told at midnight closes the day before; a zero after something else opens the new one."""
        opens = position > 0 and mwh[position] == 0 < mwh[position - 1]
        return local_day(times[position] if opens else times[position] - 1, timezone)

    position = 0
    while position < len(times):
        day = day_of(position)
        midnight, next_midnight = day_bounds(day, timezone)
        yield position, midnight
        position = bisect_left(times, next_midnight, position + 1)
        if position < len(times) and times[position] == next_midnight and day_of(position) == day:
            position += 1


def _goes_on(times: Sequence[UnixMs], mwh: Sequence[int], position: int, midnight: UnixMs, sun: Weight | None) -> bool:
    silence_ms = times[position] - times[position - 1]
    if mwh[position] < mwh[position - 1] or silence_ms >= _SHOWN_MS:
        return False
    same = mwh[position] == mwh[position - 1]
    return silence_ms <= _SHORTLY_MS or same or _is_dark(midnight, times[position], sun)


def _is_dark(start: UnixMs, end: UnixMs, sun: Weight | None) -> bool:
    return sun is not None and all(sun(quarter) == 0 for quarter in range(start // QUARTER_MS, -(-end // QUARTER_MS)))
