"""Twins that are let go of, built anew or gone for good, while what was ordered of them is under way."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from actors import orders
from actors.shard import TwinShard
from fleet.configuration import Change
from fleet.ids import DeviceId, SiteId
from fleet.limits import TWIN_IDLE_S
from fleet.orders import ConfigWish
from fleet.telemetry import UnixMs
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.orders_rig import GATEWAY, OTHER, SITE, command, nothing_is_written, now_ms, row_of, wish
from tests.servers import Broker, Database

FAR, FAR_GATEWAY = SiteId("site-far"), DeviceId("gateway-far")


@pytest.fixture
async def shard(database: Database, broker: Broker) -> AsyncIterator[TwinShard]:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway", OTHER: "gateway"}), (FAR, {FAR_GATEWAY: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as running:
        yield running


async def test_a_twin_that_is_built_anew_knows_what_is_being_stored(shard: TwinShard, database: Database) -> None:
    """Somebody is told "cancelled"; a twin that had read "queued" a moment before would tell the device after all."""
    await shard.issue_commands([command("c1")])
    async with nothing_is_written(database):
        cancelling = asyncio.create_task(shard.cancel_command(SITE, GATEWAY, "c1", "otto"))

        async def waits() -> bool:
            return bool(shard._orders.book._waiting)

        await until(waits)
        shard._catalog.passivate(now_ms() + round(2_000 * TWIN_IDLE_S))
        assert SITE not in shard._catalog.sites
        loading = asyncio.create_task(shard._catalog.site(SITE, now_ms()))
        await asyncio.wait([loading], timeout=0.5)
    await cancelling
    twin = await loading
    assert twin is not None
    assert twin.devices[GATEWAY].orders is None
    assert (await row_of(database, "c1"))["state"] == "cancelled"


async def test_a_new_command_is_answered_with_its_own_state(shard: TwinShard, database: Database) -> None:
    """Giving it is when the twin, built anew, sees that another one's time is up."""
    await shard.issue_commands([command("c1")])
    await fetch(database, "UPDATE remote.command SET expires_at = created_at + interval '1 ms' WHERE id = 'c1'")
    await shard.forget_site(SITE)
    (given,) = await shard.issue_commands([command("c2")])
    assert (given.id, given.state) == ("c2", "queued")
    assert [(await row_of(database, each))["state"] for each in ("c1", "c2")] == ["expired", "queued"]


async def test_one_wish_of_many_finds_the_twin_that_is_live(shard: TwinShard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one's twin is built anew while the second one's is loaded."""
    catalog = shard._catalog
    load = catalog._load

    async def slowly(wanted: Sequence[SiteId], now: UnixMs) -> None:
        monkeypatch.undo()
        catalog.forget(SITE)
        await catalog.site(SITE, now)
        await load(wanted, now)

    catalog.forget(FAR)
    monkeypatch.setattr(catalog, "_load", slowly)
    change = Change("set", own={"report_interval_s": 30.0})
    await shard.change_configs([wish(change), ConfigWish(FAR, FAR_GATEWAY, change)])
    (second,) = await shard.change_configs([wish(Change("set", own={"report_interval_s": 40.0}))])
    assert (second.version, second.changed) == (2, True)


async def test_however_many_devices_are_away_the_commands_of_a_retired_one_end(
    shard: TwinShard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "ORDERS_FORGOTTEN_MAX", 1)
    await shard.issue_commands([command("a1"), command("b1", OTHER, seconds=0.2)])
    await fetch(database, "UPDATE registry.device SET retired_at = now() WHERE id = $1", OTHER)
    await shard.forget_site(SITE)

    async def ended() -> bool:
        await shard._orders.find_forgotten()
        return (await row_of(database, "b1"))["state"] == "expired"

    await until(ended)
    assert (await row_of(database, "a1"))["state"] == "queued"
