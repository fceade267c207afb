"""Commissioning reports: signed once, kept as they were signed."""

import msgspec

from fleet.errors import NotFound
from fleet.ids import SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class ReportRow(msgspec.Struct, frozen=True):
    """sha256: of the PDF, hexadecimal."""

    site: SiteId
    number: int
    signed_at: UnixMs
    signed_by: str
    signed_name: str
    sha256: str


_ROW = """
SELECT site_id AS site, number, (extract(epoch FROM signed_at) * 1000)::bigint AS signed_at, signed_by, signed_name,
       encode(sha256, 'hex') AS sha256
FROM registry.commissioning_report
"""


async def reports_of(connection: Connection, site: SiteId) -> list[ReportRow]:
    """The newest first."""
    rows = await connection.fetch(f"{_ROW} WHERE site_id = $1 ORDER BY number DESC", site)
    return [msgspec.convert(dict(row), ReportRow) for row in rows]


async def report_of_request(connection: Connection, request_id: str) -> ReportRow | None:
    row = await connection.fetchrow(f"{_ROW} WHERE request_id = $1", request_id)
    return msgspec.convert(dict(row), ReportRow) if row else None


async def pdf(connection: Connection, site: SiteId, number: int) -> bytes:
    """Raises NotFound (unknown_report)."""
    found: bytes | None = await connection.fetchval(
        "SELECT pdf FROM registry.commissioning_report WHERE site_id = $1 AND number = $2", site, number
    )
    if found is None:
        raise NotFound("unknown_report", f"no report {number} of this site")
    return found


async def may_see_pdl(connection: Connection, site: SiteId) -> bool:
    """Whether the acting person may read the number of the grid connection in full."""
    return bool(await connection.fetchval("SELECT registry.may_see_pdl($1)", site))


async def content(connection: Connection, site: SiteId, number: int) -> object:
    """What the document was made from, as store_report was given it. Raises NotFound (unknown_report)."""
    found = await connection.fetchrow(
        "SELECT content FROM registry.commissioning_report WHERE site_id = $1 AND number = $2", site, number
    )
    if found is None:
        raise NotFound("unknown_report", f"no report {number} of this site")
    stored: object = found["content"]
    return stored


async def signed_lately(connection: Connection, site: SiteId) -> int:
    """How many in the last 24 hours."""
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM registry.commissioning_report WHERE site_id = $1 AND signed_at > now() - interval '1 day'",
            site,
        )
    )


async def next_number(connection: Connection, site: SiteId) -> int:
    return int(
        await connection.fetchval(
            "SELECT coalesce(max(number), 0) + 1 FROM registry.commissioning_report WHERE site_id = $1", site
        )
    )


async def store_report(
    connection: Connection,
    *,
    site: SiteId,
    number: int,
    signed_by: str,
    signed_name: str,
    signed_at: UnixMs,
    content: object,
    document: bytes,
    sha256: bytes,
    request_id: str | None,
) -> ReportRow | None:
    """None when somebody else has just taken this number, or the same request has come before."""
    made = await connection.fetchval(
        "INSERT INTO registry.commissioning_report"
        " (site_id, number, signed_by, signed_name, signed_at, content, pdf, sha256, request_id)"
        " VALUES ($1, $2, $3, $4, to_timestamp($5::float8 / 1000), $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING number",
        site,
        number,
        signed_by,
        signed_name,
        float(signed_at),
        content,
        document,
        sha256,
        request_id,
    )
    if made is None:
        return None
    row = await connection.fetchrow(f"{_ROW} WHERE site_id = $1 AND number = $2", site, number)
    return msgspec.convert(dict(row or {}), ReportRow)
