"""What is left of a disk that others live on as well, such as the database. Blocking."""

import errno
import os
from pathlib import Path


def free_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def must_have_room(folder: Path, bytes_: int, *, leave: int) -> None:
    """Raises OSError (ENOSPC) when less than `leave` would be left of it."""
    if free_bytes(folder) < bytes_ + leave:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
