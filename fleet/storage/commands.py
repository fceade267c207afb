"""Commands as people see them: one, those of a device or of all, below row-level security, the newest first."""

from collections.abc import Collection, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from fleet.commands import OPEN_STATES, CommandState, LateAnswer
from fleet.errors import NotFound
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile
from fleet.storage import registry
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class CommandRow(msgspec.Struct, frozen=True):
    """A command and how far it has got; the times are those of its steps, null while they have not happened.

    state     `sent` says that the broker has it; only `accepted` and what follows come from the device itself
    detail    what the device answered; of one that was not told any more, because its profile allows it no more, `why`
    late      an answer that came when the command had been given up
    giver     the name of who gave it, where you may see it
    revision  grows with every change
    """

    id: str
    site: SiteId
    site_name: str
    timezone: str
    device: DeviceId
    device_name: str
    number: int
    name: str
    args: dict[str, Any]
    state: CommandState
    revision: int
    created_at: UnixMs
    created_by: str | None
    giver: str | None
    batch: str | None
    expires_at: UnixMs
    run_s: float
    sent_at: UnixMs | None
    accepted_at: UnixMs | None
    ended_at: UnixMs | None
    detail: Any
    late: LateAnswer | None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class Mark(msgspec.Struct, frozen=True):
    """How far one command has got."""

    id: str
    state: CommandState
    revision: int


class Standing(msgspec.Struct, frozen=True):
    """All commands at a glance. open: state → commands, of those that have not ended."""

    open: dict[CommandState, int]
    newest: list[Mark]


class Addressee(msgspec.Struct, frozen=True):
    """A device as far as it matters for telling it something. gateway: who speaks for it."""

    id: DeviceId
    site: SiteId
    profile: DeviceProfile
    gateway: DeviceId | None
    revoked: bool


_COLUMNS: Final = """
    c.id, c.site_id AS site, s.name AS site_name, s.timezone, c.device_id AS device,
    coalesce(d.name, c.device_id) AS device_name, c.number, c.name, c.args, c.state, c.revision,
    (extract(epoch FROM c.created_at) * 1000)::bigint AS created_at, c.created_by,
    accounts.name_in_history(c.created_by) AS giver, c.batch_id AS batch,
    (extract(epoch FROM c.expires_at) * 1000)::bigint AS expires_at, c.run_s,
    (extract(epoch FROM c.sent_at) * 1000)::bigint AS sent_at,
    (extract(epoch FROM c.accepted_at) * 1000)::bigint AS accepted_at,
    (extract(epoch FROM c.ended_at) * 1000)::bigint AS ended_at, c.detail, c.late
"""
_NAMES: Final = """
    JOIN registry.site s ON s.id = c.site_id
    LEFT JOIN registry.device d ON d.id = c.device_id
"""
_ONE: Final = f"SELECT {_COLUMNS} FROM remote.command c {_NAMES} WHERE c.id = $1"  # noqa: S608 - put together from constants
# Picked before anything is looked up about them: names are asked for a page's worth only.
_LIST: Final = f"""
    SELECT {_COLUMNS} FROM (
        SELECT * FROM remote.command k
        WHERE ($1::text IS NULL OR k.device_id = $1) AND ($2::text IS NULL OR k.batch_id = $2)
          AND ($3::text[] IS NULL OR k.state = ANY($3)) AND ($4::text IS NULL OR k.id < $4)
        ORDER BY k.id DESC LIMIT $5
    ) c {_NAMES} ORDER BY c.id DESC
"""  # noqa: S608 - put together from constants
_ADDRESSEE: Final = """
    SELECT d.id, d.site_id, p.definition, d.gateway_id, d.revoked_at IS NOT NULL
    FROM registry.device d JOIN registry.profile p ON p.id = d.profile_id WHERE d.id = $1 AND d.retired_at IS NULL
"""


async def command(connection: Connection, command_id: str) -> CommandRow:
    """Raises NotFound (unknown_command_id), also for one that the acting person may not see."""
    row = await connection.fetchrow(_ONE, command_id)
    if row is None:
        raise NotFound("unknown_command_id", f"no command {command_id[:40]}")
    return _row(row)


async def commands(
    connection: Connection,
    *,
    device: DeviceId | None = None,
    batch: str | None = None,
    states: Sequence[CommandState] | None = None,
    before: str | None = None,
    limit: int,
) -> list[CommandRow]:
    """Newest first, of all devices that the acting person may see. before: the id where a page ends."""
    wanted = None if states is None else list(states)
    return [_row(row) for row in await connection.fetch(_LIST, device, batch, wanted, before, limit)]


async def standing(connection: Connection, newest: int) -> Standing:
    """Of all devices that the acting person may see."""
    counted = await connection.fetch(
        "SELECT state, count(*) FROM remote.command WHERE state IN ('queued', 'sent', 'accepted') GROUP BY state"
    )
    marks = await connection.fetch("SELECT id, state, revision FROM remote.command ORDER BY id DESC LIMIT $1", newest)
    return Standing({row["state"]: row["count"] for row in counted}, [Mark(*row.values()) for row in marks])


async def addressee(connection: Connection, device: DeviceId) -> Addressee:
    """Raises NotFound (unknown_device), also for one that is not to be seen, or was retired."""
    row = await connection.fetchrow(_ADDRESSEE, device)
    if row is None:
        raise registry.no_device(device)
    device_id, site, definition, gateway, revoked = row.values()
    return Addressee(device_id, site, msgspec.convert(definition, DeviceProfile), gateway, revoked)


async def profiles(connection: Connection, ids: Collection[str]) -> dict[str, DeviceProfile]:
    """By id; those that do not exist are left out."""
    rows = await connection.fetch("SELECT definition FROM registry.profile WHERE id = ANY($1::text[])", list(ids))
    return {each.id: each for each in (msgspec.convert(row["definition"], DeviceProfile) for row in rows)}


def _row(row: asyncpg.Record) -> CommandRow:
    return msgspec.convert(dict(row), CommandRow)
