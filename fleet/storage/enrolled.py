"""The registry as the certificate authority sees it: the places that devices enrol into."""

from datetime import datetime

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.storage.claims import HeldClaim
from fleet.storage.database import Connection


class HeldDevice(msgspec.Struct, frozen=True):
    """A device whose row this transaction holds: it is enrolled, renewed and revoked one after the other.

    revoked_at: or retired; a place that is given up takes its hardware's rights along.
    """

    site: SiteId
    serial: str | None
    revoked_at: datetime | None


class Place(msgspec.Struct, frozen=True):
    """What a device is told about itself."""

    site: SiteId
    name: str
    profile: str
    serial: str | None
    interval_s: float


async def hold(connection: Connection, device: DeviceId) -> HeldDevice | None:
    row = await connection.fetchrow(
        "SELECT site_id, serial, coalesce(revoked_at, retired_at) FROM registry.device WHERE id = $1 FOR UPDATE", device
    )
    return None if row is None else HeldDevice(*row.values())


async def some_exist(connection: Connection, names: list[str]) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM registry.device WHERE id = ANY($1::text[]))", names))


async def add(connection: Connection, claim: HeldClaim) -> datetime:
    """Returns the database's clock after that. Raises asyncpg.UniqueViolationError: another device has this serial."""
    at: datetime = await connection.fetchval(
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial, enrolled_at)"
        " VALUES ($1, $2, $3, $4, $5, clock_timestamp()) RETURNING clock_timestamp()",
        claim.device,
        claim.site,
        claim.profile,
        claim.device_name,
        claim.serial,
    )
    return at


async def take_over(connection: Connection, claim: HeldClaim, before: HeldDevice) -> datetime:
    """The place gets other hardware, or the same with another key. As `add`."""
    at: datetime = await connection.fetchval(
        "UPDATE registry.device SET profile_id = $2, name = $3, serial = CASE WHEN $5 THEN $4 ELSE coalesce($4, serial) END,"
        " enrolled_at = clock_timestamp(), revoked_at = NULL, retired_at = NULL WHERE id = $1 RETURNING clock_timestamp()",
        claim.device,
        claim.profile,
        claim.device_name,
        claim.serial,
        claim.replaces,
    )
    if claim.replaces and (claim.serial is None or claim.serial != before.serial):
        await connection.execute(
            "INSERT INTO registry.replacement (site_id, device_id, at, old_serial, new_serial, person_id)"
            " VALUES ($1, $2, $3, $4, $5, $6)",
            claim.site,
            claim.device,
            at,
            before.serial,
            claim.serial,
            claim.created_by,
        )
    return at


async def place(connection: Connection, device: DeviceId) -> Place | None:
    row = await connection.fetchrow(
        "SELECT d.site_id, d.name, d.profile_id, d.serial, (p.definition->>'interval_s')::float8"
        " FROM registry.device d JOIN registry.profile p ON p.id = d.profile_id WHERE d.id = $1",
        device,
    )
    return None if row is None else Place(*row.values())


async def places_of(connection: Connection, devices: list[str]) -> dict[str, HeldDevice]:
    """By device, held until the transaction ends."""
    rows = await connection.fetch(
        "SELECT id, site_id, serial, revoked_at FROM registry.device WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE",
        devices,
    )
    return {row["id"]: HeldDevice(row["site_id"], row["serial"], row["revoked_at"]) for row in rows}
