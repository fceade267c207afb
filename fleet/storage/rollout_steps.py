"""Steps of a rollout that only the process leading it takes: waves, the template, newcomers; and whom it writes to."""

from typing import Final

import msgspec

from fleet.limits import BULK_TARGETS_MAX
from fleet.rollouts.board import Tally, totals
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.lifecycle import Rollout
from fleet.storage import targets
from fleet.storage.database import Connection
from fleet.storage.rollouts import add_targets, when
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
_KNOWN: Final = "SELECT device_id FROM remote.rollout_target WHERE rollout_id = $1"


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
        "UPDATE remote.rollout SET counts = $2 WHERE id = $1 AND counts <> $2", rollout.id, counts
    )
    return bool(status == "UPDATE 1")


async def save_energy(connection: Connection, rollout: Rollout, finding: EnergyFinding) -> None:
    await connection.execute("UPDATE remote.rollout SET energy = $2 WHERE id = $1", rollout.id, finding)


async def add_newcomers(connection: Connection, rollout: Rollout) -> int:
    """Devices that its query means and that are no targets yet come after the last wave. Returns how many."""
    room = BULK_TARGETS_MAX - rollout.targets
    if room <= 0:
        return 0
    known = {row["device_id"] for row in await connection.fetch(_KNOWN, rollout.id)}
    query = msgspec.structs.replace(rollout.query, profiles=(rollout.profile,))
    if rollout.query.profiles and rollout.profile not in rollout.query.profiles:
        return 0
    meant = await targets.matching(connection, query, limit=BULK_TARGETS_MAX)
    fit = [each for each in meant if rollout.plan.overwrite_drift or each.config != "drifted"]  # later, once that is settled
    new = [each for each in fit if each.device not in known and each.gateway is None and not each.revoked][:room]
    if not new:
        return 0
    return await add_targets(connection, rollout.id, new, {each.device: len(rollout.plan.waves) for each in new})


async def creator(connection: Connection, rollout_id: str) -> Addressee | None:
    row = await connection.fetchrow("SELECT email, locale FROM remote.creator_of($1)", rollout_id)
    return None if row is None else msgspec.convert(dict(row), Addressee)
