"""GET /devices/{device}/config with its history, its journal and its events; GET /configs: the fleet's, by status."""

from typing import Annotated

import msgspec
from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent

from fleet.configuration import STATUSES, ConfigStatus
from fleet.limits import PAGE_ITEMS
from fleet.storage import configs, notices, receipt_lists
from fleet.storage.configs import ConfigLine, LineCursor, VersionCursor
from fleet.storage.database import Connection
from fleet.storage.receipt_lists import ReceiptCursor, ReceiptRow
from web.config_views import ChangeView, ConfigView, change_view, config_view
from web.device_ids import parse_device
from web.if_match import etag
from web.news import Retold
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import Visit, operators

About = Annotated[str, QueryParameter(name="about", pattern="^(config|command|)$", description="Only lines about this")]
Status = Annotated[ConfigStatus | None, QueryParameter(name="status", description="Left out: all but in_sync")]


@get("/devices/{device:str}/config", operation_id="getConfig", summary="What a device shall run, and what it runs")
async def get_config(device: FromPath[str], visit: NamedDependency[Visit]) -> Response[ConfigView]:
    """Say the ETag in If-Match when you change it."""
    async with visit.enter() as connection:
        found = await configs.config_of(connection, parse_device(device))
    return Response(config_view(found), headers=etag(found.state.version))


@get("/devices/{device:str}/config/history", operation_id="listConfigHistory", summary="Every version that there was")
async def list_history(
    device: FromPath[str], visit: NamedDependency[Visit], limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[ChangeView]:
    """The newest first: who, when, from what, to what, and why."""
    after = decode_cursor(cursor, VersionCursor)
    before = after.version if after is not None else None
    async with visit.enter() as connection:
        found = await configs.config_of(connection, parse_device(device))
        rows = await configs.history(connection, found.site, found.device, before=before, limit=limit + 1)
    page = [change_view(row, found.settings) for row in rows[:limit]]
    return Page(page, encode_cursor(VersionCursor(page[-1].version)) if len(rows) > limit else None)


@get("/devices/{device:str}/receipts", operation_id="listReceipts", summary="The journal of a device's orders")
async def list_receipts(
    device: FromPath[str],
    visit: NamedDependency[Visit],
    about: About = "",
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[ReceiptRow]:
    """The newest first: each wish, each sending, each answer, as a line of a hash-chained journal."""
    after = decode_cursor(cursor, ReceiptCursor)
    async with visit.enter() as connection:
        found = await configs.config_of(connection, parse_device(device))
        rows = await receipt_lists.receipts_of(
            connection, found.site, found.device, about=about, after=after, limit=limit + 1
        )
    page = rows[:limit]
    return Page(page, encode_cursor(receipt_lists.cursor_after(page[-1])) if len(rows) > limit else None)


@get(
    "/devices/{device:str}/config/events",
    operation_id="streamConfig",
    summary="`config` events: the configuration, whenever it or what the device says of it changes",
    media_type=EVENTS,
)
async def stream_config(
    device: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    device_id = parse_device(device)

    async def look() -> bytes:
        async with visit.enter() as connection:
            return msgspec.json.encode(config_view(await configs.config_of(connection, device_id)))

    async def may_see() -> None:
        async with visit.enter() as connection:
            await configs.config_of(connection, device_id)

    await may_see()
    feed = Retold(services.news.watch(notices.ORDER, device_id), look, every_s=notices.POLL_S, at_once=True)
    return event_stream(services, visit, "config", feed.first, feed, may_see)


@get("/configs", operation_id="listConfigs", summary="Devices whose configuration needs somebody", guards=[operators])
async def list_configs(
    visit: NamedDependency[Visit], status: Status = None, limit: Limit = PAGE_ITEMS, cursor: Cursor = None
) -> Page[ConfigLine]:
    """Those whose status changed last come first."""
    async with visit.enter() as connection:
        return await page_of_lines(connection, status, limit, cursor)


async def page_of_lines(
    connection: Connection, status: ConfigStatus | None, limit: int, cursor: str | None
) -> Page[ConfigLine]:
    """Raises BadInput (bad_cursor)."""
    after = decode_cursor(cursor, LineCursor)
    wanted = (status,) if status else tuple(each for each in STATUSES if each != "in_sync")
    rows = await configs.lines(connection, statuses=wanted, after=after, limit=limit + 1)
    page = rows[:limit]
    more = len(rows) > limit
    return Page(page, encode_cursor(LineCursor(page[-1].status_at, page[-1].device)) if more else None)


router = Router(
    "/",
    route_handlers=[get_config, list_history, list_receipts, stream_config, list_configs],
    tags=["configuration"],
)
