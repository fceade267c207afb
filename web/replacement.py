"""Other hardware in the same place: a device with a certificate gets a new claim, one behind a gateway a new serial."""

from contextlib import suppress
from typing import Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.corrections import Replacement
from fleet.errors import Conflict, FleetError
from fleet.ids import DeviceId
from fleet.scanned import checked_serial
from fleet.storage import audit, corrections, onboarding, registry
from fleet.storage.registry import DeviceRow
from web.device_ids import parse_device
from web.paging import Page
from web.serials import SerialText, check_free
from web.services import Services
from web.visits import Visit, client_address


class NewSerial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    serial: SerialText


async def replace_serial(services: Services, visit: Visit, device: DeviceId, new_serial: str, address: str) -> DeviceRow:
    """For installers, ops and admins. The serial that it has already changes nothing.

    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (bad_serial),
    Conflict (no_gateway, serial_taken, serial_elsewhere).
    """
    serial = checked_serial(new_serial)
    async with visit.enter() as connection:
        before = await registry.device(connection, device)
        await visit.must_keep(connection, before.site)
        if before.gateway is None:
            raise Conflict("no_gateway", f"{before.name} enrols itself: make a claim for its place instead")
        await onboarding.lock_serial(connection, before.site, serial)
        before = await registry.device(connection, device)
        if before.serial == serial:
            return before
        await check_free(connection, serial, site=before.site, besides=device)
        at = await onboarding.change_serial(
            connection, site=before.site, device=device, old=before.serial, new=serial, person_id=visit.person.id
        )
        await audit.record(
            connection,
            "device.replace",
            person_id=visit.person.id,
            subject=device,
            detail={"site": before.site, "old_serial": before.serial, "new_serial": serial},
            address=address,
        )
        row = await registry.device(connection, device)
    services.later(_tell_twins(services, row, at))
    return row


async def _tell_twins(services: Services, row: DeviceRow, at: int) -> None:
    """The day is recomputed with the swap in it; a twin that cannot be told reads the registry when it comes back."""
    await services.door.forget(row.site)
    with suppress(FleetError):
        await services.door.twins().corrected(row.site, row.id, at)


@get("/devices/{device:str}/replacements", operation_id="listReplacements", summary="When its hardware was replaced")
async def list_replacements(device: FromPath[str], visit: NamedDependency[Visit]) -> Page[Replacement]:
    """Oldest first. What the counters jump by there is no energy."""
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        return Page(await corrections.replacements_of(connection, row.site, row.id), None)


@post(
    "/devices/{device:str}/serial",
    status_code=200,
    operation_id="replaceSerial",
    summary="The new serial number of a device behind a gateway",
)
async def post_serial(
    device: FromPath[str],
    data: JSONBody[NewSerial],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> DeviceRow:
    """Its history goes on under the same name. A device with a certificate of its own is replaced by a claim for it."""
    return await replace_serial(services, visit, parse_device(device), data.serial, client_address(request))


router = Router("/", route_handlers=[list_replacements, post_serial], tags=["onboarding"])
