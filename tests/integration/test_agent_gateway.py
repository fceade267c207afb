"""A whole way in: devices in a house, an agent process beside them, the broker, a shard, and what they become."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleet.storage import waiting
from tests.agent_platform import Platform, hearing, platform
from tests.authority import SITE, owner
from tests.fleet_rig import fetch, running_shard, twins_settings, until
from tests.house_broker import HouseBroker, house_broker, talking
from tests.servers import Database
from tests.sunspec_device import LOOPBACK, SunSpecDevice

ROOF = "114182940773"


@pytest.fixture
def house() -> Iterator[HouseBroker]:
    with house_broker() as broker:
        yield broker


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.fixture
async def sky(parts: Platform) -> AsyncIterator[Platform]:
    async with hearing(parts) as running:
        yield running


async def serials(database: Database) -> set[str]:
    async with owner(database) as connection:
        return {source.serial for source in await waiting.waiting_sources(connection, SITE)}


async def test_what_a_house_says_becomes_devices_and_their_samples(
    sky: Platform, house: HouseBroker, tmp_path: Path
) -> None:
    database = sky.database
    agent, _ = await sky.agent(tmp_path, "roof-gw", "gateway")
    async with (
        SunSpecDevice.inverter("INV-0001") as inverter,
        talking(house) as opendtu,
        running_shard(twins_settings(database.sp_twins, sky.broker.sp_twins)) as shard,
    ):
        (agent.state / "agent.toml").write_text(
            f'[[inputs]]\ntype = "sunspec"\nhost = "{LOOPBACK}"\nport = {inverter.port}\nperiod_s = 1.0\n'
            f'[[inputs]]\ntype = "mqtt"\nhost = "{LOOPBACK}"\nport = {house.port}\ntopics = ["solar/#"]\n'
            f'password_file = "{house.password_file}"\n'
        )
        agent.start("run")
        try:

            async def both_wait() -> bool:
                await opendtu.publish(f"solar/{ROOF}/0/power", b"312.4", qos=1)
                return await serials(database) == {"INV-0001", ROOF}

            await until(both_wait, deadline_s=60.0, period_s=0.5)
            before = round(time.time() * 1000)
            for device, profile, serial in (("inv-1", "sunspec-inverter", "INV-0001"), ("inv-2", "opendtu-inverter", ROOF)):
                await fetch(
                    database,
                    "INSERT INTO registry.device (id, site_id, profile_id, name, serial, gateway_id)"
                    " VALUES ($1, $2, $3, $1, $4, 'roof-gw')",
                    device, SITE, profile, serial,
                )  # fmt: skip
                assert await shard.place_waiting(SITE, serial) > 0
            kept = await fetch(
                database,
                "SELECT device_id, readings[1] AS pv_power_w FROM telemetry.sample"
                " WHERE time < to_timestamp($1::bigint / 1000.0) AND device_id = ANY($2::text[])",
                before, ["inv-1", "inv-2"],
            )  # fmt: skip
            assert {(row["device_id"], row["pv_power_w"]) for row in kept} == {("inv-1", 7_250.0), ("inv-2", 312.4)}
            assert await serials(database) == set()

            inverter.tell(103, W=1_000)

            async def shown() -> bool:
                live = {str(device.device): device.readings for device in (await shard.site_live(SITE)).devices}
                return live["inv-1"].get("pv_power_w") == 1_000.0

            await until(shown)
        finally:
            await asyncio.to_thread(agent.kill)
