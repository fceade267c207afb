"""Files as they came: kept compressed, under the hash of their bytes, once however often they come."""

import os
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import zstandard

from actors.disk import free_bytes, must_have_room
from fleet.file_limits import FILE_CHUNK_BYTES, IMPORT_DISK_FREE_MIN_BYTES
from fleet.storage.originals import kept_path

_LEVEL: Final = 3  # text shrinks to a tenth at 200 MB/s
_PIECES_A_LOOK: Final = 16 * 1024**2 // FILE_CHUNK_BYTES
_JUST_KEPT_S: Final = 3_600.0


class Kept(NamedTuple):
    sha256: bytes
    size_bytes: int


class Originals:
    """Crash contract: what `keep` has returned is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.new"):  # of a process that was killed
            left.unlink(missing_ok=True)

    def keep(self, source: BinaryIO) -> Kept:
        """Reads to its end. Raises OSError: the disk is full."""
        digest, size = sha256(), 0
        fresh = self._folder / f"{os.getpid()}-{id(source)}.new"
        try:
            with (
                fresh.open("wb") as file,
                zstandard.ZstdCompressor(level=_LEVEL).stream_writer(file, closefd=False) as packed,
            ):
                while piece := source.read(FILE_CHUNK_BYTES):
                    if size // FILE_CHUNK_BYTES % _PIECES_A_LOOK == 0:
                        must_have_room(self._folder, 0, leave=IMPORT_DISK_FREE_MIN_BYTES)
                    digest.update(piece)
                    size += len(piece)
                    packed.write(piece)
                packed.flush(zstandard.FLUSH_FRAME)
                file.flush()
                os.fsync(file.fileno())
            path = self.path(digest.digest())
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fresh.rename(path)
        finally:
            fresh.unlink(missing_ok=True)
        return Kept(digest.digest(), size)

    def path(self, digest: bytes) -> Path:
        return kept_path(self._folder, digest)

    def free_bytes(self) -> int:
        return free_bytes(self._folder)

    def forget(self, digest: bytes) -> None:
        """But for one that has just come again, and whose row nobody could see yet."""
        path = self.path(digest)
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _JUST_KEPT_S:
                path.unlink()
