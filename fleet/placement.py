"""Where a site lives: site → slot (fixed for ever) → shard (changes with the number of shards)."""

from collections.abc import Sequence
from zlib import crc32

from fleet.ids import SiteId
from fleet.limits import SLOTS


def slot_of(site: SiteId) -> int:
    """0..255, the same on every machine and in every version."""
    return crc32(site.encode()) % SLOTS


def shard_of(slot: int, shards: int) -> int:
    return slot % shards


def slots_of(shard: int, shards: int) -> Sequence[int]:
    return range(shard, SLOTS, shards)
