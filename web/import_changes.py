"""POST /sites/{site}/imports, /imports/{id}/read-again: a file is sent, and read once more with other settings."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, Router, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromPath, JSONBody, QueryParameter

from fleet.codecs.files import registry as file_formats
from fleet.codecs.files.local_time import LocalTimes
from fleet.codecs.files.reading import ReadingSettings, Unreadable
from fleet.errors import BadInput
from fleet.file_limits import FILE_BYTES_MAX, UPLOAD_FORM_BYTES_MAX, UPLOAD_FORM_S
from fleet.ids import DeviceId, SiteId
from fleet.storage import audit, import_lists, notices
from fleet.storage.database import Connection
from fleet.storage.import_lists import FileRow
from web.device_ids import parse_device
from web.import_views import Import
from web.imports import DeviceQuery, parse_import, told
from web.language import language_of
from web.services import Services
from web.sites import parse_site, site_keepers
from web.uploads import chunks_of, take_in
from web.visits import Visit, client_address

NameQuery = Annotated[str, QueryParameter(name="name", max_length=1_000, description="What the file is called")]


_BYTES: Final = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
_FORM: Final = Schema(type=OpenAPIType.OBJECT, properties={"file": _BYTES})


@dataclass
class UploadOperation(Operation):
    """The body of an upload for the API's description: it is streamed, so no parameter of the handler stands for it."""

    def __post_init__(self) -> None:
        self.request_body = RequestBody(
            content={
                "application/octet-stream": OpenAPIMediaType(schema=_BYTES),
                "multipart/form-data": OpenAPIMediaType(schema=_FORM),
            },
            required=True,
        )


class ReadAgain(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """settings: in place of those that it was read with; left out, they stay."""

    settings: ReadingSettings | None = None


@post(
    "/sites/{site:str}/imports",
    status_code=202,
    operation_id="uploadImport",
    summary="Send a file for a site",
    guards=[site_keepers],
    operation_class=UploadOperation,
    request_max_body_size=FILE_BYTES_MAX,
)
async def post_import(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    name: NameQuery = "",
    device: DeviceQuery = None,
) -> Response[Import]:
    """The body is the file, of any type; or a form (`multipart/form-data`, smaller) with one file in it. It is read in the
    background: follow it where `Location` says.
    """
    owner = parse_device(device) if device else None
    site_id = parse_site(site)
    if request.content_type[0] == "multipart/form-data":
        file_id = await _from_form(request, services, visit, site_id, owner)
    else:
        file_id = await take_in(
            services,
            visit,
            site_id,
            request.stream(),
            name=name,
            device=owner,
            announced_bytes=request.content_length or 0,
            address=client_address(request),
        )
    async with visit.enter() as connection:
        (shown,) = await told(connection, [await import_lists.file(connection, file_id)], language_of(request))
    return Response(shown, headers={"Location": f"/api/v1/imports/{file_id}"})


async def _from_form(
    request: Request[Any, Any, Any], services: Services, visit: Visit, site: SiteId, device: DeviceId | None
) -> str:
    parts = await files_in_form(services, visit, request)
    if len(parts) != 1:
        raise BadInput("no_file", "the form must hold one file; send several one by one")
    return await take_in(
        services,
        visit,
        site,
        chunks_of(parts[0]),
        name=parts[0].filename,
        device=device,
        announced_bytes=request.content_length or 0,
        address=client_address(request),
    )


async def files_in_form(services: Services, visit: Visit, request: Request[Any, Any, Any]) -> list[UploadFile]:
    """Of one that says how large it is: all of it is laid down before the first file of it is looked at.

    Raises RequestEntityTooLarge, TooMany (too_many_uploads), BadInput (upload_cut).
    """
    if request.content_length is None or request.content_length > UPLOAD_FORM_BYTES_MAX:
        raise RequestEntityTooLarge
    try:
        with services.uploads.slot(visit.claims.person_id, 0, time.monotonic()):
            async with asyncio.timeout(UPLOAD_FORM_S):
                form = await request.form()
    except TimeoutError:
        raise BadInput("upload_cut", f"a form has to come within {UPLOAD_FORM_S:.0f} s") from None
    return [value for _, value in form.multi_items() if isinstance(value, UploadFile) and value.filename]


async def check_settings(connection: Connection, settings: ReadingSettings) -> None:
    """Raises BadInput (bad_zone, no_such_format)."""
    if settings.timezone is not None:
        try:
            LocalTimes(settings.timezone)
        except Unreadable:
            raise BadInput("bad_zone", f"no such time zone: {settings.timezone[:40]!r}") from None
    wanted = settings.format_id
    if wanted is None or file_formats.by_id(wanted) is not None:
        return
    if wanted not in await import_lists.company_format_names(connection, [wanted]):
        raise BadInput("no_such_format", f"no such format: {wanted[:40]!r}")


async def read_again(visit: Visit, file_id: str, settings: ReadingSettings | None, address: str) -> FileRow:
    """Raises NotFound (unknown_import), BadInput (bad_zone, no_such_format), Conflict (import_busy, original_gone)."""
    async with visit.enter() as connection:
        row = await import_lists.file(connection, file_id)
        await visit.must_keep(connection, row.site)
        if settings is not None:
            await check_settings(connection, settings)
        await import_lists.read_again(connection, row, settings or row.settings)
        await audit.record(
            connection,
            "import.read_again",
            person_id=visit.person.id,
            subject=row.id,
            detail={"site": row.site, "settings": msgspec.to_builtins(settings or row.settings)},
            address=address,
        )
        await notices.notify(connection, notices.FILE, row.id)
        return await import_lists.file(connection, file_id)


@post(
    "/imports/{file:str}/read-again",
    status_code=202,
    operation_id="readImportAgain",
    summary="Read a file once more",
    guards=[site_keepers],
)
async def post_read_again(
    file: FromPath[str], data: JSONBody[ReadAgain], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Import:
    """With other settings, or after a device was added. What it has stored before is put right, never counted twice."""
    row = await read_again(visit, parse_import(file), data.settings, client_address(request))
    async with visit.enter() as connection:
        (shown,) = await told(connection, [row], language_of(request))
    return shown


async def undo(visit: Visit, file_id: str, address: str) -> FileRow:
    """Raises NotFound (unknown_import), Conflict (not_imported, import_busy)."""
    async with visit.enter() as connection:
        row = await import_lists.file(connection, file_id)
        await visit.must_keep(connection, row.site)
        await import_lists.undo(connection, row)
        await audit.record(
            connection,
            "import.undo",
            person_id=visit.person.id,
            subject=row.id,
            detail={"site": row.site},
            address=address,
        )
        await notices.notify(connection, notices.FILE, row.id)
        return await import_lists.file(connection, file_id)


@post(
    "/imports/{file:str}/undo",
    status_code=202,
    operation_id="undoImport",
    summary="Take a file's rows out again",
    guards=[site_keepers],
)
async def post_undo(file: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Import:
    """What other files and the devices themselves have told stays, and comes back where this file had put it right."""
    row = await undo(visit, parse_import(file), client_address(request))
    async with visit.enter() as connection:
        (shown,) = await told(connection, [row], language_of(request))
    return shown


router = Router("/", route_handlers=[post_import, post_read_again, post_undo], tags=["imports"])
