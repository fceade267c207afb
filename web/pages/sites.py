"""The start page, and the list of sites: what needs attention comes first."""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from fleet.calendar import local_day
from fleet.errors import FleetError
from fleet.ids import SiteId
from fleet.limits import PAGE_ITEMS
from fleet.storage import registry
from fleet.storage.registry import SiteCursor, SiteRow, cursor_after
from fleet.storage.today import pv_wh_on
from fleet.views import HEALTH_ORDER, Health, PowerFlow, SiteSummary
from web.pages.rendering import now_ms, page
from web.paging import Cursor, decode_cursor, encode_cursor
from web.services import Services
from web.visits import MAKERS, Visit

_OPERATORS = ("ops", "admin")
_ONE_SITE_ROLES = ("customer", "energy_manager")


class SiteLine(msgspec.Struct, frozen=True):
    """live False: as last stored; the twin does not answer."""

    row: SiteRow
    health: Health
    flow: PowerFlow
    open_alerts: int
    live: bool
    pv_today_wh: float | None


Search = Annotated[str | None, QueryParameter(max_length=100)]


@get("/", include_in_schema=False)
async def start(visit: NamedDependency[Visit]) -> Redirect:
    async with visit.enter():
        pass
    return Redirect("/ops" if visit.person.role in _OPERATORS else "/sites", status_code=303)


@get("/sites", include_in_schema=False)
async def sites_page(
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    q: Search = None,
    cursor: Cursor = None,
) -> Response[Any]:
    after = decode_cursor(cursor, SiteCursor)
    text = (q or "").replace("\0", "").strip()
    async with visit.enter() as connection:
        rows = await registry.list_sites(connection, text=text or None, after=after, limit=PAGE_ITEMS + 1)
        days = {row.id: local_day(now_ms(), row.timezone) for row in rows}
        produced = await pv_wh_on(connection, days)
    if len(rows) == 1 and not text and not after and visit.person.role in _ONE_SITE_ROLES:
        return Redirect(f"/sites/{rows[0].id}", status_code=303)
    shown = rows[:PAGE_ITEMS]
    summaries = await summaries_of(services, [row.id for row in shown])
    lines = worst_first([line_of(row, summaries.get(row.id), produced.get(row.id)) for row in shown])
    return page(
        request,
        "sites.html",
        person=visit.person,
        lines=lines,
        here=address(text, cursor),
        first=address(text) if after else None,
        following=address(text, encode_cursor(cursor_after(shown[-1]))) if len(rows) > len(shown) else None,
        text=text,
        maker=visit.person.role in MAKERS,
        now=now_ms(),
    )


def address(text: str, cursor: str | None = None) -> str:
    """Of one page of the list."""
    query = urlencode({name: value for name, value in (("q", text), ("cursor", cursor)) if value})
    return f"/sites?{query}" if query else "/sites"


async def summaries_of(services: Services, sites: list[SiteId]) -> dict[SiteId, SiteSummary]:
    """Of the twins that answer: a list is worth showing without them."""
    try:
        return {summary.site: summary for summary in await services.door.twins().site_summaries(sites)} if sites else {}
    except FleetError:
        return {}


def line_of(row: SiteRow, summary: SiteSummary | None, produced_wh: float | None) -> SiteLine:
    if summary is None:
        return SiteLine(row, row.health, PowerFlow(), row.open_alerts, live=False, pv_today_wh=produced_wh)
    return SiteLine(row, summary.health, summary.flow, summary.open_alerts, live=True, pv_today_wh=produced_wh)


def worst_first(lines: list[SiteLine]) -> list[SiteLine]:
    """By health, then by open alerts, then by name."""
    return sorted(
        lines, key=lambda line: (-HEALTH_ORDER.index(line.health.status), -line.open_alerts, line.row.name.casefold())
    )
