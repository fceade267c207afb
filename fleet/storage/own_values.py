"""Which devices have values of their own, that no group's template changes."""

from collections.abc import Sequence
from typing import Final

from fleet.ids import DeviceId
from fleet.storage.database import Connection

_OWN: Final = """
    SELECT t.device, v.own FROM unnest($1::text[]) AS t (device)
    CROSS JOIN LATERAL (
        SELECT own FROM remote.config_change WHERE device_id = t.device ORDER BY version DESC LIMIT 1
    ) v
    WHERE v.own ?| $2::text[]
"""


async def keepers(connection: Connection, devices: Sequence[DeviceId], keys: Sequence[str]) -> dict[DeviceId, list[str]]:
    """Of these devices, those that keep a value of their own under one of these keys, with those keys."""
    rows = await connection.fetch(_OWN, devices, keys)
    return {row["device"]: sorted(set(row["own"]) & set(keys)) for row in rows}
