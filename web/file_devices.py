"""Devices that files tell of: a serial becomes a device with one tap, and readings without a serial get an owner."""

import msgspec

from fleet.codecs.files import registry as file_formats
from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.limits import SERIAL_CHARS_MAX
from fleet.serials import NOBODYS
from fleet.storage import audit, import_lists, notices, onboarding, profile_versions, registry
from fleet.storage.import_lists import FileRow, SerialRow
from fleet.storage.onboarding import DeviceForm
from fleet.storage.registry import DeviceRow
from web.attach import attach
from web.device_ids import free_id
from web.import_changes import read_again
from web.services import Services
from web.visits import Visit


def is_nobodys(serial: SerialRow, row: FileRow) -> bool:
    """The file does not tell whose readings these are: they wait, under the logger's own id where there is one."""
    return serial.serial == NOBODYS or (row.device is not None and serial.serial == row.device)


async def add_device(
    services: Services, visit: Visit, row: FileRow, *, serial: str, profile: str, address: str
) -> DeviceRow:
    """A new device for a serial of the file, behind the logger that sent it. What waits for it is read again by itself.

    Raises as web.attach.attach.
    """
    made = await attach(
        services,
        visit,
        row.site,
        serial=serial[:SERIAL_CHARS_MAX],
        profile=profile,
        name=None,
        gateway=row.device,
        address=address,
        alone=row.device is None,
    )
    async with visit.enter() as connection:
        await notices.notify(connection, notices.FILE, row.id)
    return made


async def give_to(visit: Visit, row: FileRow, device: DeviceId, address: str) -> None:
    """Readings without a serial are this device's: the file is read again. Raises NotFound (unknown_device), Conflict."""
    async with visit.enter() as connection:
        if (await registry.device(connection, device)).site != row.site:
            raise registry.no_device(device)
        row = await import_lists.file(connection, row.id)
    await read_again(visit, row.id, msgspec.structs.replace(row.settings, serial=device), address)


async def give_to_new(visit: Visit, row: FileRow, profile: str, address: str) -> DeviceId:
    """... of a new device, which has no serial number. Raises NotFound (unknown_profile), Forbidden, Conflict."""
    async with visit.enter() as connection:
        await visit.must_keep(connection, row.site)
        kind = await profile_versions.profile(connection, profile)
        if kind.definition.kind == "gateway":
            raise BadInput("bad_profile", "a gateway measures nothing: choose what the readings are of")
        label = kind.definition.label_en if visit.person.locale == "en" else kind.definition.label_fr
        device = await free_id(connection, kind.definition.kind)
        form = DeviceForm(device, row.site, kind.id, label, None, row.device)
        await onboarding.add_device(connection, form)
        await audit.record(
            connection,
            "device.attach",
            person_id=visit.person.id,
            subject=device,
            detail={"site": row.site, "serial": None, "profile": kind.id, "gateway": row.device, "file": row.id},
            address=address,
        )
    await give_to(visit, row, device, address)
    return device


def suggested_profile(row: FileRow) -> str | None:
    """What a device that is first heard of in such a file most likely is."""
    known = file_formats.by_id(row.format_id) if row.format_id else None
    return known.profile_id if known else None
