"""From a spool to the twins: block by block, each stored before it is counted."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from actors.importer.door import Door
from actors.importer.spool import Spool, SpooledBlock
from fleet.columns import BulkReport
from fleet.errors import BadInput
from fleet.file_limits import IMPORT_BLOCKS_AT_ONCE
from fleet.ids import DeviceId
from fleet.storage import imports
from fleet.storage.database import Pool
from fleet.storage.imports import Job, SerialRows
from fleet.telemetry import UnixMs


class Storing:
    """Crash contract: a block that was stored and not counted is stored again, and counted as known."""

    def __init__(self, pool: Pool, door: Door, spool_folder: Path) -> None:
        self._pool = pool
        self._door = door
        self._folder = spool_folder

    async def store(self, job: Job, told: asyncio.Event) -> Spool:
        """From its first block that is not counted yet. told: is set whenever a block was counted.

        Raises FileNotFoundError when there is no spool.
        """
        spool = Spool(self._folder, job.number)
        async with self._pool.acquire() as connection, connection.transaction():
            devices = await imports.devices_by_serial(connection, job.site)
            owners = {serial: devices.get(serial) for serial in spool.summary.devices}
            await imports.note_serials(connection, job, _serials(spool, owners))
        blocks = spool.blocks(job.blocks_done)
        done = job.blocks_done
        while batch := await asyncio.to_thread(lambda: list(islice(blocks, IMPORT_BLOCKS_AT_ONCE))):
            reports = await asyncio.gather(*(self._block(job, spool, each, owners[each.serial]) for each in batch))
            done += len(batch)
            async with self._pool.acquire() as connection:
                await imports.note_stored(connection, job.number, done, sum(reports, BulkReport()))
            told.set()
        return spool

    async def retract(self, job: Job, devices: Sequence[DeviceId]) -> None:
        """Everything that an earlier reading of the file has stored."""
        if job.first_at is None or job.last_at is None:
            return
        for device in devices:
            await self._retract(job, device, job.first_at, job.last_at)

    async def _retract(self, job: Job, device: DeviceId, since: UnixMs, until: UnixMs) -> None:
        await self._door.ask(lambda twins: twins.retract_file(job.site, device, job.number, since, until))

    async def _block(self, job: Job, spool: Spool, block: SpooledBlock, owner: DeviceId | None) -> BulkReport:
        """Rows of a serial that nobody has are counted as waiting, not here."""
        if owner is None:
            return BulkReport()
        columns = await asyncio.to_thread(spool.columns, block, owner)
        try:
            return await self._door.ask(lambda twins: twins.store_columns(job.site, job.number, [columns], job.received_at))
        except BadInput as error:
            if error.code != "unknown_device":  # retired in this moment
                raise
            return BulkReport()


def _serials(spool: Spool, owners: dict[str, DeviceId | None]) -> list[SerialRows]:
    return [
        SerialRows(serial, owners[serial], told.rows, sorted(told.measures))
        for serial, told in sorted(spool.summary.devices.items())
    ]
