"""An archive back into an installation that is empty, and the proof that both are equal.

Crash contract: the rows come in one transaction, after the files; until it has ended, a mark in the database keeps every
start from it (fleet.storage.migrate). An archive that cannot be read to its end leaves an empty database.
"""

import asyncio
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from actors.keeping import folders, rows
from actors.keeping.archive import Reader, decoded, reading
from actors.keeping.backup import require_room
from actors.keeping.folders import Unpacker
from actors.keeping.manifest import FILES, MANIFEST, ROWS, File, Header, Manifest, Table
from actors.keeping.rows import Loader
from actors.keeping.sealing import Opener
from actors.keeping.texts import text
from fleet.errors import BadInput, Conflict
from fleet.limits import RESTORE_GROWS_TO
from fleet.settings import DatabaseSettings, KeepingSettings, KeptFolder
from fleet.storage import migrate, whole
from fleet.storage.database import DirectConnection, connect
from fleet.storage.migrate import SERVICE_ROLES
from fleet.storage.whole import StoredSequence

_RUNNING: Final = """
    SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = $1 AND usename = ANY($2::text[]) ORDER BY usename
"""


class Restored(NamedTuple):
    """homeless: folders of the archive that this installation has no place for."""

    header: Header
    manifest: Manifest
    seconds: float
    homeless: list[str]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.manifest.tables)


def look(file: Path, opener: Opener) -> Header:
    """What an archive says of itself, and whether this release can restore it. Reads no further than that.

    Raises BadInput (no_archive, wrong_key, needs_key, needs_passphrase, not_an_archive, damaged, format_newer, backup_newer,
    backup_foreign).
    """
    try:
        with reading(file, opener) as reader:
            raise _Enough(_fitting(reader.header(), file))
    except _Enough as enough:
        return enough.header


class _Enough(Exception):
    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self.header = header


def _fitting(header: Header, file: Path) -> Header:
    ours = migrate.shipped_checksums()
    for one in header.migrations:
        told = {"file": file, "release": header.release, "name": one.name}
        if one.name not in ours:
            raise BadInput("backup_newer", text("backup_newer", **told))
        if ours[one.name].hex() != one.checksum:
            raise BadInput("backup_foreign", text("backup_foreign", **told))
    return header


async def restore(settings: KeepingSettings, file: Path, opener: Opener) -> Restored:
    """Into an empty database and empty folders; the schema stays that of the archive (see `migrate`).

    Raises as `look` does; BadInput (incomplete, not_equal), Conflict (database_taken, folder_taken), Unavailable (no_room).
    """
    began = time.monotonic()
    header = look(file, opener)
    connection = await connect(settings.database)
    try:
        await whole.refuse_half_restored(connection)
        if not await whole.is_empty(connection):
            raise Conflict("database_taken", text("database_taken", name=settings.database.name))
        those = [folder for folder in settings.folders if folder.name in header.folders]
        for folder in those:
            _refuse_taken(folder)
        existing = next(each for each in (settings.archives, *settings.archives.parents) if each.exists())
        require_room(existing, header.database_bytes * RESTORE_GROWS_TO + header.files_bytes)
        await whole.mark_half_restored(connection)
        moved: list[tuple[Path, Path]] = []
        try:
            for folder in those:
                _move_aside(folder, moved)
            manifest, homeless = await _unpacked(settings, connection, file, opener)
        except BaseException:
            for folder in those:
                _empty(folder)
            _move_back(moved)
            await whole.unmark(connection)
            raise
    finally:
        await connection.close()
    return Restored(header, manifest, time.monotonic() - began, homeless)


def _refuse_taken(folder: KeptFolder) -> None:
    """Raises Conflict (folder_taken)."""
    if not folder.path.is_dir():
        taken = folder.path.exists()
    else:
        taken = not folder.made_anew and any(path.is_file() or next(path.rglob("*"), None) for path in _own(folder))
    if taken:
        raise Conflict("folder_taken", text("folder_taken", folder=folder.path))


def _move_aside(folder: KeptFolder, moved: list[tuple[Path, Path]]) -> None:
    """What the first start has made; not deleted: should it have been somebody's after all. moved: (whence, whither)."""
    if not folder.made_anew or not folder.path.is_dir():
        return
    aside = folder.path / f"{folders.ASIDE}-{time.time_ns()}"
    aside.mkdir(mode=0o700)
    for path in _own(folder):
        path.rename(aside / path.name)
        moved.append((path, aside / path.name))


def _move_back(moved: list[tuple[Path, Path]]) -> None:
    """An authority that is in use all the same must not be gone because a restore has failed."""
    for whence, whither in moved:
        whither.rename(whence)
    for aside in {whither.parent for _, whither in moved}:
        aside.rmdir()


def _own(folder: KeptFolder) -> list[Path]:
    """What a restore would write there, and what it finds in its place."""
    others = {*folder.leave, *folder.skip}
    return [each for each in folder.path.iterdir() if each.name not in others and not each.name.startswith(folders.ASIDE)]


def _empty(folder: KeptFolder) -> None:
    """Of all that a restore has written."""
    if folder.path.is_dir():
        for path in _own(folder):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    else:
        with suppress(OSError):  # a file that is mounted by itself
            folder.path.unlink()


async def set_aside(database: DatabaseSettings) -> str:
    """Renames a database that is no longer wanted, and makes an empty one in its place. Returns its new name.

    Raises Conflict (installation_runs): services would fill the new one while it is restored.
    """
    server = await connect(DatabaseSettings(database.host, database.port, "postgres", database.user, database.password_file))
    name = f"{database.name}_until_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    try:
        running = await server.fetch(_RUNNING, database.name, list(SERVICE_ROLES))
        if running:
            roles = ", ".join(row["usename"] for row in running)
            raise Conflict("installation_runs", text("installation_runs", roles=roles))
        await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database.name)
        await server.execute(f'ALTER DATABASE "{database.name}" RENAME TO "{name}"')
        await server.execute(f'CREATE DATABASE "{database.name}"')
    finally:
        await server.close()
    return name


async def _unpacked(
    settings: KeepingSettings, connection: DirectConnection, file: Path, opener: Opener
) -> tuple[Manifest, list[str]]:
    with reading(file, opener) as reader:
        header = reader.header()
        unpacker = Unpacker(settings.folders, file)
        passwords = {role: (settings.passwords / role).read_text() for role in SERVICE_ROLES}
        async with connection.transaction():
            await migrate.replay(connection, passwords, [one.name for one in header.migrations])
            tables = await whole.tables(connection)
            await whole.clear(connection, tables)
            loader = Loader(connection, reader, {table.name for table in tables})
            manifest = await _members(reader, unpacker, loader)
            if manifest is None:
                raise BadInput("incomplete", text("incomplete", file=file))
            _compare_lists(loader.loaded, unpacker.unpacked, manifest)
            await whole.set_sequences(
                connection, [StoredSequence(*msgspec.structs.astuple(one)) for one in manifest.sequences]
            )
            await whole.unmark(connection)
    await whole.analyse(connection)
    return manifest, sorted(unpacker.homeless)


async def _members(reader: Reader, unpacker: Unpacker, loader: Loader) -> Manifest | None:
    manifest: Manifest | None = None
    member = await asyncio.to_thread(reader.next)
    while member is not None:
        if member.name.startswith(f"{ROWS}/"):
            member = await loader.load(member)
            continue
        if member.name.startswith(f"{FILES}/"):
            await asyncio.to_thread(unpacker.put, member)
        else:
            content = await asyncio.to_thread(decoded, member, reader.file)
            manifest = msgspec.json.decode(content, type=Manifest)
            if member.name != MANIFEST:
                raise BadInput("damaged", text("damaged", file=reader.file, why=member.name))
        member = await asyncio.to_thread(reader.next)
    return manifest


def _compare_lists(loaded: Sequence[Table], unpacked: Sequence[File], manifest: Manifest) -> None:
    """Raises BadInput (not_equal)."""
    found = _table_differences(manifest.tables, {table.name: table for table in loaded})
    missing = set(manifest.files) ^ set(unpacked)
    found += [text("differs_file", folder=one.folder, path=one.path) for one in sorted(missing, key=lambda one: one.path)]
    _none_of(found)


def _none_of(found: Sequence[str]) -> None:
    if found:
        raise BadInput("not_equal", text("not_equal", number=len(found), first=found[0]))


def _table_differences(expected: Sequence[Table], found: dict[str, Table]) -> list[str]:
    said = [text("differs_table", name=name) for name in sorted({one.name for one in expected} ^ set(found))]
    for one in expected:
        there = found.get(one.name)
        if there is None or there == one:
            continue
        key = "differs_rows" if there.rows != one.rows else "differs_content"
        said.append(text(key, name=one.name, found=there.rows, expected=one.rows))
    return said


async def verify(settings: KeepingSettings, manifest: Manifest) -> float:
    """Reads everything again, from the database and the disk, before anything has changed it. Returns seconds.

    Raises BadInput (not_equal).
    """
    began = time.monotonic()
    found = await asyncio.to_thread(folders.differences, settings.folders, manifest.files)
    connection = await connect(settings.database)
    try:
        await whole.see_everything(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            there = [await rows.known_by(connection, table) for table in await whole.tables(connection)]
            found += _table_differences(manifest.tables, {table.name: table for table in there if table is not None})
            stands = {one.name: one for one in await whole.sequences(connection)}
    finally:
        await connection.close()
    for one in manifest.sequences:
        stand = stands.get(one.name)
        if stand != StoredSequence(*msgspec.structs.astuple(one)):
            told = {"found": stand and stand.last_value, "expected": one.last_value}
            found.append(text("differs_sequence", name=one.name, **told))
    _none_of(found)
    return time.monotonic() - began
