"""What is in a restore's way is set aside, never deleted; each move is undone should the restore fail. Files: blocking."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from actors.keeping.folders import ASIDE
from actors.keeping.texts import text
from fleet.errors import Conflict
from fleet.limits import RESTORE_PATIENCE_S
from fleet.settings import DatabaseSettings, KeptFolder
from fleet.storage import whole
from fleet.storage.database import AWAY, DirectConnection, away, connect
from fleet.storage.migrate import SERVICE_ROLES

T = TypeVar("T")

_PAUSE_S: Final = 0.5  # between two attempts at a PostgreSQL that is away
_RUNNING: Final = """
    SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = $1 AND usename = ANY($2::text[]) ORDER BY usename
"""


class Names(NamedTuple):
    """Of databases. kept: that of what there was, once it is set aside; fresh: that of the one in its place, until it is."""

    kept: str
    fresh: str


def names_for(database: DatabaseSettings) -> Names:
    stamp = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
    return Names(f"{database.name}_until_{stamp}", f"{database.name}_restoring_{stamp}")


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


async def move_database(database: DatabaseSettings, names: Names, undo: AsyncExitStack) -> None:
    """Gives it another name; an empty one, marked as half restored, has its name from then on.

    Both at one moment: whatever cuts this short, no service starts with an empty one. Raises Conflict (installation_runs).
    """
    async with _server_of(database) as server:
        await _refuse_running(server, database)
        undo.push_async_callback(patiently, _database_back, database, names)  # first, as above
        await server.execute(f'CREATE DATABASE "{names.fresh}"')
        await mark(_named(database, names.fresh), AsyncExitStack())  # it is dropped with its mark
        await _swap(server, database.name, names.kept, names.fresh)


async def mark(database: DatabaseSettings, undo: AsyncExitStack) -> None:
    """As half restored: nothing starts with it. undo: holds nothing yet.

    Raises Conflict (half_restored): somebody else did, just now.
    """
    connection = await connect(database)
    try:
        undo.push_async_callback(patiently, _unmark, database)  # first: whatever cuts this short, it is remembered
        try:
            await whole.mark_half_restored(connection)
        except Conflict:
            undo.pop_all()  # somebody else's mark is theirs to drop
            raise
    finally:
        await connection.close()


async def patiently(work: Callable[..., Awaitable[T]], database: DatabaseSettings, *told: object) -> T:
    """What may be done twice, until PostgreSQL, which may be starting again, lets it be done.

    Raises Unavailable (database_away).
    """
    until = time.monotonic() + RESTORE_PATIENCE_S
    while True:
        try:
            return await work(database, *told)
        except AWAY as error:
            if time.monotonic() >= until:
                raise away(database, error) from error
        await asyncio.sleep(_PAUSE_S)


async def mark_stands(database: DatabaseSettings) -> bool:
    """False: whoever was to drop it has done so, though the answer may have been lost."""
    connection = await connect(database)
    try:
        return await whole.mark_stands(connection)
    finally:
        await connection.close()


async def _unmark(database: DatabaseSettings) -> None:
    connection = await connect(database)
    try:
        if await whole.mark_stands(connection):
            await whole.unmark(connection)
    finally:
        await connection.close()


async def _database_back(database: DatabaseSettings, names: Names) -> None:
    """Whether or not it was moved: who was interrupted may not know."""
    async with _server_of(database) as server:
        if await server.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", names.kept):
            await _swap(server, database.name, names.fresh, names.kept)
        await server.execute(f'DROP DATABASE IF EXISTS "{names.fresh}"')


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
