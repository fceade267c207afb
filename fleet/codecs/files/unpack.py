"""What arrived to the plain files within it: gzip and zip by their first bytes, anything else as it is.

Sources: RFC 1952 (gzip: members may follow one another), RFC 1951, PKWARE APPNOTE 6.3 (zip). Nothing is ever written under a
name from an archive; names with tricks are refused all the same, since whoever sends them means no good. Everything streams:
one piece of FILE_CHUNK_BYTES is held at a time, and what a packed file grows to is counted while it grows. So a damaged or
truncated archive is found out while it is read: nothing of a file may be stored before it was read to its end.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from fleet.codecs.files.growth import check_growth
from fleet.codecs.files.reading import Content, Unreadable
from fleet.codecs.files.zip_members import zip_members
from fleet.file_limits import FILE_CHUNK_BYTES, GZIP_MEMBERS_MAX

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OTHERS: Final = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
_BZIP2: Final = (b"BZh", b"1AY&SY")  # with the level between them
_MAGIC_BYTES: Final = 10  # the longest of these
_GZIP_WINDOW: Final = 31  # zlib's word for "with gzip's header and trailer"


class Member(NamedTuple):
    """A plain file. name: as in the archive, fit to be shown; a hint for dates, never a path."""

    name: str
    content: Content


def members(source: BinaryIO, name: str) -> Iterator[Member]:
    """source: seekable; it stays open while members are read. name: as the sender called the file.

    Each member can be read as often as wanted. Raises Unreadable here (bad_archive, archive_bomb, archive_encrypted,
    too_many_members, unsafe_name, spreadsheet, packed_otherwise, empty_file), and while a member is read (truncated_gzip,
    bad_archive, archive_bomb, nested_archive).
    """
    head = _read_at(source, 0, _MAGIC_BYTES)
    if not head:
        raise Unreadable("empty_file")
    if head.startswith(_GZIP):
        yield Member(_without_suffix(name), Content(lambda: _no_archive_within(_gunzip(source))))
    elif head.startswith(_ZIP):
        for each in zip_members(source):
            yield Member(each.name, Content(_checked(each.open_chunks)))
    elif (kind := _packed_otherwise(head)) is not None:
        raise Unreadable("packed_otherwise", kind=kind)
    else:
        yield Member(name, Content(lambda: _plain(source)))


def _checked(open_chunks: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
    return lambda: _no_archive_within(open_chunks())


def _packed_otherwise(head: bytes) -> str | None:
    if head.startswith(_BZIP2[0]) and head[4:10] == _BZIP2[1]:
        return "bzip2"
    return next((kind for magic, kind in _OTHERS if head.startswith(magic)), None)


def _without_suffix(name: str) -> str:
    return name[:-3] if name.lower().endswith(".gz") and len(name) > 3 else name


def _read_at(source: BinaryIO, position: int, most: int) -> bytes:
    """Others may have moved the file's position meanwhile."""
    source.seek(position)
    return source.read(most)


def _plain(source: BinaryIO) -> Iterator[bytes]:
    position = 0
    while chunk := _read_at(source, position, FILE_CHUNK_BYTES):
        position += len(chunk)
        yield chunk


def _no_archive_within(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Raises Unreadable (nested_archive)."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= _MAGIC_BYTES:
            break
    if first.startswith((_GZIP, *_ZIP)) or _packed_otherwise(first) is not None:
        raise Unreadable("nested_archive")
    if first:
        yield first
    yield from chunks


def _gunzip(source: BinaryIO) -> Iterator[bytes]:
    """Raises Unreadable (truncated_gzip, bad_archive, archive_bomb)."""
    packed = unpacked = members = 0
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    waiting = b""  # packed bytes that were read and not yet unpacked
    while True:
        if not waiting:
            waiting = _read_at(source, packed, FILE_CHUNK_BYTES)
            if not waiting:
                raise Unreadable("truncated_gzip")
            packed += len(waiting)
        try:
            chunk = unpacker.decompress(waiting, FILE_CHUNK_BYTES)
        except zlib.error:
            raise Unreadable("bad_archive") from None
        unpacked += len(chunk)
        check_growth(packed - len(unpacker.unconsumed_tail), unpacked)
        if chunk:
            yield chunk
        if not unpacker.eof:
            waiting = unpacker.unconsumed_tail
            continue
        members += 1
        if members > GZIP_MEMBERS_MAX:
            raise Unreadable("too_many_members", members_max=str(GZIP_MEMBERS_MAX))
        waiting = unpacker.unused_data.lstrip(b"\0")  # gzip itself overlooks zeros that fill up a block of a tape
        while not waiting:
            waiting = _read_at(source, packed, FILE_CHUNK_BYTES)
            if not waiting:
                return
            packed += len(waiting)
            waiting = waiting.lstrip(b"\0")
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
