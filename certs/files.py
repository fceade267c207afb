"""Writing key material so that a reader sees the old file or the whole new one, and nobody else sees a key."""

import os
from pathlib import Path

SECRET = 0o600
PUBLIC = 0o644


def replace(path: Path, content: bytes, mode: int, *, durable: bool) -> None:
    """Writes aside, then renames. `durable` waits for the disk: for what cannot simply be issued again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)  # of a write that was cut short; its mode may be another
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
