"""What changes in a database that was restored: what was true then and must not be believed now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from fleet.device_orders import Step
from fleet.limits import ORDERS_AT_ONCE
from fleet.receipts import Receipt
from fleet.rollouts.lifecycle import Stop, move
from fleet.storage import audit, orders
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

# The stop's wave is its rollout's.
_PAUSE: Final = """
    UPDATE remote.rollout SET state = $1, stopped = $2 || jsonb_build_object('wave', wave), revision = revision + 1
    WHERE state = 'running' RETURNING id, name, stopped
"""
_WAITING: Final = "SELECT id FROM remote.command WHERE state = 'queued' ORDER BY site_id, device_id, number LIMIT $1"


async def end_sessions(connection: Connection) -> None:
    """Whoever was signed out since would be signed in again."""
    await connection.execute(
        "UPDATE accounts.session SET revoked_at = now(), revoked_why = 'restored' WHERE revoked_at IS NULL"
    )


async def revoke_again(connection: Connection, held: Sequence[tuple[str, datetime]]) -> list[tuple[str, str]]:
    """Serials that a newer list revokes, in hexadecimal, and when. Returns (serial, device) of those in force here."""
    rows = await connection.fetch(
        "UPDATE pki.certificate c SET revoked_at = h.at, reason = coalesce(c.reason, 'restored')"
        " FROM unnest($1::text[], $2::timestamptz[]) AS h (serial, at)"
        " WHERE c.serial = h.serial AND c.revoked_at IS NULL RETURNING c.serial, c.device_id",
        [serial for serial, _ in held],
        [at for _, at in held],
    )
    return sorted((row["serial"], row["device_id"]) for row in rows)


async def revoke_unknown(connection: Connection, held: Sequence[tuple[str, datetime]], until: datetime) -> int:
    """Serials of certificates that were issued and revoked since: the ledger does not know them, devices still show them.

    until: when the last of them has ended. Returns how many.
    """
    rows = await connection.fetch(
        "INSERT INTO pki.certificate"
        " (serial, site_id, device_id, key_hash, intent_at, not_before, not_after, revoked_at, reason)"
        " SELECT h.serial, '', '', '', h.at, h.at, $3, h.at, 'restored'"
        " FROM unnest($1::text[], $2::timestamptz[]) AS h (serial, at)"
        " ON CONFLICT (serial) DO NOTHING RETURNING serial",
        [serial for serial, _ in held],
        [at for _, at in held],
        until,
    )
    return len(rows)


async def forget_lists(connection: Connection) -> None:
    """So that the authority signs the next one at once, above the number in its folder."""
    if await _is_there(connection, "pki.crl"):
        await connection.execute("DELETE FROM pki.crl")


async def pause_rollouts(connection: Connection, now: UnixMs) -> list[str]:
    """Those that were under way: one may have been aborted since, and its devices told otherwise. Their names."""
    if not await _is_there(connection, "remote.rollout"):
        return []
    rows = await connection.fetch(_PAUSE, move("running", "pause"), Stop("restored", now, 0))
    for row in rows:
        detail = {"event": "pause", "stop": row["stopped"]}
        await audit.record(connection, "rollout.stop", subject=row["id"], detail=detail)
    return sorted(row["name"] for row in rows)


async def cancel_commands(connection: Connection, now: UnixMs, chain: int) -> int:
    """Those that were not sent yet, with their receipts: they may have been sent since, or taken back. How many.

    chain: the receipts', their own, so that the others still begin as they did in the installation that was lost.
    """
    if not await _is_there(connection, "remote.command"):
        return 0
    cancelled = 0
    while ids := [row["id"] for row in await connection.fetch(_WAITING, ORDERS_AT_ONCE)]:
        steps = []
        for command in (await orders.commands_by_id(connection, ids)).values():
            receipt = Receipt(now, command.site, command.device, "command.cancelled", command.id, {"why": "restored"})
            after = command.moved("cancel", now)
            steps.append(Step(command.site, command.device, commands=(after,), receipts=(receipt,)))
        await orders.save_steps(connection, steps)
        await orders.save_receipts(connection, chain, steps)
        cancelled += len(ids)
    return cancelled


async def _is_there(connection: Connection, table: str) -> bool:
    """An older release's database may not have it."""
    return bool(await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", table))
