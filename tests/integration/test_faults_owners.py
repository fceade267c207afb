"""Two owners of one slot: the younger one has it, and the older one stores and acks nothing more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from actors.shard import TwinShard
from fleet.errors import StaleOwner
from fleet.limits import SLOTS
from fleet.settings import DatabaseSettings, TwinsSettings
from fleet.storage import intake
from fleet.storage import lease as leases
from fleet.storage.database import connect
from tests.acked import audit, check_acked, check_complete
from tests.edge_fleet import SITES, edge_fleet, in_background
from tests.fleet_rig import fetch, first, seed_fleet, twins_settings, until
from tests.servers import Broker, Database


class Running:
    """A shard and its task, which may end at any time."""

    def __init__(self, number: int, settings: TwinsSettings) -> None:
        self.shard = TwinShard(number, settings)
        self.task = asyncio.create_task(self.shard.run())

    async def is_superseded(self) -> None:
        await asyncio.wait([self.task], timeout=90.0)
        with pytest.raises(StaleOwner):
            self.task.result()


@asynccontextmanager
async def running(number: int, settings: TwinsSettings) -> AsyncIterator[Running]:
    one = Running(number, settings)
    try:
        await connected(one)
        yield one
    finally:
        one.task.cancel()
        await asyncio.wait([one.task])


async def connected(one: Running) -> None:
    async def is_connected() -> bool:
        return (await one.shard.stats()).connected

    await first(one.task, one.shard.ready())
    await first(one.task, until(is_connected))


async def claim(settings: DatabaseSettings) -> int:
    connection = await connect(settings)
    try:
        return (await leases.claim(connection, 0, range(SLOTS), "somebody else")).epoch
    finally:
        await connection.close()


async def test_after_a_claim_the_older_owner_stores_and_acks_nothing(database: Database, broker: Broker) -> None:
    await seed_fleet(database, SITES)
    settings = twins_settings(database.sp_twins, broker.sp_twins)
    async with running(0, settings) as older, edge_fleet(broker, seed=1, haste=0.0) as fleet:
        fleet.offer(3)
        await fleet.all_acked()
        told, rows = fleet.told, await fetch(database, "SELECT count(*) FROM telemetry.sample")
        acked_messages = (await older.shard.stats()).acked_messages
        await claim(database.sp_twins)
        fleet.offer(5)
        await older.is_superseded()
        assert older.shard._counters.acked_messages == acked_messages
        assert fleet.told == told
        assert await fetch(database, "SELECT count(*) FROM telemetry.sample") == rows
        await check_acked(database, fleet.devices)
        async with running(0, settings):  # whoever comes next gets everything
            await fleet.all_acked()
    await check_complete(database, fleet.devices)


async def test_a_claim_waits_for_the_transaction_under_way(
    database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed_fleet(database, SITES)
    inside, go_on = asyncio.Event(), asyncio.Event()
    store_samples: Any = intake.store_samples

    async def store_slowly(*arguments: Any) -> int:
        stored: int = await store_samples(*arguments)
        inside.set()
        await go_on.wait()
        return stored

    monkeypatch.setattr("actors.writer.intake.store_samples", store_slowly)
    async with (
        running(0, twins_settings(database.sp_twins, broker.sp_twins)) as older,
        edge_fleet(broker, seed=2) as fleet,
    ):
        fleet.offer(1)
        await inside.wait()
        claiming = asyncio.create_task(claim(database.sp_twins))
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
        await until(lambda: fetch(database, waiting))
        assert not claiming.done()
        go_on.set()
        assert await claiming > older.shard._lease.epoch
        await check_acked(database, fleet.devices)
        fleet.offer(1)
        await older.is_superseded()
        await check_acked(database, fleet.devices)


async def test_two_live_owners_of_the_same_slots_settle_it_and_lose_nothing(database: Database, broker: Broker) -> None:
    """They also take the broker's session from each other, as they have the same client id."""
    await seed_fleet(database, SITES)
    settings = twins_settings(database.sp_twins, broker.sp_twins)
    async with edge_fleet(broker, seed=3) as fleet, in_background(audit(database, fleet.devices)):
        async with running(0, settings) as older, in_background(fleet.talk()):
            await fleet.progress()
            async with running(0, settings):
                await older.is_superseded()
                await fleet.progress()
        async with running(0, settings):
            await fleet.all_acked()
    await check_complete(database, fleet.devices)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (1, 2)])
async def test_another_number_of_shards_takes_over_without_a_pause(
    before: int, after: int, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    old = twins_settings(database.sp_twins, broker.sp_twins, shards=before)
    new = twins_settings(database.sp_twins, broker.sp_twins, shards=after)
    async with edge_fleet(broker, seed=before) as fleet, in_background(audit(database, fleet.devices)):
        older = [Running(number, old) for number in range(before)]
        for one in older:
            await connected(one)
        async with in_background(fleet.talk()):
            await fleet.progress()
            younger = [Running(number, new) for number in range(after)]
            for one in older:
                await one.is_superseded()
            for one in younger:
                await connected(one)
            await fleet.progress()
        await fleet.all_acked()
        for one in younger:
            one.task.cancel()
        await asyncio.wait([one.task for one in younger])
    codes = await fetch(database, "SELECT DISTINCT code FROM telemetry.dead_letter")
    assert {row["code"] for row in codes} <= {"moved_slot"}  # from the older ones' sessions; no device did anything wrong
    await check_complete(database, fleet.devices)
