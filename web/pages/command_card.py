"""Commands on a device's page: what it can be asked to do, and the newest that it was."""

import msgspec

from fleet.errors import NotFound
from fleet.storage import commands as stored
from fleet.storage.commands import CommandRow
from fleet.storage.database import Connection
from fleet.storage.registry import DeviceRow
from web.commands import Catalog, CatalogEntry, catalog_of
from web.visits import Visit

NEWEST = 5


class CommandCard(msgspec.Struct, frozen=True):
    catalog: Catalog
    newest: list[CommandRow]

    @property
    def offered(self) -> list[CatalogEntry]:
        """What the reader may ask of the device now."""
        return [] if self.catalog.refused else [entry for entry in self.catalog.commands if entry.may_give]


async def command_card(connection: Connection, visit: Visit, device: DeviceRow) -> CommandCard:
    try:
        catalog = await catalog_of(connection, visit, device.id)
    except NotFound:  # retired: it can still be looked at
        catalog = Catalog([], "unknown_device")
    return CommandCard(catalog, await stored.commands(connection, device=device.id, limit=NEWEST))
