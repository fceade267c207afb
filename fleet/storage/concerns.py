"""Loggers that need somebody: they fail again and again, or their file did not come. Told once, until all is well again."""

from typing import Final, Literal

import msgspec

from fleet.file_limits import LOGGER_FAILURES_MAX
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection

ConcernKind = Literal["failing", "missing", "pull_failing"]


class Concern(msgspec.Struct, frozen=True):
    """problem: the code of the newest refusal; None for a file that is missing."""

    site: SiteId
    site_name: str
    device: DeviceId
    device_name: str
    kind: ConcernKind
    problem: str | None


class Keeper(msgspec.Struct, frozen=True):
    email: str
    locale: str


_STANDING: Final = """
    WITH failing AS (
        SELECT a.site_id, a.device_id, 'failing' AS kind FROM imports.account a
        CROSS JOIN LATERAL (SELECT count(*) AS files, bool_and(f.state = 'quarantined') AS all_refused FROM (
            SELECT state FROM imports.file WHERE device_id = a.device_id AND finished_at IS NOT NULL
            ORDER BY number DESC LIMIT $1
        ) f) newest
        WHERE a.closed_at IS NULL AND newest.files = $1 AND newest.all_refused
    ), missing AS (
        SELECT a.site_id, a.device_id, 'missing' AS kind FROM imports.account a
        LEFT JOIN LATERAL (SELECT received_at FROM imports.file WHERE device_id = a.device_id
                           ORDER BY number DESC LIMIT 1) f ON true
        WHERE a.closed_at IS NULL AND a.expected_every_s IS NOT NULL
              AND coalesce(f.received_at, a.created_at) < now() - make_interval(secs => a.expected_every_s)
    ), pulling AS (
        SELECT p.site_id, p.device_id, 'pull_failing' AS kind FROM imports.pull_source p
        WHERE p.removed_at IS NULL AND p.failures >= $1
    )
    SELECT * FROM failing UNION SELECT * FROM missing UNION SELECT * FROM pulling
"""
_RENEW: Final = f"""
    WITH standing AS ({_STANDING}), well AS (
        DELETE FROM imports.concern c WHERE NOT EXISTS (SELECT FROM standing s WHERE s.site_id = c.site_id
            AND s.device_id = c.device_id AND s.kind = c.kind)
    )
    INSERT INTO imports.concern (site_id, device_id, kind, since) SELECT site_id, device_id, kind, now() FROM standing
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - put together from constants
_UNTOLD: Final = """
    SELECT c.site_id AS site, s.name AS site_name, c.device_id AS device, d.name AS device_name, c.kind,
           CASE c.kind
               WHEN 'failing' THEN (SELECT problem_code FROM imports.file f WHERE f.device_id = c.device_id
                                    AND f.finished_at IS NOT NULL ORDER BY number DESC LIMIT 1)
               WHEN 'pull_failing' THEN (SELECT problem_code FROM imports.pull_source p WHERE p.device_id = c.device_id
                                         AND p.removed_at IS NULL ORDER BY failures DESC LIMIT 1)
           END AS problem
    FROM imports.concern c JOIN registry.site s ON s.id = c.site_id JOIN registry.device d ON d.id = c.device_id
    WHERE c.told_at IS NULL ORDER BY c.since LIMIT 50
"""


async def renew(connection: Connection) -> None:
    """Which concerns there are now."""
    await connection.execute(_RENEW, LOGGER_FAILURES_MAX)


async def untold(connection: Connection) -> list[Concern]:
    return [msgspec.convert(dict(row), Concern) for row in await connection.fetch(_UNTOLD)]


async def keepers_of(connection: Connection, site: SiteId) -> list[Keeper]:
    rows = await connection.fetch("SELECT email, locale FROM imports.keepers_of($1)", site)
    return [msgspec.convert(dict(row), Keeper) for row in rows]


async def told(connection: Connection, concern: Concern) -> None:
    await connection.execute(
        "UPDATE imports.concern SET told_at = now() WHERE site_id = $1 AND device_id = $2 AND kind = $3",
        concern.site,
        concern.device,
        concern.kind,
    )
