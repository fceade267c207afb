"""What lies in the drop box, or was sent by hand, becomes an original and a row of imports.file.

Crash contract: the bytes are in the originals and the row is committed before the drop box is told to let go. A crash in
between finds the same id again, and the row stands once.
"""

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from actors.dropbox import box
from actors.dropbox.box import Waiting
from actors.importer.originals import Kept, Originals
from fleet.codecs.files.reading import refusal
from fleet.ids import DeviceId
from fleet.storage import imports, notices
from fleet.storage.database import Pool
from fleet.storage.imports import Arrival, Job

log = structlog.get_logger("importer.taking")

_UPLOAD_ABANDONED_S: Final = 3_600.0  # its row comes within a moment, or never


class Taking:
    def __init__(self, pool: Pool, originals: Originals, dropbox: Path, uploads: Path) -> None:
        self._pool = pool
        self._originals = originals
        self._dropbox = dropbox
        self._uploads = uploads
        self._strangers: set[DeviceId] = set()

    async def round(self) -> int:
        """Takes everything that waits now. Returns how many files. Raises AWAY errors, OSError: the disk is full."""
        self._dropbox.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting = await asyncio.to_thread(lambda: list(box.waiting(self._dropbox)))
        taken = 0
        for each in waiting:
            taken += await self._take(each)
        await self._abandon_uploads()
        return taken

    async def upload(self, job: Job) -> bool:
        """The bytes of a file that was sent by hand go to the originals. False: they are not there."""
        path = self._uploads / job.id
        if not path.is_file():
            return False
        await asyncio.to_thread(self._keep, path)
        path.unlink(missing_ok=True)
        return True

    async def _take(self, waiting: Waiting) -> bool:
        name = f"{waiting.prefix}/{waiting.name}" if waiting.prefix else waiting.name
        async with self._pool.acquire() as connection:
            site = await imports.account_site(connection, waiting.device)
        if site is None:
            if waiting.device not in self._strangers:  # said once, as long as we run
                self._strangers.add(waiting.device)
                log.error("box_without_account", device=waiting.device)
            return False
        try:
            kept = await asyncio.to_thread(self._keep, waiting.path)
        except FileNotFoundError:
            return False  # renamed by its sender meanwhile: found under its new name by the next round
        identity = sha256(f"{waiting.device} {waiting.received_ns} {name}".encode()).hexdigest()[:32]
        async with self._pool.acquire() as connection, connection.transaction():
            arrival = Arrival(identity, site, waiting.device, waiting.via, name, kept.size_bytes, kept.sha256)
            await imports.add(connection, arrival)
            if not waiting.complete:
                await imports.refuse_arrival(connection, identity, refusal("upload_incomplete", 0))
            await notices.notify(connection, notices.FILE, identity)
        await asyncio.to_thread(box.forget, waiting)
        log.info("file_taken", file=identity, device=waiting.device, bytes=kept.size_bytes, complete=waiting.complete)
        return True

    def _keep(self, path: Path) -> Kept:
        with path.open("rb") as file:
            return self._originals.keep(file)

    async def _abandon_uploads(self) -> None:
        """Of requests that broke off before their row was written."""
        if not self._uploads.is_dir():
            return
        there = [path for path in self._uploads.iterdir() if path.is_file()]  # what a restore has set aside is a folder
        old = [path for path in there if time.time() - path.stat().st_mtime > _UPLOAD_ABANDONED_S]
        if old:
            async with self._pool.acquire() as connection:
                known = await imports.known_ids(connection, [path.name for path in old])
            for path in old:
                if path.name not in known:
                    path.unlink(missing_ok=True)
