"""The importer's work: takes what arrived, reads and stores it in two lanes, and looks after what waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from actors.disk import usable_bytes
from actors.importer import concerns, figures, spool
from actors.importer.door import ConnectTwins, Door
from actors.importer.lane import Lane
from actors.importer.originals import Originals
from actors.importer.storing import Storing
from actors.importer.taking import Taking
from actors.importer.turns import Turns
from actors.puller.puller import Puller
from fleet.errors import FleetError, Unavailable
from fleet.file_limits import (
    FILES_KEEP_DAYS,
    IMPORT_CHORES_S,
    IMPORT_REST_S,
    IMPORT_RETRY_S,
    IMPORT_SCAN_S,
    ORIGINALS_FREE_BYTES_MIN,
    ORIGINALS_KEEP_DAYS,
    PULL_LOOK_S,
    PULLS_AT_ONCE,
)
from fleet.runtime import reach
from fleet.runtime.cancelled import end_if_cancelled
from fleet.settings import ImporterSettings
from fleet.storage import import_retention, imports, notices
from fleet.storage.database import AWAY, DirectConnection, connect, open_pool

log = structlog.get_logger("importer")

_AGAIN_AT_ONCE: Final = 100
_LET_GO_AT_ONCE: Final = 1_000


class Importer:
    """run() works until cancelled; whatever it is interrupted by, the next start goes on where it was."""

    def __init__(self, settings: ImporterSettings, connect_twins: ConnectTwins, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._door = Door(connect_twins)
        self._on_ready = on_ready
        self._news = asyncio.Event()
        self._busy: set[int] = set()
        self._resting: dict[int, float] = {}

    async def run(self) -> None:
        """Raises Unavailable (database_away) when PostgreSQL does not answer at the start."""
        settings = self._settings
        spools = settings.intake_folder / "spool"
        spools.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._pool = await open_pool(settings.database, size_max=6)
        await self._sweep(spools)
        self._originals = Originals(settings.intake_folder / "originals")
        figures.disk_free.set_function(lambda: usable_bytes(settings.intake_folder / "originals"))
        self._taking = Taking(self._pool, self._originals, settings.dropbox_folder, settings.intake_folder / "uploads")
        storing = Storing(self._pool, self._door, spools)
        networks = reach.networks(settings.pull_networks)
        puller = Puller(self._pool, settings.dropbox_folder, settings.pull_key_file, networks, self._ring)
        lanes = [(Lane(self._pool, self._originals, self._taking, storing, spools), Turns()) for _ in range(2)]
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._repeat("taking", self._take), name="taking")
                tasks.create_task(self._repeat("chores", self._chores, IMPORT_CHORES_S), name="chores")
                tasks.create_task(self._repeat("small files", lambda: self._work(*lanes[0], small=True)), name="small")
                tasks.create_task(self._repeat("large files", lambda: self._work(*lanes[1], small=False)), name="large")
                for number in range(PULLS_AT_ONCE):
                    tasks.create_task(self._repeat("pulling", lambda: self._pull(puller)), name=f"pulling {number}")
                tasks.create_task(self._repeat("notices", self._listen), name="notices")
                self._on_ready()
        finally:
            for lane, _ in lanes:
                await lane.close()
            await self._door.close()
            self._pool.terminate()

    async def _sweep(self, folder: Path) -> None:
        """Spools of files that came to their end just before we did."""
        left = spool.numbers(folder)
        async with self._pool.acquire() as connection:
            left -= await imports.active(connection, left)
        for number in left:
            spool.forget(folder, number)

    async def _repeat(self, name: str, work: Callable[[], Awaitable[bool | None]], pause_s: float = 0.0) -> None:
        """What fails is said once and tried again; the others go on. work returns False when there was nothing to do."""
        failures, said = 0, ""
        while True:
            try:
                if await work() is not False:
                    if failures:
                        log.info("importer_goes_on", work=name, failures=failures)
                    failures, said = 0, ""
            except Exception as error:  # the top of a loop that must outlive any one file; logged and counted
                end_if_cancelled()
                failures += 1
                figures.held_up.labels(name).inc()
                if not isinstance(error, (*AWAY, FleetError)):
                    log.exception("importer_failed", work=name, failures=failures)
                elif repr(error) != said:
                    said = repr(error)
                    log.warning("importer_held_up", work=name, failures=failures, error=said)
                await asyncio.sleep(IMPORT_RETRY_S[min(failures, len(IMPORT_RETRY_S)) - 1])
            end_if_cancelled()  # a visit that fails just then has dealt with its error itself
            await asyncio.sleep(pause_s)

    async def _take(self) -> None:
        if await self._taking.round() + await self._take_up():
            self._ring()
        await self._heard()

    async def _take_up(self) -> int:
        """Files for which a device or a format has come since. Returns how many."""
        async with self._pool.acquire() as connection:
            again = await imports.attached(connection, _AGAIN_AT_ONCE) + await imports.described(connection, _AGAIN_AT_ONCE)
            if again:
                await imports.receive_again(connection, again)
        return len(again)

    async def _work(self, lane: Lane, turns: Turns, *, small: bool) -> bool:
        """The next file of this lane's size, or some time of waiting for one. One that failed rests for a while."""
        began_s = time.monotonic()
        self._resting = {number: until_s for number, until_s in self._resting.items() if until_s > began_s}
        but, spent, served = [*self._busy, *self._resting], turns.spent(began_s), turns.served()
        async with self._pool.acquire() as connection:
            job = await imports.next_job(connection, small=small, but=but, spent=spent, served=served)
        if job is None:
            await self._heard()
            return False
        self._busy.add(job.number)
        try:
            await lane.work(job)
        except Unavailable:
            self._resting[job.number] = time.monotonic() + IMPORT_REST_S
            raise
        finally:
            now_s = time.monotonic()
            turns.had(job.company, job.site, now_s - began_s, now_s)
            self._busy.discard(job.number)
        return True

    async def _pull(self, puller: Puller) -> bool:
        if await puller.next() is None:
            await asyncio.sleep(PULL_LOOK_S)
            return False
        return True

    async def _chores(self) -> None:
        """Loggers that need somebody; what is let go of files whose time is over, or whose site has too much of the disk."""
        await concerns.tell(self._pool, self._settings.public_url)
        now = datetime.now(UTC)
        short = await asyncio.to_thread(self._originals.free_bytes) < ORIGINALS_FREE_BYTES_MIN
        async with self._pool.acquire() as connection:
            gone = await import_retention.old_originals(
                connection, now - timedelta(days=ORIGINALS_KEEP_DAYS), _LET_GO_AT_ONCE
            )
            if short:
                gone += await import_retention.largest_originals(connection, _LET_GO_AT_ONCE)
            await import_retention.forget_files(connection, now - timedelta(days=FILES_KEEP_DAYS), _LET_GO_AT_ONCE)
        for digest in gone:
            await asyncio.to_thread(self._originals.forget, digest)
        if short:
            log.warning("originals_let_go", files=len(gone), free_bytes=await asyncio.to_thread(self._originals.free_bytes))

    async def _listen(self) -> None:
        """Until the connection is lost. Without it everything goes on, only later."""
        connection: DirectConnection = await connect(self._settings.database)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            for channel in (notices.FILE, notices.DROP):
                await connection.add_listener(channel, lambda *_: self._ring())
            await lost.wait()
        finally:
            with suppress(*AWAY):
                await connection.close(timeout=1.0)

    def _ring(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _heard(self) -> None:
        """Returns when there may be something to do, and at the latest after a scan's period."""
        with suppress(TimeoutError):
            async with asyncio.timeout(IMPORT_SCAN_S):
                await self._news.wait()
