"""The devices that a query means, as the acting role may see them. Retired ones never are."""

from collections.abc import Sequence
from typing import Final

import asyncpg

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.targets import TargetDevice, TargetQuery
from fleet.versions import is_below

# Field of TargetQuery → what its value, the parameter {}, demands.
_CONDITIONS: Final[dict[str, str]] = {
    "kinds": "d.profile_id IN (SELECT id FROM registry.profile WHERE definition ->> 'kind' = ANY({}::text[]))",
    "profiles": "d.profile_id = ANY({}::text[])",
    "models": "l.info ->> 'model' = ANY({}::text[])",
    "firmwares": "l.info ->> 'firmware' = ANY({}::text[])",
    "firmware_below": "l.info ->> 'firmware' = ANY({}::text[])",  # those that exist and are older
    "sites": "d.site_id = ANY({}::text[])",
    "departments": "s.department = ANY({}::text[])",
    "installers": "s.installer_organisation_id = ANY({}::text[])",
    "tags_all": "d.id IN (SELECT device_id FROM registry.device_tag WHERE tag = ANY({0}::text[])"
    " GROUP BY device_id HAVING count(*) = cardinality({0}::text[]))",
    "tags_any": "d.id IN (SELECT device_id FROM registry.device_tag WHERE tag = ANY({}::text[]))",
    "health": "coalesce(h.status, 'unknown') = ANY({}::text[])",
    "config": "coalesce(c.status, 'unknown') = ANY({}::text[])",
    "seen_within_s": "l.seen_at >= now() - make_interval(secs => {}::float8)",
    "silent_for_s": "(l.seen_at < now() - make_interval(secs => {}::float8)) IS NOT FALSE",
    "devices": "d.id = ANY({}::text[])",
}
_TABLES: Final = """
FROM registry.device d
JOIN registry.site s ON s.id = d.site_id
LEFT JOIN telemetry.device_latest l ON l.site_id = d.site_id AND l.device_id = d.id
LEFT JOIN supervision.health h ON h.site_id = d.site_id AND h.device_id = d.id
LEFT JOIN remote.config c ON c.site_id = d.site_id AND c.device_id = d.id
WHERE d.retired_at IS NULL
"""
# A primary key's left join that nothing asks for is left out by the planner, so a count touches what it must.
_COLUMNS: Final = """
SELECT d.site_id, d.id, d.name, s.name AS site_name, d.profile_id,
       (SELECT p.definition ->> 'kind' FROM registry.profile p WHERE p.id = d.profile_id) AS kind,
       d.gateway_id, d.revoked_at IS NOT NULL AS revoked, coalesce(l.online, false) AS online,
       (extract(epoch FROM l.seen_at) * 1000)::bigint AS seen_at, coalesce(h.status, 'unknown') AS health,
       coalesce(c.status, 'unknown') AS config, l.info ->> 'model' AS model, l.info ->> 'firmware' AS firmware
"""
_FIRMWARES: Final = "SELECT DISTINCT info ->> 'firmware' FROM telemetry.device_latest WHERE info ? 'firmware'"


async def matching(
    connection: Connection, query: TargetQuery, *, limit: int, after: tuple[SiteId, DeviceId] | None = None
) -> list[TargetDevice]:
    """The first `limit` by site and device, beyond `after`. "Seen" is as of the transaction's beginning."""
    conditions, values = await _where(connection, query)
    if after is not None:
        conditions += f" AND (d.site_id, d.id) > (${len(values) + 1}, ${len(values) + 2})"
        values += after
    statement = f"{_COLUMNS}{_TABLES}{conditions} ORDER BY d.site_id, d.id LIMIT ${len(values) + 1}"
    return [_target(row) for row in await connection.fetch(statement, *values, limit)]


async def named(connection: Connection, devices: Sequence[DeviceId]) -> list[TargetDevice]:
    """Those that there are of these, by site and device."""
    statement = f"{_COLUMNS}{_TABLES} AND d.id = ANY($1::text[]) ORDER BY d.site_id, d.id"
    return [_target(row) for row in await connection.fetch(statement, devices)]


async def count(connection: Connection, query: TargetQuery) -> int:
    conditions, values = await _where(connection, query)
    return int(await connection.fetchval(f"SELECT count(*) {_TABLES}{conditions}", *values))


async def _where(connection: Connection, query: TargetQuery) -> tuple[str, list[object]]:
    """Only what is asked for: a condition that is always true would still cost the planner its indexes."""
    conditions, values = "", []
    for field, condition in _CONDITIONS.items():
        wanted = getattr(query, field)
        if wanted is None or wanted == ():
            continue
        if field == "firmware_below":
            wanted = await _older_firmwares(connection, wanted)
        values.append(sorted(set(wanted)) if isinstance(wanted, tuple) else wanted)
        conditions += " AND " + condition.format(f"${len(values)}")
    return conditions, values


async def _older_firmwares(connection: Connection, version: str) -> list[str]:
    """The firmwares that devices say they run and that are older. There are few, whatever the size of the fleet."""
    return [row[0] for row in await connection.fetch(_FIRMWARES) if is_below(row[0], version)]


def _target(row: asyncpg.Record) -> TargetDevice:
    return TargetDevice(*row.values())
