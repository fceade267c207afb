"""An archive back into an installation: look, mark, set aside, write, load, settle, and one commit.

Crash contract:
- What can be refused is refused before anything is touched.
- A mark in the database keeps every start from it (fleet.storage.migrate) from then on. What is in the way is moved, not
  deleted, and each move is remembered.
- The rows come in one transaction, which reads the archive to its end, waits until the files are on the disk, and ends what
  must not come back. Its commit drops the mark.
- What fails before that commit is undone: what was written is deleted, what was moved is moved back. After it nothing is.
- Once the commit's word may have gone out, only the database knows which of both. It is waited for, if it starts again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import asyncpg
import msgspec

from actors.keeping import aftermath, aside, equality
from actors.keeping.aftermath import Aftermath, NewerList
from actors.keeping.archive import Reader, decoded, reading
from actors.keeping.aside import Names
from actors.keeping.backup import require_room
from actors.keeping.folders import Unpacker
from actors.keeping.manifest import FILES, MANIFEST, ROWS, Header, Manifest
from actors.keeping.rows import Loader
from actors.keeping.sealing import Opener
from actors.keeping.texts import text
from fleet.errors import BadInput, Conflict, FleetError, Unavailable
from fleet.limits import RESTORE_GROWS_TO
from fleet.settings import DatabaseSettings, KeepingSettings, KeptFolder
from fleet.storage import migrate, whole
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.migrate import SERVICE_ROLES
from fleet.storage.whole import StoredSequence

T = TypeVar("T")


class How(NamedTuple):
    """set_aside   what is in the way is set aside, instead of refusing to restore
    verify      everything is read again before it counts, and compared with the archive
    newer_list  file of the newest revocation list of what was lost
    """

    set_aside: bool = False
    verify: bool = False
    newer_list: Path | None = None


class Restored(NamedTuple):
    """seconds without those of verifying, verified_s; None: it was not asked for.

    homeless  folders of the archive that this installation has no place for
    aside     the name that the database before it has now
    """

    header: Header
    manifest: Manifest
    homeless: list[str]
    after: Aftermath
    seconds: float
    verified_s: float | None
    aside: str | None

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


async def restore(settings: KeepingSettings, file: Path, opener: Opener, how: How = How()) -> Restored:  # noqa: B008 - frozen
    """Into what is empty, or in the place of what there is. The schema stays that of the archive (see `migrate`).

    Raises as `look` does; BadInput (incomplete, not_equal, crl_foreign), Conflict (database_taken, folder_taken,
    half_restored, installation_runs), Unavailable (no_room, not_undone), AWAY.
    """
    began = time.monotonic()
    looked = await _looked(settings, file, opener, how)
    undo, commit = AsyncExitStack(), _Commit()
    names = aside.names_for(settings.database) if how.set_aside else None
    try:
        if names is not None:
            await aside.move_database(settings.database, names, undo)
        else:
            await aside.mark(settings.database, undo)
        for folder in looked.folders:
            if how.set_aside or folder.made_anew:
                aside.move(folder, undo)
        unpacker = Unpacker(settings.folders, file)
        undo.callback(unpacker.take_back)
        filled = await _filled(settings, reading(file, opener), looked, unpacker, commit, verify=how.verify)
    except BaseException as error:
        await _undone(settings.database, undo, commit, names, error)
        raise
    await _analyse(settings.database)
    seconds = time.monotonic() - began - (filled.verified_s or 0.0)
    return Restored(
        looked.header,
        filled.manifest,
        sorted(unpacker.homeless),
        filled.after,
        seconds,
        filled.verified_s,
        names.kept if names is not None else None,
    )


class _Looked(NamedTuple):
    """folders: those that the archive has something for."""

    header: Header
    folders: list[KeptFolder]
    passwords: Mapping[str, str]
    newer_list: NewerList | None


async def _looked(settings: KeepingSettings, file: Path, opener: Opener, how: How) -> _Looked:
    """Touches nothing."""
    header = look(file, opener)
    newer = aftermath.list_in(how.newer_list) if how.newer_list is not None else None
    passwords = {role: (settings.passwords / role).read_text() for role in SERVICE_ROLES}
    those = [folder for folder in settings.folders if folder.name in header.folders]
    if how.set_aside:
        await aside.refuse_running(settings.database)
    else:
        await _refuse_taken(settings.database)
        for folder in those:
            aside.refuse_taken(folder)
    existing = next(each for each in (settings.archives, *settings.archives.parents) if each.exists())
    require_room(existing, header.database_bytes * RESTORE_GROWS_TO + header.files_bytes)
    return _Looked(header, those, passwords, newer)


async def _refuse_taken(database: DatabaseSettings) -> None:
    connection = await connect(database)
    try:
        await whole.refuse_half_restored(connection)
        if not await whole.is_empty(connection):
            raise Conflict("database_taken", text("database_taken", name=database.name))
    finally:
        await connection.close()


class _Commit:
    """is_sent: its word may have gone out, and only the database knows what became of it."""

    is_sent = False


class _Filled(NamedTuple):
    manifest: Manifest
    after: Aftermath
    verified_s: float | None


async def _filled(
    settings: KeepingSettings,
    archive: AbstractContextManager[Reader],
    looked: _Looked,
    unpacker: Unpacker,
    commit: _Commit,
    *,
    verify: bool,
) -> _Filled:
    """Everything, with the commit."""
    connection = await connect(settings.database)
    try:
        async with connection.transaction():
            with archive as reader:
                manifest = await _loaded(connection, reader, looked, unpacker)
            await _to_its_end(unpacker.sync)
            verified_s = await _verified(connection, settings.folders, manifest) if verify else None
            after = await aftermath.settle(connection, settings.pki, looked.header, looked.newer_list)
            await whole.unmark(connection)
            commit.is_sent = True
    finally:
        await connection.close()
    return _Filled(manifest, after, verified_s)


async def _loaded(connection: DirectConnection, reader: Reader, looked: _Looked, unpacker: Unpacker) -> Manifest:
    header = reader.header()
    await migrate.replay(connection, dict(looked.passwords), [one.name for one in header.migrations])
    tables = await whole.tables(connection)
    await whole.clear(connection, tables)
    loader = Loader(connection, reader, {table.name for table in tables})
    manifest = await _members(reader, unpacker, loader)
    if manifest is None:
        raise BadInput("incomplete", text("incomplete", file=reader.file))
    equality.compare_lists(loader.loaded, unpacker.unpacked, manifest)
    await whole.set_sequences(connection, [StoredSequence(*msgspec.structs.astuple(one)) for one in manifest.sequences])
    return manifest


async def _members(reader: Reader, unpacker: Unpacker, loader: Loader) -> Manifest | None:
    manifest: Manifest | None = None
    member = await asyncio.to_thread(reader.next)
    while member is not None:
        if member.name.startswith(f"{ROWS}/"):
            member = await loader.load(member)
            continue
        if member.name.startswith(f"{FILES}/"):
            await _to_its_end(unpacker.put, member)
        else:
            content = await asyncio.to_thread(decoded, member, reader.file)
            manifest = msgspec.json.decode(content, type=Manifest)
            if member.name != MANIFEST:
                raise BadInput("damaged", text("damaged", file=reader.file, why=member.name))
        member = await asyncio.to_thread(reader.next)
    return manifest


async def _to_its_end(work: Callable[..., T], *told: object) -> T:
    """In a thread, which has ended when this has: what it writes after an interruption would not be taken back."""
    going = asyncio.ensure_future(asyncio.to_thread(work, *told))
    try:
        return await asyncio.shield(going)
    except asyncio.CancelledError:
        await asyncio.wait([going])
        raise


async def _verified(connection: DirectConnection, kept: Sequence[KeptFolder], manifest: Manifest) -> float:
    """Before anything changes what was restored. Seconds. Raises BadInput (not_equal)."""
    began = time.monotonic()
    await whole.see_everything(connection)
    equality.refuse(await equality.differences(connection, kept, manifest))
    return time.monotonic() - began


async def _undone(
    database: DatabaseSettings, undo: AsyncExitStack, commit: _Commit, names: Names | None, why: BaseException
) -> None:
    """Unless it was committed, and only the answer to that was lost. Raises Unavailable (not_undone), OSError."""
    try:
        if not commit.is_sent or await aside.patiently(aside.mark_stands, database):
            await undo.aclose()
    except FleetError as error:
        told = text("not_undone", why=str(why) or type(why).__name__, away=error)
        if names is not None:
            told += " " + text("not_undone_aside", name=names.kept)
        raise Unavailable("not_undone", told) from why


async def _analyse(database: DatabaseSettings) -> None:
    """PostgreSQL does it by itself some minutes later."""
    with suppress(*AWAY, asyncpg.PostgresError):
        connection = await connect(database)
        try:
            await whole.analyse(connection)
        finally:
            await connection.close()
