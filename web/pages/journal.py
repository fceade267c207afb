"""A device's journal: each wish, each sending and each answer, with its place in the chain that nobody can change."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from fleet.limits import PAGE_ITEMS
from fleet.storage import receipt_lists, registry
from fleet.storage.receipt_lists import ReceiptCursor
from web.device_ids import parse_device
from web.pages.rendering import now_ms, page
from web.paging import decode_cursor, encode_cursor
from web.visits import Visit

Cursor = Annotated[str | None, QueryParameter(name="cursor", max_length=200)]


@get("/devices/{device:str}/journal", include_in_schema=False)
async def journal_page(
    device: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], cursor: Cursor = None
) -> Response[str]:
    after = decode_cursor(cursor, ReceiptCursor)
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        site = await registry.site(connection, row.site)
        found = await receipt_lists.receipts_of(connection, row.site, row.id, after=after, limit=PAGE_ITEMS + 1)
    receipts = found[:PAGE_ITEMS]
    older = encode_cursor(receipt_lists.cursor_after(receipts[-1])) if len(found) > PAGE_ITEMS else None
    return page(
        request, "journal.html", person=visit.person, site=site, device=row, receipts=receipts, older=older, now=now_ms()
    )
