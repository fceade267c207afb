"""PostgreSQL goes away as after a power cut: the shard waits, holds a bounded number of messages, and acks nothing."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from actors.batch import Entry
from actors.counters import Counters
from actors.writer import Writer
from fleet.limits import INFLIGHT_MESSAGES_MAX, SLOTS
from fleet.storage import lease as leases
from fleet.storage.database import open_pool
from fleet.storage.intake import DeadLetter
from tests.acked import check_acked, check_complete
from tests.edge_fleet import SITES, edge_fleet, in_background
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Cluster, Database

OUTAGE_S = 8.0


@pytest.fixture
def fragile(own_postgres: Cluster) -> Database:
    return own_postgres.create_database("sp_fragile")


async def test_an_outage_of_postgresql_delays_everything_and_loses_nothing(
    own_postgres: Cluster, fragile: Database, broker: Broker
) -> None:
    await seed_fleet(fragile, SITES)
    settings = twins_settings(fragile.sp_twins, broker.sp_twins)
    async with running_shard(settings) as shard, edge_fleet(broker, seed=6, window=5_000) as fleet:

        async def deaf() -> bool:
            return (await shard.stats()).commit_failures > 0

        async def full() -> bool:
            stats = await shard.stats()
            return stats.messages - stats.acked_messages + stats.queued_messages >= INFLIGHT_MESSAGES_MAX

        fleet.offer(5)
        await fleet.all_acked()
        own_postgres.server.stop_immediate()
        began, told = time.monotonic(), fleet.told
        fleet.offer(600)  # 6,000 messages: more than the shard may hold
        await until(deaf)
        await until(full)
        while time.monotonic() - began < OUTAGE_S:
            stats = await shard.stats()
            assert stats.messages - stats.acked_messages + stats.queued_messages <= INFLIGHT_MESSAGES_MAX
            assert fleet.told == told, "acked while PostgreSQL was away"
            assert len((await shard.site_live(fleet.devices[0].site)).devices) == 3  # asks are answered meanwhile
            await asyncio.sleep(0.2)
        own_postgres.server.start()
        await fleet.progress()
        await check_acked(fragile, fleet.devices)
        await fleet.all_acked()
        await shard.roll_up()
    await check_complete(fragile, fleet.devices)


async def test_postgresql_killed_under_a_transaction_again_and_again(
    own_postgres: Cluster, fragile: Database, broker: Broker
) -> None:
    await seed_fleet(fragile, SITES)
    settings = twins_settings(fragile.sp_twins, broker.sp_twins)
    async with running_shard(settings), edge_fleet(broker, seed=7) as fleet:
        async with in_background(fleet.talk(0.02)):
            for end in (own_postgres.server.kill, own_postgres.server.stop_immediate, own_postgres.server.stop):
                await fleet.progress(5)
                end()
                own_postgres.server.start()
                await check_acked(fragile, fleet.devices)
        await fleet.all_acked()
    await check_complete(fragile, fleet.devices)


async def test_a_shard_that_starts_before_postgresql_waits_for_it(
    own_postgres: Cluster, fragile: Database, broker: Broker
) -> None:
    await seed_fleet(fragile, SITES)
    settings = twins_settings(fragile.sp_twins, broker.sp_twins)
    own_postgres.server.stop_immediate()

    async def back() -> None:
        await asyncio.sleep(0.5)  # the shard has been refused by then, or will find the server: both must do
        await asyncio.to_thread(own_postgres.server.start)

    starting = asyncio.create_task(back())
    async with running_shard(settings), edge_fleet(broker, seed=8) as fleet:
        await starting
        fleet.offer(3)
        await fleet.all_acked()
    await check_complete(fragile, fleet.devices)


async def test_the_writer_waits_whenever_it_learns_that_its_idle_connection_is_gone(
    own_postgres: Cluster, fragile: Database
) -> None:
    """Between the server's last word and the connection's end lie some turns of the loop."""
    pool = await open_pool(fragile.sp_twins, size_max=1)
    async with pool.acquire() as connection:
        lease = await leases.claim(connection, 0, range(SLOTS), "test")
    pool.terminate()
    writer = Writer(fragile.sp_twins, lease, Counters())
    letter = DeadLetter(datetime.now(UTC), None, None, "topic", "code", "detail", 0, b"")
    for turns in range(5):
        await writer.commit([Entry("topic", None, None, [], [letter])], 0)
        own_postgres.server.stop()  # whoever is connected is told, then sent away
        for _ in range(turns):
            await asyncio.sleep(0)
        committing = asyncio.create_task(writer.commit([Entry("topic", None, None, [], [letter])], 0))
        await asyncio.to_thread(own_postgres.server.start)
        await asyncio.wait_for(committing, 90.0)
    await writer.close()
    assert len(await fetch(fragile, "SELECT 1 FROM telemetry.dead_letter")) == 10
