"""Stored samples of one device: corrected, or as it sent them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fleet.corrections import Corrector
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import Connection
from fleet.telemetry import Sample, UnixMs

_SAMPLES = """
SELECT (extract(epoch FROM time) * 1000)::bigint AS t, readings, coalesce(shift_ms, 0) AS shift_ms FROM telemetry.sample
WHERE site_id = $1 AND device_id = $2 AND time >= $3 AND time < $4 ORDER BY time LIMIT $5
"""


class StoredSample(NamedTuple):
    """at: the time under which it is stored, by which they are ordered; a clock correction has moved it there."""

    at: UnixMs
    sample: Sample


async def samples(
    connection: Connection,
    site: SiteId,
    device: DeviceId,
    channels: Sequence[str],
    *,
    since: UnixMs,
    until: UnixMs,
    limit: int,
    corrector: Corrector | None = None,
    as_told: bool = False,
) -> list[StoredSample]:
    """Of [since, until), oldest first. channels: the profile's; a channel that said nothing is left out of its sample.

    corrector: puts the values right. as_told: with the times that the device told, too; until a correction moved them.
    """
    rows = await connection.fetch(_SAMPLES, site, device, _time(since), _time(until), limit)
    found = []
    for row in rows:
        told = row["readings"]
        readings = told if corrector is None or as_told else corrector.readings(row["t"], told)
        values = {name: value for name, value in zip(channels, readings, strict=False) if value is not None}
        found.append(StoredSample(row["t"], Sample(row["t"] - row["shift_ms"] if as_told else row["t"], values)))
    return found


def _time(at: UnixMs) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
