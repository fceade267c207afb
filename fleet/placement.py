"""Where a site lives: site → slot (fixed for ever) → shard (as many as there are shards) → node (as they come and go)."""

from collections import Counter
from collections.abc import Mapping, Sequence
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


def place(shards_max: Mapping[str, int], places: Mapping[int, str | None]) -> dict[int, str]:
    """Shard → the node where it ought to be: evenly, with as few moves as that takes. Shards without room are left out.

    shards_max: node → how many it may hold. places: shard → the node where it is now; None: nowhere.
    """
    kept = Counter(node for node in places.values() if node in shards_max)
    share = dict.fromkeys(sorted(shards_max), 0)
    for _ in places:
        open_to_more = [node for node in share if share[node] < shards_max[node]]
        if not open_to_more:
            break
        # among the emptiest those that would otherwise have to give one away
        share[min(open_to_more, key=lambda node: (share[node], kept[node] <= share[node]))] += 1
    planned: dict[int, str] = {}
    for shard, node in sorted(places.items()):
        if node is not None and share.get(node, 0) > 0:
            planned[shard] = node
            share[node] -= 1
    for shard in sorted(set(places) - set(planned)):
        room = max(share, key=lambda node: share[node], default=None)
        if room is None or share[room] == 0:
            break
        planned[shard] = room
        share[room] -= 1
    return planned
