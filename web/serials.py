"""Two devices with one serial: refused, with the name of the one that has it."""

from typing import Annotated

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.storage import onboarding
from fleet.storage.database import Connection
from fleet.storage.onboarding import SerialHolder
from web.errors import Taken
from web.new_sites import LINE

DeviceName = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=LINE, examples=["Onduleur garage"])]
SerialText = Annotated[str, msgspec.Meta(max_length=60, examples=["HQ2134ABCDE"])]


async def check_free(
    connection: Connection,
    serial: str,
    *,
    site: SiteId,
    besides: DeviceId | None = None,
    request_id: str | None = None,
) -> None:
    """Among the sites that the acting person may see. request_id: the same form again does not stand in its own way.

    Raises Taken (serial_taken, serial_elsewhere).
    """
    holder = await onboarding.serial_holder(connection, serial, site=site, besides=besides, request_id=request_id)
    if holder is not None:
        raise taken(serial, holder, site)


def taken(serial: str, holder: SerialHolder, site: SiteId) -> Taken:
    about = f"{holder.name}, {holder.device}"
    if holder.site != site:
        return Taken("serial_elsewhere", f"serial {serial} is at site {holder.site}: {about}", f"{about}, {holder.site}")
    if holder.claimed:
        return Taken("serial_taken", f"an open code waits for serial {serial} already: {about}", about)
    return Taken("serial_taken", f"serial {serial} is in use at this site: {about}", about)
