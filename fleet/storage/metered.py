"""How the devices of a site tell of its registers: from which channels, corrected how, from when on."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from fleet.corrections import Segment, Source, segments
from fleet.energy.cut_counters import Cut
from fleet.energy.day import ceiling_w
from fleet.ids import DeviceId, SiteId
from fleet.measures import DAY_COUNTER_OF, INTERVAL_OF, LENGTH_OF, REGISTERS
from fleet.profiles import DeviceProfile
from fleet.storage.corrections import changes_of
from fleet.storage.database import Connection
from fleet.storage.twins import load_profiles
from fleet.telemetry import UnixMs

_SITES = "SELECT id, timezone, latitude, longitude, peak_power_w FROM registry.site WHERE id = ANY($1::text[])"
_DEVICES = "SELECT id, site_id, profile_id FROM registry.device WHERE site_id = ANY($1::text[]) ORDER BY id"

Kind = Literal["lifetime", "day", "interval"]
_MEASURES: Final[dict[Kind, dict[str, str]]] = {
    "lifetime": {register: register for register in REGISTERS},
    "day": DAY_COUNTER_OF,
    "interval": INTERVAL_OF,
}
_REGISTER_OF: Final = {measure: register for known in _MEASURES.values() for register, measure in known.items()}


class Channel(NamedTuple):
    """A measure is `scale` x the device's channel at `position` (from 1) + `offset`."""

    position: int
    scale: float = 1.0
    offset: float = 0.0

    def value(self, told: float) -> float:
        return told * self.scale + self.offset


class Stretch(NamedTuple):
    """From `since` on energy is told in `energy` (None: nothing tells it). length_s: of intervals."""

    since: UnixMs
    energy: Channel | None
    length_s: Channel | None = None
    replaced: bool = False


class Counter(msgspec.Struct, frozen=True):
    """One way in which a device tells of a register.

    stretches: one, from ever on, unless corrections or replacements cut its history.
    """

    device: DeviceId
    register: str
    kind: Kind
    stretches: tuple[Stretch, ...]
    ceiling_w: float
    step_wh: float
    sleeps: bool

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The first stretch counts as it is told: nothing was corrected from ever on."""
        return tuple(_cut(stretch) for stretch in self.stretches[1:])


class MeteredSite(msgspec.Struct, frozen=True):
    """counters: of every device that the site has or ever had."""

    id: SiteId
    timezone: str
    latitude: float
    longitude: float
    counters: list[Counter]


async def metered_sites(connection: Connection, sites: Sequence[SiteId]) -> dict[SiteId, MeteredSite]:
    profiles = await load_profiles(connection)
    counters: dict[SiteId, list[Counter]] = {}
    peaks = {row["id"]: row for row in await connection.fetch(_SITES, sites)}
    changes = await changes_of(connection, list(peaks))
    for device in await connection.fetch(_DEVICES, list(peaks)):
        name, profile = device["id"], profiles[device["profile_id"]]
        cut = segments(profile, changes.corrections.get(name, ()), changes.replacements.get(name, ()))
        found = _counters(name, profile, cut, peaks[device["site_id"]]["peak_power_w"])
        counters.setdefault(device["site_id"], []).extend(found)
    return {
        site: MeteredSite(site, row["timezone"], row["latitude"], row["longitude"], counters.get(site, []))
        for site, row in peaks.items()
    }


def energy_positions(profile: DeviceProfile) -> list[int]:
    """From 1: of all channels that tell of energy in one way or another."""
    measures = (measure for known in _MEASURES.values() for measure in known.values())
    return [profile.index[measure] + 1 for measure in measures if measure in profile.index]


def _counters(device: DeviceId, profile: DeviceProfile, cut: Sequence[Segment], peak_power_w: float) -> list[Counter]:
    """A register counts for the site in those segments in which it comes from one that does."""
    found = []
    for register in REGISTERS:
        for kind, measures in _MEASURES.items():
            stretches: list[Stretch] = []
            for segment in cut:
                stretch = _stretch(profile, segment, kind, measures[register])
                if not stretches or stretch.replaced or stretch[1:3] != stretches[-1][1:3]:
                    stretches.append(stretch)
            if any(stretch.energy is not None for stretch in stretches):
                bound_w, step_wh = ceiling_w(register, peak_power_w), profile.counter_step_wh
                found.append(Counter(device, register, kind, tuple(stretches), bound_w, step_wh, profile.sleeps_at_night))
    return found


def _stretch(profile: DeviceProfile, segment: Segment, kind: Kind, measure: str) -> Stretch:
    source = segment.sources.get(measure, Source(measure))
    counts = _REGISTER_OF[source.measure] in profile.site_registers
    energy = _channel(profile, source) if counts else None
    if kind != "interval":
        offset = source.offset if kind == "day" else 0.0  # the energy of a counter is a difference
        return Stretch(segment.since, energy and energy._replace(offset=offset), None, segment.replaced)
    length = LENGTH_OF[_REGISTER_OF[measure]]
    length_s = _channel(profile, segment.sources.get(length, Source(length)))
    return Stretch(segment.since, energy if length_s else None, length_s, segment.replaced)


def _channel(profile: DeviceProfile, source: Source) -> Channel | None:
    position = profile.index.get(source.measure)
    return None if position is None else Channel(position + 1, source.scale, source.offset)


def _cut(stretch: Stretch) -> Cut:
    energy = stretch.energy or Channel(0)
    return Cut(stretch.since, energy.scale, stretch.replaced, energy.offset)
