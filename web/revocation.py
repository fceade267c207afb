"""Taking a device's right to speak away, and seeing how far that has got: signed, denied, installed, cut off, refused."""

from typing import Annotated, Any

import asyncpg
import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import ServerSentEvent

from fleet.ids import DeviceId
from fleet.storage import audit, notices, registry, revocations
from fleet.storage.revocations import AlarmRow, RevocationReason, RevocationRow
from web.device_ids import parse_device
from web.errors import Forbidden
from web.new_sites import LINE
from web.news import Retold
from web.paging import Page
from web.services import Services
from web.streams import EVENTS, event_stream
from web.visits import Visit, client_address, operators


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: RevocationReason
    note: Annotated[str, msgspec.Meta(max_length=500, pattern=LINE)] = ""


async def revoke(
    services: Services, visit: Visit, device: DeviceId, reason: RevocationReason, note: str, address: str
) -> RevocationRow:
    """For ops, admins and the owner's organisation. One that is running, or done for this certificate, is answered as it is.

    Raises NotFound (unknown_device), Forbidden (revoke_not_yours).
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, device)
        before = {each.id for each in await revocations.revocations_of(connection, device)}
        try:
            async with connection.transaction():
                found = await revocations.request_revocation(
                    connection, site=row.site, device=device, reason=reason, note=note, requested_by=visit.person.id
                )
        except asyncpg.InsufficientPrivilegeError:
            raise Forbidden("revoke_not_yours", "a device is revoked by its owner or by operations") from None
        if found.id not in before:
            await audit.record(
                connection,
                "device.revoke_requested",
                person_id=visit.person.id,
                subject=device,
                detail={"site": row.site, "reason": reason, "note": note, "revocation": found.id},
                address=address,
            )
    services.later(services.door.forget(row.site))
    return found


@post(
    "/devices/{device:str}/revoke", status_code=202, operation_id="revokeDevice", summary="Take a device's certificate away"
)
async def post_revoke(
    device: FromPath[str],
    data: JSONBody[Revocation],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> RevocationRow:
    """Takes effect within seconds; follow it under /devices/{device}/revocations. It comes back by enrolling anew only."""
    return await revoke(services, visit, parse_device(device), data.reason, data.note, client_address(request))


@get("/devices/{device:str}/revocations", operation_id="listRevocations", summary="Revocations and how far each has got")
async def list_revocations(device: FromPath[str], visit: NamedDependency[Visit]) -> Page[RevocationRow]:
    """The newest first. refused_at: when the broker was seen to refuse it."""
    async with visit.enter() as connection:
        row = await registry.device(connection, parse_device(device))
        return Page(await revocations.revocations_of(connection, row.id), None)


@get(
    "/devices/{device:str}/revocations/events",
    operation_id="streamRevocations",
    summary="`revocations` events: the same list, whenever a step is done",
    media_type=EVENTS,
)
async def stream_revocations(
    device: FromPath[str], visit: NamedDependency[Visit], services: NamedDependency[Services]
) -> ServerSentEvent:
    device_id = parse_device(device)

    async def look() -> bytes:
        async with visit.enter() as connection:
            row = await registry.device(connection, device_id)
            return msgspec.json.encode(Page(await revocations.revocations_of(connection, row.id), None))

    async def may_see() -> None:
        async with visit.enter() as connection:
            await registry.device(connection, device_id)

    await may_see()
    feed = Retold(services.news.watch(notices.REVOCATION), look, every_s=notices.POLL_S)
    return event_stream(services, visit, "revocations", feed.first, feed, may_see)


@get("/alarms", operation_id="listAlarms", summary="What is wrong with revocation itself", guards=[operators])
async def list_alarms(visit: NamedDependency[Visit]) -> Page[AlarmRow]:
    async with visit.enter() as connection:
        return Page(await revocations.alarms(connection), None)


router = Router("/", route_handlers=[post_revoke, list_revocations, stream_revocations, list_alarms], tags=["onboarding"])
