"""What the commissioning checks look at: the last minutes of a site's devices, and what was not taken in of them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from fleet.commissioning import Refusal
from fleet.ids import DeviceId, SiteId
from fleet.limits import CHECK_RECENT_S, CHECK_REFUSALS_MAX, CHECK_SAMPLES_MAX
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs

# When the hardware came that is in the place of device d now: what another one said judges nobody any more.
_HERE = """coalesce((SELECT max(r.at) FROM registry.replacement r WHERE r.site_id = $1 AND r.device_id = d.id),
    '-infinity'::timestamptz)"""
_TOLD_TIME: Final = re.compile(r"\bt=(-?\d{1,16})\b")  # as fleet.device says it of a time that cannot be
_RECENT: Final = f"""
SELECT s.device_id, s.at, s.received_at, s.readings FROM unnest($2::text[]) AS d (id) CROSS JOIN LATERAL (
    SELECT device_id, (extract(epoch FROM time) * 1000)::bigint AS at,
           (extract(epoch FROM received_at) * 1000)::bigint AS received_at, readings
    FROM telemetry.sample WHERE site_id = $1 AND device_id = d.id AND time > $3::timestamptz - interval '1 day'
        AND received_at >= {_HERE}
    ORDER BY time DESC LIMIT $5
) s WHERE s.received_at > (extract(epoch FROM $3::timestamptz) - $4::float8) * 1000 ORDER BY s.device_id, s.at
"""  # noqa: S608 - put together from constants
_REFUSALS: Final = f"""
SELECT l.device_id, l.code, l.detail, l.at FROM unnest($2::text[]) AS d (id) CROSS JOIN LATERAL (
    SELECT device_id, code, detail, (extract(epoch FROM received_at) * 1000)::bigint AS at FROM telemetry.dead_letter
    WHERE site_id = $1 AND device_id = d.id AND received_at > $3::timestamptz - interval '1 day'
        AND received_at >= {_HERE}
    ORDER BY received_at DESC LIMIT $4
) l
"""  # noqa: S608 - put together from constants
_FIRST: Final = f"""
SELECT d.id, s.at, s.received_at, s.readings FROM unnest($2::text[]) AS d (id) CROSS JOIN LATERAL (
    SELECT (extract(epoch FROM time) * 1000)::bigint AS at, (extract(epoch FROM received_at) * 1000)::bigint AS received_at,
           readings
    FROM telemetry.sample WHERE site_id = $1 AND device_id = d.id AND time > {_HERE} - interval '2 days'
        AND received_at >= {_HERE}
    ORDER BY time LIMIT 1
) s
"""  # noqa: S608 - put together from constants


class RecentRow(msgspec.Struct, frozen=True):
    """readings: as they are stored, in channel order."""

    device: DeviceId
    at: UnixMs
    received_at: UnixMs
    readings: list[float | None]


async def recent_samples(connection: Connection, site: SiteId, devices: Sequence[DeviceId], now: UnixMs) -> list[RecentRow]:
    """What came in the last CHECK_RECENT_S, oldest first; of each device the newest CHECK_SAMPLES_MAX."""
    rows = await connection.fetch(_RECENT, site, list(devices), _time(now), CHECK_RECENT_S, CHECK_SAMPLES_MAX)
    return [RecentRow(*row.values()) for row in rows]


async def first_samples(connection: Connection, site: SiteId, devices: Sequence[DeviceId]) -> dict[DeviceId, RecentRow]:
    """Of the hardware that they have now."""
    rows = await connection.fetch(_FIRST, site, list(devices))
    return {row["id"]: RecentRow(*row.values()) for row in rows}


async def refusals(
    connection: Connection, site: SiteId, devices: Sequence[DeviceId], now: UnixMs
) -> dict[DeviceId, list[Refusal]]:
    """Of the last day, the newest CHECK_REFUSALS_MAX of each device."""
    found: dict[DeviceId, list[Refusal]] = {}
    for row in await connection.fetch(_REFUSALS, site, list(devices), _time(now), CHECK_REFUSALS_MAX):
        told = _TOLD_TIME.search(row["detail"])
        ahead_s = (int(told[1]) - row["at"]) / 1000 if told and row["code"] in ("future_time", "too_old") else None
        found.setdefault(row["device_id"], []).append(Refusal(row["code"], row["detail"], row["at"], ahead_s))
    return found


def _time(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
