"""What many sites have produced on one day each, in one look-up for a whole list; and since when a site has days."""

from collections.abc import Mapping
from datetime import date

from fleet.ids import SiteId
from fleet.storage.database import Connection

_PRODUCED = """
    SELECT d.site_id, d.pv_wh FROM unnest($1::text[], $2::date[]) AS wanted (site_id, day)
    JOIN telemetry.site_day d ON d.site_id = wanted.site_id AND d.day = wanted.day
"""


async def pv_wh_on(connection: Connection, days: Mapping[SiteId, date]) -> dict[SiteId, float | None]:
    """days: each site's own local day. Sites without a row are left out; None = nothing known."""
    rows = await connection.fetch(_PRODUCED, list(days), list(days.values()))
    return {SiteId(row["site_id"]): row["pv_wh"] for row in rows}


async def first_day(connection: Connection, site: SiteId) -> date | None:
    """The earliest day with energy."""
    found: date | None = await connection.fetchval("SELECT min(day) FROM telemetry.site_day WHERE site_id = $1", site)
    return found
