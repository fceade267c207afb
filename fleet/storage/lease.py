"""Who may write for which slots: a row per shard, an epoch per claim (see telemetry.shard_lease)."""

from collections.abc import Sequence

from fleet.errors import StaleOwner
from fleet.storage.database import Connection

_CLAIM = """
    WITH gone AS (DELETE FROM telemetry.shard_lease WHERE shard = $1 OR slots && $2::smallint[] RETURNING shard)
    SELECT nextval('telemetry.shard_epoch') AS epoch, ARRAY(SELECT shard FROM gone WHERE shard <> $1) AS superseded
"""
_INSERT = "INSERT INTO telemetry.shard_lease (shard, slots, epoch, owner) VALUES ($1, $2, $3, $4)"
_CHECK = "SELECT 1 FROM telemetry.shard_lease WHERE shard = $1 AND epoch = $2 FOR SHARE"


class Lease:
    """The right to write for some slots, until somebody else claims one of them.

    superseded: other shards that held some of the slots; after a change of the number of shards some of them are no more.
    """

    def __init__(self, shard: int, epoch: int, superseded: Sequence[int] = ()) -> None:
        self.shard = shard
        self.epoch = epoch
        self.superseded = superseded

    async def check(self, connection: Connection) -> None:
        """First statement of every write transaction: holds off a claim until this transaction ends.

        Raises StaleOwner (stale_epoch) when the slots belong to somebody else.
        """
        if await connection.fetchval(_CHECK, self.shard, self.epoch) is None:
            raise StaleOwner("stale_epoch", f"shard {self.shard} was taken over after epoch {self.epoch}; this owner stops")


async def claim(connection: Connection, shard: int, slots: Sequence[int], owner: str) -> Lease:
    """Takes the slots from whoever holds them, after their running transaction; from then on they write nothing."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE telemetry.shard_lease IN SHARE ROW EXCLUSIVE MODE")
        (claimed,) = await connection.fetch(_CLAIM, shard, list(slots))
        await connection.execute(_INSERT, shard, list(slots), claimed["epoch"], owner)
    return Lease(shard, claimed["epoch"], claimed["superseded"])
