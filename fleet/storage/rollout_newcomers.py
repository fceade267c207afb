"""Devices that join a continuous rollout: whom its query means by now, and who is no target yet."""

from typing import Final

import msgspec

from fleet.limits import BULK_TARGETS_MAX
from fleet.rollouts.lifecycle import TARGET_MOVES, Rollout
from fleet.storage import groups, rollouts, targets
from fleet.storage.database import Connection
from fleet.targets import TargetDevice, TargetQuery

_KNOWN: Final = "SELECT device_id, state FROM remote.rollout_target WHERE rollout_id = $1"
_REJOINING: Final = frozenset(state for state, event in TARGET_MOVES if event == "rejoin")
# Who was skipped would be skipped again as long as nothing of its configuration has changed, nor what its profile allows.
_REJOIN: Final = """
    UPDATE remote.rollout_target t SET state = 'waiting', state_at = now(), problem = '', site_id = m.site_id,
           wave = CASE WHEN t.wave < $2 THEN $3 ELSE t.wave END
    FROM unnest($4::text[], $5::text[]) AS m (site_id, device_id)
    LEFT JOIN remote.config c USING (site_id, device_id)
    LEFT JOIN remote.config_change v USING (site_id, device_id, version)
    WHERE t.rollout_id = $1 AND t.device_id = m.device_id AND (t.state = 'gone' OR (t.state = 'skipped'
        AND (v.at > t.state_at OR (c.status = 'in_sync' AND c.status_at > t.state_at)
             OR EXISTS (SELECT FROM registry.profile p WHERE p.id = $6 AND p.updated_at > t.state_at))))
"""
# Of the rollouts to a group one at most is open.
_CONTINUOUS: Final = """
    SELECT id FROM remote.rollout WHERE group_id = $1 AND ended_at IS NULL AND (plan -> 'continuous')::boolean
"""


async def add_newcomers(connection: Connection, rollout: Rollout) -> int:
    """After the last wave, with those that could not have it when their turn came, and can now. Returns how many."""
    asked = rollout.query if rollout.group is None else (await groups.group(connection, rollout.group)).query
    able = await _able(connection, rollout, asked)
    states = await _states(connection, rollout)
    after_all = len(rollout.plan.waves)
    new = [each for each in able if each.device not in states][: max(BULK_TARGETS_MAX - rollout.targets, 0)]
    added = await rollouts.add_targets(connection, rollout.id, new, {each.device: after_all for each in new}) if new else 0
    again = [each for each in able if states.get(each.device) in _REJOINING]
    if not again:
        return added
    sites, devices = [each.site for each in again], [each.device for each in again]
    status = await connection.execute(_REJOIN, rollout.id, rollout.wave, after_all, sites, devices, rollout.profile)
    return added + int(status.rpartition(" ")[2])


async def would_join(connection: Connection, group_id: str, asked: TargetQuery) -> int:
    """How many devices the group's continuous rollout, if one is open, would be brought by this query."""
    found = await connection.fetchval(_CONTINUOUS, group_id)
    if found is None:
        return 0
    rollout = await rollouts.rollout(connection, found)
    states = await _states(connection, rollout)
    return sum(each.device not in states for each in await _able(connection, rollout, asked))


async def _able(connection: Connection, rollout: Rollout, asked: TargetQuery) -> list[TargetDevice]:
    """Of its profile, and told themselves. Who was changed on site comes once that is settled."""
    if asked.profiles and rollout.profile not in asked.profiles:
        return []
    query = msgspec.structs.replace(asked, profiles=(rollout.profile,))
    meant = await targets.matching(connection, query, limit=BULK_TARGETS_MAX)
    fit = [each for each in meant if rollout.plan.overwrite_drift or each.config != "drifted"]
    return [each for each in fit if each.gateway is None and not each.revoked]


async def _states(connection: Connection, rollout: Rollout) -> dict[str, str]:
    """Device → state as a target."""
    return {row["device_id"]: row["state"] for row in await connection.fetch(_KNOWN, rollout.id)}
