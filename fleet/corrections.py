"""What is wrong with what a device says, put right when it is read.

What was told is kept as it was told. Corrections compose in the order in which they were made, each from its `from_at` on:

    sign    the power is negated; for the grid's power import and export change places as well, and nothing else
    factor  the measure is multiplied (1000: it says kW)
    offset  the value is added to the measure, in its unit; energy is a difference, so it does not change by this
    clock   seconds are added to the time of its samples; the one correction that is applied before they are stored

So a device's history falls into segments, and in each of them every measure comes from one raw measure, scaled and shifted.
An undone correction is left out, and everything is as if it had never been made.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Final, Literal, NamedTuple

import msgspec

from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.limits import CLOCK_CORRECTION_MAX_S, CORRECTION_FACTOR_MAX, READING_ABS_MAX
from fleet.profiles import DeviceProfile
from fleet.telemetry import UnixMs

CorrectionKind = Literal["sign", "factor", "offset", "clock"]

GRID_POWER: Final = "grid_power_w"
_MIRRORED: Final = {"import_energy_wh": "export_energy_wh", "export_energy_wh": "import_energy_wh"}
_EVER: Final = -(2**62)  # before every instant


class Correction(msgspec.Struct, frozen=True):
    """measure: '' for the clock. value: -1 for a sign; seconds for the clock. from_at: true time."""

    id: str
    device: DeviceId
    kind: CorrectionKind
    measure: str
    value: float
    from_at: UnixMs
    created_at: UnixMs
    undone_at: UnixMs | None = None


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


def in_force(corrections: Iterable[Correction]) -> list[Correction]:
    """In the order in which they apply."""
    standing = (correction for correction in corrections if correction.undone_at is None)
    return sorted(standing, key=lambda correction: (correction.created_at, correction.id))


def segments(
    profile: DeviceProfile, corrections: Iterable[Correction], replacements: Iterable[Replacement] = ()
) -> tuple[Segment, ...]:
    """The history of one device, oldest first; the first segment begins before every instant, in it nothing is corrected.

    A clock correction makes no segment: when samples are stored, their times are right already.
    """
    made = [correction for correction in in_force(corrections) if correction.kind != "clock"]
    swaps = {replacement.at for replacement in replacements}
    found = [Segment(_EVER, {})]
    for since in sorted({correction.from_at for correction in made} | swaps):
        sources = _sources(profile, [correction for correction in made if correction.from_at <= since])
        if since in swaps or sources != found[-1].sources:
            found.append(Segment(since, sources, since in swaps))
    return tuple(found)


def clock_pieces(corrections: Iterable[Correction]) -> tuple[ClockPiece, ...]:
    """By how much told times are moved; () when they are not. A correction counts where the time that it makes is in it."""
    pieces = [ClockPiece(_EVER, 0)]
    for correction in in_force(corrections):
        if correction.kind == "clock":
            pieces = _moved(pieces, round(correction.value * 1000), correction.from_at)
    return tuple(pieces) if any(piece.shift_ms for piece in pieces) else ()


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
        known = list(corrections)
        cut = segments(profile, known, replacements)
        index = profile.index
        self._since = [segment.since for segment in cut]
        self._sources = [
            [(index[measure], index.get(source.measure), source) for measure, source in segment.sources.items()]
            for segment in cut
        ]
        self._clock = clock_pieces(known)
        self._clock_since = [piece.since for piece in self._clock]

    @property
    def moves_time(self) -> bool:
        return bool(self._clock)

    def shift_ms(self, told: UnixMs) -> int:
        """By how much a sample's time is moved."""
        return self._clock[bisect_right(self._clock_since, told) - 1].shift_ms if self._clock else 0

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
    standing = in_force(corrections)
    return Corrector(profile, standing, replacements) if standing else None


def _sources(profile: DeviceProfile, made: Sequence[Correction]) -> dict[str, Source]:
    sources = {measure: Source(measure) for measure in (*profile.channels, *_MIRRORED)}
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
            sources |= {register: sources[other] for register, other in _MIRRORED.items()}
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
