"""Reads the journal of receipts along its chains, and looks for what has no receipt; the shards write it."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from fleet.limits import RECEIPTS_AT_ONCE
from fleet.receipts import GENESIS, Head, Line
from fleet.storage.database import Connection

_HEADS: Final = """
    SELECT chain, coalesce(head.seq, 0) AS seq, head.hash
    FROM (SELECT chain FROM remote.receipt_head UNION SELECT DISTINCT chain FROM remote.receipt) AS known (chain)
    LEFT JOIN remote.receipt_head AS head USING (chain)
    ORDER BY chain
"""
_LINES: Final = """
    SELECT chain, seq, at, site_id, device_id, kind, subject, detail, hash
    FROM remote.receipt WHERE chain = $1 ORDER BY seq
"""
# Each change and each step of a command is stored in one transaction with its receipt. The server's hash of the journal goes
# to its disk in parts: work_mem bounds it.
_UNRECEIPTED: Final = """
    WITH step (site_id, device_id, kind, subject, at) AS (
        SELECT site_id, device_id, 'config.desired', version::text, at FROM remote.config_change
        UNION ALL SELECT site_id, device_id, 'config.sent', sent_version::text, sent_at FROM remote.config
                  WHERE sent_version > 0
        UNION ALL SELECT site_id, device_id, 'command.queued', id, created_at FROM remote.command
        UNION ALL SELECT site_id, device_id, 'command.sent', id, sent_at FROM remote.command WHERE sent_at IS NOT NULL
        UNION ALL SELECT site_id, device_id, 'command.accepted', id, accepted_at FROM remote.command
                  WHERE accepted_at IS NOT NULL
        UNION ALL SELECT site_id, device_id, 'command.' || state, id, ended_at FROM remote.command WHERE ended_at IS NOT NULL
        UNION ALL SELECT site_id, device_id, 'command.late', id, ended_at FROM remote.command WHERE late IS NOT NULL
    ), lacking AS (
        SELECT * FROM step WHERE NOT EXISTS (
            SELECT FROM remote.receipt
            WHERE (receipt.site_id, receipt.device_id, receipt.kind, receipt.subject)
                = (step.site_id, step.device_id, step.kind, step.subject)
        )
    )
    SELECT site_id, device_id, kind, subject, count(*) OVER () AS lacking FROM lacking ORDER BY at LIMIT $1
"""


class Unreceipted(NamedTuple):
    """A step that the tables know and no line of the journal tells."""

    site: str
    device: str
    kind: str
    subject: str


async def exists(connection: Connection) -> bool:
    """False in a database that no version with a journal has ever opened."""
    return bool(await connection.fetchval("SELECT to_regclass('remote.receipt') IS NOT NULL"))


async def heads(connection: Connection) -> list[Head]:
    """Of every chain. One that has lines and no head, which nobody but a hand can have taken away, counts as empty."""
    rows = await connection.fetch(_HEADS)
    return [Head(row["chain"], row["seq"], row["hash"] or GENESIS) for row in rows]


async def lines(connection: Connection, chain: int) -> AsyncIterator[list[Line]]:
    """In their order, piece by piece, by a cursor of the server; only in a transaction."""
    cursor = await connection.cursor(_LINES, chain)
    while rows := await cursor.fetch(RECEIPTS_AT_ONCE):
        yield [Line(*row) for row in rows]


async def unreceipted(connection: Connection, most: int) -> tuple[int, list[Unreceipted]]:
    """How many there are, and the oldest of them."""
    rows = await connection.fetch(_UNRECEIPTED, most)
    found = [Unreceipted(row["site_id"], row["device_id"], row["kind"], row["subject"]) for row in rows]
    return (rows[0]["lacking"] if rows else 0), found
