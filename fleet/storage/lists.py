"""Revocation lists and what goes into them, for the authority that signs them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from fleet.storage.certificates import Entry
from fleet.storage.database import Connection
from fleet.storage.revocations import Unsigned

_ONE_AT_A_TIME: Final = 0x50_1A_13  # any constant: two authorities, or one and a command line, never number lists at once


class Revoked(msgspec.Struct, frozen=True):
    serial: str
    at: datetime
    reason: str


class NewList(msgspec.Struct, frozen=True):
    number: int
    der: bytes
    this_update: datetime
    next_update: datetime
    canary_chain: str
    canary_key: str


async def hold(connection: Connection) -> None:
    """Until the transaction ends, nobody else signs a list."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _ONE_AT_A_TIME)


async def newest(connection: Connection) -> tuple[int, datetime] | None:
    """Number and this_update of the last list."""
    row = await connection.fetchrow("SELECT number, this_update FROM pki.crl ORDER BY number DESC LIMIT 1")
    return None if row is None else (row["number"], row["this_update"])


async def outdated(connection: Connection) -> bool:
    """Whether something is revoked that no list says. What has ended needs none."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pki.certificate WHERE revoked_at IS NOT NULL AND crl_number IS NULL"
            " AND not_after > clock_timestamp())"
            " OR EXISTS (SELECT FROM pki.revocation WHERE crl_number IS NULL)"
        )
    )


async def revoke(connection: Connection, revocation: Unsigned) -> list[str]:
    """Every certificate that the device had when it was asked for, and that it renewed since. Returns the serials."""
    rows = await connection.fetch(
        "UPDATE pki.certificate SET revoked_at = clock_timestamp(), reason = $3"
        " WHERE device_id = $1 AND revoked_at IS NULL AND intent_at <= $2 RETURNING serial",
        revocation.device,
        revocation.requested_at,
        revocation.reason,
    )
    return [row["serial"] for row in rows]


async def revoked(connection: Connection, ending_after: datetime) -> list[Revoked]:
    rows = await connection.fetch(
        "SELECT serial, revoked_at, coalesce(reason, '') FROM pki.certificate"
        " WHERE revoked_at IS NOT NULL AND not_after > $1 ORDER BY revoked_at, serial",
        ending_after,
    )
    return [Revoked(*row.values()) for row in rows]


async def add(connection: Connection, new: NewList, named: Iterable[str]) -> None:
    """named: the serials that it holds."""
    await connection.execute(
        "INSERT INTO pki.crl (number, der, this_update, next_update, canary_chain, canary_key)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        *msgspec.structs.astuple(new),
    )
    await connection.execute(
        "UPDATE pki.certificate SET crl_number = $2"
        " WHERE serial = ANY($1::text[]) AND revoked_at IS NOT NULL AND crl_number IS NULL",
        list(named),
        new.number,
    )


async def remember(connection: Connection, line: Entry, at: datetime, reason: str) -> None:
    """A certificate that is revoked from the beginning."""
    await connection.execute(
        "INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, intent_at, not_before, not_after, der,"
        " revoked_at, reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        line.serial,
        line.site,
        line.device,
        line.key_hash,
        line.intent_at,
        line.not_before,
        line.not_after,
        line.der,
        at,
        reason,
    )


async def forget(connection: Connection, ended_before: datetime, keep_from: int) -> None:
    """Lists that nobody takes any more, and the canaries of such."""
    await connection.execute("DELETE FROM pki.crl WHERE next_update < $1 AND number < $2", ended_before, keep_from)
    await connection.execute(
        "DELETE FROM pki.certificate WHERE site_id = '' AND device_id LIKE 'canary-%' AND not_after < $1", ended_before
    )
