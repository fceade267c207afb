"""New sites and devices, as their makers' forms say: below row-level security, twice the same form makes one thing."""

from collections.abc import Sequence
from typing import Literal

import asyncpg
import msgspec

from fleet.commissioning import PvArray
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.placement import slot_of
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

Outcome = Literal["made", "known", "not_allowed", "owner_email_unusable", "id_taken"]


class SiteForm(msgspec.Struct, frozen=True):
    """person_id and organisation_id: for an owner whose e-mail address nobody has yet."""

    id: SiteId
    name: str
    timezone: str
    latitude: float
    longitude: float
    department: str | None
    address: str
    pdl: str | None
    arrays: Sequence[PvArray]
    request_id: str | None
    person_id: str
    organisation_id: str
    owner_email: str
    owner_name: str
    owner_locale: str


class DeviceForm(msgspec.Struct, frozen=True):
    """gateway None: only files tell of it. serial None: they do not call it by any."""

    id: DeviceId
    site: SiteId
    profile: str
    name: str
    serial: str | None
    gateway: DeviceId | None


class SerialHolder(msgspec.Struct, frozen=True):
    """The device that has this serial already, or the claim that reserves it."""

    device: DeviceId
    site: SiteId
    name: str
    profile: str
    gateway: DeviceId | None
    claimed: bool


async def create_site(connection: Connection, form: SiteForm) -> tuple[Outcome, SiteId | None]:
    """The site's id when it was made, or known from the same request."""
    row = await connection.fetchrow(
        "SELECT outcome, site_id FROM registry.create_site"
        "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        form.id,
        slot_of(form.id),
        form.name,
        form.timezone,
        form.latitude,
        form.longitude,
        sum(array.peak_power_w for array in form.arrays),
        form.department,
        form.address,
        form.pdl,
        list(form.arrays),
        form.request_id,
        form.person_id,
        form.organisation_id,
        form.owner_email,
        form.owner_name,
        form.owner_locale,
    )
    assert row is not None, "the function always answers"  # noqa: S101 - for the type checker
    return row["outcome"], row["site_id"]


async def device_id_is_taken(connection: Connection, device: DeviceId) -> bool:
    """By a device or by a claim, wherever."""
    return bool(await connection.fetchval("SELECT registry.device_exists($1)", device))


async def serial_holder(
    connection: Connection,
    serial: str,
    *,
    site: SiteId,
    besides: DeviceId | None = None,
    request_id: str | None = None,
) -> SerialHolder | None:
    """Who has this serial, of what the acting person may see, at `site` first; but this device, and this request's claim."""
    row = await connection.fetchrow(
        "SELECT * FROM (SELECT id AS device, site_id AS site, name, profile_id AS profile, gateway_id AS gateway,"
        " false AS claimed FROM registry.device WHERE serial = $1 AND retired_at IS NULL"
        " UNION ALL SELECT device_id, site_id, device_name, profile_id, NULL, true FROM pki.claim WHERE serial = $1"
        " AND site_id = $2 AND used_at IS NULL AND cancelled_at IS NULL AND locked_at IS NULL AND expires_at > now()"
        " AND ($4::text IS NULL OR request_id IS DISTINCT FROM $4)"
        ") held WHERE device IS DISTINCT FROM $3 ORDER BY site <> $2, claimed, device LIMIT 1",
        serial,
        site,
        besides,
        request_id,
    )
    return msgspec.convert(dict(row), SerialHolder) if row else None


async def add_device(connection: Connection, form: DeviceForm) -> None:
    """A device that somebody else speaks for, so that it needs no certificate.

    Raises NotFound (unknown_profile, unknown_device), Conflict (serial_taken).
    """
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO registry.device (id, site_id, profile_id, name, serial, gateway_id)"
                " VALUES ($1, $2, $3, $4, $5, $6)",
                *msgspec.structs.astuple(form),
            )
    except asyncpg.ForeignKeyViolationError as error:
        if "profile" in (error.constraint_name or ""):
            raise NotFound("unknown_profile", f"no device profile is called {form.profile[:40]!r}") from None
        raise NotFound("unknown_device", f"no device {form.gateway}") from None
    except asyncpg.UniqueViolationError:
        raise Conflict("serial_taken", f"serial {form.serial} has a device at this site already") from None


async def lock_serial(connection: Connection, site: SiteId, serial: str) -> None:
    """Until the transaction ends: of two forms with one serial the second one sees what the first one made."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('serial ' || $1 || ' ' || $2, 0))", site, serial)


async def change_serial(
    connection: Connection, *, site: SiteId, device: DeviceId, old: str | None, new: str, person_id: str
) -> UnixMs:
    """Other hardware in the same place. Returns from when on."""
    await connection.execute("UPDATE registry.device SET serial = $2 WHERE id = $1", device, new)
    at: UnixMs = await connection.fetchval(
        "INSERT INTO registry.replacement (site_id, device_id, at, old_serial, new_serial, person_id)"
        " VALUES ($1, $2, date_trunc('milliseconds', clock_timestamp()), $3, $4, $5)"
        " RETURNING (extract(epoch FROM at) * 1000)::bigint",
        site,
        device,
        old,
        new,
        person_id,
    )
    return at


async def first_sample_at(connection: Connection, site: SiteId, device: DeviceId, since: UnixMs) -> UnixMs | None:
    """When the first sample was taken that arrived since then."""
    at: UnixMs | None = await connection.fetchval(
        "SELECT (extract(epoch FROM time) * 1000)::bigint FROM telemetry.sample WHERE site_id = $1 AND device_id = $2"
        " AND time > to_timestamp($3::float8 / 1000) - interval '2 days' AND received_at >= to_timestamp($3::float8 / 1000)"
        " ORDER BY time LIMIT 1",
        site,
        device,
        float(since),
    )
    return at
