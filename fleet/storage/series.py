"""Raw counter samples for the roll-up: which counters a site has, and what they said in and around a window.

Neighbours are looked for in the two days around first, and only if they are not there as far as a gap may reach: a plan that
touches few partitions is several times cheaper.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Final, NamedTuple

import msgspec
from asyncpg import Record

from fleet.calendar import Span
from fleet.corrections import Segment, Source, segments
from fleet.counters import GAP_MAX_MS, NEIGHBOURS
from fleet.cut_counters import Cut
from fleet.energy import CounterSeries, Neighbours, ceiling_w
from fleet.ids import DeviceId, SiteId
from fleet.measures import REGISTERS
from fleet.profiles import DeviceProfile
from fleet.storage.corrections import changes_of
from fleet.storage.database import Connection
from fleet.storage.twins import load_profiles
from fleet.telemetry import UnixMs

_NEAR_MS: Final = 2 * 86_400_000  # more than fleet.energy.EXPECTED_MS
_FAR_MS: Final = 2 * GAP_MAX_MS  # the neighbours of the last sample before the longest gap

_SITES = "SELECT id, timezone, latitude, longitude, peak_power_w FROM registry.site WHERE id = ANY($1::text[])"
_DEVICES = "SELECT id, site_id, profile_id FROM registry.device WHERE site_id = ANY($1::text[]) ORDER BY id"

# $1 site, $2 devices, $3 positions of the counters, $4 $5 the window, $6 $7 how far around, $8 how many on each side
# and, where a counter is cut, $9 $10 from when until when each of them is read
_VALUE = "SELECT time, readings[c.position] AS value FROM telemetry.sample"
_MINE = "site_id = $1 AND device_id = c.device_id AND readings[c.position] IS NOT NULL{bounds}"
_BEFORE = f"{_VALUE} WHERE {_MINE} AND time >= $6 AND time < $4 ORDER BY time DESC LIMIT $8"
_INSIDE = f"{_VALUE} WHERE {_MINE} AND time >= $4 AND time < $5"
_AFTER = f"{_VALUE} WHERE {_MINE} AND time >= $5 AND time < $7 ORDER BY time LIMIT $8"
_MS = "round(date_part('epoch', time) * 1000)::bigint"
_SERIES = f"""
    SELECT s.times, s.values FROM {{counters}} CROSS JOIN LATERAL (
        SELECT array_agg({_MS} ORDER BY time) AS times, array_agg(value ORDER BY time) AS values
        FROM (({_BEFORE}) UNION ALL ({_INSIDE}) UNION ALL ({_AFTER})) AS near
    ) s ORDER BY c.number
"""  # noqa: S608 - column names of our own
_NEIGHBOURS = f"""
    SELECT (SELECT array_agg({_MS} ORDER BY time) FROM ({_BEFORE}) AS b) AS before,
           (SELECT {_MS} FROM ({_INSIDE}) AS i ORDER BY time DESC LIMIT 1) AS inside,
           (SELECT array_agg({_MS} ORDER BY time) FROM ({_AFTER}) AS a) AS after
    FROM {{counters}} ORDER BY c.number
"""  # noqa: S608 - column names of our own
_WHOLE = {
    "counters": "unnest($2::text[], $3::integer[]) WITH ORDINALITY AS c(device_id, position, number)",
    "bounds": "",
}
_CUT = {
    "counters": "unnest($2::text[], $3::integer[], $9::timestamptz[], $10::timestamptz[])"
    " WITH ORDINALITY AS c(device_id, position, since, until, number)",
    "bounds": " AND time >= c.since AND time < c.until",
}
_LONG_AGO: Final = 0
_FAR_AHEAD: Final = 4_000_000_000_000  # 2096


class Stretch(NamedTuple):
    """From `since` on the counter is `scale` x the device's channel at `position` (from 1; None: nothing tells it)."""

    since: UnixMs
    position: int | None
    scale: float = 1.0
    replaced: bool = False


class Counter(msgspec.Struct, frozen=True):
    """stretches: one, from ever on, unless corrections or replacements cut its history."""

    device: DeviceId
    register: str
    stretches: tuple[Stretch, ...]
    ceiling_w: float
    step_wh: float
    sleeps: bool

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The first stretch counts as it is told: nothing was corrected from ever on."""
        return tuple(Cut(stretch.since, stretch.scale, stretch.replaced) for stretch in self.stretches[1:])


class _Read(NamedTuple):
    """One stretch of the counter with this number."""

    number: int
    position: int
    since: UnixMs
    until: UnixMs


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


async def read_neighbours(
    connection: Connection, site: SiteId, counters: Sequence[Counter], span: Span, now: UnixMs
) -> list[Neighbours]:
    """What stands around `span`, counter by counter (see energy.influence)."""

    def is_short(near: Neighbours) -> bool:
        return near.inside is not None and (_lacks(near.before) or (_lacks(near.after) and _may_follow(span, now)))

    found = await _near(connection, site, counters, span)
    short = [number for number, near in enumerate(found) if is_short(near)]
    if short:
        farther = await _near(connection, site, [counters[number] for number in short], span, _FAR_MS)
        for number, near in zip(short, farther, strict=True):
            found[number] = near
    return found


async def read_series(
    connection: Connection, site: SiteId, counters: Sequence[Counter], window: Span, now: UnixMs
) -> list[CounterSeries]:
    """Every counter's samples in `window`, and at least NEIGHBOURS before and after it."""

    def is_short(series: CounterSeries) -> bool:
        times = series.times
        before = sum(t < window[0] for t in times[:NEIGHBOURS])
        after = sum(t >= window[1] for t in times[-NEIGHBOURS:])
        follows = _may_follow(window, now)
        return (after < NEIGHBOURS and follows) or (before < NEIGHBOURS and (follows or len(times) > before))

    found = await _series(connection, site, counters, window)
    short = [number for number, series in enumerate(found) if is_short(series)]
    if short:
        farther = await _series(connection, site, [counters[number] for number in short], window, _FAR_MS)
        for number, series in zip(short, farther, strict=True):
            found[number] = series
    return found


async def _near(
    connection: Connection, site: SiteId, counters: Sequence[Counter], span: Span, reach_ms: int = _NEAR_MS
) -> list[Neighbours]:
    found = [Neighbours([], None, []) for _ in counters]
    for number, row in await _read(connection, _NEIGHBOURS, site, counters, span, reach_ms):
        near = found[number]
        before, after = [*near.before, *(row["before"] or ())], [*near.after, *(row["after"] or ())]
        inside = near.inside if row["inside"] is None else row["inside"]
        found[number] = Neighbours(before[-NEIGHBOURS:], inside, after[:NEIGHBOURS])
    return found


async def _series(
    connection: Connection, site: SiteId, counters: Sequence[Counter], window: Span, reach_ms: int = _NEAR_MS
) -> list[CounterSeries]:
    told: list[tuple[list[UnixMs], list[float]]] = [([], []) for _ in counters]
    for number, row in await _read(connection, _SERIES, site, counters, window, reach_ms):
        told[number][0].extend(row["times"] or ())
        told[number][1].extend(row["values"] or ())
    return [
        CounterSeries(c.device, c.register, times, values_wh, c.ceiling_w, c.step_wh, c.sleeps, c.cuts)
        for c, (times, values_wh) in zip(counters, told, strict=True)
    ]


async def _read(
    connection: Connection, query: str, site: SiteId, counters: Sequence[Counter], span: Span, reach_ms: int
) -> Iterable[tuple[int, Record]]:
    """Each counter's rows, with its number: one per stretch that may hold anything, in order of time."""
    edges = (*span, span[0] - reach_ms, span[1] + reach_ms)
    reads = list(chain.from_iterable(_reads(number, counter) for number, counter in enumerate(counters)))
    cut = len(reads) != len(counters) or any(len(counter.stretches) > 1 for counter in counters)
    if cut:
        reads = [read for read in reads if read.since < edges[3] and read.until > edges[2]]
    bounds = ([_time(read.since) for read in reads], [_time(read.until) for read in reads]) if cut else ()
    rows = await connection.fetch(
        query.format_map(_CUT if cut else _WHOLE),
        site,
        [counters[read.number].device for read in reads],
        [read.position for read in reads],
        *map(_time, edges),
        NEIGHBOURS,
        *bounds,
    )
    return zip((read.number for read in reads), rows, strict=True)


def _reads(number: int, counter: Counter) -> Iterable[_Read]:
    ends = [*(stretch.since for stretch in counter.stretches[1:]), _FAR_AHEAD]
    for stretch, until in zip(counter.stretches, ends, strict=True):
        if stretch.position is not None:
            yield _Read(number, stretch.position, max(stretch.since, _LONG_AGO), until)


def _counters(device: DeviceId, profile: DeviceProfile, cut: Sequence[Segment], peak_power_w: float) -> list[Counter]:
    """A register counts for the site in those segments in which it comes from a channel that does."""
    found = []
    for register in REGISTERS:
        sources = [(segment, segment.sources.get(register, Source(register))) for segment in cut]
        stretches: list[Stretch] = []
        for segment, source in sources:
            position = profile.index[source.measure] + 1 if source.measure in profile.site_registers else None
            stretch = Stretch(segment.since, position, source.scale, segment.replaced)
            if not stretches or stretch.replaced or stretch[1:3] != stretches[-1][1:3]:
                stretches.append(stretch)
        if any(stretch.position is not None for stretch in stretches):
            bound_w, step_wh = ceiling_w(register, peak_power_w), profile.counter_step_wh
            found.append(Counter(device, register, tuple(stretches), bound_w, step_wh, profile.sleeps_at_night))
    return found


def _lacks(times: Sequence[UnixMs]) -> bool:
    return len(times) < NEIGHBOURS


def _may_follow(span: Span, now: UnixMs) -> bool:
    """Whether there can be samples beyond what was looked at already."""
    return span[1] + _NEAR_MS < now


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
