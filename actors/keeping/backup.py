"""Makes an archive of one installation, while it works.

The order: boxes, then the database in one view, then everything else. What leaves a box goes into the database, so it may be
in both and is then known again; and a file that the database names was there before it was named.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from actors.disk import free_bytes
from actors.keeping import folders, rows
from actors.keeping.archive import Writer, writing
from actors.keeping.manifest import FORMAT, HEADER, MANIFEST, File, Header, Kind, Manifest, Migration
from actors.keeping.manifest import Sequence as Stand
from actors.keeping.sealing import Seal
from actors.keeping.texts import text
from fleet.errors import Conflict, Unavailable
from fleet.limits import ARCHIVE_DISK_FREE_MIN_BYTES, ARCHIVE_SHRINKS_TO
from fleet.settings import KeepingSettings, KeptFolder
from fleet.storage import migrate, whole
from fleet.storage.database import Connection, connect
from fleet.storage.originals import kept_path

SUFFIX: Final = ".age"


class Made(NamedTuple):
    file: Path
    size_bytes: int
    manifest: Manifest
    seconds: float
    pruned: int

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.manifest.tables)


async def back_up(settings: KeepingSettings, seal: Seal, *, kind: Kind = "backup", keep: int | None = None) -> Made:
    """Writes settings.archives/<kind>-<time>-<release>.tar.zst.age; keeps the newest `keep` of its kind, None: all.

    Raises Conflict (backup_runs), Unavailable (no_room, disk_full).
    """
    began = time.monotonic()
    settings.archives.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = await connect(settings.database)
    try:
        if not await whole.hold_alone(connection):
            raise Conflict("backup_runs", text("backup_runs"))
        await whole.refuse_half_restored(connection)
        await whole.see_everything(connection)
        kept = [folder for folder in settings.folders if kind == "backup" or not folder.bulky]
        file = settings.archives / f"{kind}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{release()}.tar.zst{SUFFIX}"
        manifest = await _written(settings, connection, file, seal, kind, kept)
    finally:
        await connection.close()
    pruned = prune(settings.archives, kind, keep) if keep is not None else 0
    return Made(file, file.stat().st_size, manifest, time.monotonic() - began, pruned)


def prune(archives: Path, kind: Kind, keep: int) -> int:
    """Deletes all but the newest. How many."""
    old = sorted(archives.glob(f"{kind}-*{SUFFIX}"), reverse=True)[max(1, keep) :]
    for file in old:
        file.unlink()
    return len(old)


async def _written(
    settings: KeepingSettings, connection: Connection, file: Path, seal: Seal, kind: Kind, kept: Sequence[KeptFolder]
) -> Manifest:
    database_bytes = await whole.size_bytes(connection)
    files_bytes = sum([await asyncio.to_thread(folders.size_bytes, folder) for folder in kept])
    require_room(file.parent, database_bytes * ARCHIVE_SHRINKS_TO + files_bytes)
    with writing(file, seal) as writer:
        header = await _header(connection, kind, database_bytes, files_bytes, kept)
        writer.add_struct(HEADER, header)
        boxes = await _files(writer, [folder for folder in kept if folder.first])
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if header.migrations != await _migrations(connection):
                raise Conflict("schema_changes", text("schema_changes"))
            tables = await rows.dump(connection, writer)
            names = await whole.originals(connection) if kind == "backup" else []
            stands = [Stand(*stand) for stand in await whole.sequences(connection)]  # last: they are never behind the rows
        others = await _files(writer, [folder for folder in kept if not folder.first])
        lost = await asyncio.to_thread(_lost, settings.originals, names)
        manifest = Manifest(tables, stands, boxes + others, lost)
        await asyncio.to_thread(writer.add_struct, MANIFEST, manifest)
    return manifest


async def _files(writer: Writer, those: Sequence[KeptFolder]) -> list[File]:
    return [file for folder in those for file in await asyncio.to_thread(folders.keep, folder, writer)]


async def _header(
    connection: Connection, kind: Kind, database_bytes: int, files_bytes: int, kept: Sequence[KeptFolder]
) -> Header:
    return Header(
        format=FORMAT,
        kind=kind,
        release=release(),
        postgres=await connection.fetchval("SHOW server_version"),
        taken_at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        database_bytes=database_bytes,
        files_bytes=files_bytes,
        folders=[folder.name for folder in kept],
        migrations=await _migrations(connection),
    )


async def _migrations(connection: Connection) -> list[Migration]:
    return [Migration(name, checksum.hex()) for name, checksum in sorted((await migrate.applied(connection)).items())]


def _lost(originals: Path, digests: Sequence[bytes]) -> list[str]:
    """Names of originals that are not there; one that retention has deleted since is none that is missed much."""
    return [digest.hex() for digest in digests if not kept_path(originals, digest).exists()]


def require_room(folder: Path, needed_bytes: float) -> None:
    """Raises Unavailable (no_room)."""
    free, needed = free_bytes(folder), needed_bytes + ARCHIVE_DISK_FREE_MIN_BYTES
    if free < needed:
        raise Unavailable("no_room", text("no_room", folder=folder, free_mb=free / 1e6, needed_mb=needed / 1e6))


def release() -> str:
    return metadata.version("solarperform")
