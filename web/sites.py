"""GET /sites, /sites/{site}; PATCH /sites/{site}; /sites/{site}/devices, /live."""

from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fleet.errors import BadInput, FleetError, NotFound
from fleet.ids import SiteId, site_id
from fleet.limits import PAGE_ITEMS
from fleet.storage import registry
from fleet.storage.registry import SiteCursor, SiteRow
from fleet.telemetry import UnixMs
from fleet.views import Health, PowerFlow, SiteSummary
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.visits import Visit


class Site(msgspec.Struct, frozen=True):
    """A site with how it is now.

    live  true: asked of its twin just now; false: as last stored, because the twin does not answer; flow is null then
    """

    id: SiteId
    name: str
    timezone: str
    latitude: float
    longitude: float
    peak_power_w: float
    department: str | None
    customer: str | None
    installer: str | None
    created_at: UnixMs
    live: bool
    health: Health
    flow: PowerFlow | None
    devices: int
    devices_online: int
    open_alerts: int


def parse_site(text: str) -> SiteId:
    """Raises NotFound: what cannot be an id names no site."""
    try:
        return site_id(text)
    except BadInput:
        raise NotFound("unknown_site", "no such site") from None


@get("/", operation_id="listSites", summary="The sites that you may see, by name")
async def list_sites(
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
    q: Annotated[str | None, QueryParameter(max_length=100, description="Part of the name or id")] = None,
) -> Page[Site]:
    after = decode_cursor(cursor, SiteCursor)
    async with visit.enter() as connection:
        rows = await registry.list_sites(connection, text=q, after=after, limit=limit + 1)
    page = rows[:limit]
    summaries = await _summaries(services, [row.id for row in page])
    more = encode_cursor(SiteCursor(page[-1].name, page[-1].id)) if len(rows) > limit else None
    return Page([_site(row, summaries.get(row.id)) for row in page], more)


@get("/{site:str}", operation_id="getSite", summary="One site")
async def get_site(site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]) -> Site:
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
    summaries = await _summaries(services, [row.id])
    return _site(row, summaries.get(row.id))


async def _summaries(services: Services, sites: list[SiteId]) -> dict[SiteId, SiteSummary]:
    """Of the twins that answer: a list is worth showing without them."""
    try:
        return {summary.site: summary for summary in await services.door.twins().site_summaries(sites)} if sites else {}
    except FleetError:
        return {}


def _site(row: SiteRow, summary: SiteSummary | None) -> Site:
    return Site(
        id=row.id,
        name=row.name,
        timezone=row.timezone,
        latitude=row.latitude,
        longitude=row.longitude,
        peak_power_w=row.peak_power_w,
        department=row.department,
        customer=row.customer,
        installer=row.installer,
        created_at=row.created_at,
        live=summary is not None,
        health=summary.health if summary else row.health,
        flow=summary.flow if summary else None,
        devices=summary.devices if summary else row.devices,
        devices_online=summary.devices_online if summary else row.devices_online,
        open_alerts=summary.open_alerts if summary else row.open_alerts,
    )


router = Router("/sites", route_handlers=[list_sites, get_site], tags=["sites"])
