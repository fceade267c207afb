"""Stored samples of one device, as it sent them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import Sample, UnixMs

_SAMPLES = """
SELECT (extract(epoch FROM time) * 1000)::bigint AS t, readings FROM telemetry.sample
WHERE site_id = $1 AND device_id = $2 AND time >= $3 AND time < $4 ORDER BY time LIMIT $5
"""


async def samples(
    connection: Connection,
    site: SiteId,
    device: DeviceId,
    channels: Sequence[str],
    *,
    since: UnixMs,
    until: UnixMs,
    limit: int,
) -> list[Sample]:
    """Of [since, until), oldest first. channels: the profile's; a channel that said nothing is left out of its sample."""
    rows = await connection.fetch(_SAMPLES, site, device, _time(since), _time(until), limit)
    return [
        Sample(
            row["t"],
            {name: value for name, value in zip(channels, row["readings"], strict=False) if value is not None},
        )
        for row in rows
    ]


def _time(at: UnixMs) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
