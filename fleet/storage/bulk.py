"""Many rows of one site at once, as files tell them: new ones are added, better ones replace what stands, with its history.

Crash contract: a block is stored whole or not at all; storing it twice changes nothing.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import date, datetime
from typing import NamedTuple

from fleet.ids import SiteId
from fleet.storage.copy_rows import HEADER, TRAILER
from fleet.storage.database import Connection

_STAGING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming_rows (
        device_id text COLLATE "C", time timestamptz, readings float8[], rank bigint, shift_ms bigint
    ) ON COMMIT DELETE ROWS
"""
_ADD = """
    INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings, shift_ms, rank)
    SELECT $1, device_id, time, $2, readings, shift_ms, rank FROM pg_temp.incoming_rows
    ON CONFLICT (site_id, device_id, time) DO NOTHING
"""
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
        SELECT $1, device_id, time, $2, before, before_rank, before_ranks FROM changed WHERE differs
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


async def prepare(connection: Connection) -> None:
    """Once per connection, outside of a transaction: the staging table."""
    await connection.execute(_STAGING)


async def store_rows(
    connection: Connection,
    site: SiteId,
    file_number: int,
    rows: Iterable[bytes],
    count: int,
    span: tuple[datetime, datetime],
    received_at: datetime,
) -> Stored:
    """Within a transaction. rows: as fleet.storage.copy_rows makes them, `count` of them, one per device and instant, all of
    them within `span`, which keeps PostgreSQL from looking into every partition.
    """
    await connection.copy_to_table("incoming_rows", schema_name="pg_temp", source=_copy(rows), format="binary")
    status = await connection.execute(_ADD, site, received_at)
    added = int(status.rsplit(" ", 1)[1])
    if added == count:
        return Stored(added, 0)
    improved = await connection.fetchrow(_IMPROVE, site, file_number, *span)
    assert improved is not None  # noqa: S101 - an aggregate always has a row
    return Stored(added + improved["filled"], improved["corrected"])


async def sealed_days(connection: Connection, site: SiteId, first: date, last: date) -> set[date]:
    """Whose totals are final, because their samples are gone."""
    return {row["day"] for row in await connection.fetch(_SEALED, site, first, last)}


async def _copy(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    yield HEADER
    for piece in rows:
        yield piece
    yield TRAILER
