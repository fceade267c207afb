"""Room on the disk: looked at before a start, and named when a server runs out of it."""

import shutil
from pathlib import Path

from actors.local.texts import text
from fleet.errors import Unavailable
from fleet.limits import DISK_FREE_MIN_BYTES


def require_room(folder: Path) -> None:
    """Raises Unavailable (disk_full)."""
    if shutil.disk_usage(folder).free < DISK_FREE_MIN_BYTES:
        raise Unavailable("disk_full", disk_full(folder))


def disk_full(folder: Path) -> str:
    free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
    return text("disk_full", folder=folder, free_mb=free / 1e6, needed_mb=DISK_FREE_MIN_BYTES / 1e6)
