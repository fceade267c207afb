"""PUT and DELETE /devices/{device}/tags/{tag}: words that people sort devices by."""

from typing import Any

from litestar import Request, Router, delete, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from fleet.ids import DeviceId
from fleet.storage import audit, registry, tags
from fleet.storage.registry import DeviceRow
from fleet.targets import check_tag
from web.device_ids import parse_device
from web.visits import Visit, client_address


async def change_tag(visit: Visit, device: DeviceId, tag: str, address: str, *, wanted: bool) -> DeviceRow:
    """For those who keep the site. Doing it twice changes nothing more.

    Raises NotFound (unknown_device), Forbidden (not_allowed), BadInput (bad_tag), Conflict (too_many_tags).
    """
    async with visit.enter() as connection:
        row = await registry.device(connection, device)
        await visit.must_keep(connection, row.site)
        change = tags.add_tag if wanted else tags.remove_tag
        if await change(connection, row.site, device, check_tag(tag)):
            await audit.record(
                connection,
                "device.tag" if wanted else "device.untag",
                person_id=visit.person.id,
                subject=device,
                detail={"site": row.site, "tag": tag},
                address=address,
            )
        return await registry.device(connection, device)


@put("/devices/{device:str}/tags/{tag:str}", operation_id="tagDevice", summary="Give a device a tag")
async def put_tag(
    device: FromPath[str], tag: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DeviceRow:
    """Lower case letters, digits and hyphens; at most 20 of them. Queries and groups find devices by them."""
    return await change_tag(visit, parse_device(device), tag, client_address(request), wanted=True)


@delete(
    "/devices/{device:str}/tags/{tag:str}", status_code=200, operation_id="untagDevice", summary="Take a tag from a device"
)
async def delete_tag(
    device: FromPath[str], tag: FromPath[str], request: Request[Any, Any, Any], visit: NamedDependency[Visit]
) -> DeviceRow:
    return await change_tag(visit, parse_device(device), tag, client_address(request), wanted=False)


router = Router("/", route_handlers=[put_tag, delete_tag], tags=["devices"])
