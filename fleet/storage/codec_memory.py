"""telemetry.codec_memory: what formats with a memory have learned of their senders (fleet.codecs.memory)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection

_LOAD = "SELECT site_id, device_id, key, value FROM telemetry.codec_memory WHERE site_id = ANY($1::text[])"
_REMEMBER = """
    INSERT INTO telemetry.codec_memory (site_id, device_id, key, value) VALUES ($1, $2, $3, $4)
    ON CONFLICT (site_id, device_id, key) DO UPDATE SET value = excluded.value
"""
_FORGET = "DELETE FROM telemetry.codec_memory WHERE site_id = $1 AND device_id = $2 AND key = $3"


class Lesson(NamedTuple):
    """What a message of this device taught. value: None where it makes something forgotten."""

    site: SiteId
    device: DeviceId
    key: str
    value: bytes | None


async def load(connection: Connection, sites: Sequence[SiteId]) -> dict[tuple[SiteId, DeviceId], dict[str, bytes]]:
    found: dict[tuple[SiteId, DeviceId], dict[str, bytes]] = {}
    for site, device, key, value in await connection.fetch(_LOAD, sites):
        found.setdefault((site, device), {})[key] = value
    return found


async def store(connection: Connection, lessons: Collection[Lesson]) -> None:
    """Within the transaction that stores the messages. The caller has kept the newest lesson of each key."""
    learned = [lesson for lesson in lessons if lesson.value is not None]
    if learned:
        await connection.executemany(_REMEMBER, learned)
    forgotten = [lesson[:3] for lesson in lessons if lesson.value is None]
    if forgotten:
        await connection.executemany(_FORGET, forgotten)
