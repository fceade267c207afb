"""What changes in a database that was restored: what was true then and must not be believed now."""

from collections.abc import Sequence
from datetime import datetime

from fleet.storage.database import Connection


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
    if await connection.fetchval("SELECT to_regclass('pki.crl') IS NOT NULL"):
        await connection.execute("DELETE FROM pki.crl")
