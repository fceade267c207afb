"""What a batch of messages leaves in the database: samples and dead letters, within one transaction."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from fleet.ids import DeviceId, SiteId
from fleet.limits import DEAD_LETTER_KEEP_DAYS, HISTORY_DAYS, PARTITIONS_AHEAD_DAYS, RETENTION_DAYS
from fleet.storage.database import Connection

# site, device, time, received_at, readings, by how many ms a clock correction has moved it
SampleRecord = tuple[SiteId, DeviceId, datetime, datetime, list[float | None], int | None]

_STAGING = """
    CREATE TEMP TABLE IF NOT EXISTS incoming (
        site_id text COLLATE "C", device_id text COLLATE "C", time timestamptz, received_at timestamptz, readings float8[],
        shift_ms bigint
    ) ON COMMIT DELETE ROWS
"""
_STORE = """
    INSERT INTO telemetry.sample AS stored (site_id, device_id, time, received_at, readings, shift_ms)
    SELECT site_id, device_id, time, received_at, readings, shift_ms FROM pg_temp.incoming
    ON CONFLICT (site_id, device_id, time) DO UPDATE
        SET readings = telemetry.merged(stored.readings, excluded.readings),
            ranks = CASE WHEN stored.rank IS NOT NULL
                    THEN telemetry.ranks_after_filling(stored.readings, stored.rank, stored.ranks) END
        WHERE stored.readings IS DISTINCT FROM telemetry.merged(stored.readings, excluded.readings)
"""
_STORE_LETTER = """
    INSERT INTO telemetry.dead_letter (received_at, site_id, device_id, topic, code, detail, size_bytes, head, source)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


class DeadLetter(NamedTuple):
    """Columns of telemetry.dead_letter; site and device only where they are proven.

    source: the serial that a kept message waits for a device of (fleet.storage.waiting).
    """

    received_at: datetime
    site_id: SiteId | None
    device_id: DeviceId | None
    topic: str
    code: str
    detail: str
    size_bytes: int
    head: bytes
    source: str | None = None


async def prepare(connection: Connection) -> None:
    """Once per connection, outside of a transaction: the staging table."""
    await connection.execute(_STAGING)


async def store_samples(connection: Connection, samples: Collection[SampleRecord]) -> int:
    """Returns how many rows are new or gained readings; the others were there already.

    One row per (device, time): the caller has merged what a batch says twice.
    """
    await connection.copy_records_to_table("incoming", schema_name="pg_temp", records=samples)
    status = await connection.execute(_STORE)
    return int(status.rsplit(" ", 1)[1])


async def store_dead_letters(connection: Connection, letters: Iterable[DeadLetter]) -> None:
    await connection.executemany(_STORE_LETTER, letters)  # COPY does not work below row-level security


async def create_partitions(connection: Connection, days: Iterable[date]) -> None:
    """Outside of the batch's transaction: a partition must not disappear with a batch that fails."""
    for day in sorted(days):
        await create_partition(connection, day)


async def create_partition(connection: Connection, day: date) -> str:
    """Its name; it may be older, and hold other days as well."""
    name: str = await connection.fetchval("SELECT telemetry.create_sample_partition($1)", day)
    return name


async def housekeeping(connection: Connection, now: datetime) -> int:
    """Partitions ahead of time, none beyond retention, old dead letters gone. Returns how many partitions were dropped."""
    today = now.astimezone(UTC).date()
    await create_partitions(connection, (today + timedelta(days=ahead) for ahead in range(PARTITIONS_AHEAD_DAYS + 1)))
    dropped: int = await connection.fetchval(
        "SELECT telemetry.drop_sample_partitions($1, $2)",
        today - timedelta(days=RETENTION_DAYS + 1),
        today - timedelta(days=HISTORY_DAYS + 31),
    )
    await connection.execute(
        "DELETE FROM telemetry.dead_letter WHERE received_at < $1", now - timedelta(days=DEAD_LETTER_KEEP_DAYS)
    )
    return dropped
