"""Groups: saved queries for devices, and the template that rollouts have made of each. For operations."""

from typing import Final

import asyncpg
import msgspec

from fleet.configuration import Values
from fleet.errors import Conflict, NotFound
from fleet.limits import GROUPS_MAX
from fleet.storage.database import Connection
from fleet.targets import TargetQuery
from fleet.telemetry import UnixMs


class GroupRow(msgspec.Struct, frozen=True):
    """values: what its rollouts have made the template of its devices; rollout: the one that brought them.

    revision: of name and query.
    """

    id: str
    name: str
    query: TargetQuery
    values: Values
    rollout: str | None
    revision: int
    created_at: UnixMs
    created_by: str | None
    updated_at: UnixMs


_ROW: Final = """
    SELECT id, name, query, "values", rollout_id AS rollout, revision,
           (extract(epoch FROM created_at) * 1000)::bigint AS created_at, created_by,
           (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at
    FROM remote.device_group WHERE removed_at IS NULL
"""


async def groups(connection: Connection) -> list[GroupRow]:
    """All, by name."""
    return [_row(row) for row in await connection.fetch(f"{_ROW} ORDER BY lower(name), id LIMIT {GROUPS_MAX}")]


async def group(connection: Connection, group_id: str) -> GroupRow:
    """Raises NotFound (unknown_group)."""
    row = await connection.fetchrow(f"{_ROW} AND id = $1", group_id)
    if row is None:
        raise NotFound("unknown_group", f"no group {group_id[:40]!r}")
    return _row(row)


async def add_group(connection: Connection, *, group_id: str, name: str, query: TargetQuery, person_id: str) -> GroupRow:
    """Raises Conflict (group_name_taken, too_many_groups)."""
    await _lock(connection)
    if await connection.fetchval("SELECT count(*) FROM remote.device_group WHERE removed_at IS NULL") >= GROUPS_MAX:
        raise Conflict("too_many_groups", f"there are {GROUPS_MAX} groups at the most; remove one first")
    await _check_name(connection, group_id, name)
    await connection.execute(
        "INSERT INTO remote.device_group (id, name, query, created_by) VALUES ($1, $2, $3, $4)",
        group_id,
        name,
        query,
        person_id,
    )
    return await group(connection, group_id)


async def group_to_change(connection: Connection, group_id: str) -> GroupRow:
    """Nobody else changes it before the transaction ends. Raises NotFound (unknown_group)."""
    await _lock(connection)
    return await group(connection, group_id)


async def change_group(connection: Connection, group_id: str, *, name: str, query: TargetQuery) -> GroupRow:
    """After group_to_change. Rollouts that run go on with the query that they began with; who joins a continuous one later
    does so by this one.

    Raises Conflict (group_name_taken).
    """
    await _check_name(connection, group_id, name)
    await connection.execute(
        "UPDATE remote.device_group SET name = $2, query = $3, revision = revision + 1, updated_at = now() WHERE id = $1",
        group_id,
        name,
        query,
    )
    return await group(connection, group_id)


async def remove_group(connection: Connection, group_id: str) -> GroupRow:
    """What it brought to devices stays theirs. Raises NotFound (unknown_group), Conflict (group_in_use)."""
    row = await group_to_change(connection, group_id)
    running = await connection.fetchval(
        "SELECT name FROM remote.rollout WHERE group_id = $1 AND ended_at IS NULL LIMIT 1", group_id
    )
    if running is not None:
        raise Conflict("group_in_use", f"the rollout {running!r} works on this group; end it first")
    await connection.execute("UPDATE remote.device_group SET removed_at = now() WHERE id = $1", group_id)
    return row


async def _lock(connection: Connection) -> None:
    """Groups are changed rarely: one after the other, so that a name that is free stays free until it is taken."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('remote.device_group', 0))")


async def _check_name(connection: Connection, group_id: str, name: str) -> None:
    taken = await connection.fetchval(
        "SELECT true FROM remote.device_group WHERE lower(name) = lower($2) AND id <> $1 AND removed_at IS NULL",
        group_id,
        name,
    )
    if taken:
        raise Conflict("group_name_taken", f"another group is called {name!r}")


def _row(row: asyncpg.Record) -> GroupRow:
    return msgspec.convert(dict(row), GroupRow)
