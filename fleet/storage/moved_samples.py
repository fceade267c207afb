"""Samples whose time a clock correction moves, and what a change of corrections bears upon."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from fleet.calendar import Span
from fleet.corrections import Clock, ClockPiece
from fleet.energy.counters import GAP_MAX_MS, NEIGHBOURS
from fleet.ids import DeviceId, SiteId
from fleet.limits import FUTURE_SKEW_MAX_S, RETENTION_DAYS
from fleet.storage.database import Connection
from fleet.storage.intake import create_partitions
from fleet.telemetry import UnixMs

_TIMEOUT_S: Final = 600.0  # 400 days of a device that speaks every ten seconds are 3.5 million rows
_COLLISIONS_MAX: Final = 1_000  # rounds; each gives those that still have no room one millisecond more
_FAR_MS: Final = 4_000_000_000_000

# $1 site, $2 device, $3 the earliest stored time, $4 $5 $6 pieces: told from, until, moved by; $7 $8 where samples may lie;
# $9 $10 of which arrival each piece is
_TOLD = "s.time - coalesce(s.shift_ms, 0) * interval '1 ms'"
_DUE = f"""
    s.site_id = $1 AND s.device_id = $2 AND s.time >= $3
    AND s.received_at >= p.first AND s.received_at < p.last
    AND {_TOLD} >= p.since AND {_TOLD} < p.until AND coalesce(s.shift_ms, 0) <> p.shift_ms
    AND {_TOLD} + p.shift_ms * interval '1 ms' BETWEEN $7 AND $8
"""
_PIECES = """unnest($4::timestamptz[], $5::timestamptz[], $6::bigint[], $9::timestamptz[], $10::timestamptz[])
    AS p(since, until, shift_ms, first, last)"""
_DAYS = f"""
    SELECT DISTINCT (({_TOLD} + p.shift_ms * interval '1 ms') AT TIME ZONE 'UTC')::date AS day
    FROM telemetry.sample s JOIN {_PIECES} ON {_DUE}
"""  # noqa: S608 - put together from constants
_TABLE = """
    CREATE TEMP TABLE moving (
        site_id text COLLATE "C", device_id text COLLATE "C", was timestamptz, told timestamptz, shift_ms bigint,
        received_at timestamptz, readings float8[]
    ) ON COMMIT DROP
"""
_TAKE = f"""
    WITH gone AS (
        DELETE FROM telemetry.sample s USING {_PIECES} WHERE {_DUE}
        RETURNING s.time AS was, {_TOLD} AS told, p.shift_ms, s.received_at, s.readings
    )
    INSERT INTO pg_temp.moving SELECT $1, $2, was, told, shift_ms, received_at, readings FROM gone
"""  # noqa: S608 - put together from constants
_TOUCHED = """
    SELECT min(least(was, told + shift_ms * interval '1 ms')) AS first,
           max(greatest(was, told + shift_ms * interval '1 ms')) AS last
    FROM pg_temp.moving
"""
# The same time told twice by one clock is one sample; another one that stands there already stays as it is.
# $1 when other clocks began
_ONE_CLOCK = "width_bucket({0}.received_at, $1::timestamptz[]) = width_bucket({1}.received_at, $1::timestamptz[])"
_PUT = f"""
    INSERT INTO telemetry.sample AS stored (site_id, device_id, time, received_at, readings, shift_ms)
    SELECT site_id, device_id, told + shift_ms * interval '1 ms', received_at, readings, nullif(shift_ms, 0)
    FROM pg_temp.moving
    ON CONFLICT (site_id, device_id, time) DO UPDATE SET readings = telemetry.merged(stored.readings, excluded.readings)
        WHERE coalesce(stored.shift_ms, 0) = coalesce(excluded.shift_ms, 0) AND {_ONE_CLOCK.format("stored", "excluded")}
"""  # noqa: S608 - put together from constants
_STORED = f"""
    DELETE FROM pg_temp.moving m USING telemetry.sample s
    WHERE s.site_id = m.site_id AND s.device_id = m.device_id AND s.time = m.told + m.shift_ms * interval '1 ms'
      AND coalesce(s.shift_ms, 0) = m.shift_ms AND {_ONE_CLOCK.format("s", "m")}
"""  # noqa: S608 - put together from constants
_MAKE_ROOM = "UPDATE pg_temp.moving SET shift_ms = shift_ms + 1"
_REACH = """
    SELECT min(near.time) FROM unnest($3::integer[]) AS c(position) CROSS JOIN LATERAL (
        SELECT time FROM telemetry.sample
        WHERE site_id = $1 AND device_id = $2 AND time < $4 AND time >= $5 AND readings[c.position] IS NOT NULL
        ORDER BY time DESC LIMIT $6
    ) near
"""
_FUTURE_LETTERS = """
    SELECT id, device_id, head, (extract(epoch FROM received_at) * 1000)::bigint FROM telemetry.dead_letter
    WHERE site_id = $1 AND code = 'future_time' AND octet_length(head) = size_bytes AND id > $2 ORDER BY id LIMIT $3
"""


Of = TypeVar("Of", Clock, ClockPiece)


class FutureLetter(NamedTuple):
    """Telemetry that was kept whole because it lay in the future. sender: whose message it was."""

    id: int
    sender: DeviceId
    payload: bytes
    received_at: UnixMs


async def make_room(
    connection: Connection, site: SiteId, device: DeviceId, clocks: Sequence[Clock], since: UnixMs, now: UnixMs
) -> None:
    """The partitions that move_samples needs; outside of its transaction, so that nobody waits for it."""
    days = await connection.fetch(_DAYS, *_arguments(site, device, clocks, since, now), timeout=_TIMEOUT_S)
    await create_partitions(connection, [row["day"] for row in days])


async def move_samples(
    connection: Connection, site: SiteId, device: DeviceId, clocks: Sequence[Clock], since: UnixMs, now: UnixMs
) -> Span | None:
    """Puts this device's samples, stored at `since` or later, where the clock's corrections have them now.

    What was told is known of each of them, so doing it twice changes nothing, and undoing a correction brings every sample
    back. One that would lie in the future or beyond retention stays where it is; where another sample stands already, it
    takes the next free millisecond. Within a transaction. Returns over which time samples have come or gone.
    """
    await connection.execute(_TABLE)
    await connection.execute(_TAKE, *_arguments(site, device, clocks, since, now), timeout=_TIMEOUT_S)
    (touched,) = await connection.fetch(_TOUCHED)
    if touched["first"] is None:
        await connection.execute("DROP TABLE pg_temp.moving")
        return None
    starts = [_time(clock.since) for clock in clocks[1:]]
    for _ in range(_COLLISIONS_MAX):
        await connection.execute(_PUT, starts, timeout=_TIMEOUT_S)
        await connection.execute(_STORED, starts, timeout=_TIMEOUT_S)
        if not await connection.fetchval("SELECT count(*) FROM pg_temp.moving"):
            break
        await connection.execute(_MAKE_ROOM)
    return _ms(touched["first"]), _ms(touched["last"]) + 1


async def newest_time(
    connection: Connection, site: SiteId, device: DeviceId, now: UnixMs, arrived_since: UnixMs
) -> UnixMs | None:
    """Of the last 31 days."""
    newest: datetime | None = await connection.fetchval(
        "SELECT time FROM telemetry.sample WHERE site_id = $1 AND device_id = $2 AND time >= $3 AND received_at >= $4"
        " ORDER BY time DESC LIMIT 1",
        site,
        device,
        _time(now - 31 * 86_400_000),
        _time(arrived_since),
    )
    return None if newest is None else _ms(newest)


async def first_time(connection: Connection, site: SiteId, device: DeviceId, since: UnixMs) -> UnixMs | None:
    """Of the first sample at `since` or later: files may have told of years."""
    first: datetime | None = await connection.fetchval(
        "SELECT time FROM telemetry.sample WHERE site_id = $1 AND device_id = $2 AND time >= $3 ORDER BY time LIMIT 1",
        site,
        device,
        _time(max(since, 0)),
    )
    return None if first is None else _ms(first)


async def reach_back(
    connection: Connection, site: SiteId, device: DeviceId, positions: Sequence[int], since: UnixMs
) -> UnixMs:
    """From when on energy may come out differently when the counters at these positions (from 1) change at `since`."""
    arguments = (site, device, list(positions), _time(since), _time(since - GAP_MAX_MS), NEIGHBOURS)
    earliest: datetime | None = await connection.fetchval(_REACH, *arguments)
    return since if earliest is None else _ms(earliest)


async def future_letters(connection: Connection, site: SiteId, after: int, limit: int) -> list[FutureLetter]:
    """Oldest first, from beyond this id on."""
    return [FutureLetter(*row.values()) for row in await connection.fetch(_FUTURE_LETTERS, site, after, limit)]


async def forget_letters(connection: Connection, letters: Sequence[int]) -> None:
    await connection.execute("DELETE FROM telemetry.dead_letter WHERE id = ANY($1::bigint[])", letters)


def _arguments(site: SiteId, device: DeviceId, clocks: Sequence[Clock], since: UnixMs, now: UnixMs) -> tuple[object, ...]:
    pieces = [
        (_time(told), _time(until), piece.shift_ms, _time(first), _time(last))
        for clock, first, last in _spans(clocks)
        for piece, told, until in _spans(clock.pieces)
    ]
    told, until, shifts, first, last = (list(column) for column in zip(*pieces, strict=True))
    edges = _time(now - RETENTION_DAYS * 86_400_000), _time(now + FUTURE_SKEW_MAX_S * 1000)
    return site, device, _time(max(since, 0)), told, until, shifts, *edges, first, last


def _spans(pieces: Sequence[Of]) -> list[tuple[Of, UnixMs, UnixMs]]:
    """Each with its begin and its end, as dates can say them."""
    starts: list[UnixMs] = [max(piece.since, 0) for piece in pieces]
    return list(zip(pieces, starts, [*starts[1:], _FAR_MS], strict=True))


def _ms(time: datetime) -> UnixMs:
    return round(time.timestamp() * 1000)


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
