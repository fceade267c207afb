"""Numbered SQL files, applied once each, in order, forward only.

A file that was applied must not change: its checksum is kept. Code goes on with a database that is newer, so that an upgrade
has a way back, unless a file whose name ends with `_contract.sql` has taken away what that code knows.
"""

from collections.abc import Collection, Mapping
from hashlib import sha256
from importlib import resources
from typing import Final

from fleet.errors import Conflict, Unavailable
from fleet.storage import whole
from fleet.storage.database import Connection, DirectConnection

SERVICE_ROLES = ("sp_twins", "sp_web", "sp_pki", "sp_guard", "sp_notifier", "sp_sftp", "sp_importer", "sp_rollouts")
_LOCK_KEY = 0x50_1A_12  # any constant: two migrations never run at once
_CONTRACT: Final = "_contract.sql"


async def migrate(connection: DirectConnection, passwords: dict[str, str]) -> list[str]:
    """Brings the database to this code's schema, as its owner. Returns the names of the files applied now.

    passwords: service role → password; roles are made, and their passwords set, each time.
    Raises Conflict (schema_newer, migration_changed, half_restored).
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
    try:
        await whole.refuse_half_restored(connection)
        await _ensure_roles(connection, passwords)
        return await _apply(connection)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK_KEY)


async def _ensure_roles(connection: Connection, passwords: dict[str, str]) -> None:
    for role in SERVICE_ROLES:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")
        statement = await connection.fetchval(
            "SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, passwords[role]
        )
        await connection.execute(statement)


async def replay(connection: Connection, passwords: dict[str, str], names: Collection[str]) -> None:
    """Within a transaction: makes an empty database what it was when those files had been applied to it."""
    await _ensure_roles(connection, passwords)
    await _apply(connection, names)


async def _apply(connection: Connection, names: Collection[str] | None = None) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.schema_migration"
        " (name text PRIMARY KEY, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    there = await applied(connection)
    shipped = _shipped()
    _refuse_foreign(there, shipped)
    done = []
    for name, sql in shipped:
        if name in there or (names is not None and name not in names):
            continue
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute(
                "INSERT INTO public.schema_migration (name, checksum) VALUES ($1, $2)", name, _checksum(sql)
            )
        done.append(name)
    return done


async def is_laid(connection: Connection) -> bool:
    """Whether any release has opened this database yet."""
    return bool(await connection.fetchval("SELECT to_regclass('public.schema_migration') IS NOT NULL"))


async def pending(connection: Connection) -> list[str]:
    """Names of the files that `migrate` would apply; of a database that no release has opened yet, all of them.

    Raises Conflict (schema_newer, migration_changed).
    """
    there = await applied(connection) if await is_laid(connection) else {}
    shipped = _shipped()
    _refuse_foreign(there, shipped)
    return [name for name, _ in shipped if name not in there]


async def applied(connection: Connection) -> dict[str, bytes]:
    """Name → checksum of every file that the database has seen."""
    rows = await connection.fetch("SELECT name, checksum FROM public.schema_migration")
    return {row["name"]: row["checksum"] for row in rows}


def judge(there: Mapping[str, bytes]) -> None:
    """Whether this code can work with what was applied.

    Raises Unavailable (schema_older) until the rest is applied, Conflict (schema_newer, migration_changed).
    """
    shipped = _shipped()
    _refuse_foreign(there, shipped)
    missing = [name for name, _ in shipped if name not in there]
    if missing:
        raise Unavailable(
            "schema_older",
            f"the database lacks {len(missing)} migrations ({missing[0]} is the first); run the job `migrate`",
        )


def _refuse_foreign(there: Mapping[str, bytes], shipped: list[tuple[str, str]]) -> None:
    newer = sorted(name for name in set(there) - {name for name, _ in shipped} if name.endswith(_CONTRACT))
    if newer:
        raise Conflict(
            "schema_newer",
            f"the database was migrated by a newer release ({newer[-1]}) that older ones cannot work with;"
            " run that release, or restore the backup taken before it",
        )
    for name, sql in shipped:
        if name in there and there[name] != _checksum(sql):
            raise Conflict(
                "migration_changed", f"{name} was applied with another content; run the release that it came with"
            )


def shipped_checksums() -> dict[str, bytes]:
    """Name → checksum of every file of this release."""
    return {name: _checksum(sql) for name, sql in _shipped()}


def _checksum(sql: str) -> bytes:
    return sha256(sql.encode()).digest()


def _shipped() -> list[tuple[str, str]]:
    folder = resources.files("fleet.storage").joinpath("migrations")
    return sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
