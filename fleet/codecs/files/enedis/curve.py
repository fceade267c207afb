"""Load curves: which end of its interval a time names, and how long each interval is, where the file does not say so.

Facts (guide of R6x; portal files as measured): up to 36 kVA (C5, P4) a time is the END of its interval, above (C1-C4, P1-P3)
its START. The step may change within a file (60 to 30 minutes), there are gaps of hours and days, and values may be missing.
An interval's length is the distance to its neighbour where that is 5, 10, 15, 30 or 60 minutes; after a gap it is that of
the intervals that follow, else what the heading says, else the most frequent one.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final, Literal

from fleet.calendar import zone
from fleet.codecs.files.enedis.quantities import Quantity
from fleet.codecs.files.enedis.stamps import PARIS
from fleet.codecs.files.enedis.words import refused
from fleet.codecs.files.local_time import DAY_MS
from fleet.codecs.files.reading import Found, Rows, StampEnd
from fleet.file_limits import FILE_ROWS_PER_BLOCK
from fleet.telemetry import UnixMs

End = Literal["start", "end"]

HOUR_MS: Final = 3_600_000

_STEPS_MS: Final = frozenset(minutes * 60_000 for minutes in (5, 10, 15, 30, 60))
_FINE_MS: Final = 600_000  # meters up to 36 kVA are read every 15, 30 or 60 minutes, unless somebody has asked for less
_EDGE_MS: Final = 12 * HOUR_MS  # silence after which a curve begins anew; shorter ones are single lost readings
_EDGES_MAX: Final = 1_000  # of a curve, looked at to decide which end is named
_WEIGHT_OF_THE_FILE: Final = 3  # its own first and last point are days' ends by design, those at a gap often by chance
_KEPT: Final = 2  # points that the next part of a long curve needs to see
_MISSING: Final = float("nan")


class Curve:
    """The points of one series, in any order; twice told ones count once. Held until its end, or until there are too many.

    stamp: as a person or the file has it; None: the points tell. usual: if they do not; None: then the step does.
    declared_ms: step of the heading, 0 if it has none.
    """

    def __init__(
        self,
        serial: str | None,
        quantity: Quantity,
        *,
        stamp: StampEnd | None = None,
        usual: End | None = None,
        declared_ms: int = 0,
        corrected: bool = False,
    ) -> None:
        self._serial: Final = serial
        self._quantity: Final = quantity
        self._stamp: End | None = None if stamp == "instant" else stamp
        self._usual: Final = usual
        self._declared: Final = declared_ms if declared_ms in _STEPS_MS else 0
        self._corrected: Final = corrected
        self._before: UnixMs | None = None  # the point before those that are held
        self._t = array("q")
        self._values = array("d")
        self._steps = array("q")  # ms; 0: to be found

    def __len__(self) -> int:
        return len(self._t)

    def add(self, t: UnixMs, value: float | None, step_ms: int = 0) -> None:
        self._t.append(t)
        self._values.append(_MISSING if value is None else value)
        self._steps.append(step_ms)

    def found(self, *, last: bool = True) -> Iterator[Found]:
        """Rows, and a refusal (step_unknown). last: there is no more to come."""
        t, values, steps = self._in_order()
        if not t:
            return
        distances = [b - a for a, b in pairwise(t)]
        if self._stamp is None:
            self._stamp = (
                _named_end(t, distances, steps, self._declared) or self._usual or self._end_by_step(distances, steps)
            )
        done = len(t) if last else max(len(t) - _KEPT, 0)
        kept = slice(done, None)
        self._t, self._values, self._steps = array("q", t[kept]), array("d", values[kept]), array("q", steps[kept])
        if 0 in steps:
            self._find_steps(t[0], distances, steps)
        for first in range(0, done, FILE_ROWS_PER_BLOCK):
            part = slice(first, min(first + FILE_ROWS_PER_BLOCK, done))
            yield from self._block(t[part], values[part], steps[part])
        if done:
            self._before = t[done - 1]

    def _in_order(self) -> tuple[list[UnixMs], list[float], list[int]]:
        t, values, steps = self._t.tolist(), self._values.tolist(), self._steps.tolist()
        if all(a < b for a, b in pairwise(t)):
            return t, values, steps
        if all(a > b for a, b in pairwise(t)):
            return t[::-1], values[::-1], steps[::-1]
        at: dict[UnixMs, int] = {}
        for position in sorted(range(len(t)), key=t.__getitem__):
            if t[position] not in at or values[position] == values[position]:  # a missing value takes nothing back
                at[t[position]] = position
        return list(at), [values[each] for each in at.values()], [steps[each] for each in at.values()]

    def _end_by_step(self, distances: Sequence[int], steps: Sequence[int]) -> End:
        step = _most_frequent(steps) or self._declared or _most_frequent(distances)
        return "start" if step <= _FINE_MS else "end"

    def _find_steps(self, first: UnixMs, distances: Sequence[int], steps: list[int]) -> None:
        """Puts them in the place of zeros: ends look back, starts look ahead, and the other way if there is a gap."""
        usual = self._declared or _most_frequent(distances)
        lead = [0, 0 if self._before is None else first - self._before]
        near = [each if each in _STEPS_MS else 0 for each in (*lead, *distances, 0, 0)]
        # The distance before a point stands at its position + 1, the one after it at + 2
        looks = ((1, 2, 3), (2, 1, 0))[self._stamp == "start"]
        for position, step in enumerate(steps):
            if not step:
                own, other, further = (near[position + look] for look in looks)
                steps[position] = own or (other if other and further in {0, other} else usual)

    def _block(self, t: Sequence[UnixMs], values: Sequence[float], steps: Sequence[int]) -> Iterator[Found]:
        measures, factor, kind = self._quantity
        starts = self._stamp == "start"
        points = [each for each in zip(t, values, steps, strict=True) if each[1] == each[1]]
        if kind != "level" or starts:
            known = [each for each in points if each[2]]
            if len(known) < len(points):
                yield refused("step_unknown", 0, points=str(len(points) - len(known)))
                points = known
        if not points:
            return
        ends = [at + step for at, _, step in points] if starts else [at for at, _, _ in points]
        if kind == "power":
            first = [value * factor * step / HOUR_MS for _, value, step in points]
        else:
            first = [value * factor for _, value, _ in points]
        columns: list[list[float | None]] = [list(first)]
        if kind != "level":
            columns.append([step / 1000 for _, _, step in points])
        yield Rows(self._serial, measures, ends, columns, self._corrected)


def _named_end(t: Sequence[UnixMs], distances: Sequence[int], steps: Sequence[int], declared: int) -> End | None:
    """By where days begin: ends of intervals go from 00:30 to 00:00 of the next day, starts from 00:00 to 23:30."""
    votes = 0
    gaps = [position for position, distance in enumerate(distances) if distance > _EDGE_MS][:_EDGES_MAX]
    last = len(t) - 1
    for position in (0, *(each + 1 for each in gaps)):
        following = distances[position] if position < last else 0
        step = steps[position] or (following if following in _STEPS_MS else declared)
        clock = _clock(t[position])
        weight = _WEIGHT_OF_THE_FILE if position == 0 else 1
        votes += -weight if clock == 0 else weight if clock == step else 0
    for position in (*gaps, last):
        preceding = distances[position - 1] if position else 0
        step = steps[position] or (preceding if preceding in _STEPS_MS else declared)
        clock = _clock(t[position])
        weight = _WEIGHT_OF_THE_FILE if position == last else 1
        votes += weight if clock == 0 else -weight if clock == DAY_MS - step else 0
    return None if votes == 0 else "end" if votes > 0 else "start"


def _clock(at: UnixMs) -> int:
    """Since local midnight, as the clock shows it, in ms."""
    local: Final = datetime.fromtimestamp(at / 1000, zone(PARIS))
    return ((local.hour * 60 + local.minute) * 60 + local.second) * 1000


def _most_frequent(lengths: Sequence[int]) -> int:
    """0: none is a step."""
    counted: Final = Counter(lengths)
    return max((each for each in counted if each in _STEPS_MS), key=lambda each: (counted[each], -each), default=0)
