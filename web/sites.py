"""GET and POST /sites, GET and PATCH /sites/{site}, GET /sites/{site}/live, and its event stream."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import ServerSentEvent

from fleet.commissioning import PvArray
from fleet.errors import BadInput, FleetError, NotFound, Unavailable
from fleet.ids import SiteId, site_id
from fleet.limits import PAGE_ITEMS
from fleet.places import checked_zone, department_of
from fleet.storage import audit, registry
from fleet.storage.registry import SiteCursor, SiteRow, SiteUpdate, cursor_after
from fleet.telemetry import UnixMs
from fleet.views import Health, PowerFlow, SiteLive, SiteSummary
from web.new_sites import (
    Address,
    Arrays,
    Department,
    Latitude,
    Longitude,
    NewSite,
    Pdl,
    SiteName,
    check_arrays,
    make_site,
)
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import MAKERS, RoleGuard, Visit, client_address


class Site(msgspec.Struct, frozen=True):
    """A site with how it is now.

    live  true: asked of its twin just now; false: as last stored, because the twin does not answer; flow is null then
    pdl   the grid connection's number; in lists its last four digits only
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
    address: str
    pdl: str | None
    arrays: list[PvArray]


class SiteChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays as it is. New arrays give their sum as peak power, a new address its department, unless said.

    The time zone can change only until the first day is counted in it.
    """

    name: SiteName | None = None
    peak_power_w: Annotated[float, msgspec.Meta(ge=0, le=1e9, examples=[9000.0])] | None = None
    address: Address | None = None
    department: Department | None = None
    pdl: Pdl | None = None
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    timezone: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    arrays: Arrays | None = None


site_keepers = RoleGuard(*MAKERS)


def parse_site(text: str) -> SiteId:
    """Raises NotFound: what cannot be an id names no site."""
    try:
        return site_id(text)
    except BadInput:
        raise NotFound("unknown_site", "no such site") from None


@get("/", operation_id="listSites", summary="The sites that you may see, worst first, then by name")
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
    more = encode_cursor(cursor_after(page[-1])) if len(rows) > limit else None
    return Page([_site(row, summaries.get(row.id)) for row in page], more)


@get("/{site:str}", operation_id="getSite", summary="One site")
async def get_site(site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]) -> Site:
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
    summaries = await _summaries(services, [row.id])
    return _site(row, summaries.get(row.id))


@post("/", operation_id="makeSite", summary="A new site, for its owner")
async def post_site(
    data: JSONBody[NewSite],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Site:
    """For installers and operations. Whether the owner was known before is not told."""
    return _site(await make_site(services, visit, data, client_address(request)), None)


@patch("/{site:str}", operation_id="changeSite", summary="Change what is known of a site", guards=[site_keepers])
async def change_site(
    site: FromPath[str],
    data: JSONBody[SiteChange],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Site:
    return _site(await change(services, visit, parse_site(site), data, client_address(request)), None)


async def change(services: Services, visit: Visit, site: SiteId, data: SiteChange, address: str) -> SiteRow:
    """Raises NotFound, Forbidden (not_allowed), BadInput (unknown_timezone, bad_array), Conflict (timezone_in_use)."""
    update = SiteUpdate(**msgspec.structs.asdict(data))
    if data.timezone is not None:
        checked_zone(data.timezone)
    if data.arrays is not None:
        check_arrays(data.arrays)
        if data.peak_power_w is None:
            update = msgspec.structs.replace(update, peak_power_w=sum(array.peak_power_w for array in data.arrays))
    if data.address is not None and data.department is None:
        update = msgspec.structs.replace(update, department=department_of(data.address))
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        await visit.must_keep(connection, site)
        await registry.update_site(connection, site, update)
        changed = {name: value for name, value in msgspec.to_builtins(data).items() if value is not None}
        await audit.record(
            connection, "site.change", person_id=visit.person.id, subject=site, detail=changed, address=address
        )
        row = await registry.site(connection, site)
    await services.door.forget(site)
    return row


@get("/{site:str}/live", operation_id="getSiteLive", summary="Powers in W, states and ages, from the twin")
async def get_live(site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]) -> SiteLive:
    async with visit.enter() as connection:
        await registry.site_timezone(connection, parse_site(site))
    return await services.door.twins().site_live(parse_site(site))


@get(
    "/{site:str}/events",
    operation_id="streamSite",
    summary="`live` events: the same, whenever it changes",
    media_type=EVENTS,
)
async def stream_site(
    site: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    """A stream of server-sent events. Each `live` event holds the whole state, the first one comes at once."""
    site_id_ = parse_site(site)

    async def may_see() -> None:
        async with visit.enter() as connection:
            await registry.site_timezone(connection, site_id_)

    async def now() -> bytes | None:
        try:
            return msgspec.json.encode(await services.door.twins().site_live(site_id_))
        except Unavailable:
            return None  # the feed comes from the shard itself; it tells more as soon as it has news

    await may_see()
    return event_stream(services, visit, "live", now, services.live.watch(site_id_), may_see)


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
        address=row.address,
        pdl=row.pdl,
        arrays=row.arrays,
    )


router = Router(
    "/sites", route_handlers=[list_sites, post_site, get_site, change_site, get_live, stream_site], tags=["sites"]
)
