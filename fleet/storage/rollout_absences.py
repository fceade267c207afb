"""How many of those that a rollout has told something are gone, and how many others."""

from typing import Final

import msgspec

from fleet.limits import ROLLOUT_HEARD_LATE_S, ROLLOUT_OTHERS_COMPARED_MAX
from fleet.rollouts.lifecycle import RETURNED_STATES, TOLD_STATES, Rollout
from fleet.rollouts.silence import Absences
from fleet.storage.database import Connection
from fleet.storage.rollout_targets import HEARD_AT, IS_THERE
from fleet.storage.rollouts import when
from fleet.storage.target_states import stored
from fleet.telemetry import UnixMs

# Of the others those of its profile come first; in the last wave there may be none of them left.
_ABSENCES: Final = f"""
    WITH compared AS (
        SELECT site_id, device_id, true AS is_touched FROM remote.rollout_target
        WHERE rollout_id = $1 AND state = ANY($2::text[])
        UNION ALL (
            SELECT d.site_id, d.id, false FROM registry.device d
            WHERE d.retired_at IS NULL AND d.revoked_at IS NULL AND d.gateway_id IS NULL AND NOT EXISTS (
                SELECT FROM remote.rollout_target t
                WHERE t.rollout_id = $1 AND t.device_id = d.id AND t.told_at IS NOT NULL
            )
            ORDER BY d.profile_id <> $3, md5(d.id) LIMIT $4
        )
    ), seen AS (
        SELECT c.is_touched, {IS_THERE} AS is_there, coalesce(h.status = 'asleep', false) AS is_asleep,
               {HEARD_AT} AS heard_at
        FROM compared c JOIN telemetry.device_latest l USING (site_id, device_id)
        LEFT JOIN supervision.health h USING (site_id, device_id)
    )
    SELECT count(*) FILTER (WHERE is_touched) AS touched,
           count(*) FILTER (WHERE is_touched AND NOT is_there) AS touched_gone,
           count(*) FILTER (WHERE NOT is_touched) AS others,
           count(*) FILTER (WHERE NOT is_touched AND NOT is_there) AS others_gone
    FROM seen WHERE is_there OR (NOT is_asleep AND heard_at >= $5)
"""  # noqa: S608 - put together from constants


async def absences(connection: Connection, rollout: Rollout, since: UnixMs) -> Absences:
    """Of all that it has told something, and of a bounded number of others: those that were there at `since`.

    What is gone was heard of for the last time up to its interval before it went, so they may have gone a little earlier.
    """
    (row,) = await connection.fetch(
        _ABSENCES,
        rollout.id,
        stored(TOLD_STATES | RETURNED_STATES),
        rollout.profile,
        ROLLOUT_OTHERS_COMPARED_MAX,
        when(since - round(ROLLOUT_HEARD_LATE_S * 1000)),
    )
    return msgspec.convert(dict(row), Absences)
