"""What is in a restore's way is set aside, never deleted; each move is undone should the restore fail. Files: blocking."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from actors.keeping.folders import ASIDE
from actors.keeping.texts import text
from fleet.errors import Conflict
from fleet.settings import DatabaseSettings, KeptFolder
from fleet.storage import whole
from fleet.storage.database import DirectConnection, connect
from fleet.storage.migrate import SERVICE_ROLES

_RUNNING: Final = """
    SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = $1 AND usename = ANY($2::text[]) ORDER BY usename
"""


def refuse_taken(folder: KeptFolder) -> None:
    """Raises Conflict (folder_taken)."""
    if not folder.path.is_dir():
        taken = folder.path.exists()
    else:
        taken = not folder.made_anew and any(path.is_file() or next(path.rglob("*"), None) for path in _own(folder))
    if taken:
        raise Conflict("folder_taken", text("folder_taken", folder=folder.path))


def move(folder: KeptFolder, undo: AsyncExitStack) -> None:
    """Below the folder itself, beside what a restore leaves there; of a single file beside it. Raises OSError."""
    name = f"{ASIDE}-{time.time_ns()}"
    if not folder.path.is_dir():
        if folder.path.exists():
            _rename(folder.path, folder.path.with_name(f"{name}-{folder.path.name}"), undo)
        return
    own = list(_own(folder))
    if own:
        aside = folder.path / name
        aside.mkdir(mode=0o700)
        undo.callback(aside.rmdir)
        for path in own:
            _rename(path, aside / path.name, undo)


def _rename(whence: Path, whither: Path, undo: AsyncExitStack) -> None:
    undo.callback(_back, whither, whence)  # first: whatever cuts this short, it is remembered
    whence.rename(whither)


def _back(whither: Path, whence: Path) -> None:
    if os.path.lexists(whither):
        whither.rename(whence)


def _own(folder: KeptFolder) -> Iterator[Path]:
    """What a restore would write there, and what it finds in its place."""
    others = {*folder.leave, *folder.skip}
    return (each for each in folder.path.iterdir() if each.name not in others and not each.name.startswith(ASIDE))


async def refuse_running(database: DatabaseSettings) -> None:
    """Raises Conflict (installation_runs): services would fill the new database while it is restored."""
    async with _server_of(database) as server:
        await _refuse_running(server, database)


async def move_database(database: DatabaseSettings, undo: AsyncExitStack) -> str:
    """Gives it another name, which is returned; an empty one, marked as half restored, has its name from then on.

    Both at one moment: whatever cuts this short, no service starts with an empty one. Raises Conflict (installation_runs).
    """
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    name, fresh = f"{database.name}_until_{stamp}", f"{database.name}_restoring_{stamp}"
    async with _server_of(database) as server:
        await _refuse_running(server, database)
        await server.execute(f'CREATE DATABASE "{fresh}"')
        try:
            await mark(_named(database, fresh), AsyncExitStack())  # it is dropped with its mark
            await _swap(server, database.name, name, fresh)
        except BaseException:
            await _database_back(database, name, fresh)
            raise
        undo.push_async_callback(_database_back, database, name, fresh)
    return name


async def mark(database: DatabaseSettings, undo: AsyncExitStack) -> None:
    """As half restored: nothing starts with it."""
    connection = await connect(database)
    try:
        await whole.mark_half_restored(connection)
        undo.push_async_callback(_unmark, database)
    finally:
        await connection.close()


async def _unmark(database: DatabaseSettings) -> None:
    connection = await connect(database)
    try:
        await whole.unmark(connection)
    finally:
        await connection.close()


async def _database_back(database: DatabaseSettings, name: str, fresh: str) -> None:
    """Whether or not it was moved: who was interrupted may not know."""
    async with _server_of(database) as server:
        if await server.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            await _swap(server, database.name, fresh, name)
        await server.execute(f'DROP DATABASE IF EXISTS "{fresh}"')


async def _swap(server: DirectConnection, name: str, whither: str, instead: str) -> None:
    """The database `name` is called `whither`, and `instead` has its name."""
    await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    async with server.transaction():
        await server.execute(f'ALTER DATABASE "{name}" RENAME TO "{whither}"')
        await server.execute(f'ALTER DATABASE "{instead}" RENAME TO "{name}"')


async def _refuse_running(server: DirectConnection, database: DatabaseSettings) -> None:
    running = await server.fetch(_RUNNING, database.name, list(SERVICE_ROLES))
    if running:
        roles = ", ".join(row["usename"] for row in running)
        raise Conflict("installation_runs", text("installation_runs", roles=roles))


@asynccontextmanager
async def _server_of(database: DatabaseSettings) -> AsyncIterator[DirectConnection]:
    connection = await connect(_named(database, "postgres"))
    try:
        yield connection
    finally:
        await connection.close()


def _named(database: DatabaseSettings, name: str) -> DatabaseSettings:
    """Another one of the same server."""
    return DatabaseSettings(database.host, database.port, name, database.user, database.password_file)
