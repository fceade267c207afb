"""Steps of a rollout that only the process leading it takes: waves, the template, newcomers; and whom it writes to."""

from typing import Final

import msgspec

from fleet.limits import BULK_TARGETS_MAX
from fleet.rollouts.board import Tally, totals
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.lifecycle import TARGET_MOVES, Rollout
from fleet.storage import groups, targets
from fleet.storage.database import Connection
from fleet.storage.rollouts import add_targets, when
from fleet.storage.target_states import folded
from fleet.telemetry import UnixMs

_LEADER: Final = 0x50_1A_14  # any constant; of those that lead rollouts, one works
_ADVANCE: Final = """
    UPDATE remote.rollout SET wave = wave + 1, wave_at = $3, settled_at = NULL, revision = revision + 1
    WHERE id = $1 AND revision = $2
"""
_SETTLE: Final = "UPDATE remote.rollout SET settled_at = $3, revision = revision + 1 WHERE id = $1 AND revision = $2"
_TEMPLATE: Final = """
    UPDATE remote.device_group SET "values" = $2, rollout_id = $3, updated_at = now() WHERE id = $1 AND removed_at IS NULL
"""
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


class Addressee(msgspec.Struct, frozen=True):
    email: str
    locale: str


async def lead(connection: Connection) -> bool:
    """Whether this connection is the one that leads, from now on and for as long as it lasts."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER))


async def settle(connection: Connection, rollout: Rollout, now: UnixMs) -> bool:
    """False when somebody has moved it meanwhile."""
    return bool(await connection.execute(_SETTLE, rollout.id, rollout.revision, when(now)) == "UPDATE 1")


async def advance(connection: Connection, rollout: Rollout, now: UnixMs) -> bool:
    """Within a transaction. After the last wave its values are the template of its group. False: moved meanwhile."""
    if await connection.execute(_ADVANCE, rollout.id, rollout.revision, when(now)) != "UPDATE 1":
        return False
    if rollout.group is not None and rollout.wave + 1 >= len(rollout.plan.waves):
        await connection.execute(_TEMPLATE, rollout.group, rollout.values, rollout.id)
    return True


async def save_counts(connection: Connection, rollout: Rollout, tally: Tally) -> bool:
    """For lists. Whether they have changed."""
    counts = totals(tally)
    status = await connection.execute(
        "UPDATE remote.rollout SET counts = $2, exact_counts = $3"
        " WHERE id = $1 AND (counts <> $2 OR exact_counts IS DISTINCT FROM $3)",
        rollout.id,
        folded(counts),
        counts,
    )
    return bool(status == "UPDATE 1")


async def save_energy(connection: Connection, rollout: Rollout, finding: EnergyFinding) -> None:
    await connection.execute("UPDATE remote.rollout SET energy = $2 WHERE id = $1", rollout.id, finding)


async def add_newcomers(connection: Connection, rollout: Rollout) -> int:
    """Devices that its query means by now (to a group: the group's), and that are no targets yet, come after the last wave;
    so do those that could not have it when their turn came, and can now. Returns how many.
    """
    asked = rollout.query if rollout.group is None else (await groups.group(connection, rollout.group)).query
    if asked.profiles and rollout.profile not in asked.profiles:
        return 0
    states = {row["device_id"]: row["state"] for row in await connection.fetch(_KNOWN, rollout.id)}
    query = msgspec.structs.replace(asked, profiles=(rollout.profile,))
    meant = await targets.matching(connection, query, limit=BULK_TARGETS_MAX)
    fit = [each for each in meant if rollout.plan.overwrite_drift or each.config != "drifted"]  # later, once that is settled
    able = [each for each in fit if each.gateway is None and not each.revoked]
    after_all = len(rollout.plan.waves)
    new = [each for each in able if each.device not in states][: max(BULK_TARGETS_MAX - rollout.targets, 0)]
    added = await add_targets(connection, rollout.id, new, {each.device: after_all for each in new}) if new else 0
    again = [each for each in able if states.get(each.device) in _REJOINING]
    if not again:
        return added
    sites, devices = [each.site for each in again], [each.device for each in again]
    status = await connection.execute(_REJOIN, rollout.id, rollout.wave, after_all, sites, devices, rollout.profile)
    return added + int(status.rpartition(" ")[2])


async def creator(connection: Connection, rollout_id: str) -> Addressee | None:
    row = await connection.fetchrow("SELECT email, locale FROM remote.creator_of($1)", rollout_id)
    return None if row is None else msgspec.convert(dict(row), Addressee)
