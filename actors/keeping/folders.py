"""Files beside the database: into an archive, out of one, and compared with its list. Blocking."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

from actors.keeping.archive import Member, Owned, Writer
from actors.keeping.manifest import FILES, File
from actors.keeping.texts import text
from fleet.errors import BadInput
from fleet.settings import KeptFolder

ASIDE: Final = ".before-restore"  # what was there; then a number
_CHUNK_BYTES: Final = 1024 * 1024
_SMALL_BYTES: Final = 1024 * 1024  # read at once: what is rewritten meanwhile is kept as it was at one moment


def size_bytes(folder: KeptFolder) -> int:
    total = 0
    for path in files(folder):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def files(folder: KeptFolder) -> Iterator[Path]:
    """Regular ones, in the order of their names. A folder that is not there has none."""
    if folder.path.is_file():
        yield folder.path
        return
    for here, below, names in os.walk(folder.path):
        top = Path(here) == folder.path
        below[:] = sorted(name for name in below if not (top and (name in folder.skip or name.startswith(ASIDE))))
        for name in sorted(names):
            path = Path(here, name)
            if not (top and name in folder.skip) and not name.endswith(".new") and path.is_file() and not path.is_symlink():
                yield path


def keep(folder: KeptFolder, writer: Writer) -> list[File]:
    """What is deleted meanwhile is left out. Raises OSError when a large file becomes shorter while it is read."""
    kept = []
    for path in files(folder):
        name = "" if path == folder.path else path.relative_to(folder.path).as_posix()
        try:
            source = path.open("rb")
        except FileNotFoundError:
            continue
        with source:
            told = os.fstat(source.fileno())
            owned = Owned(stat.S_IMODE(told.st_mode), told.st_uid, told.st_gid, told.st_mtime)
            entry = f"{FILES}/{folder.name}/{name}" if name else f"{FILES}/{folder.name}"
            if told.st_size <= _SMALL_BYTES:
                content = source.read()
                writer.add(entry, content, owned)
                kept.append(File(folder.name, name, len(content), sha256(content).hexdigest()))
            else:
                digest = writer.stream(entry, source, told.st_size, owned)
                kept.append(File(folder.name, name, told.st_size, digest))
    return kept


class Unpacker:
    """Puts an archive's files where their folders are said to lie; nowhere else, whatever a name says."""

    def __init__(self, folders: Sequence[KeptFolder], archive: Path) -> None:
        self._folders = {folder.name: folder for folder in folders}
        self._archive = archive
        self._written: list[Path] = []
        self._fresh: Path | None = None  # being written
        self._made: list[Path] = []  # folders, each after the one that it is in
        self.unpacked: list[File] = []
        self.homeless: set[str] = set()  # folders of the archive that this installation has no place for

    def put(self, member: Member) -> None:
        """Raises BadInput (damaged)."""
        _, name, path = (*member.name.split("/", 2), "")[:3]
        parts = PurePosixPath(path).parts
        folder = self._folders.get(name)
        if ".." in parts or path.startswith("/"):
            raise BadInput("damaged", text("damaged", file=self._archive, why=member.name))
        if folder is None:
            self.homeless.add(name)
        if folder is None or (parts and parts[-1] in folder.leave):
            digest, size = _hashed(member)
        else:
            digest, size = self._write(member, folder.path / path if path else folder.path)
        self.unpacked.append(File(name, path, size, digest))

    def sync(self) -> None:
        """Files, and the folders that name them, are on the disk afterwards, whatever happens to the power."""
        os.sync()  # all at once, since each by itself would wait for the disk; what cannot be written, fsync alone tells
        folders = {path.parent for path in (*self._written, *self._made)}
        for path in (*self._written, *sorted(folders)):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def take_back(self) -> None:
        """Deletes what it has written, and nothing else. What cannot be deleted is left."""
        for path in (*self._written, *([self._fresh] if self._fresh is not None else [])):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        for path in reversed(self._made):
            with suppress(OSError):  # somebody else has put something there
                path.rmdir()

    def _write(self, member: Member, path: Path) -> tuple[str, int]:
        if os.path.lexists(path):  # what lies there is no file of ours
            raise BadInput("damaged", text("damaged", file=self._archive, why=member.name))
        missing = [folder for folder in path.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700)
            self._made.append(folder)
        self._fresh = path.with_name(f".{path.name}.new")
        told = _written(member, self._fresh)
        self._written.append(path)
        self._fresh.rename(path)
        self._fresh = None
        return told


def _hashed(member: Member) -> tuple[str, int]:
    digest = sha256()
    while piece := member.content.read(_CHUNK_BYTES):
        digest.update(piece)
    return digest.hexdigest(), member.size_bytes


def _written(member: Member, fresh: Path) -> tuple[str, int]:
    digest, owned = sha256(), member.owned
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while piece := member.content.read(_CHUNK_BYTES):
            digest.update(piece)
            out.write(piece)
        if os.getuid() == 0:  # of services with accounts of their own
            os.fchown(out.fileno(), owned.uid, owned.gid)
        os.fchmod(out.fileno(), owned.mode)
    os.utime(fresh, (owned.modified_s, owned.modified_s))
    return digest.hexdigest(), member.size_bytes


def differences(folders: Sequence[KeptFolder], expected: Sequence[File]) -> list[str]:
    """What is not as the list says, as sentences. More files than it names are none of ours."""
    by_name = {folder.name: folder for folder in folders}
    found = []
    for one in expected:
        folder = by_name.get(one.folder)
        if folder is None or PurePosixPath(one.path).name in folder.leave:
            continue
        path = folder.path / one.path if one.path else folder.path
        digest = sha256()
        try:
            with path.open("rb") as source:
                while piece := source.read(_CHUNK_BYTES):
                    digest.update(piece)
        except FileNotFoundError:
            found.append(text("differs_missing", folder=one.folder, path=one.path))
            continue
        if digest.hexdigest() != one.sha256:
            found.append(text("differs_file", folder=one.folder, path=one.path))
    return found
