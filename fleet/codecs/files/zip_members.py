"""The members of a zip archive: looked at before they are opened, read piece by piece.

Source: PKWARE APPNOTE 6.3; methods stored and deflated only, as every sender uses them (the others unpack into memory that
the sender chooses). The directory of an archive is read as a whole, so it is bounded first.
"""

import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, NamedTuple

from fleet.codecs.files.growth import check_growth
from fleet.codecs.files.reading import Unreadable
from fleet.file_limits import ARCHIVE_DIRECTORY_BYTES_MAX, ARCHIVE_MEMBERS_MAX, ARCHIVE_NAME_CHARS_MAX, FILE_CHUNK_BYTES

_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000  # flag bits: password, strong encryption, masked directory
_UNIX: Final = 3  # the system that made an entry, when its mode is a Unix one
_FURNITURE: Final = frozenset({".ds_store", "thumbs.db", "desktop.ini"})  # what desktops add to an archive by themselves
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$"}) | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)
}
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# All that zipfile raises for bytes that are not what they say they are
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class ZipMember(NamedTuple):
    name: str
    open_chunks: Callable[[], Iterator[bytes]]


def zip_members(source: BinaryIO) -> Iterator[ZipMember]:
    """Raises Unreadable (bad_archive, archive_bomb, archive_encrypted, too_many_members, unsafe_name, spreadsheet,
    packed_otherwise, empty_file); reading a member may raise bad_archive.
    """
    bounded: Final = _Bounded(source)
    try:
        archive = zipfile.ZipFile(bounded)
    except _DAMAGED:
        raise Unreadable("bad_archive") from None
    entries: Final = archive.infolist()
    if len(entries) > ARCHIVE_MEMBERS_MAX:
        raise Unreadable("too_many_members", members_max=str(ARCHIVE_MEMBERS_MAX))
    for entry in entries:
        _check(entry)
    if any(entry.filename == "[Content_Types].xml" for entry in entries):
        raise Unreadable("spreadsheet")
    files: Final = [entry for entry in entries if not entry.is_dir() and not _is_furniture(entry.filename)]
    if not files:
        raise Unreadable("empty_file")
    # Reading stops at the size that the directory tells, whatever a member holds; and several entries may share their bytes.
    check_growth(bounded.size, sum(entry.file_size for entry in files))
    for entry in files:
        yield ZipMember(entry.filename, _opener(archive, entry))


def is_safe_name(name: str) -> bool:
    """A relative path that means the same everywhere, without '..', drives, devices, and characters that cannot be seen."""
    if not name or len(name) > ARCHIVE_NAME_CHARS_MAX or name.startswith("/") or "\\" in name or name[1:2] == ":":
        return False
    if any(unicodedata.category(each) in _INVISIBLE for each in name):
        return False
    return not any(_is_trick(part) for part in name.removesuffix("/").split("/"))


def _is_trick(part: str) -> bool:
    return part.strip(" ") in {"", ".", ".."} or part.split(".", 1)[0].strip(" ").lower() in _DEVICES


def _is_furniture(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1].lower() in _FURNITURE


def _check(entry: zipfile.ZipInfo) -> None:
    mode: Final = entry.external_attr >> 16 if entry.create_system == _UNIX else 0
    ordinary: Final = stat.S_IFMT(mode) in {0, stat.S_IFREG, stat.S_IFDIR}
    # orig_filename: before zipfile cut it at a NUL
    if not (ordinary and is_safe_name(entry.orig_filename) and is_safe_name(entry.filename)):
        raise Unreadable("unsafe_name", text=_shown(entry.orig_filename))
    if entry.flag_bits & _ENCRYPTED:
        raise Unreadable("archive_encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise Unreadable("packed_otherwise", kind=f"zip ({entry.compress_type})")


def _opener(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        try:
            with archive.open(entry) as member:
                while chunk := member.read(FILE_CHUNK_BYTES):
                    yield chunk
        except _DAMAGED:
            raise Unreadable("bad_archive") from None

    return chunks


def _shown(name: str) -> str:
    return "".join(each if unicodedata.category(each) not in _INVISIBLE else "\N{REPLACEMENT CHARACTER}" for each in name)


class _Bounded:
    """A file that zipfile reads from; nobody reads more of it in one go than a directory may have."""

    def __init__(self, source: BinaryIO) -> None:
        self._source: Final = source
        self.size: Final = source.seek(0, 2)

    def read(self, most: int = -1) -> bytes:
        if most < 0 or most > ARCHIVE_DIRECTORY_BYTES_MAX:
            most = ARCHIVE_DIRECTORY_BYTES_MAX + 1
        found = self._source.read(most)
        if len(found) > ARCHIVE_DIRECTORY_BYTES_MAX:
            raise Unreadable("too_many_members", members_max=str(ARCHIVE_MEMBERS_MAX))
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 0 and offset < 0:
            raise zipfile.BadZipFile("an offset before the beginning")
        if whence == 2 and -offset > self.size:
            raise OSError("shorter than that")  # zipfile looks for a directory there, and takes it that there is none
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return True
