"""Sites and devices as people see them: below row-level security, with what the twins last stored about them."""

from collections.abc import Iterable
from typing import Annotated

import asyncpg
import msgspec

from fleet.commissioning import PvArray
from fleet.errors import Conflict, NotFound
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs
from fleet.views import HEALTH_ORDER, Health, HealthStatus

_WORST_FIRST: tuple[HealthStatus, ...] = HEALTH_ORDER[::-1]


class SiteCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last site of a page: the place of its health, from 0 for the worst; names are not unique, so the id follows."""

    place: Annotated[int, msgspec.Meta(ge=0, lt=len(_WORST_FIRST))]
    name: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]
    id: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]


class SiteLabel(msgspec.Struct, frozen=True):
    id: SiteId
    name: str
    timezone: str


class SiteRow(msgspec.Struct, frozen=True):
    """customer: to an installer the owner's name as it was given when the site was made, and nothing of the account itself.

    pdl: in lists, and for those it is merely shared with, its last four digits only.
    """

    id: SiteId
    name: str
    timezone: str
    latitude: float
    longitude: float
    peak_power_w: float
    department: str | None
    customer: str | None
    installer: str | None
    created_at: UnixMs
    devices: int
    devices_online: int
    open_alerts: int
    health: Health
    address: str
    pdl: str | None
    arrays: list[PvArray]


class SiteUpdate(msgspec.Struct, frozen=True):
    """None leaves as it is."""

    name: str | None = None
    peak_power_w: float | None = None
    address: str | None = None
    department: str | None = None
    pdl: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    timezone: str | None = None
    arrays: list[PvArray] | None = None


class DeviceRow(msgspec.Struct, frozen=True):
    """gateway: the device that speaks for it. enrolled_at: it got a certificate of its own; revoked_at: it lost that."""

    id: DeviceId
    site: SiteId
    profile: str
    kind: str
    label_fr: str
    label_en: str
    channels: list[str]
    interval_s: float
    name: str
    serial: str | None
    created_at: UnixMs
    online: bool
    seen_at: UnixMs | None
    sample_at: UnixMs | None
    readings: dict[str, float]
    info: dict[str, object]
    health: Health
    gateway: DeviceId | None
    enrolled_at: UnixMs | None
    revoked_at: UnixMs | None
    tags: list[str] = []


_SITE = """
SELECT s.id, s.name, s.timezone, s.latitude, s.longitude, s.peak_power_w, s.department, s.address, s.arrays,
       CASE WHEN s.whole_pdl THEN s.pdl ELSE '··········' || right(s.pdl, 4) END AS pdl,
       CASE WHEN (SELECT accounts.acting_role()) = 'installer' AND s.owner_name <> '' THEN s.owner_name
            ELSE c.name END AS customer,
       i.name AS installer, (extract(epoch FROM s.created_at) * 1000)::bigint AS created_at,
       d.devices, d.devices_online, a.open_alerts, h.status, (extract(epoch FROM h.since) * 1000)::bigint AS since, h.reason
FROM picked s
LEFT JOIN accounts.organisation c ON c.id = s.customer_organisation_id
LEFT JOIN accounts.organisation i ON i.id = s.installer_organisation_id
LEFT JOIN supervision.health h ON h.site_id = s.id AND h.device_id = ''
CROSS JOIN LATERAL (
    SELECT count(*)::int AS devices, count(*) FILTER (WHERE l.online)::int AS devices_online
    FROM registry.device d LEFT JOIN telemetry.device_latest l ON l.site_id = d.site_id AND l.device_id = d.id
    WHERE d.site_id = s.id AND d.retired_at IS NULL
) d
CROSS JOIN LATERAL (
    SELECT count(*)::int AS open_alerts FROM supervision.alert a WHERE a.site_id = s.id AND a.resolved_at IS NULL
) a
"""
_ONE_SITE = f"""
WITH picked AS (SELECT *, 0 AS place, registry.may_see_pdl(id) AS whole_pdl FROM registry.site WHERE id = $1)
{_SITE}
"""  # noqa: S608 - put together from constants
# Whose turn it is is settled before anything is looked up about them. A site without a judgement counts as unknown.
_SITES_WORST_FIRST = f"""
WITH placed AS (
    SELECT s.*, array_position($1::text[], coalesce(h.status, 'unknown')) - 1 AS place
    FROM registry.site s LEFT JOIN supervision.health h ON h.site_id = s.id AND h.device_id = ''
    WHERE $2::text IS NULL OR s.name ILIKE $2 OR s.id ILIKE $2
), picked AS (
    SELECT *, false AS whole_pdl FROM placed
    WHERE $3::int IS NULL OR (place, name COLLATE "C", id) > ($3, $4, $5)
    ORDER BY place, name COLLATE "C", id LIMIT $6
)
{_SITE} ORDER BY s.place, s.name COLLATE "C", s.id
"""  # noqa: S608 - put together from constants

_DEVICE = """
SELECT d.id, d.site_id, d.profile_id, p.definition, d.name, d.serial,
       (extract(epoch FROM d.created_at) * 1000)::bigint AS created_at,
       coalesce(l.online, false) AS online, (extract(epoch FROM l.seen_at) * 1000)::bigint AS seen_at,
       (extract(epoch FROM l.sample_time) * 1000)::bigint AS sample_at, l.readings, l.info,
       d.gateway_id, (extract(epoch FROM d.enrolled_at) * 1000)::bigint AS enrolled_at,
       (extract(epoch FROM d.revoked_at) * 1000)::bigint AS revoked_at,
       ARRAY(SELECT t.tag FROM registry.device_tag t WHERE t.site_id = d.site_id AND t.device_id = d.id
             ORDER BY t.tag) AS tags,
       h.status, (extract(epoch FROM h.since) * 1000)::bigint AS since, h.reason
FROM registry.device d
JOIN registry.profile p ON p.id = d.profile_id
LEFT JOIN telemetry.device_latest l ON l.site_id = d.site_id AND l.device_id = d.id
LEFT JOIN supervision.health h ON h.site_id = d.site_id AND h.device_id = d.id
"""


async def list_sites(connection: Connection, *, text: str | None, after: SiteCursor | None, limit: int) -> list[SiteRow]:
    """The worst first, by the health that is stored; equally well ones by name. text: part of the name or id, any case.

    A site whose health changes while somebody walks through the pages may come twice or not at all, every other one once.
    """
    pattern = None if not text else f"%{_escaped(text)}%"
    position = (after.place, after.name, after.id) if after else (None, None, None)
    rows = await connection.fetch(_SITES_WORST_FIRST, _WORST_FIRST, pattern, *position, limit)
    return [_site(row) for row in rows]


def cursor_after(row: SiteRow) -> SiteCursor:
    """For the page of list_sites that follows this row."""
    return SiteCursor(_WORST_FIRST.index(row.health.status), row.name, row.id)


async def count_sites(connection: Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM registry.site"))


async def site_labels(connection: Connection, sites: Iterable[SiteId]) -> list[SiteLabel]:
    rows = await connection.fetch("SELECT id, name, timezone FROM registry.site WHERE id = ANY($1::text[])", list(sites))
    return [SiteLabel(*row.values()) for row in rows]


async def site(connection: Connection, site_id: SiteId) -> SiteRow:
    """Raises NotFound (unknown_site), also for a site that the acting person may not see."""
    row = await connection.fetchrow(_ONE_SITE, site_id)
    if row is None:
        raise NotFound("unknown_site", f"no site {site_id}")
    return _site(row)


async def site_timezone(connection: Connection, site_id: SiteId) -> str:
    """Also the cheapest way to ask whether the acting person may see the site. Raises NotFound (unknown_site)."""
    timezone: str | None = await connection.fetchval("SELECT timezone FROM registry.site WHERE id = $1", site_id)
    if timezone is None:
        raise NotFound("unknown_site", f"no site {site_id}")
    return timezone


async def keeps(connection: Connection, site_id: SiteId) -> bool:
    """Whether the acting person may change the site, and what is at it."""
    return bool(await connection.fetchval("SELECT registry.keeps($1)", site_id))


async def update_site(connection: Connection, site_id: SiteId, change: SiteUpdate) -> None:
    """Raises NotFound (unknown_site), Conflict (timezone_in_use): days that are computed already begin at its midnights."""
    if change.timezone is not None:
        await _may_move(connection, site_id, change.timezone)
    changed = await connection.fetchval(
        "UPDATE registry.site SET name = coalesce($2, name), peak_power_w = coalesce($3, peak_power_w),"
        " address = coalesce($4, address), department = coalesce($5, department), pdl = coalesce($6, pdl),"
        " latitude = coalesce($7, latitude), longitude = coalesce($8, longitude), timezone = coalesce($9, timezone),"
        " arrays = coalesce($10::jsonb, arrays) WHERE id = $1 RETURNING id",
        site_id,
        *msgspec.structs.astuple(change),
    )
    if changed is None:
        raise NotFound("unknown_site", f"no site {site_id}")


async def _may_move(connection: Connection, site_id: SiteId, timezone: str) -> None:
    if await site_timezone(connection, site_id) == timezone:
        return
    if await connection.fetchval("SELECT EXISTS (SELECT FROM telemetry.site_day WHERE site_id = $1)", site_id):
        raise Conflict(
            "timezone_in_use", "days of this site are counted in its time zone already: it cannot change any more"
        )


async def devices_of(connection: Connection, site_id: SiteId) -> list[DeviceRow]:
    rows = await connection.fetch(_DEVICE + " WHERE d.site_id = $1 AND d.retired_at IS NULL ORDER BY d.name, d.id", site_id)
    return [_device(row) for row in rows]


async def device(connection: Connection, device_id: DeviceId) -> DeviceRow:
    """Raises NotFound (unknown_device)."""
    row = await connection.fetchrow(_DEVICE + " WHERE d.id = $1", device_id)
    if row is None:
        raise no_device(device_id)
    return _device(row)


def no_device(device_id: str) -> NotFound:
    return NotFound("unknown_device", f"no device {device_id[:40]}")


def _site(row: asyncpg.Record) -> SiteRow:
    return SiteRow(
        id=row["id"],
        name=row["name"],
        timezone=row["timezone"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        peak_power_w=row["peak_power_w"],
        department=row["department"],
        customer=row["customer"],
        installer=row["installer"],
        created_at=row["created_at"],
        devices=row["devices"],
        devices_online=row["devices_online"],
        open_alerts=row["open_alerts"],
        health=_health(row),
        address=row["address"],
        pdl=row["pdl"],
        arrays=msgspec.convert(row["arrays"], list[PvArray]),
    )


def _device(row: asyncpg.Record) -> DeviceRow:
    profile = msgspec.convert(row["definition"], DeviceProfile)
    return DeviceRow(
        id=row["id"],
        site=row["site_id"],
        profile=profile.id,
        kind=profile.kind,
        label_fr=profile.label_fr,
        label_en=profile.label_en,
        channels=list(profile.channels),
        interval_s=profile.interval_s,
        name=row["name"],
        serial=row["serial"],
        created_at=row["created_at"],
        online=row["online"],
        seen_at=row["seen_at"],
        sample_at=row["sample_at"],
        readings={
            name: value for name, value in zip(profile.channels, row["readings"] or (), strict=False) if value is not None
        },
        info=row["info"] or {},
        health=_health(row),
        gateway=row["gateway_id"],
        enrolled_at=row["enrolled_at"],
        revoked_at=row["revoked_at"],
        tags=row["tags"],
    )


def _health(row: asyncpg.Record) -> Health:
    """Before the twins have judged it for the first time, a thing's health is unknown since it was made."""
    status: HealthStatus | None = row["status"]
    if status is None:
        return Health("unknown", row["created_at"], "never_reported")
    return Health(status, row["since"], row["reason"])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
