"""A device behind a gateway: attached by its serial, since the gateway speaks for it and it needs no certificate."""

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.errors import Conflict, FleetError, NotFound
from fleet.ids import SiteId
from fleet.scanned import Scanned, checked_serial, understand
from fleet.storage import audit, onboarding, profile_versions, registry, waiting
from fleet.storage.database import Connection
from fleet.storage.onboarding import DeviceForm
from fleet.storage.registry import DeviceRow
from fleet.storage.waiting import WaitingSource
from web.device_ids import free_id, parse_device
from web.paging import Page
from web.serials import DeviceName, SerialText, taken
from web.services import Services
from web.sites import parse_site
from web.visits import Visit, client_address


class NewDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """gateway: the device that speaks for it. Left out: behind whom it waits, else the site's only gateway."""

    serial: SerialText
    profile: Annotated[str, msgspec.Meta(max_length=32)]
    name: DeviceName | None = None
    gateway: Annotated[str, msgspec.Meta(max_length=32)] | None = None


class ScannedText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=2_000)]


async def attach(
    services: Services,
    visit: Visit,
    site: SiteId,
    *,
    serial: str,
    profile: str,
    name: str | None,
    gateway: str | None,
    address: str,
    alone: bool = False,
) -> DeviceRow:
    """For installers, ops and admins. The same again answers with the device that stands. alone: only files that people send
    tell of it, so nobody speaks for it.

    Raises NotFound (unknown_site, unknown_profile, unknown_device), Forbidden (not_allowed), BadInput (bad_serial),
    Conflict (serial_taken, serial_elsewhere, not_a_gateway).
    """
    serial = checked_serial(serial)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site)
        await visit.must_keep(connection, site)
        speaker = None if alone else (await _gateway(connection, site, gateway, serial)).id
        kind = await profile_versions.profile(connection, profile)
        await onboarding.lock_serial(connection, site, serial)
        holder = await onboarding.serial_holder(connection, serial, site=site)
        if holder is not None:
            if (holder.site, holder.gateway, holder.profile) != (site, speaker, kind.id):
                raise taken(serial, holder, site)
            return await registry.device(connection, holder.device)
        label = kind.definition.label_en if visit.person.locale == "en" else kind.definition.label_fr
        form = DeviceForm(
            id=await free_id(connection, kind.definition.kind),
            site=site,
            profile=kind.id,
            name=name or label,
            serial=serial,
            gateway=speaker,
        )
        await onboarding.add_device(connection, form)
        await audit.record(
            connection,
            "device.attach",
            person_id=visit.person.id,
            subject=form.id,
            detail={"site": site, "serial": serial, "profile": kind.id, "gateway": speaker},
            address=address,
        )
        row = await registry.device(connection, form.id)
    services.later(_place(services, site, serial))
    return row


async def _place(services: Services, site: SiteId, serial: str) -> None:
    """What was kept for this serial becomes its samples. Twins that cannot be told find it by themselves, later."""
    await services.door.forget(site)
    with suppress(FleetError):
        await services.door.twins().place_waiting(site, serial)


async def _gateway(connection: Connection, site: SiteId, wanted: str | None, serial: str) -> DeviceRow:
    """Who speaks for the serial: as said, else behind whom it waits, else the only one that can. Also a device that is no
    gateway by its profile, such as an inverter with a meter of its own, once it has been heard to speak for others.
    """
    waits = await waiting.waiting_sources(connection, site)
    devices = await registry.devices_of(connection, site)
    known = {device.serial: device.gateway for device in devices} | {each.serial: each.gateway for each in waits}
    speaker = wanted or known.get(serial)
    if speaker is None:
        gateways = [device for device in devices if device.kind == "gateway"]
        if len(gateways) != 1:
            raise NotFound("unknown_device", f"say which gateway: this site has {len(gateways)}")
        return gateways[0]
    found = await registry.device(connection, parse_device(speaker))
    if found.site != site:
        raise registry.no_device(speaker)
    heard = {each.gateway for each in waits} | {device.gateway for device in devices}
    if found.kind != "gateway" and found.id not in heard:
        raise Conflict("not_a_gateway", f"{found.name} ({found.id}) is no gateway")
    return found


@get("/sites/{site:str}/waiting-sources", operation_id="listWaitingSources", summary="Serials that wait to become devices")
async def list_waiting(site: FromPath[str], visit: NamedDependency[Visit]) -> Page[WaitingSource]:
    """A gateway of the site speaks for them, and the site has no such device. Attach them to store what they say."""
    site_id = parse_site(site)
    async with visit.enter() as connection:
        await registry.site_timezone(connection, site_id)
        return Page(await waiting.waiting_sources(connection, site_id), None)


@post("/sites/{site:str}/devices", operation_id="attachDevice", summary="A device behind a gateway, by its serial number")
async def post_device(
    site: FromPath[str],
    data: JSONBody[NewDevice],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> DeviceRow:
    """What its gateway says about this serial is stored from then on. For installers and operations."""
    return await attach(
        services,
        visit,
        parse_site(site),
        serial=data.serial,
        profile=data.profile,
        name=data.name,
        gateway=data.gateway,
        address=client_address(request),
    )


@post("/scanned", status_code=200, operation_id="understandScanned", summary="The serial number in what a camera has read")
async def post_scanned(data: JSONBody[ScannedText], visit: NamedDependency[Visit]) -> Scanned:
    """422 says by its code what it is instead: a web address, a Wi-Fi code, one of our own enrolment codes, ..."""
    async with visit.enter():
        return understand(data.text)


router = Router("/", route_handlers=[list_waiting, post_device, post_scanned], tags=["onboarding"])
