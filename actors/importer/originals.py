"""Files as they came: kept compressed, under the hash of their bytes, once however often they come."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import zstandard

from fleet.limits import FILE_CHUNK_BYTES

_LEVEL: Final = 3  # text shrinks to a tenth at 200 MB/s


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
        name = digest.hex()
        return self._folder / name[:2] / f"{name}.zst"

    def forget(self, digest: bytes) -> None:
        self.path(digest).unlink(missing_ok=True)


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes as they came, in pieces. Raises FileNotFoundError."""
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
        while piece := reader.read(FILE_CHUNK_BYTES):
            yield piece
