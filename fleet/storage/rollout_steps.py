"""Steps of a rollout that only the process leading it takes: waves and the template; and whom it writes to."""

from typing import Final

import msgspec

from fleet.rollouts.board import Tally, totals
from fleet.rollouts.energy import EnergyFinding
from fleet.rollouts.lifecycle import Rollout
from fleet.storage.database import Connection
from fleet.storage.rollouts import when
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


async def creator(connection: Connection, rollout_id: str) -> Addressee | None:
    row = await connection.fetchrow("SELECT email, locale FROM remote.creator_of($1)", rollout_id)
    return None if row is None else msgspec.convert(dict(row), Addressee)
