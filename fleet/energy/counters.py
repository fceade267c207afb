"""Cumulative counters: from what a device says to energy that can be trusted.

Whatever is decided about a sample is decided by its neighbours alone: NEIGHBOURS samples on each side. So a day that is
computed in pieces comes out exactly as if it were computed whole, and a late sample changes only what lies around it.

Between two good samples a counter may
    count      grow by no more than the ceiling allows                      → the difference
    roll over  fall because its register is full, at 10^n, 2^16 or 2^32     → the difference past the end
    reset      fall to what it can have counted since zero                  → what it shows now
    be swapped move in any other way (another meter, a lost memory)         → unknown, so nothing is booked
A glitch is up to GLITCH_SAMPLES_MAX samples that leave the counter's line and come back to it; they are left out.

Energy is counted in whole mWh: sums of integers are exact, whatever order samples came in.
"""

from collections.abc import Sequence
from itertools import islice
from math import ceil, isfinite
from operator import lt
from typing import Final, Literal, NamedTuple

from fleet.limits import COUNTER_GAP_MAX_DAYS
from fleet.telemetry import UnixMs

GLITCH_SAMPLES_MAX: Final = 3  # consecutive wrong samples that are recognised as such
_REACH: Final = GLITCH_SAMPLES_MAX + 1  # how many positions back the good sample before may be
# On each side of a sample: as far as its link reaches, and what can call the sample there a glitch (1 + 2 + … around it).
NEIGHBOURS: Final = _REACH + GLITCH_SAMPLES_MAX * (GLITCH_SAMPLES_MAX + 1) // 2
GAP_MAX_MS: Final = COUNTER_GAP_MAX_DAYS * 86_400_000

_CLOCK_SLACK_MS: Final = 2_000  # two samples' times may be rounded to the second, each its own way
_SCALES_MWH: Final = (100, 1_000, 10_000, 100_000, 1_000_000)  # a register counts 0.1, 1, 10, 100 Wh or 1 kWh
_MODULI_MWH: Final = sorted({10**n for n in range(8, 16)} | {2**bits * scale for bits in (16, 32) for scale in _SCALES_MWH})
_ROLLOVER_SHARE: Final = 20  # a rollover passes its modulus by no more than a 20th of it; else a reset is likelier

OddityKind = Literal["reset", "rollover", "swap", "glitch"]


class Oddity(NamedTuple):
    """at: the sample where it shows. energy_wh: what was booked for the link that ends there."""

    at: UnixMs
    kind: OddityKind
    raw_before_wh: float
    raw_after_wh: float
    energy_wh: float


class Count(NamedTuple):
    """A counter put right.

    heard             when it said anything
    times, total_mwh  its good samples, and energy since some zero at each of them; never falls
    unknown           between two good samples, where nobody knows what was counted
    touched           between two good samples, where something was corrected
    """

    heard: Sequence[UnixMs]
    times: Sequence[UnixMs]
    total_mwh: Sequence[int]
    unknown: list[tuple[UnixMs, UnixMs]]
    touched: list[tuple[UnixMs, UnixMs]]
    corrections: list[Oddity]


class _Line(NamedTuple):
    """The raw counter: one value per instant, in order of time."""

    times: Sequence[UnixMs]
    mwh: Sequence[int]
    ceiling_w: int
    slack: int  # W·ms that any step may exceed the ceiling by
    restarts: bool = False
    first_reading: int = 0

    def allows(self, a: int, b: int, growth_mwh: int) -> bool:
        """Whether the counter may have grown by this much from sample a to sample b. 1 mWh = 3,600 W·ms."""
        duration_ms = self.times[b] - self.times[a]
        return growth_mwh * 3_600 <= self.ceiling_w * duration_ms + self.slack and duration_ms <= GAP_MAX_MS

    def growth(self, a: int, b: int) -> int | None:
        """From sample a to sample b by counting or by rolling over; None when neither explains it."""
        growth_mwh = self.mwh[b] - self.mwh[a]
        if growth_mwh < 0:
            return None if self.restarts else self._past_the_end(a, b)
        return growth_mwh if self.allows(a, b, growth_mwh) else None

    def _past_the_end(self, a: int, b: int) -> int | None:
        for modulus in _MODULI_MWH:
            growth_mwh = self.mwh[b] + modulus - self.mwh[a]
            if modulus > self.mwh[a] and growth_mwh * _ROLLOVER_SHARE <= modulus and self.allows(a, b, growth_mwh):
                return growth_mwh
        return None


def count(times: Sequence[UnixMs], values_wh: Sequence[float], *, ceiling_w: float, step_wh: float = 1.0) -> Count:
    """times and values in any order, repeated as they please.

    ceiling_w: more power than this is impossible. step_wh: the counter's smallest step (1000 for one that shows whole kWh).
    """
    return count_in_order(*in_order(times, values_wh), ceiling_w=ceiling_w, step_wh=step_wh)


def count_in_order(
    times: Sequence[UnixMs],
    mwh: Sequence[int],
    *,
    ceiling_w: float,
    step_wh: float,
    restarts: bool = False,
    from_zero: bool = False,
) -> Count:
    """As count, of what in_order has made. restarts: it begins at zero now and then, and such a fall is no oddity.

    from_zero: the first is no reading but the zero that it began at, which is no witness against readings.
    """
    ceiling = ceil(ceiling_w)
    slack = ceil(step_wh * 1000) * 3_600 + ceiling * _CLOCK_SLACK_MS
    line = _Line(times, mwh, ceiling, slack, restarts, 1 if from_zero else 0)
    broken = _broken(line)
    if not broken:
        return Count(times, times, mwh, [], [], [])
    return _linked(line, _glitches(line, broken))


def in_order(times: Sequence[UnixMs], values_wh: Sequence[float]) -> tuple[Sequence[UnixMs], list[int]]:
    """One value per instant (the lowest, should there be several); what is no counter reading is left out."""
    clean = isfinite(sum(values_wh)) and min(values_wh, default=0.0) >= 0
    if not clean or not all(map(lt, times, islice(times, 1, None))):
        readings = {(t, v) for t, v in zip(times, values_wh, strict=True) if isfinite(v) and v >= 0}
        lowest = dict(sorted(readings, reverse=True))
        times = sorted(lowest)
        values_wh = [lowest[t] for t in times]
    return times, [round(value * 1000) for value in values_wh]


def _broken(line: _Line) -> list[int]:
    """Positions whose step to the next sample is no plain counting."""
    ceiling_w, slack = line.ceiling_w, line.slack
    steps = zip(line.times, islice(line.times, 1, None), line.mwh, islice(line.mwh, 1, None), strict=False)
    return [
        position
        for position, (t0, t1, v0, v1) in enumerate(steps)
        if v1 < v0 or (v1 - v0) * 3_600 > ceiling_w * (t1 - t0) + slack or t1 - t0 > GAP_MAX_MS
    ]


def _glitches(line: _Line, broken: list[int]) -> set[int]:
    """Runs of samples that do not fit between two that fit each other. Short ones first: a glitch is no witness."""
    last = len(line.times) - 1
    glitches: set[int] = set()
    for length in range(1, GLITCH_SAMPLES_MAX + 1):
        before = {position for step in broken for position in range(max(line.first_reading, step - length), step + 1)}
        runs = [
            range(a + 1, a + 1 + length)
            for a in before
            if a + 1 + length <= last
            and glitches.isdisjoint((a, a + 1 + length))
            and _leaves_and_comes_back(line, a, length)
        ]
        glitches.update(position for run in runs for position in run)
    return glitches


def _leaves_and_comes_back(line: _Line, a: int, length: int) -> bool:
    b = a + 1 + length
    return line.growth(a, b) is not None and all(
        line.growth(a, position) is None or line.growth(position, b) is None for position in range(a + 1, b)
    )


def _linked(line: _Line, glitches: set[int]) -> Count:
    times: list[UnixMs] = []
    total_mwh: list[int] = []
    found = Count(line.times, times, total_mwh, [], [], [])
    before: int | None = None
    for position, at in enumerate(line.times):
        if position in glitches:
            if position - 1 not in glitches:  # one event for a run of them, however long
                raw_mwh = line.mwh[position - 1], line.mwh[position]
                found.corrections.append(Oddity(at, "glitch", raw_mwh[0] / 1000, raw_mwh[1] / 1000, 0.0))
            continue
        if before is not None and position - before <= _REACH:
            energy_mwh = _link(line, before, position, found)
        else:
            energy_mwh = _lost(line, before or 0, position, found) if position >= _REACH else 0
        times.append(at)
        total_mwh.append(energy_mwh + (total_mwh[-1] if total_mwh else 0))
        before = position
    return found


def _link(line: _Line, a: int, b: int, found: Count) -> int:
    """Energy from good sample a to good sample b, in mWh. Writes down what was not plain counting."""
    span = (line.times[a], line.times[b])
    if span[1] - span[0] > GAP_MAX_MS:
        found.unknown.append(span)
        return 0
    growth_mwh = line.growth(a, b)
    before_mwh, after_mwh = line.mwh[a], line.mwh[b]
    if line.restarts and after_mwh < before_mwh and line.allows(a, b, after_mwh):
        growth_mwh = after_mwh
    if growth_mwh is not None and (after_mwh >= before_mwh or line.restarts):
        if b - a > 1:  # glitches between them
            found.touched.append(span)
        return growth_mwh
    kind: OddityKind = "rollover"
    if growth_mwh is None and after_mwh * 2 <= before_mwh and line.allows(a, b, after_mwh):
        kind, growth_mwh = "reset", after_mwh
    elif growth_mwh is None:
        kind, growth_mwh = "swap", 0
        found.unknown.append(span)
    found.touched.append(span)
    found.corrections.append(Oddity(span[1], kind, before_mwh / 1000, after_mwh / 1000, growth_mwh / 1000))
    return growth_mwh


def _lost(line: _Line, a: int, b: int, found: Count) -> int:
    """Good sample b has nothing but glitches before it: two devices on one name, or a broken one. Nothing is booked."""
    span = (line.times[a], line.times[b])
    found.unknown.append(span)
    found.touched.append(span)
    found.corrections.append(Oddity(span[1], "swap", line.mwh[b - 1] / 1000, line.mwh[b] / 1000, 0.0))
    return 0
