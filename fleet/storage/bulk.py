"""Many rows of one site at once, as files tell them: new ones are added, better ones replace what stands, with its history.

Crash contract: a block is stored whole or not at all; storing it twice changes nothing.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

import asyncpg

from fleet.file_limits import SAMPLE_REVISIONS_MAX
from fleet.ids import DeviceId, SiteId
from fleet.storage.copy_rows import COLUMNS, HEADER, TRAILER, SampleRows
from fleet.storage.database import Connection

_STAGING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_rows (
        site_id text COLLATE "C", device_id text COLLATE "C", received_at timestamptz, time timestamptz, rank bigint,
        shift_ms bigint, readings float8[]
    ) ON COMMIT DELETE ROWS
"""
_MEETS = "SELECT EXISTS (SELECT FROM telemetry.sample WHERE site_id = $1 AND device_id = $2 AND time >= $3 AND time <= $4)"
_ADD = f"""
    INSERT INTO telemetry.sample ({", ".join(COLUMNS)}) SELECT {", ".join(COLUMNS)} FROM pg_temp.incoming_rows
    ON CONFLICT (site_id, device_id, time) DO NOTHING
"""  # noqa: S608 - column names of our own
# Rows that were added a moment ago are equal in both, and so are those of a block that is stored a second time.
_IMPROVE = """
    WITH met AS (
        SELECT s.device_id, s.time, s.readings AS before, s.rank AS before_rank, s.ranks AS before_ranks, m.*
        FROM pg_temp.incoming_rows i
        JOIN telemetry.sample s ON s.site_id = $1 AND s.device_id = i.device_id AND s.time = i.time
            AND s.time >= $3 AND s.time <= $4
        CROSS JOIN LATERAL telemetry.ranked(s.readings, s.rank, s.ranks, i.readings, i.rank) m
        WHERE s.rank IS DISTINCT FROM i.rank OR s.ranks IS NOT NULL OR s.readings IS DISTINCT FROM i.readings
    ), changed AS (
        SELECT * FROM met WHERE readings IS DISTINCT FROM before
            OR new_ranks IS DISTINCT FROM coalesce(before_ranks, telemetry.ranks_after_filling(before, before_rank, NULL))
    ), improved AS (
        UPDATE telemetry.sample s SET readings = c.readings,
            rank = (SELECT max(r) FROM unnest(c.new_ranks) r),
            ranks = CASE WHEN (SELECT count(DISTINCT coalesce(r, -1)) FROM unnest(c.readings, c.new_ranks) u(v, r)
                               WHERE v IS NOT NULL) > 1 THEN c.new_ranks END
        FROM changed c
        WHERE s.site_id = $1 AND s.device_id = c.device_id AND s.time = c.time AND s.time >= $3 AND s.time <= $4
        RETURNING s.device_id, s.time, c.readings IS DISTINCT FROM c.before AS gained, c.differs
    ), history AS (
        INSERT INTO telemetry.sample_revision (site_id, device_id, time, file_number, before, before_rank, before_ranks)
        SELECT $1, device_id, time, $2, before, before_rank, before_ranks FROM changed c WHERE differs
            AND (SELECT count(*) FROM telemetry.sample_revision h
                 WHERE h.site_id = $1 AND h.device_id = c.device_id AND h.time = c.time) < $5
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) FILTER (WHERE differs) AS corrected, count(*) FILTER (WHERE gained AND NOT differs) AS filled
    FROM improved
"""
_SEALED = "SELECT day FROM telemetry.site_day WHERE site_id = $1 AND sealed AND day >= $2 AND day <= $3"


class Stored(NamedTuple):
    """new: added, or gained a reading. corrected: said something else before."""

    new: int
    corrected: int


class Piece(NamedTuple):
    """The rows [first, end) lie in this partition."""

    partition: str
    first: int
    end: int


async def prepare(connection: Connection) -> None:
    """Once per connection, outside of a transaction: the staging table."""
    await connection.execute(_STAGING)


async def store_rows(
    connection: Connection,
    site: SiteId,
    device: DeviceId,
    file_number: int,
    rows: SampleRows,
    pieces: Sequence[Piece],
    span: tuple[datetime, datetime],
) -> Stored:
    """Within a transaction. rows: one per instant, all within `span`, so that PostgreSQL need not look into every partition.

    Where the device has said nothing yet, they go straight into their partitions: nearly as fast as COPY is.
    """
    count = len(rows.t)
    if not await connection.fetchval(_MEETS, site, device, *span):
        try:
            async with connection.transaction():
                for piece in pieces:
                    await _copy(connection, piece.partition, "telemetry", rows.encoded(piece.first, piece.end))
            return Stored(count, 0)
        except asyncpg.UniqueViolationError:
            pass  # it said something in this very moment
    await _copy(connection, "incoming_rows", "pg_temp", rows.encoded(0, count))
    status = await connection.execute(_ADD)
    added = int(status.rsplit(" ", 1)[1])
    if added == count:
        return Stored(added, 0)
    improved = await connection.fetchrow(_IMPROVE, site, file_number, *span, SAMPLE_REVISIONS_MAX)
    assert improved is not None  # noqa: S101 - an aggregate always has a row
    return Stored(added + improved["filled"], improved["corrected"])


async def retract_file(
    connection: Connection, site: SiteId, device: DeviceId, file_number: int, since: datetime, until: datetime
) -> list[datetime]:
    """Within a transaction: what a file told of a device is taken back, what others told comes back in its place.

    Returns the first instant of each hour in which something changed.
    """
    rows = await connection.fetch(
        "SELECT t FROM telemetry.retract_file($1, $2, $3, $4, $5) t ORDER BY t", site, device, since, until, file_number
    )
    return [row["t"] for row in rows]


async def sealed_days(connection: Connection, site: SiteId, first: date, last: date) -> set[date]:
    """Whose totals are final, because their samples are gone."""
    return {row["day"] for row in await connection.fetch(_SEALED, site, first, last)}


async def _copy(connection: Connection, table: str, schema: str, rows: Iterable[bytes]) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield HEADER
        for piece in rows:
            yield piece
        yield TRAILER

    await connection.copy_to_table(table, schema_name=schema, columns=COLUMNS, source=source(), format="binary")
