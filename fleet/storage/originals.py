"""Files as they came, on the importer's disk: compressed, under the hash of their bytes."""

from collections.abc import Iterator
from pathlib import Path

import zstandard

from fleet.file_limits import FILE_CHUNK_BYTES


def kept_path(folder: Path, digest: bytes) -> Path:
    """digest: SHA-256 of the file."""
    name = digest.hex()
    return folder / name[:2] / f"{name}.zst"


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes as they came, in pieces, also of a file that is not compressed yet; blocking. Raises FileNotFoundError."""
    with path.open("rb") as file:
        if path.suffix != ".zst":
            while piece := file.read(FILE_CHUNK_BYTES):
                yield piece
            return
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
            while piece := reader.read(FILE_CHUNK_BYTES):
                yield piece
