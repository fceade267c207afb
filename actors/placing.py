"""Serials without a device: writes down who waits, and gives a device what was kept for it once it is there."""

import asyncio
from collections.abc import Sequence

import structlog

from actors.batch import Entry, at
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.sources import Sources, wanted
from actors.writer import Writer
from fleet.codecs import native
from fleet.device import DeviceTwin, Row
from fleet.errors import BadInput, NotFound
from fleet.ids import SiteId
from fleet.limits import WAITING_PLACE_AT_ONCE
from fleet.site import SiteTwin
from fleet.storage import waiting
from fleet.storage.database import Pool
from fleet.storage.intake import DeadLetter
from fleet.storage.lease import Lease
from fleet.storage.waiting import KeptLetter
from fleet.telemetry import Telemetry

log = structlog.get_logger()


class Placing:
    """Belongs to one shard.

    Crash contract: what was kept is deleted only after it is stored, so a crash in between stores it twice, which changes
    nothing; and whoever waits although a device has its serial is found again by the next round.
    """

    def __init__(
        self, pool: Pool, lease: Lease, slots: Sequence[int], catalog: Catalog, writer: Writer, sources: Sources
    ) -> None:
        self._pool = pool
        self._lease = lease
        self._slots = slots
        self._catalog = catalog
        self._writer = writer
        self._sources = sources

    async def round(self) -> None:
        """Writes down who waits; places what a device has come for. Raises StaleOwner, and AWAY errors."""
        now = now_ms()
        due = self._sources.due(now)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._lease.check(connection)
            await waiting.note_sources(connection, due)
            attached = await waiting.attached_sources(connection, self._slots)
        self._sources.written(due, now)
        for site, serial in attached:
            try:
                twin, device = await self._device(site, serial)
            except NotFound:
                continue  # gone again in between
            if await self._place(twin, device, serial) == 0:  # nothing is on its way any more either
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._lease.check(connection)
                    await waiting.forget_source(connection, site, serial)

    async def place(self, site: SiteId, serial: str) -> int:
        """Everything kept for this serial becomes samples of the device that has it now; returns how many rows.

        Raises NotFound (unknown_site, unknown_source) when no device of the site has it.
        """
        twin, device = await self._device(site, serial)
        return await self._place(twin, device, serial)

    async def _place(self, twin: SiteTwin, device: DeviceTwin, serial: str) -> int:
        rows = after = 0
        while True:
            async with self._pool.acquire() as connection:
                letters = await waiting.kept_letters(connection, twin.record.id, serial, after, WAITING_PLACE_AT_ONCE)
            if not letters:
                break
            after = letters[-1].id
            rows += await self._store(twin, device, letters)
        if rows:
            log.info("source_placed", site=twin.record.id, device=device.id, serial=serial, rows=rows)
        return rows

    async def _device(self, site: SiteId, serial: str) -> tuple[SiteTwin, DeviceTwin]:
        """From the registry when the live twin does not know it."""
        twin = await self._catalog.site(site, now_ms())
        if twin is not None and twin.by_serial(serial) is None:
            twin = await self._catalog.relearn(site, now_ms())
        if twin is None:
            raise NotFound("unknown_site", f"no site is called {site}")
        device = twin.by_serial(serial)
        if device is None:
            raise NotFound("unknown_source", f"no device of site {site} has the serial {serial[:60]!r}")
        return twin, device

    async def _store(self, twin: SiteTwin, device: DeviceTwin, letters: list[KeptLetter]) -> int:
        """Some letters: stored by the one transaction for everything, then gone; what is refused stays, as refused."""
        now = now_ms()
        entries = []
        for letter in letters:
            rows: list[Row] = []
            try:
                telemetry = native.decode_telemetry(letter.payload)
                rows, refused = device.take_samples(Telemetry(wanted(device, telemetry.samples)), now)
            except BadInput as error:
                refused = error
            topic, dead = f"waiting/{device.id}", []
            if refused is not None:
                size = len(letter.payload)
                dead = [
                    DeadLetter(
                        at(now), twin.record.id, device.id, topic, refused.code, refused.detail[:500], size, letter.payload
                    )
                ]
            entries.append(Entry(topic, twin, None, rows, dead))
            device.lived(max((row.t for row in rows), default=0), now)
            await asyncio.sleep(0)
        await self._writer.commit(entries, now)
        async with self._pool.acquire() as connection, connection.transaction():
            await self._lease.check(connection)
            await waiting.forget_letters(connection, [letter.id for letter in letters])
        return sum(len(entry.rows) for entry in entries)
