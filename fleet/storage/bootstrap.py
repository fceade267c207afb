"""What a new installation needs in its registry. Run by the database's owner; repeating it changes nothing."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from fleet.fleet_plan import PlannedSite
from fleet.ids import DeviceId, SiteId
from fleet.placement import slot_of
from fleet.profiles import DeviceProfile
from fleet.storage.database import Connection

OrganisationKind = Literal["installer", "customer", "platform"]


class NewOrganisation(msgspec.Struct, frozen=True):
    id: str
    name: str
    kind: OrganisationKind


class NewPerson(msgspec.Struct, frozen=True):
    id: str
    organisation_id: str
    email: str
    name: str
    role: Literal["customer", "energy_manager", "installer", "ops", "admin"]
    password_hash: str


class OwnedSite(msgspec.Struct, frozen=True):
    site: PlannedSite
    customer_organisation_id: str
    installer_organisation_id: str


async def store_profiles(connection: Connection, profiles: Iterable[DeviceProfile]) -> None:
    """The shipped profiles, as this version has them, each change a version of its own.

    One whose version in force was made by a person stays as that person made it.
    """
    for profile in profiles:
        await _store_profile(connection, profile)


async def _store_profile(connection: Connection, profile: DeviceProfile) -> None:
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO registry.profile (id, definition) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", profile.id, profile
        )
        now = await connection.fetchrow(
            "SELECT p.version, p.definition = $2::jsonb AS same, v.created_by FROM registry.profile p"
            " LEFT JOIN registry.profile_version v ON v.profile_id = p.id AND v.version = p.version"
            " WHERE p.id = $1 FOR UPDATE OF p",
            profile.id,
            profile,
        )
        if now is None or now["created_by"] is not None:
            return
        await connection.execute(  # those of before there were versions
            "INSERT INTO registry.profile_version (profile_id, version, definition)"
            " SELECT id, version, definition FROM registry.profile WHERE id = $1 ON CONFLICT DO NOTHING",
            profile.id,
        )
        if not now["same"]:
            await connection.execute(
                "WITH changed AS (UPDATE registry.profile SET definition = $2, version = version + 1, updated_at = now()"
                " WHERE id = $1 RETURNING id, version, definition)"
                " INSERT INTO registry.profile_version (profile_id, version, definition) SELECT * FROM changed",
                profile.id,
                profile,
            )


async def store_organisations(connection: Connection, organisations: Iterable[NewOrganisation]) -> None:
    await connection.executemany(
        "INSERT INTO accounts.organisation (id, name, kind) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        [(each.id, each.name, each.kind) for each in organisations],
    )


async def store_persons(connection: Connection, persons: Iterable[NewPerson]) -> None:
    await connection.executemany(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (id) DO NOTHING",
        [(each.id, each.organisation_id, each.email, each.name, each.role, each.password_hash) for each in persons],
    )


async def store_sites(connection: Connection, sites: Iterable[OwnedSite]) -> None:
    """The sites with their devices. Their organisations and profiles must be there."""
    sites = list(sites)
    await connection.executemany(
        "INSERT INTO registry.site (id, slot, name, timezone, latitude, longitude, peak_power_w, department,"
        " customer_organisation_id, installer_organisation_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
        " ON CONFLICT (id) DO NOTHING",
        [_site_row(each) for each in sites],
    )
    await connection.executemany(
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (id) DO NOTHING",
        [
            (device.id, each.site.id, device.profile_id, device.name, device.serial)
            for each in sites
            for device in each.site.devices
        ],
    )


async def store_logger(connection: Connection, site: SiteId, device: DeviceId, name: str, password_hash: str) -> None:
    """A data logger with an account of the drop box."""
    await connection.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, 'logger', $3)"
        " ON CONFLICT (id) DO NOTHING",
        device,
        site,
        name,
    )
    await connection.execute(
        "INSERT INTO imports.account (device_id, site_id, password_hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        device,
        site,
        password_hash,
    )


async def store_file_device(
    connection: Connection, site: SiteId, device: DeviceId, logger: DeviceId, profile: str, name: str, serial: str
) -> None:
    """A device whose readings come in a logger's files."""
    await connection.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial, gateway_id) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (id) DO NOTHING",
        device,
        site,
        profile,
        name,
        serial,
        logger,
    )


async def site_count(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM registry.site"))


async def has_admin(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT accounts.has_admin()"))


async def devices_of_the_authority(connection: Connection) -> set[str]:
    """Those whose certificates are no longer the command line's business: revoked ones, and whoever enrolled by a claim."""
    rows = await connection.fetch(
        "SELECT device_id FROM pki.revocation UNION SELECT device_id FROM pki.claim WHERE used_at IS NOT NULL"
    )
    return {row["device_id"] for row in rows}


def _site_row(owned: OwnedSite) -> tuple[SiteId, int, str, str, float, float, float, str, str, str]:
    site = owned.site
    return (
        site.id,
        slot_of(site.id),
        site.name,
        site.timezone,
        site.latitude,
        site.longitude,
        site.peak_power_w,
        site.department,
        owned.customer_organisation_id,
        owned.installer_organisation_id,
    )
