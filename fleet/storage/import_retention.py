"""What is let go of files that came long ago, and of those that nobody has room for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fleet.file_limits import REFUSED_FILES_KEPT_MAX
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection

_DONE: Final = "state IN ('imported', 'partly', 'quarantined', 'same', 'undone')"
# The oldest are looked at, not all: their index begins with them.
_OLD: Final = f"""
    SELECT number FROM (SELECT number, received_at, state FROM imports.file WHERE original_gone_at IS NULL
                        ORDER BY number LIMIT $2) oldest
    WHERE received_at < $1 AND {_DONE}
"""  # noqa: S608 - put together from constants
_OF_THE_LARGEST: Final = f"""
    SELECT number FROM imports.file WHERE original_gone_at IS NULL AND {_DONE} AND site_id = (
        SELECT site_id FROM imports.file WHERE original_gone_at IS NULL AND {_DONE}
        GROUP BY site_id ORDER BY sum(size_bytes) DESC LIMIT 1)
    ORDER BY number LIMIT $1
"""  # noqa: S608 - put together from constants
_LET_GO: Final = """
    WITH gone AS (UPDATE imports.file SET original_gone_at = now() WHERE number = ANY($1::bigint[]) RETURNING sha256),
    refused AS (DELETE FROM imports.refusal WHERE file_number = ANY($1)),
    unplaced AS (DELETE FROM imports.file_serial WHERE file_number = ANY($1) AND waiting)
    SELECT DISTINCT g.sha256 FROM gone g WHERE NOT EXISTS (SELECT FROM imports.file f WHERE f.sha256 = g.sha256
        AND f.original_gone_at IS NULL AND f.number <> ALL($1))
"""
_FORGET: Final = f"""
    DELETE FROM imports.file WHERE number IN (
        SELECT number FROM (SELECT number, received_at, state, original_gone_at FROM imports.file
                            ORDER BY number LIMIT $2) oldest
        WHERE received_at < $1 AND {_DONE} AND original_gone_at IS NOT NULL)
"""  # noqa: S608 - put together from constants
_TOO_MANY_REFUSED: Final = """
    DELETE FROM imports.refusal WHERE file_number IN (
        SELECT number FROM imports.file WHERE site_id = $1 AND coalesce(device_id, '') = $2 AND lines_refused > 0
        ORDER BY number DESC OFFSET $3 LIMIT 100)
"""


async def old_originals(connection: Connection, before: datetime, limit: int) -> list[bytes]:
    """Hashes of originals that no file needs any more, since the file is older; their rows are marked."""
    return await _let_go(connection, [row["number"] for row in await connection.fetch(_OLD, before, limit)])


async def largest_originals(connection: Connection, limit: int) -> list[bytes]:
    """The same, of the oldest of the site that has most of the disk."""
    return await _let_go(connection, [row["number"] for row in await connection.fetch(_OF_THE_LARGEST, limit)])


async def forget_files(connection: Connection, before: datetime, limit: int) -> None:
    """What is older is no longer listed; whatever it has told stays."""
    await connection.execute(_FORGET, before, limit)


async def bound_refusals(connection: Connection, site: SiteId, device: DeviceId | None) -> None:
    """After lines of a file were refused: of the logger, or of what was sent by hand for the site."""
    await connection.execute(_TOO_MANY_REFUSED, site, device or "", REFUSED_FILES_KEPT_MAX)


async def _let_go(connection: Connection, numbers: Sequence[int]) -> list[bytes]:
    return [row["sha256"] for row in await connection.fetch(_LET_GO, numbers)] if numbers else []
