"""What could not be taken in, for those who look after the fleet."""

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class DeadLetter(msgspec.Struct, frozen=True):
    """head: the payload's first bytes as text, \\x.. where they are none. site and device: where they were proven."""

    id: int
    received_at: UnixMs
    site: SiteId | None
    device: DeviceId | None
    topic: str
    code: str
    detail: str
    size_bytes: int
    head: str


class DeadLetterCount(msgspec.Struct, frozen=True):
    code: str
    count: int
    last_at: UnixMs


_LETTERS = """
SELECT id, (extract(epoch FROM received_at) * 1000)::bigint AS received_at, site_id, device_id, topic, code, detail,
       size_bytes, head
FROM telemetry.dead_letter
WHERE ($1::text IS NULL OR code = $1) AND ($2::text IS NULL OR site_id = $2) AND ($3::bigint IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
"""
_COUNTS = """
SELECT code, count(*) AS count, (extract(epoch FROM max(received_at)) * 1000)::bigint AS last_at
FROM telemetry.dead_letter WHERE received_at > now() - interval '24 hours' GROUP BY code ORDER BY count DESC, code
"""


async def dead_letters(
    connection: Connection, *, code: str | None, site: str | None, before_id: int | None, limit: int
) -> list[DeadLetter]:
    """Newest first; before_id continues a list."""
    return [
        DeadLetter(
            id=row["id"],
            received_at=row["received_at"],
            site=row["site_id"],
            device=row["device_id"],
            topic=row["topic"],
            code=row["code"],
            detail=row["detail"],
            size_bytes=row["size_bytes"],
            head=row["head"].decode("utf-8", "backslashreplace"),
        )
        for row in await connection.fetch(_LETTERS, code, site, before_id, limit)
    ]


async def count_dead_letters(connection: Connection) -> list[DeadLetterCount]:
    """Of the last 24 hours, by reason, the most frequent first."""
    return [DeadLetterCount(row["code"], row["count"], row["last_at"]) for row in await connection.fetch(_COUNTS)]
