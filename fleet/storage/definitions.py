"""What loggers have said of their own columns (fleet.codecs.files.reading.Definition), for those who read their files."""

from collections.abc import Mapping
from typing import Final

from fleet.file_limits import DEFINITIONS_BYTES_MAX, DEFINITIONS_PER_LOGGER_MAX
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.storage.imports import Job

_TOO_MANY_DEFINITIONS: Final = """
    DELETE FROM imports.definition d USING (
        SELECT name, row_number() OVER newest AS place, sum(octet_length(content)) OVER newest AS bytes
        FROM imports.definition WHERE site_id = $1 AND device_id = $2 WINDOW newest AS (ORDER BY changed_at DESC, name)
    ) o WHERE d.site_id = $1 AND d.device_id = $2 AND d.name = o.name AND (o.place > $3 OR o.bytes > $4)
"""


async def definitions(connection: Connection, site: SiteId, device: DeviceId | None) -> dict[str, str]:
    """Name → text: the logger's own, and those sent by hand for its site."""
    rows = await connection.fetch(
        "SELECT name, content FROM imports.definition WHERE site_id = $1 AND device_id IN ($2, '')"
        " ORDER BY device_id",  # the logger's own come last, and count
        site,
        device or "",
    )
    return {row["name"]: row["content"] for row in rows}


async def keep_definitions(connection: Connection, job: Job, found: Mapping[str, str]) -> list[int]:
    """Returns the files of that logger that could not be read for want of one: they are to be read again."""
    await connection.executemany(
        "INSERT INTO imports.definition (site_id, device_id, name, content) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (site_id, device_id, name) DO UPDATE SET content = excluded.content, changed_at = clock_timestamp()",
        [(job.site, job.device or "", name, text) for name, text in found.items()],
    )
    await connection.execute(
        _TOO_MANY_DEFINITIONS, job.site, job.device or "", DEFINITIONS_PER_LOGGER_MAX, DEFINITIONS_BYTES_MAX
    )
    rows = await connection.fetch(
        "SELECT DISTINCT f.number FROM imports.file f"
        " JOIN imports.refusal r ON r.site_id = f.site_id AND r.file_number = f.number"
        " WHERE f.site_id = $1 AND ($2::text IS NULL OR f.device_id = $2) AND r.code = 'definition_missing'"
        " AND f.state IN ('partly', 'quarantined') AND f.original_gone_at IS NULL AND f.number <> $3",
        job.site,
        job.device,
        job.number,
    )
    return [row["number"] for row in rows]
