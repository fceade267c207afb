"""A counter whose history falls into segments: corrected from some instant on, or counted by other hardware.

Each segment is judged by its own samples. What lies between the last sample of one and the first of the next is unknown, so
nothing is booked there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from fleet.counters import GAP_MAX_MS, Count, Oddity, count
from fleet.telemetry import UnixMs


class Cut(NamedTuple):
    """From `since` on the counter is `scale` x what was told. replaced: other hardware tells it."""

    since: UnixMs
    scale: float
    replaced: bool = False


def count_cut(
    times: Sequence[UnixMs], values_wh: Sequence[float], cuts: Sequence[Cut], *, ceiling_w: float, step_wh: float
) -> Count:
    """As fleet.counters.count. values_wh as they were told; before the first cut they count as they are.

    Replacements are swaps in `corrections`, with what either device told.
    """
    told = list(zip(times, values_wh, strict=True))
    merged = _Merged()
    last_wh, replaced = 0.0, False
    edges = [*(cut.since for cut in cuts), None]
    for since, until, cut in zip([None, *edges], edges, [Cut(0, 1.0), *cuts], strict=False):
        replaced = replaced or cut.replaced
        mine = [(t, v) for t, v in told if (since is None or t >= since) and (until is None or t < until)]
        scaled = mine if cut.scale == 1 else [(t, v * cut.scale) for t, v in mine]
        counted = count([t for t, _ in scaled], [v for _, v in scaled], ceiling_w=ceiling_w, step_wh=step_wh * cut.scale)
        if not counted.times:
            continue
        merged.append(counted, cut.scale, (last_wh, _told(mine, counted.times[0])) if replaced else None)
        last_wh, replaced = _told(mine, counted.times[-1]), False
    return merged.count


class _Merged:
    def __init__(self) -> None:
        self._heard: list[UnixMs] = []
        self._times: list[UnixMs] = []
        self._total_mwh: list[int] = []
        self.count = Count(self._heard, self._times, self._total_mwh, [], [], [])

    def append(self, counted: Count, scale: float, swapped_wh: tuple[float, float] | None) -> None:
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
        self.count.corrections.extend(_as_told(correction, scale) for correction in counted.corrections)


def _told(samples: Sequence[tuple[UnixMs, float]], at: UnixMs) -> float:
    return min(value for t, value in samples if t == at and value >= 0)


def _as_told(correction: Oddity, scale: float) -> Oddity:
    """Raw values stay what the device told; energy is the corrected one."""
    if scale == 1:
        return correction
    before_wh, after_wh = (round(wh / scale, 6) for wh in (correction.raw_before_wh, correction.raw_after_wh))
    return correction._replace(raw_before_wh=before_wh, raw_after_wh=after_wh)
