"""Numbered SQL files, applied once each, in order, forward only.

A file that was applied must not change: its checksum is kept. A database that is newer than the code is refused.
"""

from hashlib import sha256
from importlib import resources

from fleet.errors import Conflict
from fleet.storage.database import Connection, DirectConnection

SERVICE_ROLES = ("sp_twins", "sp_web", "sp_pki", "sp_guard", "sp_notifier", "sp_sftp", "sp_importer", "sp_rollouts")
_LOCK_KEY = 0x50_1A_12  # any constant: two migrations never run at once


async def migrate(connection: DirectConnection, passwords: dict[str, str]) -> list[str]:
    """Brings the database to this code's schema, as its owner. Returns the names of the files applied now.

    passwords: service role → password; roles are made, and their passwords set, each time.
    Raises Conflict (schema_newer, migration_changed).
    """
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
    try:
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


async def _apply(connection: Connection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.schema_migration"
        " (name text PRIMARY KEY, checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {
        row["name"]: row["checksum"] for row in await connection.fetch("SELECT name, checksum FROM public.schema_migration")
    }
    shipped = _shipped()
    newer = sorted(set(applied) - {name for name, _ in shipped})
    if newer:
        raise Conflict(
            "schema_newer",
            f"the database was migrated by a newer version ({newer[-1]}); run that version or restore a backup",
        )
    done = []
    for name, sql in shipped:
        checksum = sha256(sql.encode()).digest()
        if name in applied:
            if applied[name] != checksum:
                raise Conflict("migration_changed", f"{name} was applied with another content; restore the file")
            continue
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute("INSERT INTO public.schema_migration (name, checksum) VALUES ($1, $2)", name, checksum)
        done.append(name)
    return done


def _shipped() -> list[tuple[str, str]]:
    folder = resources.files("fleet.storage").joinpath("migrations")
    return sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
