"""GET /imports, /imports/{id} and what belongs to it: files that were sent, and what became of them."""

import time
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import ServerSentEvent, Stream

from fleet.codecs.files import registry as file_formats
from fleet.errors import NotFound
from fleet.file_limits import REFUSED_LINES_KEPT_MAX
from fleet.ids import SiteId
from fleet.limits import PAGE_ITEMS
from fleet.storage import import_lists, notices, registry
from fleet.storage.database import Connection
from fleet.storage.import_lists import FileRow, Number, Show
from web.csv_export import csv_response
from web.device_ids import parse_device
from web.import_views import Import, ImportDetail, ImportRefusal, import_of, refusal_of
from web.language import Language, language_of
from web.news import Retold
from web.originals import original
from web.paging import Cursor, Limit, Page, decode_cursor, encode_cursor
from web.services import Services
from web.sites import parse_site, site_keepers
from web.streams import EVENTS, event_stream
from web.visits import Visit

_BUSY_S = 1.0  # how often a file that is being worked on is looked at

SiteQuery = Annotated[str | None, QueryParameter(name="site", max_length=32)]
ShowQuery = Annotated[
    Show | None,
    QueryParameter(name="state", description="`active`: not finished yet; `waiting`: some rows wait for a device"),
]
DeviceQuery = Annotated[
    str | None, QueryParameter(name="device", max_length=32, description="The logger, or whose file it is")
]
FormatQuery = Annotated[Literal["json", "csv"], QueryParameter(name="format", description="`csv`: for spreadsheets")]


def parse_import(text: str) -> str:
    """Raises NotFound: what cannot be an id names no file."""
    if not (text.isascii() and text.replace("-", "").isalnum() and len(text) <= 40):
        raise NotFound("unknown_import", "no such file")
    return text


@get("/imports", operation_id="listImports", summary="Files that were sent, the newest first", guards=[site_keepers])
async def list_imports(
    visit: NamedDependency[Visit],
    request: Request[Any, Any, Any],
    site: SiteQuery = None,
    show: ShowQuery = None,
    device: DeviceQuery = None,
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
) -> Page[Import]:
    """Of the sites that you keep."""
    before = decode_cursor(cursor, Number)
    async with visit.enter() as connection:
        sites = await sites_of(connection, visit, site)
        wanted = parse_device(device) if device else None
        rows = await import_lists.files(connection, sites=sites, show=show, device=wanted, before=before, limit=limit + 1)
        page = await told(connection, rows[:limit], language_of(request))
    return Page(page, encode_cursor(rows[limit - 1].number) if len(rows) > limit else None)


async def sites_of(connection: Connection, visit: Visit, site: str | None) -> list[SiteId] | None:
    """None: all there are. Raises NotFound (unknown_site)."""
    if site is not None:
        site_id = parse_site(site)
        await registry.site_timezone(connection, site_id)
        return [site_id]
    if visit.person.role in ("ops", "admin"):
        return None
    return [each.id for each in await import_lists.kept_sites(connection, 10_000)]


async def told(connection: Connection, rows: list[FileRow], language: Language) -> list[Import]:
    own = {each.format_id for each in rows if each.format_id and file_formats.by_id(each.format_id) is None}
    names = await import_lists.company_format_names(connection, sorted(own)) if own else {}
    now = time.time_ns() // 1_000_000
    return [import_of(row, now, language, names) for row in rows]


@get("/imports/{file:str}", operation_id="getImport", summary="A file, and what became of it", guards=[site_keepers])
async def get_import(file: FromPath[str], visit: NamedDependency[Visit], request: Request[Any, Any, Any]) -> ImportDetail:
    """Rows read and stored, its devices, and the first refused lines with their reasons."""
    async with visit.enter() as connection:
        return await detail(connection, parse_import(file), language_of(request))


async def detail(connection: Connection, file_id: str, language: Language) -> ImportDetail:
    """Raises NotFound (unknown_import)."""
    row = await import_lists.file(connection, file_id)
    (shown,) = await told(connection, [row], language)
    refused, more = await _refusals(connection, row, None, PAGE_ITEMS, language)
    return ImportDetail(shown, await import_lists.serials(connection, row), refused, more)


async def _refusals(
    connection: Connection, row: FileRow, after: int | None, limit: int, language: Language
) -> tuple[list[ImportRefusal], str | None]:
    found = await import_lists.refusals(connection, row, after=after, limit=limit + 1)
    more = encode_cursor(found[limit - 1].position) if len(found) > limit else None
    return [refusal_of(each, language) for each in found[:limit]], more


@get(
    "/imports/{file:str}/refusals",
    operation_id="listRefusals",
    summary="Lines of a file that were not taken in, and why",
    guards=[site_keepers],
)
async def list_refusals(
    file: FromPath[str],
    visit: NamedDependency[Visit],
    request: Request[Any, Any, Any],
    limit: Limit = PAGE_ITEMS,
    cursor: Cursor = None,
    form: FormatQuery = "json",
) -> Response[Page[ImportRefusal]] | Response[bytes]:
    """In the file's order. The first thousand are kept; `lines_refused` counts them all. As CSV: all that are kept."""
    after = decode_cursor(cursor, Number) if form == "json" else None
    language = language_of(request)
    async with visit.enter() as connection:
        row = await import_lists.file(connection, parse_import(file))
        most = limit if form == "json" else REFUSED_LINES_KEPT_MAX
        refused, more = await _refusals(connection, row, after, most, language)
    if form == "json":
        return Response(Page(refused, more))
    lines = ([each.line, each.cell, each.code, each.detail, each.text] for each in refused)
    return csv_response(f"{row.id[:12]}-refused.csv", ["line", "cell", "code", "detail", "text"], lines)


@get(
    "/imports/{file:str}/original",
    operation_id="downloadImport",
    summary="The file as it came",
    media_type="application/octet-stream",
    guards=[site_keepers],
)
async def get_original(file: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]) -> Stream:
    """410 once it is not kept any more."""
    async with visit.enter() as connection:
        row = await import_lists.file(connection, parse_import(file))
    return await original(services, row)


@get("/imports/{file:str}/events", operation_id="streamImport", summary="`import` events", media_type=EVENTS)
async def stream_import(
    file: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services], request: Request[Any, Any, Any]
) -> ServerSentEvent:
    """The file as in the list, whenever it has got further."""
    file_id = parse_import(file)
    language = language_of(request)

    async def look() -> bytes:
        async with visit.enter() as connection:
            row = await import_lists.file(connection, file_id)
            (shown,) = await told(connection, [row], language)
        feed.every_s = _BUSY_S if row.active else notices.POLL_S
        return msgspec.json.encode(shown)

    async def may_see() -> None:
        async with visit.enter() as connection:
            await import_lists.file(connection, file_id)

    await may_see()
    feed = Retold(services.news.watch(notices.FILE, file_id), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "import", feed.first, feed, may_see)


@get(
    "/imports/events",
    operation_id="streamImports",
    summary="`imports` events: the newest files, whenever one has got further",
    media_type=EVENTS,
    guards=[site_keepers],
)
async def stream_imports(
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    request: Request[Any, Any, Any],
    site: SiteQuery = None,
) -> ServerSentEvent:
    language = language_of(request)

    async def look() -> bytes:
        async with visit.enter() as connection:
            sites = await sites_of(connection, visit, site)
            rows = await import_lists.files(connection, sites=sites, limit=PAGE_ITEMS)
            shown = await told(connection, rows, language)
        feed.every_s = _BUSY_S if any(row.active for row in rows) else notices.POLL_S
        return msgspec.json.encode(Page(shown, None))

    async def may_see() -> None:
        async with visit.enter() as connection:
            await sites_of(connection, visit, site)

    await may_see()
    feed = Retold(services.news.watch(notices.FILE), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "imports", feed.first, feed, may_see)


router = Router(
    "/",
    route_handlers=[list_imports, stream_imports, get_import, list_refusals, get_original, stream_import],
    tags=["imports"],
)
