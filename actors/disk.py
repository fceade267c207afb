"""What is left of a disk that others live on as well, such as the database. Blocking."""

import errno
import os
from pathlib import Path


def free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def usable_bytes(folder: Path) -> int:
    """For a metric, which must not keep the others from being told: 0 of a folder that cannot be looked at, so that the
    alarm for a full disk rings.
    """
    try:
        return free_bytes(folder)
    except OSError:
        return 0


def must_have_room(folder: Path, bytes_: int, *, leave: int) -> None:
    """Raises OSError (ENOSPC) when less than `leave` would be left of it."""
    if free_bytes(folder) < bytes_ + leave:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
