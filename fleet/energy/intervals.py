"""Energy that is told interval by interval: load curves, and loggers that send what each of their periods brought.

A row says that so much flowed in the time that ends with it. It is spread over the quarter-hours that it overlaps, evenly; a
solar one of more than an hour as the sun would have it. In whole mWh, and the parts sum to the whole. Up to a quarter-hour
that is measured; of a longer interval the total is measured, and its shape an estimate.

Intervals of one device may overlap: a file of minutes continues one of ten minutes, a curve was asked for twice. Then the
finer one stands where it covers. A coarser one gives what is left of it to the time that is left:

    finer ones lie within it               its energy less theirs, but nothing negative
    one reaches over its end               the share of its energy that the time left has
    they touch by a tenth of the finer     all of it: clocks waver, and each has told its own

Of two equally long ones the earlier counts as the finer. So what an interval gives depends on those alone that overlap it,
which is what BEFORE_MS and AFTER_MS are made for: a day that is computed in pieces comes out as if computed whole.

What is no energy of a time (negative, not finite, no length or a longer one than INTERVAL_MAX_S) is left out. How much power
it comes to is not judged: it is no difference of two registers, in which a fault would be hidden.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice
from math import inf
from operator import lt
from typing import Final, NamedTuple

from fleet.calendar import QUARTER_MS, Span
from fleet.energy.quarters import ESTIMATED, MEASURED, MISSING, Quarters, Weight
from fleet.file_limits import INTERVAL_MAX_S
from fleet.telemetry import UnixMs

INTERVAL_MAX_MS: Final = INTERVAL_MAX_S * 1000
# How far before and after a window rows are needed: of the intervals in it, and of all that overlap one of those.
BEFORE_MS: Final = INTERVAL_MAX_MS
AFTER_MS: Final = 2 * INTERVAL_MAX_MS

_SUN_SHAPES_MS: Final = 3_600_000  # within an hour clouds say more than the sun's height
_SLACK_SHARE: Final = 10  # of an interval's length: 30 s late in five minutes is no overlap, nor 60 s in ten
_WHOLE_MS: Final = QUARTER_MS - QUARTER_MS // _SLACK_SHARE
_NEVER: Final = -(2**62)


class Interval(NamedTuple):
    start: UnixMs
    end: UnixMs
    mwh: int


class Spread(NamedTuple):
    """By quarter-hour. energy_mwh: 0 also where nothing is covered, which is where quality is MISSING."""

    energy_mwh: list[int]
    quality: list[int]
    covered_ms: list[int]

    def quarters(self) -> Quarters:
        """What is known, also of parts of a quarter-hour."""
        known = zip(self.energy_mwh, self.covered_ms, strict=True)
        return Quarters([mwh if ms else None for mwh, ms in known], self.quality)

    def in_part(self) -> set[int]:
        """Of which quarter-hours intervals have not told all."""
        return {index for index, ms in enumerate(self.covered_ms) if ms < _WHOLE_MS}


class IntervalNeighbours(NamedTuple):
    """What stands around changed time, if anything does: the last interval before it, and the first one after it.

    inside: the last row in it, also one that says nothing (now). overlapping: from the begin of the first to the end of the
    last interval that touches the time that those in it can be about.
    """

    before: UnixMs | None
    inside: UnixMs | None
    after: UnixMs | None
    overlapping: Span


def intervals(times: Sequence[UnixMs], values_wh: Sequence[float], lengths_s: Sequence[float]) -> list[Interval]:
    """In order, those that say something; one for each end. Rows in any order, repeated as they please."""
    found = [
        Interval(end - max(1, round(length_s * 1000)), end, round(wh * 1000))
        for end, wh, length_s in zip(times, values_wh, lengths_s, strict=True)
        if 0 <= wh < inf and 0 < length_s <= INTERVAL_MAX_S
    ]
    if not all(map(lt, times, islice(times, 1, None))):
        found = list({one.end: one for one in sorted(found)}.values())  # the shortest, should there be several
        found.sort(key=lambda one: one.end)
    return found


def spread(found: Sequence[Interval], first: int, end: int, weight: Weight | None = None) -> Spread:
    """Over the quarters first .. end - 1 (by number). weight: the sun's, for solar energy."""
    size = end - first
    made = Spread([0] * size, [MISSING] * size, [0] * size)
    for (since, until, _), pieces, mwh in _resolved(found):
        if until <= first * QUARTER_MS or since >= end * QUARTER_MS:
            continue
        sun = weight if weight is not None and until - since > _SUN_SHAPES_MS and mwh else None
        quality = ESTIMATED if until - since > QUARTER_MS else MEASURED
        for quarter, ms, part_mwh in _parts(pieces, mwh, sun):
            index = quarter - first
            if 0 <= index < size:
                made.energy_mwh[index] += part_mwh
                made.covered_ms[index] += ms
                if made.quality[index] != ESTIMATED:
                    made.quality[index] = quality if part_mwh else MEASURED  # zero is zero
    return made


def neighbours(found: Sequence[Interval], told: Sequence[UnixMs], changed: Span) -> IntervalNeighbours:
    """found: those of at least INTERVAL_MAX_MS before and after `changed`. told: times of all rows, also of others."""
    ends = [one.end for one in found]
    first, beyond = bisect_left(ends, changed[0]), bisect_left(ends, changed[1])
    reach = changed[0] - INTERVAL_MAX_MS  # a row may have told of a longer time before it was put right
    touching = [one for one in found if one.end > reach and one.start < changed[1]]
    return IntervalNeighbours(
        ends[first - 1] if first else None,
        max((at for at in told if changed[0] <= at < changed[1]), default=None),
        ends[beyond] if beyond < len(ends) else None,
        (min([reach, *(one.start for one in touching)]), max([changed[1], *(one.end for one in touching)])),
    )


def _parts(pieces: Sequence[Span], mwh: int, weight: Weight | None) -> list[tuple[int, int, int]]:
    """(quarter, ms of it, mWh) over some time without overlaps, in its order."""
    ms = _by_quarter(pieces)
    if len(ms) == 1:
        return [(*ms[0], mwh)]
    shares = [length if weight is None else length * weight(quarter) for quarter, length in ms]
    total = sum(shares)
    if not total:  # at night
        return _parts(pieces, mwh, None)
    upto_mwh = [mwh * share // total for share in accumulate(shares)]
    return [(*each, upto - before) for each, upto, before in zip(ms, upto_mwh, (0, *upto_mwh), strict=False)]


def _by_quarter(pieces: Sequence[Span]) -> list[tuple[int, int]]:
    found = []
    for start, end in pieces:
        quarter = start // QUARTER_MS
        edge = (quarter + 1) * QUARTER_MS
        while edge < end:
            found.append((quarter, edge - start))
            start, quarter, edge = edge, quarter + 1, edge + QUARTER_MS  # noqa: PLW2901 - what is left of it
        found.append((quarter, end - start))
    return found


# Overlaps ---------------------------------------------------------------------------------------------------------


def _resolved(found: Sequence[Interval]) -> Iterator[tuple[Interval, Sequence[Span], int]]:
    """Each interval with the time that is its own, and the energy that it gives to it."""
    group: list[Interval] = []
    reach = _NEVER
    for one in sorted(found):
        if one.start >= reach:
            yield from _disentangled(group)
            group = []
        group.append(one)
        reach = max(reach, one.end)
    yield from _disentangled(group)


def _disentangled(group: Sequence[Interval]) -> Iterator[tuple[Interval, Sequence[Span], int]]:
    if len(group) == 1:
        (alone,) = group
        yield alone, [alone[:2]], alone.mwh
        return
    # Those that were placed already, all of them finer, seen from either end of time.
    from_start = _Side(one.start for one in group)
    from_end = _Side(-one.end for one in group)
    edges: list[UnixMs] = []
    total_mwh = 0
    for one in sorted(group, key=lambda one: (one.end - one.start, one.end)):
        start, end, mwh = one
        slack = (end - start) // _SLACK_SHARE
        pieces = _take(edges, start, end)
        before_mwh, before_reach = from_start.begun_before(start)
        after_mwh, after_reach = from_end.begun_before(-end)
        if before_reach > start or after_reach > -end:
            given_mwh = mwh * sum(until - since for since, until in pieces) // (end - start)
        else:
            given_mwh = max(0, mwh - (total_mwh - before_mwh - after_mwh))  # less those that lie in it
        if pieces:
            yield one, pieces, given_mwh
        else:
            given_mwh = 0
        total_mwh += given_mwh
        from_start.add(start, end - slack, given_mwh)
        from_end.add(-end, -start - slack, given_mwh)


def _take(edges: list[UnixMs], start: UnixMs, end: UnixMs) -> list[Span]:
    """What of [start, end) was free; all of it is taken then. edges: begin and end of each taken stretch, in order."""
    left, right = bisect_left(edges, start), bisect_right(edges, end)
    opening = [start] if left % 2 == 0 else []
    closing = [end] if right % 2 == 0 else []
    points = [*opening, *edges[left:right], *closing]
    edges[left:right] = [*opening, *closing]
    return [(since, until) for since, until in zip(points[::2], points[1::2], strict=True) if since < until]


class _Side:
    """Intervals by their begin, in a tree of sums (Fenwick): energy of those that began before an instant, and how far any
    of them reaches. Each is a tenth shorter than it is, since they may touch.
    """

    def __init__(self, begins: Iterable[UnixMs]) -> None:
        self._begins = sorted(set(begins))
        self._mwh = [0] * (len(self._begins) + 1)
        self._reach = [_NEVER] * (len(self._begins) + 1)

    def add(self, begin: UnixMs, reach: UnixMs, mwh: int) -> None:
        node = bisect_left(self._begins, begin) + 1
        while node < len(self._mwh):
            self._mwh[node] += mwh
            self._reach[node] = max(self._reach[node], reach)
            node += node & -node

    def begun_before(self, instant: UnixMs) -> tuple[int, UnixMs]:
        node = bisect_left(self._begins, instant)
        mwh, reach = 0, _NEVER
        while node:
            mwh += self._mwh[node]
            reach = max(reach, self._reach[node])
            node -= node & -node
        return mwh, reach
