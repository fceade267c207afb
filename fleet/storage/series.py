"""Raw counter samples for the roll-up: which counters a site has, and what they said in and around a window.

Neighbours are looked for in the two days around first, and only if they are not there as far as a gap may reach: a plan that
touches few partitions is several times cheaper.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from asyncpg import Record

from fleet.calendar import Span
from fleet.counters import GAP_MAX_MS, NEIGHBOURS
from fleet.energy import CounterSeries, Neighbours, ceiling_w
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile
from fleet.storage.database import Connection
from fleet.storage.twins import load_profiles
from fleet.telemetry import UnixMs

_NEAR_MS: Final = 2 * 86_400_000  # more than fleet.energy.EXPECTED_MS
_FAR_MS: Final = 2 * GAP_MAX_MS  # the neighbours of the last sample before the longest gap

_SITES = "SELECT id, timezone, latitude, longitude, peak_power_w FROM registry.site WHERE id = ANY($1::text[])"
_DEVICES = "SELECT id, site_id, profile_id FROM registry.device WHERE site_id = ANY($1::text[]) ORDER BY id"

# $1 site, $2 devices, $3 positions of the counters, $4 $5 the window, $6 $7 how far around, $8 how many on each side
_BEFORE = """
    SELECT time, readings[c.position] AS value FROM telemetry.sample
    WHERE site_id = $1 AND device_id = c.device_id AND time >= $6 AND time < $4 AND readings[c.position] IS NOT NULL
    ORDER BY time DESC LIMIT $8
"""
_INSIDE = """
    SELECT time, readings[c.position] AS value FROM telemetry.sample
    WHERE site_id = $1 AND device_id = c.device_id AND time >= $4 AND time < $5 AND readings[c.position] IS NOT NULL
"""
_AFTER = """
    SELECT time, readings[c.position] AS value FROM telemetry.sample
    WHERE site_id = $1 AND device_id = c.device_id AND time >= $5 AND time < $7 AND readings[c.position] IS NOT NULL
    ORDER BY time LIMIT $8
"""
_MS = "round(date_part('epoch', time) * 1000)::bigint"
_COUNTERS = "unnest($2::text[], $3::integer[]) WITH ORDINALITY AS c(device_id, position, number)"
_SERIES = f"""
    SELECT s.times, s.values FROM {_COUNTERS} CROSS JOIN LATERAL (
        SELECT array_agg({_MS} ORDER BY time) AS times, array_agg(value ORDER BY time) AS values
        FROM (({_BEFORE}) UNION ALL ({_INSIDE}) UNION ALL ({_AFTER})) AS near
    ) s ORDER BY c.number
"""  # noqa: S608 - column names of our own
_NEIGHBOURS = f"""
    SELECT (SELECT array_agg({_MS} ORDER BY time) FROM ({_BEFORE}) AS b) AS before,
           (SELECT {_MS} FROM ({_INSIDE}) AS i ORDER BY time DESC LIMIT 1) AS inside,
           (SELECT array_agg({_MS} ORDER BY time) FROM ({_AFTER}) AS a) AS after
    FROM {_COUNTERS} ORDER BY c.number
"""  # noqa: S608 - column names of our own


class Counter(msgspec.Struct, frozen=True):
    """position: of the register among the device's channels, counted from 1."""

    device: DeviceId
    register: str
    position: int
    ceiling_w: float
    step_wh: float
    sleeps: bool


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
    for device in await connection.fetch(_DEVICES, list(peaks)):
        found = _counters(device["id"], profiles[device["profile_id"]], peaks[device["site_id"]]["peak_power_w"])
        counters.setdefault(device["site_id"], []).extend(found)
    return {
        site: MeteredSite(site, row["timezone"], row["latitude"], row["longitude"], counters.get(site, []))
        for site, row in peaks.items()
    }


async def read_neighbours(
    connection: Connection, site: SiteId, counters: Sequence[Counter], span: Span, now: UnixMs
) -> list[Neighbours]:
    """What stands around `span`, counter by counter (see energy.influence)."""

    def is_short(row: Record) -> bool:
        return row["inside"] is not None and (_lacks(row["before"]) or (_lacks(row["after"]) and _may_follow(span, now)))

    rows = await _read(connection, _NEIGHBOURS, site, counters, span)
    short = [index for index, row in enumerate(rows) if is_short(row)]
    if short:
        farther = await _read(connection, _NEIGHBOURS, site, [counters[index] for index in short], span, _FAR_MS)
        for index, row in zip(short, farther, strict=True):
            rows[index] = row
    return [Neighbours(row["before"] or [], row["inside"], row["after"] or []) for row in rows]


async def read_series(
    connection: Connection, site: SiteId, counters: Sequence[Counter], window: Span, now: UnixMs
) -> list[CounterSeries]:
    """Every counter's samples in `window`, and NEIGHBOURS before and after it."""

    def is_short(row: Record) -> bool:
        times = row["times"] or []
        before = sum(t < window[0] for t in times[:NEIGHBOURS])
        after = sum(t >= window[1] for t in times[-NEIGHBOURS:])
        follows = _may_follow(window, now)
        return (after < NEIGHBOURS and follows) or (before < NEIGHBOURS and (follows or len(times) > before))

    rows = await _read(connection, _SERIES, site, counters, window)
    short = [index for index, row in enumerate(rows) if is_short(row)]
    if short:
        farther = await _read(connection, _SERIES, site, [counters[index] for index in short], window, _FAR_MS)
        for index, row in zip(short, farther, strict=True):
            rows[index] = row
    return [
        CounterSeries(c.device, c.register, row["times"] or [], row["values"] or [], c.ceiling_w, c.step_wh, c.sleeps)
        for c, row in zip(counters, rows, strict=True)
    ]


async def _read(
    connection: Connection, query: str, site: SiteId, counters: Sequence[Counter], span: Span, reach_ms: int = _NEAR_MS
) -> list[Record]:
    edges = (*span, span[0] - reach_ms, span[1] + reach_ms)
    return await connection.fetch(
        query,
        site,
        [counter.device for counter in counters],
        [counter.position for counter in counters],
        *(datetime.fromtimestamp(edge / 1000, UTC) for edge in edges),
        NEIGHBOURS,
    )


def _counters(device: DeviceId, profile: DeviceProfile, peak_power_w: float) -> list[Counter]:
    return [
        Counter(
            device,
            register,
            profile.index[register] + 1,
            ceiling_w(register, peak_power_w),
            profile.counter_step_wh,
            profile.sleeps_at_night,
        )
        for register in profile.site_registers
    ]


def _lacks(times: Sequence[UnixMs] | None) -> bool:
    return len(times or ()) < NEIGHBOURS


def _may_follow(span: Span, now: UnixMs) -> bool:
    """Whether there can be samples beyond what was looked at already."""
    return span[1] + _NEAR_MS < now
