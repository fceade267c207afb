"""One file: what was read of it, what was refused and why, whose readings it holds, and reading it again another way."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.calendar import local_day
from fleet.codecs.files.reading import ReadingSettings
from fleet.errors import BadInput, FleetError, NotFound
from fleet.limits import PAGE_ITEMS
from fleet.profiles import DeviceProfile
from fleet.serials import is_serial
from fleet.storage import import_lists, profile_versions, registry
from fleet.storage.database import Connection
from fleet.storage.drop_accounts import LOGGER_PROFILE
from fleet.storage.import_lists import FileRow, SerialRow
from fleet.storage.registry import DeviceRow
from web.device_ids import parse_device
from web.errors import Problem, problem_of
from web.file_devices import add_device, give_to, give_to_new, is_nobodys, suggested_profile
from web.import_changes import read_again, undo
from web.import_views import Import, ImportRefusal, refusal_of
from web.imports import parse_import, told
from web.language import language_of
from web.pages.format_choice import format_choices
from web.pages.forms import Fields, fields_of
from web.pages.profile_choice import likely_profiles
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import site_keepers
from web.visits import Visit, client_address

_TEXT_CHARS_MAX = 60


class FileDevice(msgspec.Struct, frozen=True):
    """profiles: what one that waits can be, the likeliest first. usable: its serial can be a device's."""

    row: SerialRow
    nobodys: bool
    usable: bool
    profiles: list[DeviceProfile]


class FilePage(msgspec.Struct, frozen=True):
    """more: position of the last refusal that is shown, when there are others. choices: formats, id and name. last_day: the
    site's day of its last reading.
    """

    file: Import
    timezone: str
    devices: list[FileDevice]
    owners: list[DeviceRow]
    refusals: list[ImportRefusal]
    first_refusals: bool
    more: int | None
    choices: list[tuple[str, str]]
    describable: bool
    last_day: str


AfterQuery = Annotated[int | None, QueryParameter(name="after", ge=0, lt=2**31)]


@get("/imports/{file:str}", guards=[site_keepers], include_in_schema=False)
async def import_page(
    file: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], after: AfterQuery = None
) -> Response[str]:
    return await _page(request, visit, file, None, after=after)


@post("/imports/{file:str}/read-again", guards=[site_keepers], include_in_schema=False)
async def read_file_again(
    file: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> Response[Any]:
    fields = await fields_of(request)
    try:
        async with visit.enter() as connection:
            row = await import_lists.file(connection, parse_import(file))
        await read_again(visit, row.id, settings_in(fields, row.settings), client_address(request))
    except FleetError as error:
        return await _refused(request, visit, file, error)
    return Redirect(f"/imports/{row.id}", status_code=303)


@post("/imports/{file:str}/undo", guards=[site_keepers], include_in_schema=False)
async def undo_file(file: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[Any]:
    try:
        row = await undo(visit, parse_import(file), client_address(request))
    except FleetError as error:
        return await _refused(request, visit, file, error)
    return Redirect(f"/imports/{row.id}", status_code=303)


@post("/imports/{file:str}/devices", guards=[site_keepers], include_in_schema=False)
async def attach_from_file(
    file: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """serial and profile: a new device. device, or profile alone: whose the readings without a serial are."""
    fields = await fields_of(request)
    serial, device, profile = (fields.get(name, "") for name in ("serial", "device", "profile"))
    address = client_address(request)
    try:
        async with visit.enter() as connection:
            row = await import_lists.file(connection, parse_import(file))
        if serial:
            await add_device(services, visit, row, serial=serial, profile=profile[:32], address=address)
        elif device:
            await give_to(visit, row, parse_device(device), address)
        elif profile:
            await give_to_new(visit, row, profile[:32], address)
        else:
            raise BadInput("no_owner", "choose whose readings these are")
    except FleetError as error:
        return await _refused(request, visit, file, error)
    return Redirect(f"/imports/{row.id}#devices", status_code=303)


def settings_in(fields: Fields, before: ReadingSettings) -> ReadingSettings:
    """As chosen in a form; what the form does not have stays. Raises BadInput (invalid_request)."""
    chosen = {
        name: fields[name][:_TEXT_CHARS_MAX] or None
        for name in ("format_id", "timezone", "date_order", "stamp", "role", "serial")
        if name in fields
    }
    try:
        return msgspec.convert(msgspec.to_builtins(before) | chosen, ReadingSettings)
    except msgspec.ValidationError as error:
        raise BadInput("invalid_request", str(error)) from None


async def _refused(request: Request[Any, Any, Any], visit: Visit, file: str, error: FleetError) -> Response[str]:
    if isinstance(error, NotFound) and error.code == "unknown_import":
        raise error
    return await _page(request, visit, file, problem_of(error, language_of(request)))


async def _page(
    request: Request[Any, Any, Any], visit: Visit, file: str, refusal: Problem | None, *, after: int | None = None
) -> Response[str]:
    async with visit.enter() as connection:
        row = await import_lists.file(connection, parse_import(file))
        shown = await _shown(connection, request, row, after)
    return page(
        request,
        "import_file.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        now=now_ms(),
    )


async def _shown(connection: Connection, request: Request[Any, Any, Any], row: FileRow, after: int | None) -> FilePage:
    language = language_of(request)
    (file,) = await told(connection, [row], language)
    found = await import_lists.refusals(connection, row, after=after, limit=PAGE_ITEMS + 1)
    devices = await _devices(connection, row)
    return FilePage(
        file=file,
        timezone=row.timezone,
        devices=devices,
        owners=await registry.devices_of(connection, row.site) if any(each.nobodys for each in devices) else [],
        refusals=[refusal_of(each, language) for each in found[:PAGE_ITEMS]],
        first_refusals=after is None,
        more=found[PAGE_ITEMS - 1].position if len(found) > PAGE_ITEMS else None,
        choices=await format_choices(connection, row.site, language),
        describable=row.has_original and not row.active,
        last_day="" if row.last_at is None else local_day(row.last_at - 1, row.timezone).isoformat(),
    )


async def _devices(connection: Connection, row: FileRow) -> list[FileDevice]:
    serials = await import_lists.serials(connection, row)
    if not serials:
        return []
    profiles = [each.definition for each in await profile_versions.profiles(connection)]
    logger = next((profile for profile in profiles if profile.id == LOGGER_PROFILE), None)
    suggested = suggested_profile(row)
    found = []
    for each in serials:
        likely = likely_profiles(profiles, each.measures, logger)
        first = [profile for profile in profiles if profile.id == suggested]
        choice = first + [profile for profile in likely if profile.id != suggested]
        found.append(FileDevice(each, is_nobodys(each, row), is_serial(each.serial), choice or _measuring(profiles)))
    return found


def _measuring(profiles: list[DeviceProfile]) -> list[DeviceProfile]:
    return [profile for profile in profiles if profile.kind != "gateway"]
