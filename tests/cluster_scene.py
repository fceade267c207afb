"""python -m tests.alone tests.cluster_scene: two shards over nodes that join and die; see integration/test_cluster.py."""

import asyncio
import time

from actors.client import Twins
from fleet.errors import FleetError
from fleet.fleet_plan import PlannedSite
from fleet.placement import shard_of, slot_of
from fleet.views import ShardStats
from tests.cluster_rig import ASKER, FIRST_WORKER, KEEPER, Cluster, cluster
from tests.fleet_rig import Device, fetch, until

SHARDS = 2
FIRST, SECOND, STRANGER = range(FIRST_WORKER, FIRST_WORKER + 3)
_DEADLINE_S = 90.0


async def scene(running: Cluster) -> None:
    running.start_node(SECOND)
    running.start_stranger(STRANGER)
    twins = await Twins.connect(running.ray(ASKER))
    try:
        sites = [
            next(site for site in running.plan.sites if shard_of(slot_of(site.id), SHARDS) == shard) for shard in (0, 1)
        ]
        devices = [_meter(running, site) for site in sites]
        async with devices[0], devices[1]:
            await _say(devices, 1)
            await until(lambda: _has_its_share(running), _DEADLINE_S)
            await until(lambda: _said(running, "node_of_other_release"), _DEADLINE_S)
            await _say(devices, 2)
            before = {each.shard: each.epoch for each in await _all_connected(twins)}
            # where one has moved away from, its process may end a little later
            await until(lambda: _are_on(running, {FIRST: 1, SECOND: 1, STRANGER: 0}), _DEADLINE_S)

            running.kill(FIRST)
            await _say(devices, 3)
            after = {each.shard: each.epoch for each in await _all_connected(twins)}
            assert sum(after[shard] > before[shard] for shard in before) == 1, "just the killed node's shard was restarted"
            await until(lambda: _are_on(running, {SECOND: SHARDS, STRANGER: 0}), _DEADLINE_S)
            assert (await twins.site_live(sites[0].id)).flow.grid_power_w == 3.0
        rows = await fetch(running.database, "SELECT readings FROM telemetry.sample")
        assert len(rows) == 2 * 3, "each message is one row, whoever took it in"
    finally:
        await twins.close()


def _meter(running: Cluster, site: PlannedSite) -> Device:
    meter = next(device for device in site.devices if device.profile_id == "meter")
    return Device(running.broker, running.pki, site.id, meter.id)


async def _say(devices: list[Device], seq: int) -> None:
    """Returns when the platform has acknowledged it."""
    for device in devices:
        await device.say(
            seq, (time.time_ns() // 1_000_000, {"grid_power_w": float(seq)}), oldest=seq
        )  # what was before is acked
    for device in devices:
        await device.acked_up_to(seq, _DEADLINE_S)


async def _all_connected(twins: Twins) -> list[ShardStats]:
    async def answer() -> list[ShardStats]:
        try:
            stats = await twins.shard_stats()
        except FleetError:
            return []
        return stats if all(each.connected for each in stats) else []

    found: list[ShardStats] = await until(answer, _DEADLINE_S)
    return found


async def _said(running: Cluster, code: str) -> bool:
    return code in running.log(KEEPER)


async def _are_on(running: Cluster, shards: dict[int, int]) -> bool:
    return all(running.shards_on(node) == count for node, count in shards.items())


async def _has_its_share(running: Cluster) -> bool:
    return running.shards_on(SECOND) == 1


if __name__ == "__main__":
    with cluster(sites=6, shards=SHARDS, workers=1) as started:
        asyncio.run(scene(started))
