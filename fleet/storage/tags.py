"""Tags of devices: words that people sort them by, as the acting person may see and change them."""

from fleet.errors import Conflict
from fleet.ids import DeviceId, SiteId
from fleet.limits import TAGS_OFFERED, TAGS_PER_DEVICE_MAX
from fleet.storage.database import Connection


async def add_tag(connection: Connection, site: SiteId, device: DeviceId, tag: str) -> bool:
    """False: it has it already. Raises Conflict (too_many_tags)."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('tags ' || $1, 0))", device)
    standing = await tags_of(connection, site, device)
    if tag in standing:
        return False
    if len(standing) >= TAGS_PER_DEVICE_MAX:
        raise Conflict("too_many_tags", f"a device has {TAGS_PER_DEVICE_MAX} tags at the most; take one away first")
    await connection.execute(
        "INSERT INTO registry.device_tag (site_id, device_id, tag) VALUES ($1, $2, $3)", site, device, tag
    )
    return True


async def remove_tag(connection: Connection, site: SiteId, device: DeviceId, tag: str) -> bool:
    """False: it has not got it."""
    removed = await connection.fetchval(
        "DELETE FROM registry.device_tag WHERE site_id = $1 AND device_id = $2 AND tag = $3 RETURNING true",
        site,
        device,
        tag,
    )
    return removed is not None


async def tags_of(connection: Connection, site: SiteId, device: DeviceId) -> list[str]:
    rows = await connection.fetch(
        "SELECT tag FROM registry.device_tag WHERE site_id = $1 AND device_id = $2 ORDER BY tag", site, device
    )
    return [row["tag"] for row in rows]


async def known_tags(connection: Connection) -> list[str]:
    """Those of all devices that the acting person may see, the most frequent first."""
    rows = await connection.fetch(
        "SELECT tag FROM registry.device_tag GROUP BY tag ORDER BY count(*) DESC, tag LIMIT $1", TAGS_OFFERED
    )
    return [row["tag"] for row in rows]
