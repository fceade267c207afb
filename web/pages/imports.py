"""Files that were sent: the list, of all sites or of one, and sending one by hand."""

from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.errors import BadInput, FleetError
from fleet.file_limits import FILE_BYTES_MAX, UPLOAD_FILES_PER_FORM_MAX, UPLOAD_FORM_BYTES_MAX
from fleet.limits import PAGE_ITEMS
from fleet.storage import import_lists, registry
from fleet.storage.import_lists import ConcernRow, KeptSite, Show
from fleet.storage.registry import DeviceRow, SiteRow
from web.device_ids import parse_device
from web.errors import Problem, problem_of
from web.import_changes import files_in_form
from web.import_views import Import
from web.imports import sites_of, told
from web.language import language_of
from web.pages.operations import ZONE
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import parse_site, site_keepers
from web.uploads import chunks_of, take_in
from web.visits import Visit, client_address

_SITES_MAX = 300  # in a choice; who has more opens the site first


class ListPage(msgspec.Struct, frozen=True):
    """site None: of all sites. device: the list is narrowed to its files. sites: to choose from when sending."""

    site: SiteRow | None
    device: DeviceRow | None
    files: list[Import]
    show: Show | None
    older: str | None
    here: str
    events: str
    sites: list[KeptSite]
    devices: list[DeviceRow]
    concerns: list[ConcernRow]
    sent: int
    takes_files: bool
    zone: str

    def narrowed(self, show: str | None) -> str:
        """The address of the same list in another state."""
        query = {"show": show, "device": self.device.id if self.device else None}
        return self._address(query)

    def _address(self, query: dict[str, str | None]) -> str:
        given = urlencode({name: value for name, value in query.items() if value})
        path = f"/sites/{self.site.id}/imports" if self.site else "/imports"
        return f"{path}?{given}" if given else path


ShowQuery = Annotated[Show | None, QueryParameter(name="show")]
BeforeQuery = Annotated[int | None, QueryParameter(name="before", ge=1, lt=2**62)]
DeviceQuery = Annotated[str | None, QueryParameter(name="device", max_length=32)]
SentQuery = Annotated[int, QueryParameter(name="sent", ge=0, le=1_000)]


@get("/imports", guards=[site_keepers], include_in_schema=False)
async def imports_page(
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    show: ShowQuery = None,
    before: BeforeQuery = None,
) -> Response[str]:
    shown = await _shown(services, visit, request, None, show=show, before=before)
    return _page(request, visit, shown, None)


@get("/sites/{site:str}/imports", guards=[site_keepers], include_in_schema=False)
async def site_imports_page(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    show: ShowQuery = None,
    before: BeforeQuery = None,
    device: DeviceQuery = None,
    sent: SentQuery = 0,
) -> Response[str]:
    shown = await _shown(services, visit, request, site, show=show, before=before, device=device, sent=sent)
    return _page(request, visit, shown, None)


@post("/imports", guards=[site_keepers], include_in_schema=False, request_max_body_size=UPLOAD_FORM_BYTES_MAX)
async def send_files(
    request: Request[Any, Any, Any], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> Response[Any]:
    """The form of browsers without scripts; with them, each file goes to the API by itself."""
    site = device = ""
    try:
        files = await files_in_form(services, visit, request)
        form = await request.form()
        site, device = (str(form.get(name) or "")[:32] for name in ("site", "device"))
        if not site:
            raise BadInput("no_site", "choose the site that the files belong to")
        if not 1 <= len(files) <= UPLOAD_FILES_PER_FORM_MAX:
            raise BadInput("no_file", f"choose one to {UPLOAD_FILES_PER_FORM_MAX} files")
        for each in files:
            await take_in(
                services,
                visit,
                parse_site(site),
                chunks_of(each),
                name=each.filename,
                device=parse_device(device) if device else None,
                announced_bytes=0,
                address=client_address(request),
            )
    except FleetError as error:
        shown = await _shown(services, visit, request, site or None)
        return _page(request, visit, shown, problem_of(error, language_of(request)))
    return Redirect(f"/sites/{site}/imports?sent={len(files)}", status_code=303)


async def _shown(
    services: Services,
    visit: Visit,
    request: Request[Any, Any, Any],
    site: str | None,
    *,
    show: Show | None = None,
    before: int | None = None,
    device: str | None = None,
    sent: int = 0,
) -> ListPage:
    """Raises NotFound (unknown_site, unknown_device), Forbidden (not_allowed)."""
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site)) if site else None
        if row is not None:
            await visit.must_keep(connection, row.id)
        owner = await registry.device(connection, parse_device(device)) if device else None
        rows = await import_lists.files(
            connection,
            sites=await sites_of(connection, visit, site),
            show=show,
            device=owner.id if owner else None,
            before=before,
            limit=PAGE_ITEMS + 1,
        )
        files = await told(connection, rows[:PAGE_ITEMS], language_of(request))
        sites = [] if row else await import_lists.kept_sites(connection, _SITES_MAX + 1)
        devices = await registry.devices_of(connection, row.id) if row else []
        concerns = await import_lists.concerns(connection, row.id) if row else []
    shown = ListPage(
        site=row,
        device=owner,
        files=files,
        show=show,
        older=None,
        here="",
        events=f"/api/v1/imports/events?site={row.id}" if row else "/api/v1/imports/events",
        sites=sites if len(sites) <= _SITES_MAX else [],
        devices=devices,
        concerns=concerns,
        sent=sent,
        takes_files=services.settings.intake_folder is not None,
        zone=row.timezone if row else ZONE,
    )
    query = {"show": show, "device": owner.id if owner else None}
    last = {"before": str(rows[PAGE_ITEMS - 1].number)} if len(rows) > PAGE_ITEMS else None
    return msgspec.structs.replace(
        shown,
        here=shown._address(query | ({"before": str(before)} if before else {})),
        older=shown._address(query | last) if last else None,
    )


def _page(request: Request[Any, Any, Any], visit: Visit, shown: ListPage, refusal: Problem | None) -> Response[str]:
    return page(
        request,
        "imports.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        bytes_max=FILE_BYTES_MAX,
        now=now_ms(),
    )
