"""The fleet as a whole, out of what its shards say of themselves. Pure."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from fleet.telemetry import UnixMs
from fleet.views import ShardStats


class FleetStats(msgspec.Struct, frozen=True):
    """twins_connected false: the shards do not answer, and everything below is 0 or empty.

    messages_per_s, samples_per_s: over the last look; dead_letters_by_code: since the shards' start; lag_ms: the slowest's.
    """

    at: UnixMs
    twins_connected: bool
    devices: int
    devices_online: int
    twins: int
    messages: int
    samples: int
    messages_per_s: float
    samples_per_s: float
    dead_letters: int
    dead_letters_by_code: dict[str, int]
    throttled: int
    queued_messages: int
    lag_ms: float
    shards: list[ShardStats]


def fleet_stats(shards: Sequence[ShardStats], earlier: Sequence[ShardStats], now: UnixMs) -> FleetStats:
    reasons: Counter[str] = Counter()
    for shard in shards:
        reasons.update(shard.dead_letters_by_code)
    return FleetStats(
        at=now,
        twins_connected=bool(shards),
        devices=sum(shard.devices for shard in shards),
        devices_online=sum(shard.devices_online for shard in shards),
        twins=sum(shard.twins for shard in shards),
        messages=sum(shard.messages for shard in shards),
        samples=sum(shard.samples for shard in shards),
        messages_per_s=_rate(shards, earlier, "messages"),
        samples_per_s=_rate(shards, earlier, "samples"),
        dead_letters=sum(shard.dead_letters for shard in shards),
        dead_letters_by_code=dict(reasons.most_common()),
        throttled=sum(shard.throttled for shard in shards),
        queued_messages=sum(shard.queued_messages for shard in shards),
        lag_ms=max((shard.lag_ms for shard in shards), default=0.0),
        shards=list(shards),
    )


def _rate(shards: Sequence[ShardStats], earlier: Sequence[ShardStats], counter: str) -> float:
    """Per second. A shard that started anew in between counts from its own start."""
    before = {(shard.shard, shard.started_at): shard for shard in earlier}
    total = 0.0
    for shard in shards:
        then = before.get((shard.shard, shard.started_at))
        since, count = (then.at, getattr(then, counter)) if then else (shard.started_at, 0)
        if shard.at > since:
            total += (getattr(shard, counter) - count) * 1000 / (shard.at - since)
    return round(total, 2)
