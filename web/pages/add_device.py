"""Adding a device to a site: what a gateway sees already, the code on the device, or a choice of what it is."""

from collections.abc import Iterable
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect

from fleet.errors import BadInput, Conflict, FleetError, NotFound
from fleet.profiles import DeviceProfile
from fleet.scanned import checked_serial, understand
from fleet.storage import claims, profile_versions, registry
from fleet.storage.claims import ClaimRow
from fleet.storage.drop_accounts import LOGGER_PROFILE
from fleet.storage.registry import DeviceRow, SiteRow
from fleet.storage.waiting import WaitingSource, waiting_sources
from web.attach import attach
from web.claims import ClaimAnswer, NewClaim, make_claim
from web.errors import Problem, problem_of
from web.language import language_of
from web.pages.claim_cookie import remember
from web.pages.forms import Fields, fields_of, new_request_id, request_id_of
from web.pages.profile_choice import ProfileGroup, grouped, likely_profiles
from web.pages.rendering import now_ms, page
from web.services import Services
from web.sites import parse_site, site_keepers
from web.visits import Visit, client_address

_SERIAL_CHARS_MAX: Final = 60
_SCANNED_CHARS_MAX: Final = 2_000


class Seen(msgspec.Struct, frozen=True):
    """A serial that a gateway of the site speaks for. profiles: what it can be, the likeliest first."""

    source: WaitingSource
    gateway_name: str
    profiles: list[DeviceProfile]


class AddPage(msgspec.Struct, frozen=True):
    """What the page shows. serial: one that was read or typed, of a device that nobody has told us about yet."""

    site: SiteRow
    devices: list[DeviceRow]
    groups: list[ProfileGroup]
    seen: list[Seen]
    open_claims: list[ClaimRow]
    serial: str
    scanned: str
    request_id: str


Serial = Annotated[str, QueryParameter(max_length=_SERIAL_CHARS_MAX)]


@get("/sites/{site:str}/add", guards=[site_keepers], include_in_schema=False)
async def add_device_page(
    site: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit], serial: Serial = ""
) -> Response[str]:
    shown = await _shown(visit, site, serial=serial)
    return _page(request, visit, shown, None)


@post("/sites/{site:str}/add", guards=[site_keepers], include_in_schema=False)
async def add_device(
    site: FromPath[str],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Response[Any]:
    """A scanned or typed code leads on to what it belongs to; a profile makes a claim; a waiting serial a device."""
    fields = await fields_of(request)
    request_id = request_id_of(fields)
    try:
        if fields.get("gateway"):
            return await _attach(services, visit, site, fields, client_address(request))
        if fields.get("profile") == LOGGER_PROFILE:  # sends files: an account of the drop box instead of a certificate
            return Redirect(f"/sites/{parse_site(site)}/loggers", status_code=303)
        if fields.get("profile"):
            return await _claim(services, visit, site, fields, request_id, client_address(request))
        return await _read_code(services, visit, site, fields, client_address(request))
    except FleetError as error:
        if isinstance(error, NotFound) and error.code in ("unknown_site", "unknown_route"):
            raise
        shown = await _shown(visit, site, scanned=fields.get("scanned", ""), request_id=request_id)
        return _page(request, visit, shown, problem_of(error, language_of(request)))


async def _read_code(services: Services, visit: Visit, site: str, fields: Fields, address: str) -> Response[Any]:
    text = fields.get("scanned", "")[:_SCANNED_CHARS_MAX]
    if not text:
        raise BadInput("not_a_device_code", "nothing was typed; the serial number stands on the device's type plate")
    found = understand(text)
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
        waiting = [each for each in await waiting_sources(connection, row.id) if each.serial == found.serial]
        profiles = [each.definition for each in await profile_versions.profiles(connection)]
        gateways = {device.id: device for device in await registry.devices_of(connection, row.id)}
    if waiting:
        source = waiting[0]
        speaker = _profile_of(gateways.get(source.gateway), profiles)
        likely = likely_profiles(profiles, source.measures, speaker, found.serial, source.codec)
        if likely:
            known = {"serial": found.serial, "gateway": source.gateway, "profile": found.profile or likely[0].id}
            return await _attach(services, visit, site, known, address)
    if found.profile is not None:
        asked = {"profile": found.profile, "serial": found.serial}
        return await _claim(services, visit, site, asked, request_id_of(fields), address)
    return Redirect(f"/sites/{row.id}/add?serial={quote(found.serial, safe='')}#profiles", status_code=303)


async def _attach(services: Services, visit: Visit, site: str, fields: Fields, address: str) -> Response[Any]:
    made = await attach(
        services,
        visit,
        parse_site(site),
        serial=fields.get("serial", ""),
        profile=fields.get("profile", ""),
        name=fields.get("name") or None,
        gateway=fields.get("gateway") or None,
        address=address,
    )
    return Redirect(f"/devices/{made.id}?new=1", status_code=303)


async def _claim(
    services: Services, visit: Visit, site: str, fields: Fields, request_id: str, address: str
) -> Response[Any]:
    serial = fields.get("serial", "")
    new = NewClaim(
        profile=fields["profile"][:32],
        name=fields.get("name", "")[:120] or None,
        serial=checked_serial(serial) if serial else None,
        request_id=f"{request_id[:31]}-{fields['profile'][:32]}",  # another choice on the same page is another claim
    )
    answer = await _make_claim(services, visit, site, new, address)
    response: Response[Any] = Redirect(f"/claims/{answer.claim_id}", status_code=303)
    remember(response, answer, services)
    return response


async def _make_claim(services: Services, visit: Visit, site: str, new: NewClaim, address: str) -> ClaimAnswer:
    """A form that comes back after its code was forgotten gets a new one: nobody has seen the old one."""
    try:
        return await make_claim(services, visit, parse_site(site), new, address)
    except Conflict as error:
        if error.code != "claim_code_gone":
            raise
        fresh = msgspec.structs.replace(new, request_id=new_request_id())
        return await make_claim(services, visit, parse_site(site), fresh, address)


async def _shown(visit: Visit, site: str, *, serial: str = "", scanned: str = "", request_id: str = "") -> AddPage:
    async with visit.enter() as connection:
        row = await registry.site(connection, parse_site(site))
        await visit.must_keep(connection, row.id)
        devices = await registry.devices_of(connection, row.id)
        profiles = [each.definition for each in await profile_versions.profiles(connection)]
        waiting = await waiting_sources(connection, row.id)
        open_claims = await claims.open_claims(connection, row.id)
    return AddPage(
        site=row,
        devices=devices,
        groups=grouped(profiles, visit.person.locale),
        seen=seen_sources(waiting, devices, profiles),
        open_claims=open_claims,
        serial=serial,
        scanned=scanned,
        request_id=request_id or new_request_id(),
    )


def seen_sources(waiting: Iterable[WaitingSource], devices: list[DeviceRow], profiles: list[DeviceProfile]) -> list[Seen]:
    """With the gateway's name, and what each can be. Nothing fits: every profile is on offer."""
    by_id = {device.id: device for device in devices}
    found = []
    for source in waiting:
        gateway = by_id.get(source.gateway)
        likely = likely_profiles(profiles, source.measures, _profile_of(gateway, profiles), source.serial, source.codec)
        found.append(Seen(source, gateway.name if gateway else source.gateway, likely))
    return found


def _profile_of(device: DeviceRow | None, profiles: list[DeviceProfile]) -> DeviceProfile | None:
    return next((profile for profile in profiles if device is not None and profile.id == device.profile), None)


def _page(request: Request[Any, Any, Any], visit: Visit, shown: AddPage, refusal: Problem | None) -> Response[str]:
    return page(
        request,
        "add_device.html",
        person=visit.person,
        status=refusal.status if refusal else 200,
        shown=shown,
        refusal=refusal,
        now=now_ms(),
    )
