"""A restart is gentle: whoever was online before it is not called offline before the fleet had time to speak."""

from actors.shard import TwinShard
from fleet.limits import RESTART_GRACE_S, SWEEP_PERIOD_S
from tests.edge_fleet import SITES, EdgeFleet, edge_fleet, now_ms
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database

GRACE_MS = round(RESTART_GRACE_S * 1000)
HOUR_MS = 3_600_000
CALM = {"ok", "asleep"}  # the test may run at night
DEVICES = sum(len(devices) for _, devices in SITES)


async def statuses(database: Database) -> dict[str, str]:
    rows = await fetch(database, "SELECT device_id, status FROM supervision.health WHERE device_id <> ''")
    return {row["device_id"]: row["status"] for row in rows}


async def alerts(database: Database) -> list[tuple[str, str]]:
    return [tuple(row) for row in await fetch(database, "SELECT rule, device_id FROM supervision.alert")]


async def sweep_through_the_grace(shard: TwinShard) -> None:
    ends = shard._supervision._grace_until  # counted from when it began to listen, which may be some time ago
    for now in range(now_ms(), ends, round(SWEEP_PERIOD_S * 1000)):
        await shard._supervision.sweep(now)


async def test_an_hour_without_the_platform_is_no_hour_without_the_devices(database: Database, broker: Broker) -> None:
    await seed_fleet(database, SITES)
    settings = twins_settings(database.sp_twins, broker.sp_twins)
    async with edge_fleet(broker, seed=11) as fleet:
        async with running_shard(settings) as shard:
            fleet.offer(1)
            await fleet.all_acked()
            await shard._upkeep._sweep()
        assert list((await statuses(database)).values()) == ["ok"] * DEVICES
        await fetch(database, "UPDATE telemetry.device_latest SET seen_at = seen_at - interval '1 hour'")
        async with running_shard(settings) as shard:
            await sweep_through_the_grace(shard)
            assert set((await statuses(database)).values()) <= CALM
            assert await alerts(database) == []
            silent, *speaking = fleet.devices
            for device in speaking:
                device.offer(device.measure(1))
            await EdgeFleet(speaking, fleet.luck).all_acked()
            shard._supervision.listens_anew(now_ms() - GRACE_MS - 1)  # as if it had started so long ago
            await shard._supervision.sweep(now_ms())
            assert {device for device, status in (await statuses(database)).items() if status not in CALM} == {silent.id}
            assert await alerts(database) == [("device_offline", silent.id)]


async def test_an_hour_without_the_broker_is_no_hour_without_the_devices(database: Database, broker: Broker) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        edge_fleet(broker, seed=12) as fleet,
    ):
        fleet.offer(1)
        await fleet.all_acked()
        await shard._upkeep._sweep()
        shard._supervision.listens_anew(now_ms() - GRACE_MS - HOUR_MS)  # that start is long ago
        for device in fleet.devices:
            device.link.hold(True)
        broker.server.kill()
        await until(lambda: is_connected(shard, connected=False))
        for site in shard._catalog.sites.values():
            for twin in site.devices.values():
                assert twin.seen_at is not None
                twin.seen_at -= HOUR_MS
        await shard._upkeep._sweep()  # deaf, it knows nothing of anybody
        broker.server.start()
        await until(lambda: is_connected(shard, connected=True))
        await sweep_through_the_grace(shard)
        assert set((await statuses(database)).values()) <= CALM
        assert await alerts(database) == []


async def is_connected(shard: TwinShard, *, connected: bool) -> bool:
    return (await shard.stats()).connected == connected
