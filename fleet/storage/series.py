"""What the counters and load curves of a site told in and around a window: raw samples for the roll-up.

Neighbours are looked for in the two days around first, and only if they are not there as far as a gap may reach: a plan that
touches few partitions is several times cheaper. A channel that says nothing at all costs a look as far as one gap.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from asyncpg import Record

from fleet.calendar import Span
from fleet.energy.counters import GAP_MAX_MS, NEIGHBOURS
from fleet.energy.day import CounterSeries, DayCounterSeries, IntervalSeries, Neighbours, Series
from fleet.energy.day_counters import midnight_before
from fleet.energy.intervals import AFTER_MS, BEFORE_MS, INTERVAL_MAX_MS, IntervalNeighbours, intervals, neighbours
from fleet.ids import SiteId
from fleet.storage.database import Connection
from fleet.storage.metered import Channel, Counter, MeteredSite
from fleet.telemetry import UnixMs

_NEAR_MS: Final = 2 * 86_400_000  # more than fleet.energy.day.EXPECTED_MS
_FAR_MS: Final = 2 * GAP_MAX_MS  # the neighbours of the last sample before the longest gap

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
_SPANNING = f"""
    SELECT EXISTS ({_BEFORE}) AND EXISTS ({_AFTER}) AS spans FROM {{counters}} ORDER BY c.number
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
# $1 site, $2 devices, $3 positions of energy, $4 of lengths, $5 $6 from when until when each of them is read
_CURVES = f"""
    SELECT s.times, s.energy, s.lengths
    FROM unnest($2::text[], $3::integer[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
        WITH ORDINALITY AS c(device_id, energy, length, since, until, number)
    CROSS JOIN LATERAL (
        SELECT array_agg({_MS} ORDER BY time) AS times, array_agg(readings[c.energy] ORDER BY time) AS energy,
               array_agg(readings[c.length] ORDER BY time) AS lengths
        FROM telemetry.sample
        WHERE site_id = $1 AND device_id = c.device_id AND time >= c.since AND time < c.until
          AND readings[c.energy] IS NOT NULL AND readings[c.length] IS NOT NULL
    ) s ORDER BY c.number
"""  # noqa: S608 - column names of our own
_AT_MOST = """
    SELECT count(*) <= $5 FROM (
        SELECT FROM telemetry.sample
        WHERE site_id = $1 AND device_id = ANY($2::text[]) AND time >= $3 AND time < $4 LIMIT $5 + 1
    ) AS found
"""
_LONG_AGO: Final = 0
_FAR_AHEAD: Final = 4_000_000_000_000  # 2096


class _Read(NamedTuple):
    """One stretch of the counter with this number."""

    number: int
    energy: Channel
    length_s: Channel | None
    since: UnixMs
    until: UnixMs


class _Curve(NamedTuple):
    """Rows of intervals."""

    times: list[UnixMs]
    values_wh: list[float]
    lengths_s: list[float]


async def read_neighbours(
    connection: Connection, site: MeteredSite, span: Span, now: UnixMs, *, gone: bool = False
) -> list[Neighbours | IntervalNeighbours]:
    """What stands around `span`, one for each of the site's counters (see energy.influence)."""

    def is_short(near: Neighbours) -> bool:
        return (gone or near.inside is not None) and (_lacks(near.before) or (_lacks(near.after) and _may_follow(span, now)))

    counters, curves = _by_kind(site)
    found = await _near(connection, site.id, counters, span)
    short = [number for number, near in enumerate(found) if is_short(near)]
    farther = await _near(connection, site.id, [counters[number] for number in short], span, _FAR_MS)
    for number, near in zip(short, farther, strict=True):
        found[number] = near
    for number, counter in enumerate(counters):
        if counter.kind == "day":
            zero = midnight_before(min([span[0], *found[number].before[:1]]), site.timezone)
            found[number] = found[number]._replace(zero=zero)
    around = span[0] - max(_NEAR_MS, 2 * INTERVAL_MAX_MS), span[1] + INTERVAL_MAX_MS
    rows = await _curves(connection, site.id, curves, around)
    return [*found, *(neighbours(intervals(*curve), curve.times, span) for curve in rows)]


async def has_at_most(connection: Connection, site: MeteredSite, window: Span, most: int) -> bool:
    """Whether its devices told no more samples than that."""
    devices = sorted({counter.device for counter in site.counters})
    found: bool = await connection.fetchval(_AT_MOST, site.id, devices, *map(_time, window), most)
    return found


async def read_series(connection: Connection, site: MeteredSite, window: Span, now: UnixMs) -> list[Series]:
    """Every counter's samples in `window`, and at least NEIGHBOURS before and after it; every interval that bears on it."""

    def is_short(series: CounterSeries) -> bool:
        times = series.times
        before = sum(t < window[0] for t in times[:NEIGHBOURS])
        after = sum(t >= window[1] for t in times[-NEIGHBOURS:])
        follows = _may_follow(window, now)
        return (after < NEIGHBOURS and follows) or (before < NEIGHBOURS and (follows or len(times) > before))

    counters, curves = _by_kind(site)
    found = await _series(connection, site, counters, window)
    short = [number for number, series in enumerate(found) if is_short(series)]
    silent = [number for number in short if not found[number].times]
    spanned = await _read(connection, _SPANNING, site.id, [counters[number] for number in silent], window, GAP_MAX_MS, 1)
    spanning = {silent[number] for number, row in spanned if row["spans"]}
    short = [number for number in short if found[number].times or number in spanning]
    farther = await _series(connection, site, [counters[number] for number in short], window, _FAR_MS)
    for number, series in zip(short, farther, strict=True):
        found[number] = series
    rows = await _curves(connection, site.id, curves, (window[0] - BEFORE_MS, window[1] + AFTER_MS))
    told = zip(curves, rows, strict=True)
    return [*found, *(IntervalSeries(c.device, c.register, intervals(*curve), c.sleeps) for c, curve in told)]


def _by_kind(site: MeteredSite) -> tuple[list[Counter], list[Counter]]:
    """Counters, and those that tell of intervals."""
    counters = [counter for counter in site.counters if counter.kind != "interval"]
    return counters, [counter for counter in site.counters if counter.kind == "interval"]


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
    connection: Connection, site: MeteredSite, counters: Sequence[Counter], window: Span, reach_ms: int = _NEAR_MS
) -> list[CounterSeries]:
    told: list[tuple[list[UnixMs], list[float]]] = [([], []) for _ in counters]
    for number, row in await _read(connection, _SERIES, site.id, counters, window, reach_ms):
        told[number][0].extend(row["times"] or ())
        told[number][1].extend(row["values"] or ())
    return [
        _counter_series(counter, times, values_wh, site.timezone)
        for counter, (times, values_wh) in zip(counters, told, strict=True)
    ]


def _counter_series(c: Counter, times: Sequence[UnixMs], values_wh: Sequence[float], timezone: str) -> CounterSeries:
    if c.kind == "day":
        return DayCounterSeries(
            c.device, c.register, times, values_wh, c.ceiling_w, c.step_wh, c.sleeps, c.cuts, timezone=timezone
        )
    return CounterSeries(c.device, c.register, times, values_wh, c.ceiling_w, c.step_wh, c.sleeps, c.cuts)


async def _read(
    connection: Connection,
    query: str,
    site: SiteId,
    counters: Sequence[Counter],
    span: Span,
    reach_ms: int,
    most: int = NEIGHBOURS,
) -> Iterable[tuple[int, Record]]:
    """Each counter's rows, with its number: one per stretch that may hold anything, in order of time."""
    if not counters:
        return []
    edges = (*span, span[0] - reach_ms, span[1] + reach_ms)
    reads = _reads(counters)
    cut = len(reads) != len(counters) or any(len(counter.stretches) > 1 for counter in counters)
    if cut:
        reads = [read for read in reads if read.since < edges[3] and read.until > edges[2]]
    bounds = ([_time(read.since) for read in reads], [_time(read.until) for read in reads]) if cut else ()
    rows = await connection.fetch(
        query.format_map(_CUT if cut else _WHOLE),
        site,
        [counters[read.number].device for read in reads],
        [read.energy.position for read in reads],
        *map(_time, edges),
        most,
        *bounds,
    )
    return zip((read.number for read in reads), rows, strict=True)


async def _curves(connection: Connection, site: SiteId, curves: Sequence[Counter], span: Span) -> list[_Curve]:
    """What each of them told in `span`, corrected."""
    found = [_Curve([], [], []) for _ in curves]
    reads = [read for read in _reads(curves) if read.since < span[1] and read.until > span[0]]
    if not reads:
        return found
    rows = await connection.fetch(
        _CURVES,
        site,
        [curves[read.number].device for read in reads],
        [read.energy.position for read in reads],
        [read.length_s.position for read in reads if read.length_s],
        [_time(max(read.since, span[0])) for read in reads],
        [_time(min(read.until, span[1])) for read in reads],
    )
    for read, row in zip(reads, rows, strict=True):
        if row["times"] and read.length_s:
            found[read.number].times.extend(row["times"])
            found[read.number].values_wh.extend(map(read.energy.value, row["energy"]))
            found[read.number].lengths_s.extend(map(read.length_s.value, row["lengths"]))
    return found


def _reads(counters: Sequence[Counter]) -> list[_Read]:
    found = []
    for number, counter in enumerate(counters):
        ends = [*(stretch.since for stretch in counter.stretches[1:]), _FAR_AHEAD]
        for stretch, until in zip(counter.stretches, ends, strict=True):
            if stretch.energy is not None:
                since = max(stretch.since, _LONG_AGO)
                found.append(_Read(number, stretch.energy, stretch.length_s, since, until))
    return found


def _lacks(times: Sequence[UnixMs]) -> bool:
    return len(times) < NEIGHBOURS


def _may_follow(span: Span, now: UnixMs) -> bool:
    """Whether there can be samples beyond what was looked at already."""
    return span[1] + _NEAR_MS < now


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
