"""An archive's inside: a tar of pieces and files, compressed, in a sealed pipe; one pass, in bounded memory."""

import io
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec
import zstandard

from actors.disk import free_bytes
from actors.keeping.manifest import FORMAT, HEADER, MANIFEST, Header
from actors.keeping.sealing import Opener, Seal, sealed, unsealed
from actors.keeping.texts import text
from fleet.errors import BadInput, Unavailable
from fleet.limits import ARCHIVE_DISK_FREE_MIN_BYTES, ARCHIVE_PIECE_BYTES

_LEVEL: Final = 1  # rows shrink to a third at several hundred MB/s; three levels more save a twentieth
_BUFFER_BYTES: Final = 1024 * 1024
_STRUCTS_BYTES_MAX: Final = 512 * 1024 * 1024  # of the manifest: two million files


class Owned(NamedTuple):
    """What a file is besides its content."""

    mode: int
    uid: int
    gid: int
    modified_s: float


_OURS: Final = Owned(0o600, 0, 0, 0.0)


class Writer:
    """Blocking. Room on the disk is looked at with every piece."""

    def __init__(self, tar: tarfile.TarFile, folder: Path) -> None:
        self._tar = tar
        self._folder = folder

    def add(self, name: str, content: bytes, owned: Owned = _OURS) -> None:
        """Raises Unavailable (disk_full)."""
        self.stream(name, io.BytesIO(content), len(content), owned)

    def stream(self, name: str, source: BinaryIO, size_bytes: int, owned: Owned = _OURS) -> str:
        """The first bytes of the source. Returns their SHA-256. Raises OSError when there are fewer."""
        if free_bytes(self._folder) < ARCHIVE_DISK_FREE_MIN_BYTES:
            raise Unavailable("disk_full", text("disk_filled", folder=self._folder))
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.uid, entry.gid = size_bytes, owned.mode, owned.uid, owned.gid
        entry.mtime = int(owned.modified_s or time.time())
        hashing = _Hashing(source)
        self._tar.addfile(entry, hashing)  # type: ignore[arg-type]  # it reads, and nothing else
        return hashing.digest.hexdigest()

    def add_struct(self, name: str, told: msgspec.Struct) -> None:
        self.add(name, msgspec.json.encode(told))


class _Hashing:
    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.digest = sha256()

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        return piece


@contextmanager
def writing(file: Path, seal: Seal) -> Iterator[Writer]:
    """The archive is there afterwards, whole, or nothing is. Raises Unavailable (disk_full)."""
    with (
        sealed(file, seal) as pipe,
        zstandard.ZstdCompressor(level=_LEVEL).stream_writer(pipe, closefd=False, write_size=_BUFFER_BYTES) as packed,
        tarfile.open(fileobj=packed, mode="w|", bufsize=_BUFFER_BYTES, format=tarfile.PAX_FORMAT) as tar,
    ):
        yield Writer(tar, file.parent)


class Member(NamedTuple):
    name: str
    size_bytes: int
    owned: Owned
    content: BinaryIO


class Reader:
    """Blocking. Members in their order; each one's content is read before the next is asked for."""

    def __init__(self, file: Path, tar: tarfile.TarFile) -> None:
        self.file = file
        self._tar = tar

    def header(self) -> Header:
        """Raises BadInput (not_an_archive, format_newer)."""
        first = self.next()
        if first is None or first.name != HEADER or first.size_bytes > ARCHIVE_PIECE_BYTES:
            raise BadInput("not_an_archive", text("not_an_archive", file=self.file, why=HEADER))
        content = first.content.read()
        told = msgspec.json.decode(content, type=_Versioned)
        if told.format > FORMAT:
            words = {"file": self.file, "found": told.format, "known": FORMAT, "release": told.release}
            raise BadInput("format_newer", text("format_newer", **words))
        return msgspec.json.decode(content, type=Header)

    def next(self) -> Member | None:
        """None at the end. Raises BadInput (damaged)."""
        try:
            entry = self._tar.next()
        except (tarfile.TarError, zstandard.ZstdError) as error:
            raise BadInput("damaged", text("damaged", file=self.file, why=error)) from None
        if entry is None:
            return None
        content = self._tar.extractfile(entry)
        if content is None or stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
            raise BadInput("damaged", text("damaged", file=self.file, why=entry.name))
        owned = Owned(entry.mode & 0o777, entry.uid, entry.gid, entry.mtime)
        return Member(entry.name, entry.size, owned, content)  # type: ignore[arg-type]  # an IO[bytes] that reads


class _Versioned(msgspec.Struct):
    format: int
    release: str


@contextmanager
def reading(file: Path, opener: Opener) -> Iterator[Reader]:
    """Raises BadInput (no_archive, wrong_key, needs_key, needs_passphrase, not_an_archive, damaged, incomplete)."""
    with (
        unsealed(file, opener) as pipe,
        zstandard.ZstdDecompressor().stream_reader(pipe, read_size=_BUFFER_BYTES, closefd=False) as plain,
    ):
        try:
            tar = tarfile.open(fileobj=plain, mode="r|", bufsize=_BUFFER_BYTES)  # noqa: SIM115 - holds nothing of its own
        except (tarfile.TarError, zstandard.ZstdError) as error:
            raise BadInput("not_an_archive", text("not_an_archive", file=file, why=error)) from None
        try:
            yield Reader(file, tar)
        except (tarfile.TarError, zstandard.ZstdError, msgspec.DecodeError) as error:
            raise BadInput("damaged", text("damaged", file=file, why=error)) from None


def decoded(member: Member, file: Path) -> bytes:
    """The manifest's content. Raises BadInput (damaged)."""
    if member.name != MANIFEST or member.size_bytes > _STRUCTS_BYTES_MAX:
        raise BadInput("damaged", text("damaged", file=file, why=member.name))
    return member.content.read()
