"""What is wrong with what a device says, put right when it is read.

What was told is kept as it was told. Corrections compose in the order in which they were made, each from its `from_at` on:

    sign    the power is negated; for the grid's power import and export change places as well, and nothing else
    factor  the measure is multiplied (1000: it says kW)
    offset  the value is added to the measure, in its unit
    clock   seconds are added to the time of its samples; the one correction that is applied before they are stored

What import and export are told in changes places together: counters, counters of the day and intervals. A factor scales the
energy of each of them. An offset changes none that a counter tells, since that is a difference; but it changes what is told
from zero: each interval's energy, and the day's, by as much. The length of intervals is corrected like any other measure.

So a device's history falls into segments, and in each of them every measure comes from one raw measure, scaled and shifted.
An undone correction is left out, and everything is as if it had never been made.

A correction ends with the hardware that it was made for: at the first replacement after it was made. One that is made after
a replacement may begin before it: then somebody wanted it so. The times that two clocks tell overlap, so the arrival of a
sample says whose it is: a clock's correction concerns what the hardware told that was there between its `from_at` and the
time at which it was made.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Final, Literal, NamedTuple

import msgspec

from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.limits import CLOCK_CORRECTION_MAX_S, CORRECTION_FACTOR_MAX, READING_ABS_MAX
from fleet.measures import DAY_COUNTER_OF, INTERVAL_OF, LENGTH_OF
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

CorrectionKind = Literal["sign", "factor", "offset", "clock"]

GRID_POWER: Final = "grid_power_w"
_IMPORT, _EXPORT = "import_energy_wh", "export_energy_wh"
_PAIRS: Final = (
    (_IMPORT, _EXPORT),
    (INTERVAL_OF[_IMPORT], INTERVAL_OF[_EXPORT]),
    (LENGTH_OF[_IMPORT], LENGTH_OF[_EXPORT]),
    (DAY_COUNTER_OF[_IMPORT], DAY_COUNTER_OF[_EXPORT]),
)
_MIRRORED: Final = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_EVER: Final = -(2**62)  # before every instant


class Correction(msgspec.Struct, frozen=True):
    """measure: '' for the clock. value: -1 for a sign; seconds for the clock. from_at: true time.

    ended_at: when the hardware that it was made for was replaced; it goes on correcting what lies before that.
    """

    id: str
    device: DeviceId
    kind: CorrectionKind
    measure: str
    value: float
    from_at: UnixMs
    created_at: UnixMs
    undone_at: UnixMs | None = None
    ended_at: UnixMs | None = None

    @property
    def in_force(self) -> bool:
        """Whether it bears upon what comes from now on."""
        return self.undone_at is None and self.ended_at is None


class Replacement(msgspec.Struct, frozen=True):
    """From `at` on the place has other hardware: its counters start anew there."""

    device: DeviceId
    at: UnixMs
    old_serial: str | None = None
    new_serial: str | None = None


class Source(NamedTuple):
    """A measure is `scale` x the raw `measure` + `offset`."""

    measure: str
    scale: float = 1.0
    offset: float = 0.0

    def value(self, raw: float) -> float:
        return raw * self.scale + self.offset


class Segment(NamedTuple):
    """From `since` until the next segment. sources: of the measures that are not simply what was told.

    replaced: other hardware begins here.
    """

    since: UnixMs
    sources: dict[str, Source]
    replaced: bool = False


class ClockPiece(NamedTuple):
    """From the told time `since` until the next piece, times are moved by shift_ms."""

    since: UnixMs
    shift_ms: int


class Clock(NamedTuple):
    """Told what arrived from `since` until the next clock. pieces: oldest first, the first begins before every instant."""

    since: UnixMs
    pieces: tuple[ClockPiece, ...]

    def shift_ms(self, told: UnixMs) -> int:
        return self.pieces[bisect_right(self.pieces, told, key=lambda piece: piece.since) - 1].shift_ms


def with_ends(corrections: Iterable[Correction], replacements: Iterable[Replacement]) -> list[Correction]:
    """In the same order, each with its ended_at. Of one device, as everything here."""
    swaps = _instants(replacements)
    return [msgspec.structs.replace(each, ended_at=_end(each, swaps)) for each in corrections]


def segments(
    profile: DeviceProfile, corrections: Iterable[Correction], replacements: Iterable[Replacement] = ()
) -> tuple[Segment, ...]:
    """The history of one device, oldest first; the first segment begins before every instant, in it nothing is corrected.

    A clock correction makes no segment: when samples are stored, their times are right already.
    """
    swaps = _instants(replacements)
    made = [(each, _end(each, swaps)) for each in _standing(corrections) if each.kind != "clock"]
    found = [Segment(_EVER, {})]
    for since in sorted({each.from_at for each, _ in made}.union(swaps)):
        counting = [each for each, end in made if each.from_at <= since and (end is None or since < end)]
        sources = _sources(profile, counting)
        if since in swaps or sources != found[-1].sources:
            found.append(Segment(since, sources, since in swaps))
    return tuple(found)


def clocks(corrections: Iterable[Correction], replacements: Iterable[Replacement] = ()) -> tuple[Clock, ...]:
    """By how much told times are moved: one clock for each hardware, the oldest first.

    A correction counts where the time that it makes is in it, and for the hardware that was there between its from_at and
    the time at which it was made.
    """
    made = [each for each in _standing(corrections) if each.kind == "clock"]
    starts = [_EVER, *_instants(replacements)]
    found = []
    for since, until in zip(starts, [*starts[1:], None], strict=True):
        pieces = [ClockPiece(_EVER, 0)]
        for each in made:
            if since <= each.created_at and (until is None or each.from_at < until):
                pieces = _moved(pieces, round(each.value * 1000), each.from_at)
        found.append(Clock(since, tuple(pieces)))
    return tuple(found)


def check_correction(profile: DeviceProfile, kind: CorrectionKind, measure: str, value: float) -> None:
    """Raises BadInput (bad_correction)."""
    if not isfinite(value):
        raise BadInput("bad_correction", "the value of a correction must be a number")
    if kind == "clock":
        if measure or not 0 < abs(value) <= CLOCK_CORRECTION_MAX_S:
            raise BadInput("bad_correction", f"a clock is moved by at most {CLOCK_CORRECTION_MAX_S} s, and of no measure")
        return
    if measure not in profile.index:
        raise BadInput("bad_correction", f"profile {profile.id} has no measure {measure[:60]!r}")
    if kind == "sign" and not (value == -1 and measure.endswith("power_w")):
        raise BadInput("bad_correction", "a sign is corrected by -1, and of a power")
    if kind == "factor" and not 1 / CORRECTION_FACTOR_MAX <= value <= CORRECTION_FACTOR_MAX:
        raise BadInput(
            "bad_correction", f"a factor lies between {1 / CORRECTION_FACTOR_MAX:g} and {CORRECTION_FACTOR_MAX:g}"
        )
    if kind == "offset" and abs(value) > READING_ABS_MAX:
        raise BadInput("bad_correction", f"an offset is at most {READING_ABS_MAX:g}")


class Corrector:
    """Applies one device's corrections to readings in channel order."""

    def __init__(
        self, profile: DeviceProfile, corrections: Iterable[Correction], replacements: Iterable[Replacement] = ()
    ) -> None:
        known, swaps = list(corrections), list(replacements)
        cut = segments(profile, known, swaps)
        index = profile.index
        self._since = [segment.since for segment in cut]
        self._sources = [
            [
                (index[measure], index.get(source.measure), source)
                for measure, source in segment.sources.items()
                if measure in index
            ]
            for segment in cut
        ]
        self._clocks = clocks(known, swaps)
        self._clocks_since = [clock.since for clock in self._clocks]
        self.moves_time = any(piece.shift_ms for clock in self._clocks for piece in clock.pieces)

    def shift_ms(self, told: UnixMs, arrived_at: UnixMs) -> int:
        """By how much a sample's time is moved."""
        return self._clocks[bisect_right(self._clocks_since, arrived_at) - 1].shift_ms(told)

    def readings(self, at: UnixMs, told: Sequence[float | None]) -> list[float | None]:
        """What was told, corrected as of `at` (a time that is right)."""
        shown = list(told)
        for position, origin, source in self._sources[bisect_right(self._since, at) - 1]:
            raw = told[origin] if origin is not None and origin < len(told) else None
            if position < len(shown):
                shown[position] = None if raw is None else source.value(raw)
        return shown


def corrector(
    profile: DeviceProfile, corrections: Iterable[Correction], replacements: Iterable[Replacement] = ()
) -> Corrector | None:
    """None when what was told stands: so it is for nearly every device."""
    standing = _standing(corrections)
    return Corrector(profile, standing, replacements) if standing else None


def _standing(corrections: Iterable[Correction]) -> list[Correction]:
    """In the order in which they apply."""
    return sorted((each for each in corrections if each.undone_at is None), key=lambda each: (each.created_at, each.id))


def _instants(replacements: Iterable[Replacement]) -> list[UnixMs]:
    return sorted({replacement.at for replacement in replacements})


def _end(correction: Correction, swaps: Sequence[UnixMs]) -> UnixMs | None:
    return next((at for at in swaps if at > correction.created_at), None)


def _sources(profile: DeviceProfile, made: Sequence[Correction]) -> dict[str, Source]:
    mirrored = {one: other for one, other in _MIRRORED.items() if one in profile.index or other in profile.index}
    sources = {measure: Source(measure) for measure in (*profile.channels, *mirrored)}
    for correction in made:
        measure, value = correction.measure, correction.value
        if measure not in sources:
            continue
        before = sources[measure]
        if correction.kind == "offset":
            sources[measure] = before._replace(offset=before.offset + value)
            continue
        sources[measure] = Source(before.measure, before.scale * value, before.offset * value)
        if correction.kind == "sign" and measure == GRID_POWER:
            sources |= {one: sources[other] for one, other in mirrored.items()}
    plain = {measure: Source(measure) for measure in sources}
    return {measure: source for measure, source in sources.items() if source != plain[measure]}


def _moved(pieces: Sequence[ClockPiece], by_ms: int, from_at: UnixMs) -> list[ClockPiece]:
    """The pieces after one more correction: told times that it brings to from_at or later are moved."""
    found: list[ClockPiece] = []
    for number, piece in enumerate(pieces):
        until = pieces[number + 1].since if number + 1 < len(pieces) else None
        first = from_at - by_ms - piece.shift_ms  # the first told time of this piece that it moves
        if first > piece.since:
            found.append(piece)
        if until is None or first < until:
            found.append(ClockPiece(max(first, piece.since), piece.shift_ms + by_ms))
    return found
