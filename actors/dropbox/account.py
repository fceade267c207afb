"""What one logger's box is doing now: files being written, by whichever of its connections, and what its quota leaves.

Acknowledged means on the disk: `close` and `rename` return after fsync of the file and of the folders that name it. The disk
is waited for in threads. One operation on names at a time; writing to different files goes on beside it.
"""

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TypeVar

import structlog

from actors.disk import free_bytes
from actors.dropbox.box import CLOSED, LISTED, OPEN, Box, Entry, Usage
from actors.dropbox.names import Name
from actors.dropbox.refused import Refused
from actors.dropbox.upload import AheadBudget, Upload
from fleet.file_limits import (
    DROP_APPEND_BYTES_MAX,
    DROP_BYTES_MAX,
    DROP_DISK_TURNS,
    DROP_FILES_MAX,
    DROP_HANDLES_MAX,
    DROP_UPLOADS_BURST,
    DROP_UPLOADS_PER_S,
)
from fleet.rate import TokenBucket

log = structlog.get_logger("dropbox")

R = TypeVar("R")


class Account:
    """whole: told each time that a file became whole. disk_free_min: what is left of the disk for others."""

    def __init__(
        self, box: Box, threads: Executor, budget: AheadBudget, whole: Callable[[], None], *, disk_free_min: int
    ) -> None:
        self.box = box
        self.connections = 0
        self._threads = threads
        self._budget = budget
        self._whole = whole
        self._disk_free_min = disk_free_min
        self._names = asyncio.Lock()
        self._turns = asyncio.Semaphore(DROP_DISK_TURNS)
        self._uploads: dict[str, Upload] = {}
        self._busy: dict[Upload, asyncio.Lock] = {}
        self._rate = TokenBucket(DROP_UPLOADS_BURST, _now_ms())
        self._usage: Usage | None = None
        self._counting = threading.Lock()

    @property
    def idle(self) -> bool:
        return not self.connections and not self._uploads and not self._names.locked()

    async def prepare(self) -> None:
        """Before anything else is asked of it. Raises Refused (disk_full, disk_error)."""
        async with self._names:
            if self._usage is None:
                await self._disk(self._prepare)

    async def find(self, name: Name) -> Entry:
        """Raises Refused (no_such_file)."""
        found = await self._disk(self.box.find, name)
        if found is None:
            raise Refused("no_such_file")
        return Entry(name, found[1].st_size, int(found[1].st_mtime))

    async def entries(self, prefix: str) -> list[Entry]:
        return await self._disk(self.box.entries, prefix)

    async def open(self, name: Name, *, create: bool, fresh: bool, exclusive: bool, append: bool) -> Upload:
        """To write. fresh: from its beginning; otherwise what is there is gone on with. Who else writes it loses it.

        Raises Refused (no_such_file, exists, too_many_handles, too_fast, quota_*, too_large_to_append, disk_full).
        """
        async with self._names:
            if len(self._uploads) >= DROP_HANDLES_MAX and name.stored not in self._uploads:
                raise Refused("too_many_handles")
            await self._take_over(name)
            opened = await self._disk(partial(self._open, name, create, fresh, exclusive, append))
            self._uploads[name.stored] = opened
            self._busy[opened] = asyncio.Lock()
            return opened

    async def write(self, upload: Upload, offset: int, piece: bytes) -> None:
        """Raises Refused. A file that does not fit is gone, so that what does fit still has room."""
        busy = self._busy.get(upload)
        if busy is None:
            raise upload.refused or Refused("bad_handle")
        async with busy:
            try:
                await self._disk(upload.write, offset, piece)
            except Refused as refused:
                first, upload.refused = upload.refused is None, refused
                if first and refused.code in ("quota_bytes", "file_too_large", "disk_full"):
                    await self._disk(partial(self._drop, upload))
                raise

    async def close(self, upload: Upload) -> None:
        """It is whole, or parked under its temporary name, and on the disk. Raises Refused."""
        async with self._names:
            if self._uploads.get(upload.name.stored) is not upload:
                raise upload.refused or Refused("bad_handle")
            async with self._busy[upload]:
                try:
                    await self._disk(upload.finish)
                    await self._disk(self._settle, upload.name)
                finally:
                    await self._let_go(upload)
        if not upload.name.temporary:
            self._whole()

    async def cut(self, upload: Upload) -> None:
        """Its connection is gone: it waits for another one that resumes it."""
        async with self._names:
            if self._uploads.get(upload.name.stored) is upload:
                async with self._busy[upload]:
                    await self._let_go(upload)

    async def rename(self, old: Name, new: Name) -> None:
        """A final name makes it whole. A name that is taken means a new version.

        Raises Refused (no_such_file, being_written, cut_off, received, disk_full).
        """
        async with self._names:
            if old.stored in self._uploads or new.stored in self._uploads:
                raise Refused("being_written")
            became_whole = await self._disk(self._rename, old, new)
        if became_whole:
            self._whole()

    async def remove(self, name: Name) -> None:
        """Of what is not whole. Raises Refused (no_such_file, received)."""
        async with self._names:
            await self._take_over(name)
            await self._disk(self._remove, name)

    async def tidy(self) -> None:
        async with self._names:
            went = await self._disk(self.box.tidy, time.time(), frozenset(self._uploads))
        if went:
            log.info("unfinished_taken", device=self.box.device, files=went)
            self._whole()

    # in threads ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.box.make()
        self.box.recover()
        self._usage = self.box.usage()

    def _open(self, name: Name, create: bool, fresh: bool, exclusive: bool, append: bool) -> Upload:
        found = self.box.find(name)
        if found is None and not create:
            raise Refused("no_such_file")
        if found is not None and exclusive:
            raise Refused("exists")
        if not self._rate.admit(DROP_UPLOADS_PER_S, DROP_UPLOADS_BURST, _now_ms()):
            raise Refused("too_fast")
        with self._counting:
            self._must_have_room(0, new_file=found is None or found[0] != OPEN)
        if found is not None and not fresh and found[0] == CLOSED:
            self.box.unpark(name)
        elif found is not None and not fresh and found[0] == LISTED:
            self._copy_received(name, found[1].st_size)
        return Upload(self.box.path(OPEN, name), name, self._grow, self._budget, fresh=fresh, append=append)

    def _copy_received(self, name: Name, size: int) -> None:
        if size > DROP_APPEND_BYTES_MAX:
            raise Refused("too_large_to_append")
        self._grow(size)
        shutil.copyfile(self.box.path(LISTED, name), self.box.path(OPEN, name), follow_symlinks=False)

    def _settle(self, name: Name) -> None:
        if name.temporary:
            self.box.park(name)
        else:
            self.box.finish(OPEN, name, name, time.time_ns())

    def _rename(self, old: Name, new: Name) -> bool:
        found = self.box.find(old)
        if found is None:
            raise Refused("no_such_file")
        kind = found[0]
        if kind == OPEN:
            raise Refused("cut_off")
        if kind == LISTED and new.temporary:
            raise Refused("received")
        if kind == LISTED:
            self.box.rename_received(old, new)
        elif new.temporary:
            os.rename(self.box.path(kind, old), self.box.path(kind, new))
        else:
            self.box.finish(kind, old, new, time.time_ns())
        self.box.path(OPEN, new).unlink(missing_ok=True)  # an older try under this name, which was cut off
        return kind == CLOSED and not new.temporary

    def _remove(self, name: Name) -> None:
        found = self.box.find(name)
        if found is None:
            raise Refused("no_such_file")
        if found[0] != LISTED:
            os.unlink(self.box.path(found[0], name))
        elif not self.box.has_successor(name):  # a client that replaces it removes it first, and then renames: that it gets
            raise Refused("received")

    def _grow(self, bytes_: int) -> None:
        with self._counting:
            self._must_have_room(bytes_)

    def _must_have_room(self, bytes_: int, *, new_file: bool = False) -> None:
        """Counts it, or raises Refused (quota_bytes, quota_files, disk_full).

        What goes is not counted until the sum would be too much: then the box is looked through before anything is refused.
        """
        if free_bytes(self.box.folder) < self._disk_free_min + bytes_:
            raise Refused("disk_full")
        if self._usage is None or _over(self._usage, bytes_, new_file) is not None:
            self.box.prune(time.time())
            self._usage = self.box.usage()
        over = _over(self._usage, bytes_, new_file)
        if over is not None:
            raise Refused(over)
        self._usage = Usage(self._usage.bytes + bytes_, self._usage.files + new_file)

    def _drop(self, upload: Upload) -> None:
        upload.close()
        with suppress(FileNotFoundError):
            os.unlink(upload.path)

    # ... and on the loop ------------------------------------------------------------------------------------------

    async def _take_over(self, name: Name) -> None:
        """From a connection that may long be dead, or from one that is alive and will hear of it."""
        upload = self._uploads.get(name.stored)
        if upload is not None:
            async with self._busy[upload]:
                upload.refused = upload.refused or Refused("taken_over")
                await self._let_go(upload)

    async def _let_go(self, upload: Upload) -> None:
        del self._uploads[upload.name.stored], self._busy[upload]
        await self._disk(upload.close)

    async def _disk(self, function: Callable[..., R], *arguments: object) -> R:
        """Raises Refused, also for what the disk says."""
        try:
            async with self._turns:
                return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            log.error("disk_full" if full else "disk_error", device=self.box.device, error=str(error))
            raise Refused("disk_full" if full else "disk_error") from None


def _over(usage: Usage, bytes_: int, new_file: bool) -> str | None:
    if usage.bytes + bytes_ > DROP_BYTES_MAX:
        return "quota_bytes"
    return "quota_files" if usage.files + new_file > DROP_FILES_MAX else None


def _now_ms() -> int:
    return int(time.monotonic() * 1_000)
