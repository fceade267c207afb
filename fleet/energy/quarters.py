"""A counter's energy, quarter-hour by quarter-hour.

Between two samples energy is split at the quarter's edge in proportion to time. Where a whole quarter or more lies between
them there is a gap: its total is measured, its shape is an estimate (even, or by a weight such as the clear sky's).
The split is a pure function of the two samples, so every day that a gap touches finds its own part of it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from fleet.calendar import QUARTER_MS
from fleet.energy.counters import Count

MISSING: Final = 0
MEASURED: Final = 1
ESTIMATED: Final = 2  # the total of a gap is measured, its shape assumed
CORRECTED: Final = 3  # a reset, rollover, swap or glitch lies in it

# Quarter number → how much of a gap's energy belongs there, relative to other quarters; at least 0.
Weight = Callable[[int], int]


class Quarters(NamedTuple):
    """energy_mwh: None where nothing is known, which is where quality is MISSING."""

    energy_mwh: list[int | None]
    quality: list[int]


def quarters(count: Count, first: int, end: int, weight: Weight | None = None) -> Quarters:
    """Quarters first .. end - 1 (by number). weight None: gaps are even."""
    if len(count.times) < 2:
        return Quarters([None] * (end - first), [MISSING] * (end - first))
    level = _Level(count, weight)
    levels = [level.at(edge * QUARTER_MS) for edge in range(first, end + 1)]
    energy_mwh: list[int | None] = [after - before for before, after in pairwise(levels)]
    quality = [
        level.quality(quarter * QUARTER_MS, levels[quarter - first], levels[quarter - first + 1])
        for quarter in range(first, end)
    ]
    _paint(quality, count.touched, first)
    _blank(energy_mwh, quality, count, first)
    return Quarters(energy_mwh, quality)


class _Level:
    """The counter's total at any instant."""

    def __init__(self, count: Count, weight: Weight | None) -> None:
        self._times = count.times
        self._total_mwh = count.total_mwh
        self._weight = weight
        self._shapes: dict[int, list[int]] = {}  # position after a gap → weight up to each quarter's edge

    def at(self, instant: int) -> int:
        position = bisect_right(self._times, instant)  # of the first sample after it
        if position == 0:
            return self._total_mwh[0]
        before_mwh = self._total_mwh[position - 1]
        if position == len(self._times):
            return before_mwh
        energy_mwh = self._total_mwh[position] - before_mwh
        start, end = self._times[position - 1], self._times[position]
        if self._weight is not None and energy_mwh and self._is_gap(position):
            shape = self._shapes.get(position) or self._shape(position, self._weight)
            if shape[-1]:
                return before_mwh + energy_mwh * shape[instant // QUARTER_MS - start // QUARTER_MS] // shape[-1]
        return before_mwh + energy_mwh * (instant - start) // (end - start)

    def quality(self, start: int, level_before: int, level_after: int) -> int:
        """Of the quarter that begins at `start`. What no energy was estimated for is measured: zero is zero."""
        last = len(self._times) - 1
        left = bisect_right(self._times, start)  # the link over its beginning ends here
        right = bisect_left(self._times, start + QUARTER_MS)  # the link over its end ends here
        if 0 < left <= last and self._is_gap(left) and min(level_after, self._total_mwh[left]) > level_before:
            return ESTIMATED
        if 0 < right <= last and self._is_gap(right) and level_after > max(level_before, self._total_mwh[right - 1]):
            return ESTIMATED
        return MEASURED

    def _is_gap(self, position: int) -> bool:
        return self._times[position] // QUARTER_MS - self._times[position - 1] // QUARTER_MS >= 2

    def _shape(self, position: int, weight: Weight) -> list[int]:
        """Weight from the gap's start up to the start of each quarter, its own first; the last entry is the total."""
        start, end = self._times[position - 1], self._times[position]
        first, last = start // QUARTER_MS, end // QUARTER_MS
        whole = [weight(quarter) * QUARTER_MS for quarter in range(first + 1, last)]
        opening = weight(first) * ((first + 1) * QUARTER_MS - start)
        closing = weight(last) * (end - last * QUARTER_MS)
        shape = self._shapes[position] = list(accumulate([0, opening, *whole, closing]))
        return shape


def _paint(quality: list[int], spans: list[tuple[int, int]], first: int) -> None:
    for start, end in spans:
        for index in range(max(0, start // QUARTER_MS - first), min(len(quality), -(-end // QUARTER_MS) - first)):
            quality[index] = CORRECTED


def _blank(energy_mwh: list[int | None], quality: list[int], count: Count, first: int) -> None:
    """Nothing is known before the first sample, after the last one, and where the counter's step is unknown."""
    outside = [(first * QUARTER_MS, count.times[0]), *count.unknown, (count.times[-1], (first + len(quality)) * QUARTER_MS)]
    dark_ms: dict[int, int] = {}
    for start, end in outside:
        for index in range(max(0, start // QUARTER_MS - first), min(len(quality), -(-end // QUARTER_MS) - first)):
            edge = (first + index) * QUARTER_MS
            dark_ms[index] = dark_ms.get(index, 0) + max(0, min(end, edge + QUARTER_MS) - max(start, edge))
    for index, ms in dark_ms.items():
        if ms >= QUARTER_MS:
            energy_mwh[index] = None
            quality[index] = MISSING
