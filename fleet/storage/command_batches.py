"""One command for a selection of devices: what it was for, and how far its commands have got. For operations."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fleet.commands import OPEN_STATES, STATES, CommandState
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class NewBatch(msgspec.Struct, frozen=True):
    """devices: whom it is for, as it was confirmed; skipped: reason → how many of the selection it is not for."""

    id: str
    name: str
    args: dict[str, Any]
    selection: dict[str, Any]
    expires_at: UnixMs
    devices: tuple[DeviceId, ...]
    skipped: dict[str, int]
    person_id: str
    key: str | None


class BatchRow(msgspec.Struct, frozen=True):
    """counts: state → commands. devices: how many it is for. issued_at null: it was cut short, and some of its devices may
    not have theirs; the same request with its key completes it.
    """

    id: str
    name: str
    args: dict[str, Any]
    selection: dict[str, Any]
    devices: int
    skipped: dict[str, int]
    created_at: UnixMs
    created_by: str | None
    giver: str | None
    expires_at: UnixMs
    issued_at: UnixMs | None
    counts: dict[CommandState, int]

    @property
    def is_open(self) -> bool:
        return self.issued_at is None or any(self.counts.get(state) for state in OPEN_STATES)


_BATCHES: Final = """
    SELECT b.id, b.name, b.args, b.selection, b.devices, b.skipped,
           (extract(epoch FROM b.created_at) * 1000)::bigint AS created_at, b.created_by,
           accounts.name_in_history(b.created_by) AS giver, (extract(epoch FROM b.expires_at) * 1000)::bigint AS expires_at,
           (extract(epoch FROM b.issued_at) * 1000)::bigint AS issued_at,
           (SELECT coalesce(jsonb_object_agg(n.state, n.commands), '{}') FROM (
               SELECT c.state, count(*) AS commands FROM remote.command c WHERE c.batch_id = b.id GROUP BY c.state
           ) n) AS counts
    FROM remote.command_batch b
"""


async def begin(connection: Connection, new: NewBatch) -> tuple[BatchRow, bool]:
    """This one, true; or what the same person has begun with the same key meanwhile, false. Raises Conflict (key_reused)."""
    made = await connection.fetchval(
        "INSERT INTO remote.command_batch (id, name, args, selection, expires_at, devices, addressed, skipped,"
        " created_by, idempotency_key) VALUES ($1, $2, $3, $4, $5, cardinality($6::text[]), $6, $7, $8, $9)"
        " ON CONFLICT (created_by, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING id",
        new.id,
        new.name,
        new.args,
        new.selection,
        datetime.fromtimestamp(new.expires_at / 1000, UTC),
        new.devices,
        new.skipped,
        new.person_id,
        new.key,
    )
    if made is not None:
        return await batch(connection, made), True
    began = await earlier(connection, new.person_id, new.key, new.name, new.args, new.selection)
    if began is None:
        raise Conflict("key_reused", "this key is being used for another command")
    return began, False


async def earlier(
    connection: Connection,
    person_id: str,
    key: str | None,
    name: str,
    args: Mapping[str, Any],
    selection: Mapping[str, Any],
) -> BatchRow | None:
    """What this person began with this key. Raises Conflict (key_reused) when that was something else."""
    began = await connection.fetchval(
        "SELECT id FROM remote.command_batch WHERE created_by = $1 AND idempotency_key = $2", person_id, key
    )
    if began is None:
        return None
    row = await batch(connection, began)
    if (row.name, row.args, row.selection) != (name, args, selection):
        raise Conflict("key_reused", "this key was used for another command or another selection")
    return row


async def addressed(connection: Connection, batch_id: str) -> list[DeviceId]:
    """Whom it was confirmed for, whatever its selection means by now. Raises Conflict (batch_unlisted)."""
    devices = await connection.fetchval("SELECT addressed FROM remote.command_batch WHERE id = $1", batch_id)
    if devices is None:
        raise Conflict("batch_unlisted", "an older release began it, and did not note whom it was for: give a new command")
    return [DeviceId(device) for device in devices]


async def finish(connection: Connection, batch_id: str, devices: int, skipped: Mapping[str, int]) -> None:
    """Every device that it is for has its command."""
    await connection.execute(
        "UPDATE remote.command_batch SET issued_at = now(), devices = $2, skipped = $3 WHERE id = $1",
        batch_id,
        devices,
        dict(skipped),
    )


async def batch(connection: Connection, batch_id: str) -> BatchRow:
    """Raises NotFound (unknown_batch)."""
    row = await connection.fetchrow(f"{_BATCHES} WHERE b.id = $1", batch_id)
    if row is None:
        raise NotFound("unknown_batch", f"no command for several devices has the id {batch_id[:40]}")
    found = msgspec.convert(dict(row), BatchRow)
    return msgspec.structs.replace(found, counts={state: found.counts.get(state, 0) for state in STATES})


async def newest(connection: Connection, limit: int) -> list[BatchRow]:
    rows = await connection.fetch(f"{_BATCHES} ORDER BY b.id DESC LIMIT $1", limit)
    return [msgspec.convert(dict(row), BatchRow) for row in rows]
