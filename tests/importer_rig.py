"""The importer on a real database and disk, its twins behind the real bulk door in this process: no Ray, no broker."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from actors.bulk import Bulk
from actors.importer.importer import Importer
from fleet.columns import BulkReport, ColumnBlock
from fleet.ids import DeviceId, SiteId
from fleet.settings import ImporterSettings, RaySettings
from tests.bulk_rig import bulk_door
from tests.fleet_rig import fetch, seed_fleet, until
from tests.servers import Database

SITE = SiteId("s-files")
LOGGER = DeviceId("logger-1")
SITES = [("s-files", {"logger-1": "logger"})]
_ENDS = ("imported", "partly", "quarantined", "same", "undone")


class TwinsInProcess:
    """actors.client.Twins without Ray between."""

    def __init__(self, door: Bulk) -> None:
        self._door = door

    async def store_columns(self, site: SiteId, file_number: int, blocks: list[ColumnBlock], arrived_at: int) -> BulkReport:
        return await self._door.store(site, file_number, blocks, arrived_at)

    async def retract_file(self, site: SiteId, device: DeviceId, file_number: int, since: int, until: int) -> int:
        return await self._door.retract(site, device, file_number, since, until)

    async def close(self) -> None:
        pass


@dataclass
class Intake:
    """A site with a logger, and its box. put: as the drop box leaves a file that was closed, and says so."""

    database: Database
    folder: Path

    @property
    def box(self) -> Path:
        return self.folder / "dropbox" / LOGGER / "whole"

    async def put(self, name: str, content: bytes) -> None:
        self.box.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / "being-written"
        fresh.write_bytes(content)
        fresh.rename(self.box / f"{time.time_ns():020d}-{name}")
        await self.execute("SELECT pg_notify('sp_file', '')")

    async def files(self) -> list[asyncpg.Record]:
        return await fetch(self.database, "SELECT * FROM imports.file ORDER BY number")

    async def done(self, count: int) -> list[asyncpg.Record]:
        """All files, once there are so many and each has come to an end."""

        async def ended() -> list[asyncpg.Record]:
            files = await self.files()
            return files if len(files) >= count and all(file["state"] in _ENDS for file in files) else []

        found: list[asyncpg.Record] = await until(ended)
        return found

    async def add_device(self, device: str, profile: str, serial: str) -> None:
        await self.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES ($1, $2, $3, $1, $4)",
            device, SITE, profile, serial,
        )  # fmt: skip

    async def samples(self) -> list[tuple[Any, ...]]:
        rows = await fetch(
            self.database,
            "SELECT device_id, (extract(epoch FROM time) * 1000)::bigint, readings FROM telemetry.sample"
            " ORDER BY device_id, time",
        )
        return [tuple(row) for row in rows]

    async def refusals(self) -> list[tuple[Any, ...]]:
        rows = await fetch(
            self.database, "SELECT line, cell, code, text FROM imports.refusal ORDER BY file_number, position"
        )
        return [tuple(row) for row in rows]

    async def execute(self, statement: str, *arguments: object) -> None:
        await fetch(self.database, statement, *arguments)


@asynccontextmanager
async def intake(database: Database, folder: Path) -> AsyncIterator[Intake]:
    await seed_fleet(database, SITES)
    await fetch(database, "INSERT INTO imports.account (device_id, site_id) VALUES ($1, $2)", LOGGER, SITE)
    yield Intake(database, folder)


@asynccontextmanager
async def running_importer(here: Intake) -> AsyncIterator[Importer]:
    """Killed (cancelled) at the end. What it died of comes out here."""
    nowhere = here.folder / "none"
    settings = ImporterSettings(
        database=here.database.sp_importer,
        ray=RaySettings(nowhere, nowhere, nowhere),
        intake_folder=here.folder / "intake",
        dropbox_folder=here.folder / "dropbox",
        pull_key_file=here.folder / "pull.key",
        public_url="http://portal.test",
        ready_file=here.folder / "ready",
    )
    async with bulk_door(here.database) as door:

        async def connect() -> TwinsInProcess:
            return TwinsInProcess(door)

        ready = asyncio.Event()
        importer = Importer(settings, connect, ready.set)
        task = asyncio.create_task(importer.run())
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        try:
            yield importer
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
