"""Device profiles and every version of them, as operations see and change them."""

from typing import Final

import asyncpg
import msgspec

from fleet.errors import Conflict, NotFound
from fleet.ids import SiteId
from fleet.profile_changes import check_successor
from fleet.profiles import DeviceProfile
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class ProfileRow(msgspec.Struct, frozen=True):
    """devices: how many are of it, among those that the acting person may see."""

    id: str
    version: int
    definition: DeviceProfile
    updated_at: UnixMs
    devices: int


class ProfileVersion(msgspec.Struct, frozen=True):
    """created_by: a person's id; None when it came with the platform."""

    version: int
    definition: DeviceProfile
    created_at: UnixMs
    created_by: str | None
    note: str


_PROFILES: Final = """
SELECT p.id, p.version, p.definition, (extract(epoch FROM p.updated_at) * 1000)::bigint AS updated_at,
       (SELECT count(*)::int FROM registry.device d WHERE d.profile_id = p.id AND d.retired_at IS NULL) AS devices
FROM registry.profile p
"""


async def profiles(connection: Connection) -> list[ProfileRow]:
    rows = await connection.fetch(f"{_PROFILES} ORDER BY p.id")
    return [_row(row) for row in rows]


async def profile(connection: Connection, profile_id: str) -> ProfileRow:
    """Raises NotFound (unknown_profile)."""
    row = await connection.fetchrow(f"{_PROFILES} WHERE p.id = $1", profile_id)
    if row is None:
        raise NotFound("unknown_profile", f"no device profile is called {profile_id[:40]!r}")
    return _row(row)


async def versions(connection: Connection, profile_id: str) -> list[ProfileVersion]:
    """The newest first."""
    rows = await connection.fetch(
        "SELECT version, definition, (extract(epoch FROM created_at) * 1000)::bigint AS created_at, created_by, note"
        " FROM registry.profile_version WHERE profile_id = $1 ORDER BY version DESC",
        profile_id,
    )
    return [msgspec.convert(dict(row), ProfileVersion) for row in rows]


async def add_profile(connection: Connection, new: DeviceProfile, *, person_id: str, note: str) -> ProfileRow:
    """Raises Conflict (profile_exists)."""
    made = await connection.fetchval(
        "INSERT INTO registry.profile (id, definition) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING version",
        new.id,
        new,
    )
    if made is None:
        raise Conflict("profile_exists", f"there is a profile {new.id} already")
    await _keep(connection, new, made, person_id, note)
    return await profile(connection, new.id)


async def replace_profile(
    connection: Connection, new: DeviceProfile, *, version: int, person_id: str, note: str
) -> ProfileRow:
    """version: the one that the person saw and changed.

    Raises NotFound (unknown_profile), Conflict (profile_changed, profile_channels, profile_identity).
    """
    row = await connection.fetchrow("SELECT version, definition FROM registry.profile WHERE id = $1 FOR UPDATE", new.id)
    if row is None:
        raise NotFound("unknown_profile", f"no device profile is called {new.id[:40]!r}")
    if row["version"] != version:
        raise Conflict(
            "profile_changed", f"profile {new.id} is at version {row['version']}, not {version}: look at it again first"
        )
    check_successor(msgspec.convert(row["definition"], DeviceProfile), new)
    await connection.execute(
        "UPDATE registry.profile SET definition = $2, version = $3, updated_at = now() WHERE id = $1",
        new.id,
        new,
        version + 1,
    )
    await _keep(connection, new, version + 1, person_id, note)
    return await profile(connection, new.id)


async def sites_with(connection: Connection, profile_id: str) -> list[SiteId]:
    """Where devices of it stand."""
    rows = await connection.fetch(
        "SELECT DISTINCT site_id FROM registry.device WHERE profile_id = $1 AND retired_at IS NULL", profile_id
    )
    return [row["site_id"] for row in rows]


async def _keep(connection: Connection, new: DeviceProfile, version: int, person_id: str, note: str) -> None:
    await connection.execute(
        "INSERT INTO registry.profile_version (profile_id, version, definition, created_by, note)"
        " VALUES ($1, $2, $3, $4, $5)",
        new.id,
        version,
        new,
        person_id,
        note,
    )


def _row(row: asyncpg.Record) -> ProfileRow:
    return msgspec.convert(dict(row), ProfileRow)
