"""What is let go of old orders: commands that ended long ago, and the oldest of too many versions. Their receipts stay."""

from datetime import datetime, timedelta
from typing import Final

from fleet.commands import OPEN_STATES
from fleet.limits import COMMANDS_KEPT_DAYS, CONFIG_VERSIONS_KEPT, ORDERS_LET_GO_AT_ONCE
from fleet.storage.database import Connection

# Several shards may do this at once.
_COMMANDS: Final = """
    DELETE FROM remote.command WHERE id IN (
        SELECT id FROM remote.command WHERE created_at < $1 AND state <> ALL($2::text[])
        ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED)
"""
_BATCHES: Final = "DELETE FROM remote.command_batch WHERE created_at < $1"
_VERSIONS: Final = """
    DELETE FROM remote.config_change v USING (
        SELECT site_id, device_id FROM remote.config_change GROUP BY site_id, device_id HAVING count(*) > $1
    ) many
    WHERE (v.site_id, v.device_id) = (many.site_id, many.device_id) AND v.version < (
        SELECT version FROM remote.config_change k WHERE (k.site_id, k.device_id) = (v.site_id, v.device_id)
        ORDER BY version DESC OFFSET $1 - 1 LIMIT 1)
"""


async def let_go(connection: Connection, now: datetime) -> None:
    """The version in force is never among them, nor a command that has not ended."""
    before = now - timedelta(days=COMMANDS_KEPT_DAYS)
    gone = ORDERS_LET_GO_AT_ONCE
    while gone == ORDERS_LET_GO_AT_ONCE:
        status = await connection.execute(_COMMANDS, before, sorted(OPEN_STATES), ORDERS_LET_GO_AT_ONCE)
        gone = int(status.rsplit(" ", 1)[1])
    await connection.execute(_BATCHES, before)
    await connection.execute(_VERSIONS, CONFIG_VERSIONS_KEPT)
