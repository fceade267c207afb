"""Writing so that a reader, and a power cut, find the old file or the whole new one."""

import os
from pathlib import Path

SECRET = 0o600
FOLDER = 0o700


def replace(path: Path, content: bytes) -> None:
    """Writes aside, waits for the disk, renames, waits again. Mode 0600.

    When root writes, as with `sudo … enrol`, the file belongs to whoever owns the folder: the service has to read it.
    """
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)  # of a write that was cut short
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
    sync_folder(path.parent)


def open_own(path: Path) -> int:
    """A file to lock, made when it is missing; never what somebody else's link points at. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, SECRET)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def make_folder(folder: Path) -> None:
    """With its parents; nobody else may look into it."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make_folder(folder.parent)
    folder.mkdir(mode=FOLDER, exist_ok=True)
    if os.geteuid() == 0:
        owner = folder.parent.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
