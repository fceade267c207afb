"""A file's bytes as they came, out of the compressed form in which the importer keeps them."""

from collections.abc import Iterator
from pathlib import Path

import zstandard

from fleet.limits import FILE_CHUNK_BYTES


def unpacked(path: Path) -> Iterator[bytes]:
    """The bytes as they came, in pieces; blocking."""
    with path.open("rb") as file:
        if path.suffix != ".zst":
            while piece := file.read(FILE_CHUNK_BYTES):
                yield piece
            return
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
            while piece := reader.read(FILE_CHUNK_BYTES):
                yield piece
