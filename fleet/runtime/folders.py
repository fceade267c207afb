"""What a process must hold before it writes into a folder: that it may, and that nobody else does. Blocking."""

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fleet.errors import Conflict, FleetError, Unavailable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def fault_of(error: OSError) -> FleetError:
    """The coded error for what a disk answers."""
    where = error.filename or "a file"
    if error.errno in _FULL:
        return Unavailable(
            "disk_full", f"{where} cannot be written: its disk is full; free some space or give the volume more"
        )
    if error.errno == errno.EROFS:
        return Unavailable("read_only", f"{where} lies on a read-only file system; mount its volume without `ro`")
    if error.errno in (errno.EACCES, errno.EPERM):
        who = f"user {os.geteuid()}"
        return Unavailable(
            "no_permission", f"{where} is closed to {who}; give the volume to that user (chown {os.geteuid()})"
        )
    return Unavailable("disk_fault", f"{where}: {error.strerror or error}; look at the volume that it lies on")


def require_writable(folder: Path) -> None:
    """Makes it, for us alone, where it is missing. Raises Unavailable (read_only, no_permission, disk_full, disk_fault)."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:  # of no name: nobody finds it, nothing is left of it
            probe.write(b"\0")
            probe.flush()
    except OSError as error:
        fault = OSError(error.errno, error.strerror, str(folder))
        raise fault_of(fault) from None


def full(folder: Path) -> FleetError | None:
    """As require_writable, for who has work besides filling the disk, or is who empties it: a full one is returned only."""
    try:
        require_writable(folder)
    except Unavailable as error:
        if error.code != "disk_full":
            raise
        return error
    return None


@contextmanager
def alone_with(folder: Path, who: str) -> Iterator[None]:
    """For as long as a process works on a folder. The kernel lets go of it however the process ends.

    who: a word of the lock's name, so that two kinds of processes may share a folder. Raises Conflict (folder_taken): also
    between containers, and between two installations that were given one volume. The folder must be there; Unavailable as
    require_writable.
    """
    file = folder / f".{who}.lock"
    try:
        lock = file.open("a")
    except OSError as error:
        raise fault_of(error) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise fault_of(OSError(error.errno, error.strerror, str(file))) from None
            raise Conflict(
                "folder_taken",
                f"another {who} works on {folder}; stop it, or give each installation a volume of its own"
                " (docker compose: another project name)",
            ) from None
        yield
