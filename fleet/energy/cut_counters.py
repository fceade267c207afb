"""A counter whose history falls into segments: corrected from some instant on, or counted by other hardware.

Each segment is judged by its own samples. What lies between the last sample of one and the first of the next is unknown, so
nothing is booked there.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from fleet.energy.counters import GAP_MAX_MS, Count, Oddity, count
from fleet.telemetry import UnixMs


class Cut(NamedTuple):
    """From `since` on the counter is `scale` x what was told, + offset_wh. replaced: other hardware tells it."""

    since: UnixMs
    scale: float
    replaced: bool = False
    offset_wh: float = 0.0

    @property
    def changes_nothing(self) -> bool:
        return self.scale == 1 and not self.offset_wh

    def value_wh(self, told_wh: float) -> float:
        return told_wh * self.scale + self.offset_wh


Counting = Callable[
    [Sequence[UnixMs], Sequence[float], Cut], Count
]  # of the samples in the segment that begins with the cut

_FROM_EVER_ON: Final = Cut(-(2**62), 1.0)


def count_cut(
    times: Sequence[UnixMs], values_wh: Sequence[float], cuts: Sequence[Cut], *, ceiling_w: float, step_wh: float
) -> Count:
    """As fleet.energy.counters.count. values_wh as they were told; before the first cut they count as they are.

    Replacements are swaps in `corrections`, with what either device told.
    """

    def counting(times: Sequence[UnixMs], values_wh: Sequence[float], cut: Cut) -> Count:
        return count(times, values_wh, ceiling_w=ceiling_w, step_wh=step_wh * cut.scale)

    return count_segments(times, values_wh, cuts, counting)


def count_segments(times: Sequence[UnixMs], values_wh: Sequence[float], cuts: Sequence[Cut], counting: Counting) -> Count:
    """As count_cut, of counters that are counted in this way."""
    told = list(zip(times, values_wh, strict=True))
    merged = _Merged()
    last_wh, replaced = 0.0, False
    edges = [*(cut.since for cut in cuts), None]
    for cut, until in zip([_FROM_EVER_ON, *cuts], edges, strict=True):
        replaced = replaced or cut.replaced
        mine = [(t, v) for t, v in told if t >= cut.since and (until is None or t < until)]
        shown = [v if cut.changes_nothing else cut.value_wh(v) for _, v in mine]
        counted = counting([t for t, _ in mine], shown, cut)
        if not counted.times:
            continue
        first, last = (_told(mine, cut, counted.heard[position]) for position in (0, -1))
        merged.append(counted, cut, (last_wh, first) if replaced else None)
        last_wh, replaced = last, False
    return merged.count


class _Merged:
    def __init__(self) -> None:
        self._heard: list[UnixMs] = []
        self._times: list[UnixMs] = []
        self._total_mwh: list[int] = []
        self.count = Count(self._heard, self._times, self._total_mwh, [], [], [])

    def append(self, counted: Count, cut: Cut, swapped_wh: tuple[float, float] | None) -> None:
        """The next segment. swapped_wh: what the device before it told last, and this one first."""
        shift_mwh = 0
        if self._times:
            gap = (self._times[-1], counted.times[0])
            shift_mwh = self._total_mwh[-1] - counted.total_mwh[0]
            self.count.unknown.append(gap)
            if gap[1] - gap[0] <= GAP_MAX_MS:  # a longer one is unknown whatever lies in it
                self.count.touched.append(gap)
                if swapped_wh is not None:
                    self.count.corrections.append(Oddity(gap[1], "swap", *swapped_wh, 0.0))
        self._heard += counted.heard
        self._times += counted.times
        self._total_mwh += [total_mwh + shift_mwh for total_mwh in counted.total_mwh]
        self.count.unknown.extend(counted.unknown)
        self.count.touched.extend(counted.touched)
        self.count.corrections.extend(_as_told(correction, cut) for correction in counted.corrections)


def _told(samples: Sequence[tuple[UnixMs, float]], cut: Cut, at: UnixMs) -> float:
    return min(value for t, value in samples if t == at and cut.value_wh(value) >= 0)


def _as_told(correction: Oddity, cut: Cut) -> Oddity:
    """Raw values stay what the device told; energy is the corrected one."""
    if cut.changes_nothing:
        return correction
    raw_wh = correction.raw_before_wh, correction.raw_after_wh
    before_wh, after_wh = (round((wh - cut.offset_wh) / cut.scale, 6) for wh in raw_wh)
    return correction._replace(raw_before_wh=before_wh, raw_after_wh=after_wh)
