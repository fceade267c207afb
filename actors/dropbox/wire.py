"""SFTP version 3, as bytes: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL for its extensions. Pure.

Version 3 is what every client speaks. Of the extensions only those are offered that a box can honour.
"""

import struct
import time
from collections.abc import Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from actors.dropbox.box import Entry
from actors.dropbox.refused import Refused, Status
from fleet.file_limits import DROP_HANDLES_MAX, DROP_WRITE_BYTES_ADVISED

VERSION: Final = 3


class Kind(IntEnum):
    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    STATUS = 101
    HANDLE = 102
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Flag(IntEnum):
    """Of OPEN."""

    READ = 1
    WRITE = 2
    APPEND = 4
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32


POSIX_RENAME: Final = b"posix-rename@openssh.com"
FSYNC: Final = b"fsync@openssh.com"
LIMITS: Final = b"limits@openssh.com"
LINKS: Final = (b"hardlink@openssh.com",)
_EXTENSIONS: Final = ((POSIX_RENAME, b"1"), (FSYNC, b"1"), (LIMITS, b"1"))

_SIZE, _OWNER, _RIGHTS, _TIMES, _MORE = 1, 2, 4, 8, 1 << 31
_FILE: Final = 0o100600
_FOLDER: Final = 0o040700
_LANGUAGE: Final = b"en"


class Attributes(NamedTuple):
    """What a client wants to set."""

    size: int | None
    owner: bool
    rights: bool
    times: bool


class Body:
    """What is in a request, taken field by field. Each method raises Refused (bad_message) when there is less."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def u32(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self._take(8), "big")

    def string(self) -> bytes:
        return self._take(self.u32())

    def attributes(self) -> Attributes:
        flags = self.u32()
        size = self.u64() if flags & _SIZE else None
        for flag in (_OWNER, _RIGHTS, _TIMES):
            if flags & flag:
                self._take(4 if flag == _RIGHTS else 8)
        if flags & _MORE:
            for _ in range(min(self.u32(), len(self._content))):
                self.string()
                self.string()
        return Attributes(size, bool(flags & _OWNER), bool(flags & _RIGHTS), bool(flags & _TIMES))

    def _take(self, size: int) -> bytes:
        if size > len(self._content) - self._at:
            raise Refused("bad_message")
        self._at += size
        return self._content[self._at - size : self._at]


def version() -> bytes:
    return _packet(Kind.VERSION, _u32(VERSION), *(_string(part) for pair in _EXTENSIONS for part in pair))


def ok(request: int) -> bytes:
    return _packet(Kind.STATUS, _u32(request), _u32(Status.OK), _string(b""), _string(_LANGUAGE))


def refusal(request: int, refused: Refused) -> bytes:
    words = _string(refused.words.encode())
    return _packet(Kind.STATUS, _u32(request), _u32(refused.status), words, _string(_LANGUAGE))


def handle(request: int, name: bytes) -> bytes:
    return _packet(Kind.HANDLE, _u32(request), _string(name))


def path(request: int, text: str) -> bytes:
    """The answer to REALPATH."""
    spelled = _string(text.encode())
    return _packet(Kind.NAME, _u32(request), _u32(1), spelled, spelled, _u32(0))


def names(request: int, owner: str, entries: Iterable[Entry]) -> bytes:
    parts = [
        _string(entry.name.name.encode()) + _string(_long(owner, entry).encode()) + _file(entry.size, entry.mtime)
        for entry in entries
    ]
    return _packet(Kind.NAME, _u32(request), _u32(len(parts)), *parts)


def file_attributes(request: int, size: int, mtime: int) -> bytes:
    return _packet(Kind.ATTRS, _u32(request), _file(size, mtime))


def folder_attributes(request: int) -> bytes:
    return _packet(Kind.ATTRS, _u32(request), _u32(_RIGHTS), _u32(_FOLDER))


def limits(request: int) -> bytes:
    """Packet, read, write, open handles. A larger write is taken as well: this is what serves both sides best."""
    packet, write = DROP_WRITE_BYTES_ADVISED + 1_024, DROP_WRITE_BYTES_ADVISED
    return _packet(Kind.EXTENDED_REPLY, _u32(request), struct.pack(">QQQQ", packet, write, write, DROP_HANDLES_MAX))


def _file(size: int, mtime: int) -> bytes:
    seconds = max(0, min(mtime, 0xFFFF_FFFF))
    return struct.pack(">IQIII", _SIZE | _RIGHTS | _TIMES, size, _FILE, seconds, seconds)


def _long(owner: str, entry: Entry) -> str:
    """As `ls -l` shows it."""
    when = time.strftime("%b %d %Y", time.gmtime(entry.mtime))
    return f"-rw-------    1 {owner:<8} {owner:<8} {entry.size:>10} {when} {entry.name.name}"


def _packet(kind: Kind, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">IB", len(content) + 1, kind) + content


def _string(content: bytes) -> bytes:
    return _u32(len(content)) + content


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
