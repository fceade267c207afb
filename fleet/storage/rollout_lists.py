"""Rollouts' targets as operations look through them, page by page."""

from typing import Annotated, Final

import msgspec

from fleet.ids import DeviceId, SiteId
from fleet.rollouts.lifecycle import TargetState
from fleet.storage.database import Connection
from fleet.storage.target_states import STATE
from fleet.telemetry import UnixMs


class TargetLine(msgspec.Struct, frozen=True):
    """problem: why it was skipped, what the device said of what it refused, which alert it raised; 'not_sent': the
    platform has not sent it the newest version, although it is there. online: as of now. kept: keys of settings that this
    rollout has made the device's own, coming or going, as they ran there (config_wishes.kept_on_site).
    """

    site: SiteId
    site_name: str
    timezone: str
    device: DeviceId
    name: str
    wave: int
    state: TargetState
    state_at: UnixMs
    version: int | None
    was_there: bool | None
    problem: str
    online: bool
    kept: list[str]


class TargetCursor(msgspec.Struct, frozen=True, array_like=True):
    """The last target of a page."""

    wave: Annotated[int, msgspec.Meta(ge=0, le=1_000)]
    device: Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$", max_length=64)]


_TARGETS: Final = f"""
    SELECT t.site_id AS site, s.name AS site_name, s.timezone, t.device_id AS device, d.name, t.wave, {STATE} AS state,
           (extract(epoch FROM t.state_at) * 1000)::bigint AS state_at, t.version, t.was_there, t.problem,
           coalesce(l.online, false) AS online, ARRAY(
               SELECT DISTINCT o.key
               FROM remote.config_change v CROSS JOIN jsonb_each(v.own) AS o (key, value)
               WHERE (v.site_id, v.device_id, v.rollout_id) = (t.site_id, t.device_id, $1) AND o.value IS DISTINCT FROM (
                   SELECT b.own -> o.key FROM remote.config_change b
                   WHERE (b.site_id, b.device_id) = (v.site_id, v.device_id) AND b.version < v.version
                   ORDER BY b.version DESC LIMIT 1
               ) ORDER BY 1
           ) AS kept
    FROM remote.rollout_target t
    JOIN registry.site s ON s.id = t.site_id
    JOIN registry.device d ON d.id = t.device_id
    LEFT JOIN telemetry.device_latest l ON l.site_id = t.site_id AND l.device_id = t.device_id
    WHERE t.rollout_id = $1 AND ($2::text[] IS NULL OR {STATE} = ANY($2)) AND ($3::int IS NULL OR t.wave = $3)
      AND ($4::int IS NULL OR (t.wave, t.device_id) > ($4, $5))
    ORDER BY t.wave, t.device_id LIMIT $6
"""  # noqa: S608 - put together from constants


async def target_lines(
    connection: Connection,
    rollout_id: str,
    *,
    states: tuple[TargetState, ...] | None,
    wave: int | None,
    after: TargetCursor | None,
    limit: int,
) -> list[TargetLine]:
    """By wave; within one by the device's id."""
    place = (after.wave, after.device) if after is not None else (None, None)
    rows = await connection.fetch(_TARGETS, rollout_id, states, wave, *place, limit)
    return [msgspec.convert(dict(row), TargetLine) for row in rows]
