"""The ledger: every certificate that a device was given, written down before it is signed."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import asyncpg
import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class CertificateRow(msgspec.Struct, frozen=True):
    """As people see it. serial: hexadecimal, lower case. issued_at None: it was never signed."""

    serial: str
    not_before: UnixMs
    not_after: UnixMs
    issued_at: UnixMs | None
    confirmed_at: UnixMs | None
    superseded_at: UnixMs | None
    revoked_at: UnixMs | None
    reason: str | None


class Entry(msgspec.Struct, frozen=True):
    """A line of the ledger, for the authority. der None: not signed yet, as far as anybody knows."""

    serial: str
    site: SiteId
    device: DeviceId
    key_hash: bytes
    claim: str | None
    renews: str | None
    intent_at: datetime
    not_before: datetime
    not_after: datetime
    der: bytes | None
    confirmed_at: datetime | None
    superseded_at: datetime | None
    revoked_at: datetime | None
    reason: str | None = None


_ENTRY: Final = """SELECT serial, site_id, device_id, key_hash, claim_id, renews, intent_at, not_before, not_after, der,
    confirmed_at, superseded_at, revoked_at, reason FROM pki.certificate"""


async def certificates_of(connection: Connection, device: DeviceId) -> list[CertificateRow]:
    """The newest first."""
    rows = await connection.fetch(
        "SELECT serial, (extract(epoch FROM not_before) * 1000)::bigint AS not_before,"
        " (extract(epoch FROM not_after) * 1000)::bigint AS not_after,"
        " CASE WHEN der IS NOT NULL THEN (extract(epoch FROM intent_at) * 1000)::bigint END AS issued_at,"
        " (extract(epoch FROM confirmed_at) * 1000)::bigint AS confirmed_at,"
        " (extract(epoch FROM superseded_at) * 1000)::bigint AS superseded_at,"
        " (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_at, reason"
        " FROM pki.certificate WHERE device_id = $1 ORDER BY intent_at DESC, serial",
        device,
    )
    return [msgspec.convert(dict(row), CertificateRow) for row in rows]


async def entry(connection: Connection, serial: str) -> Entry | None:
    return _entry(await connection.fetchrow(f"{_ENTRY} WHERE serial = $1", serial))


async def of_claim(connection: Connection, claim: str, key_hash: bytes) -> Entry | None:
    """What this claim's use has led to."""
    return _entry(await connection.fetchrow(f"{_ENTRY} WHERE claim_id = $1 AND key_hash = $2", claim, key_hash))


async def successor_of(connection: Connection, serial: str) -> Entry | None:
    """The one that follows, unless it was revoked."""
    return _entry(await connection.fetchrow(f"{_ENTRY} WHERE renews = $1 AND revoked_at IS NULL", serial))


async def intend(connection: Connection, new: Entry) -> None:
    """Before anything is signed. Of one device, one certificate only may be in force."""
    await connection.execute(
        "INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, claim_id, renews, intent_at, not_before,"
        " not_after, der, confirmed_at, superseded_at, revoked_at, reason)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        *msgspec.structs.astuple(new),
    )


async def store(connection: Connection, serial: str, der: bytes) -> bytes | None:
    """The signed certificate that stands from now on: the first one stored. None: it was revoked meanwhile."""
    stored: bytes | None = await connection.fetchval(
        "UPDATE pki.certificate SET der = coalesce(der, $2) WHERE serial = $1 AND revoked_at IS NULL RETURNING der",
        serial,
        der,
    )
    return stored


async def supersede(connection: Connection, serial: str, at: datetime) -> None:
    await connection.execute("UPDATE pki.certificate SET superseded_at = $2 WHERE serial = $1", serial, at)


async def confirm(connection: Connection, used: Entry) -> bool:
    """It was used, so its device has it: those that it follows are revoked. Whether that revoked any."""
    await connection.execute(
        "UPDATE pki.certificate SET confirmed_at = clock_timestamp() WHERE serial = $1 AND confirmed_at IS NULL", used.serial
    )
    done = await connection.fetch(
        "UPDATE pki.certificate SET revoked_at = clock_timestamp(), reason = 'superseded'"
        " WHERE device_id = $1 AND superseded_at IS NOT NULL AND revoked_at IS NULL AND serial <> $2 RETURNING serial",
        used.device,
        used.serial,
    )
    return bool(done)


async def revoke_all_of(connection: Connection, device: DeviceId, at: datetime) -> list[str]:
    """Every certificate of the device, because new hardware takes its place. Returns their serials."""
    rows = await connection.fetch(
        "UPDATE pki.certificate SET revoked_at = $2, reason = 'superseded' WHERE device_id = $1 AND revoked_at IS NULL"
        " RETURNING serial",
        device,
        at,
    )
    return [row["serial"] for row in rows]


async def revoke_one(connection: Connection, serial: str, at: datetime) -> None:
    await connection.execute(
        "UPDATE pki.certificate SET revoked_at = $2, reason = 'superseded' WHERE serial = $1 AND revoked_at IS NULL",
        serial,
        at,
    )


async def known_serials(connection: Connection, serials: Iterable[str]) -> set[str]:
    rows = await connection.fetch("SELECT serial FROM pki.certificate WHERE serial = ANY($1::text[])", list(serials))
    return {row["serial"] for row in rows}


async def in_force(connection: Connection, devices: Iterable[str]) -> dict[str, Entry]:
    """By device."""
    rows = await connection.fetch(
        f"{_ENTRY} WHERE device_id = ANY($1::text[]) AND superseded_at IS NULL AND revoked_at IS NULL", list(devices)
    )
    return {row["device_id"]: Entry(*row.values()) for row in rows}


async def all_entries(connection: Connection) -> list[Entry]:
    """Of devices; the revocation lists' canaries have no site."""
    rows = await connection.fetch(f"{_ENTRY} WHERE site_id <> '' ORDER BY device_id, intent_at")
    return [Entry(*row.values()) for row in rows]


def _entry(row: asyncpg.Record | None) -> Entry | None:
    return None if row is None else Entry(*row.values())
