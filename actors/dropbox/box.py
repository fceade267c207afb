"""How a logger's box lies on the disk: what the drop box and the puller put into it, and what the importer takes out.

    <device>/open/<name>            being written, or cut and waiting to be resumed
    <device>/closed/<name>          closed under a temporary name: waits to be renamed
    <device>/whole/<stamp>-<name>   complete, for the importer, in the order of arrival: never changed, only taken away
    <device>/listed/<name>          the newest complete version, as its sender sees it: a second link to the same file
    <device>/pulled/<stamp>-<name>  fetched from a customer's server; not seen by any sender

What is in whole/ or pulled/ is complete and final, so whoever reads it needs no lock: a sender that goes on with a file that
is complete gets a copy. `~` in place of `-` after the stamp: the sender was cut off and did not come back.
All of this is blocking; every move is one rename or link, so a kill leaves one of two states, and `recover` knows the third.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from actors.dropbox.names import Folder, Name, stored_name
from fleet.file_limits import (
    DROP_CLOSED_REST_S,
    DROP_CUT_KEPT_S,
    DROP_LISTED_BYTES_MAX,
    DROP_LISTED_FILES_MAX,
    DROP_LISTED_S,
)
from fleet.ids import DeviceId, device_id, is_device_id

OPEN: Final = "open"
CLOSED: Final = "closed"
WHOLE: Final = "whole"
LISTED: Final = "listed"
PULLED: Final = "pulled"
_BEING_FETCHED: Final = "being-fetched."
_STAMP_DIGITS: Final = 20
_COMPLETE: Final = "-"
_INCOMPLETE: Final = "~"


class Waiting(NamedTuple):
    """A file that nobody has taken yet.

    name: as its sender calls it. prefix: the folder it was put in, such as 'DATA', or ''. received_ns: Unix time.
    complete: False: the sender was cut off, hours ago.
    """

    device: DeviceId
    name: str
    prefix: str
    path: Path
    size: int
    received_ns: int
    complete: bool
    via: Literal["sftp", "pull"]


class Entry(NamedTuple):
    """As a sender sees its file. mtime: Unix seconds."""

    name: Name
    size: int
    mtime: int


class Usage(NamedTuple):
    """What the quota counts: each file once, whatever links it has."""

    bytes: int
    files: int


# what the importer needs ------------------------------------------------------------------------------------------


def waiting(folder: Path) -> Iterator[Waiting]:
    """All files that wait, of one logger after the other, the oldest of each first."""
    for device in devices(folder):
        yield from waiting_of(folder, device)


def waiting_of(folder: Path, device: DeviceId) -> Iterator[Waiting]:
    for kind in (WHOLE, PULLED):
        for entry in sorted(_files(folder / device / kind), key=lambda entry: entry.name):
            stamp, mark, stored = entry.name[:_STAMP_DIGITS], entry.name[_STAMP_DIGITS:][:1], entry.name[_STAMP_DIGITS + 1 :]
            if not stamp.isdigit() or mark not in (_COMPLETE, _INCOMPLETE):
                continue
            with contextlib.suppress(FileNotFoundError):  # taken meanwhile
                yield Waiting(
                    device=device,
                    name=stored_name(stored).name,
                    prefix=Folder(stored_name(stored).prefix).path.removeprefix("/"),
                    path=Path(entry.path),
                    size=entry.stat().st_size,
                    received_ns=int(stamp),
                    complete=mark == _COMPLETE,
                    via="sftp" if kind == WHOLE else "pull",
                )


def forget(taken: Waiting) -> None:
    """It is stored elsewhere now. Its sender sees it for a while yet. Twice is once."""
    taken.path.unlink(missing_ok=True)


def devices(folder: Path) -> list[DeviceId]:
    """Whoever has a box here, also a closed one."""
    with os.scandir(folder) as entries:
        return sorted(device_id(entry.name) for entry in entries if is_device_id(entry.name) and entry.is_dir())


# what the puller needs --------------------------------------------------------------------------------------------


def pulled_usage(folder: Path, device: DeviceId) -> Usage:
    """Of what was fetched and waits."""
    sizes = [each.size for each in waiting_of(folder, device) if each.via == "pull"]
    return Usage(sum(sizes), len(sizes))


def being_pulled(folder: Path, device: DeviceId, who: str) -> Path:
    """Where a file is written while it is fetched. What lay there is of a visit that was broken off."""
    room = folder / device / PULLED
    room.mkdir(mode=0o700, parents=True, exist_ok=True)
    return room / f"{_BEING_FETCHED}{who}"


def pulled(folder: Path, device: DeviceId, fetched: Path, name: str, now_ns: int) -> None:
    """It is whole. On the disk when this returns; its content was fsynced before."""
    link_stamped(fetched, folder / device / PULLED, Name(name), now_ns)
    fetched.unlink()
    _sync(folder / device / PULLED)


# putting files in -------------------------------------------------------------------------------------------------


class Box:
    """One logger's. Only the drop box's process has one of a device.

    One thread at a time moves files; others may look, write into open/, and prune.
    """

    def __init__(self, folder: Path, device: DeviceId) -> None:
        self.folder = folder / device
        self.device = device
        self._listing = threading.Lock()  # so that what is pruned is what was looked at, not its successor

    def make(self) -> None:
        for kind in (OPEN, CLOSED, WHOLE, LISTED):
            (self.folder / kind).mkdir(mode=0o700, parents=True, exist_ok=True)

    def recover(self) -> None:
        """A kill between the two steps of `finish` left a complete file in open/ or closed/ as well: it has two links."""
        for kind in (OPEN, CLOSED):
            for entry in list(_files(self.folder / kind)):
                if entry.stat().st_nlink > 1:
                    os.rename(entry.path, self.folder / LISTED / entry.name)

    def path(self, kind: str, name: Name) -> Path:
        return self.folder / kind / name.stored

    def find(self, name: Name) -> tuple[str, os.stat_result] | None:
        """Where what the sender sees under this name lies: what it sends now goes before what it has sent."""
        for kind in (OPEN, CLOSED, LISTED):
            with contextlib.suppress(FileNotFoundError):
                return kind, os.lstat(self.path(kind, name))
        return None

    def entries(self, prefix: str) -> list[Entry]:
        """What the sender sees in this folder."""
        found: dict[str, Entry] = {}
        for kind in (LISTED, CLOSED, OPEN):
            for each in _files(self.folder / kind):
                name = stored_name(each.name)
                if name.prefix == prefix:
                    with contextlib.suppress(FileNotFoundError):
                        state = each.stat(follow_symlinks=False)
                        found[each.name] = Entry(name, state.st_size, int(state.st_mtime))
        return [found[stored] for stored in sorted(found)]

    def finish(self, kind: str, old: Name, new: Name, now_ns: int, *, complete: bool = True) -> None:
        """From open/ or closed/ to the importer, under its final name. It has it, also after a power cut, when this returns;
        if that forgets the second step, `recover` does it."""
        source = self.path(kind, old)
        link_stamped(source, self.folder / WHOLE, new, now_ns, complete=complete)
        _sync(self.folder / WHOLE)
        with self._listing:
            os.rename(source, self.path(LISTED, new))

    def park(self, name: Name) -> None:
        """Closed under a temporary name. On the disk when this returns."""
        os.rename(self.path(OPEN, name), self.path(CLOSED, name))
        _sync(self.folder / CLOSED)

    def unpark(self, name: Name) -> None:
        os.rename(self.path(CLOSED, name), self.path(OPEN, name))

    def rename_received(self, old: Name, new: Name) -> None:
        """The sender's own idea of a final name, which we did not know as a temporary one. What waits gets it as well."""
        for entry in list(_files(self.folder / WHOLE)):
            head, stored = entry.name[: _STAMP_DIGITS + 1], entry.name[_STAMP_DIGITS + 1 :]
            if stored == old.stored:
                with contextlib.suppress(FileNotFoundError):  # taken meanwhile: it is imported under the old name
                    os.rename(entry.path, self.folder / WHOLE / f"{head}{new.stored}")
        with self._listing:
            os.rename(self.path(LISTED, old), self.path(LISTED, new))
        _sync(self.folder / WHOLE)

    def has_successor(self, name: Name) -> bool:
        """Whether a new version of it lies there under a temporary name."""
        return any(
            stored_name(entry.name).is_successor_of(name) for kind in (OPEN, CLOSED) for entry in _files(self.folder / kind)
        )

    def usage(self) -> Usage:
        sizes: dict[int, int] = {}
        for kind in (OPEN, CLOSED, WHOLE, LISTED):
            for entry in _files(self.folder / kind):
                with contextlib.suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    sizes[state.st_ino] = state.st_size
        return Usage(sum(sizes.values()), len(sizes))

    def tidy(self, now_s: float, busy: frozenset[str]) -> int:
        """What was cut off or never renamed goes to the importer; what was taken long ago is no longer listed.

        busy: stored names that are being written. Returns how many files went to the importer.
        """
        went = 0
        for kind, rest_s in ((OPEN, DROP_CUT_KEPT_S), (CLOSED, DROP_CLOSED_REST_S)):
            for entry in list(_files(self.folder / kind)):
                state = entry.stat(follow_symlinks=False)
                if entry.name in busy or now_s - state.st_mtime < rest_s:
                    continue
                if state.st_size == 0:
                    os.unlink(entry.path)
                    continue
                name = stored_name(entry.name)
                self.finish(kind, name, name, int(now_s * 1e9), complete=kind == CLOSED)
                went += 1
        for entry in list(_files(self.folder / PULLED)):  # of a visit that was killed, to a server that was then removed
            if entry.name.startswith(_BEING_FETCHED) and now_s - entry.stat().st_mtime > DROP_CUT_KEPT_S:
                Path(entry.path).unlink(missing_ok=True)
        self.prune(now_s)
        return went

    def prune(self, now_s: float) -> None:
        """Of what the importer has taken (one link is left), the newest stay listed."""
        with self._listing:
            listed = [(entry.stat(follow_symlinks=False), entry.path) for entry in _files(self.folder / LISTED)]
            taken = sorted((state.st_mtime, state.st_size, path) for state, path in listed if state.st_nlink == 1)
            kept = 0
            for number, (mtime, size, path) in enumerate(reversed(taken)):
                kept += size
                if kept > DROP_LISTED_BYTES_MAX or number >= DROP_LISTED_FILES_MAX or now_s - mtime > DROP_LISTED_S:
                    os.unlink(path)


def link_stamped(source: Path, folder: Path, name: Name, now_ns: int, *, complete: bool = True) -> Path:
    """A second link to `source` in whole/ or pulled/, after all that came before it."""
    mark = _COMPLETE if complete else _INCOMPLETE
    while True:
        target = folder / f"{now_ns:0{_STAMP_DIGITS}d}{mark}{name.stored}"
        try:
            os.link(source, target)
        except FileExistsError:
            now_ns += 1
        else:
            return target


def _files(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Regular files only; a folder that is not there has none."""
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))


def _sync(folder: Path) -> None:
    """The names in it are on the disk, as a file's content is after fsync."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
