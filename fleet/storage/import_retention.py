"""What is let go of files that came long ago."""

from datetime import datetime

from fleet.storage.database import Connection


async def gone_originals(connection: Connection, before: datetime, limit: int) -> list[bytes]:
    """Hashes of originals that no file needs any more; their rows are marked."""
    rows = await connection.fetch(
        "WITH old AS (UPDATE imports.file SET original_gone_at = now() WHERE number IN (SELECT number FROM imports.file"
        " WHERE original_gone_at IS NULL AND received_at < $1 AND finished_at IS NOT NULL ORDER BY number LIMIT $2)"
        " RETURNING sha256)"
        " SELECT DISTINCT o.sha256 FROM old o WHERE NOT EXISTS (SELECT FROM imports.file f WHERE f.sha256 = o.sha256"
        " AND f.original_gone_at IS NULL AND f.received_at >= $1)",
        before,
        limit,
    )
    return [row["sha256"] for row in rows]
