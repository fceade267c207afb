"""Configurations and commands through a real shard, a real broker and a real database."""

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from actors.shard import TwinShard
from fleet.configuration import Change
from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandWish, ConfigWish
from fleet.remote import Command, CommandResult, DesiredConfig, ReportedConfig
from fleet.telemetry import State
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki

SITE, GATEWAY, OTHER = SiteId("site-one"), DeviceId("gateway-one"), DeviceId("gateway-two")
ONLINE = msgspec.json.encode(State(online=True))


@pytest.fixture
async def shard(database: Database, broker_session: Broker) -> AsyncIterator[TwinShard]:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway", OTHER: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker_session.sp_twins)) as running:
        yield running


@pytest.fixture
async def device(shard: TwinShard, broker_session: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker_session, pki, SITE, GATEWAY) as connected:
        await connected.raw("up/state", ONLINE)
        await until(lambda: is_online(shard, GATEWAY))
        yield connected


def command(
    command_id: str, device: DeviceId = GATEWAY, name: str = "blink", seconds: float = 60.0, **more: Any
) -> CommandWish:
    return CommandWish(command_id, SITE, device, name, {}, now_ms() + round(seconds * 1000), 60.0, **more)


def wish(change: Change, device: DeviceId = GATEWAY) -> ConfigWish:
    return ConfigWish(SITE, device, change)


async def is_online(shard: TwinShard, device: DeviceId) -> bool:
    twin = shard._catalog.sites[SITE].devices[device]
    return twin.online


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def told(device: Device, channel: str, kind: Any, number: int = 1) -> Any:
    """The newest of at least `number` messages of this channel."""

    async def enough() -> list[bytes] | None:
        found = [payload for topic, payload in device.told if topic.endswith(channel)]
        return found if len(found) >= number else None

    return msgspec.json.decode((await until(enough))[-1], type=kind)


async def state_of(database: Database, command_id: str) -> str:
    rows = await fetch(database, "SELECT state FROM remote.command WHERE id = $1", command_id)
    return str(rows[0]["state"]) if rows else "none"


async def until_state(database: Database, command_id: str, state: str) -> None:
    async def is_so() -> bool:
        return await state_of(database, command_id) == state

    await until(is_so)


async def config_of(database: Database, device: DeviceId = GATEWAY) -> dict[str, Any]:
    rows = await fetch(database, "SELECT * FROM remote.config WHERE device_id = $1", device)
    return dict(rows[0]) if rows else {}


async def until_config(database: Database, status: str, device: DeviceId = GATEWAY) -> dict[str, Any]:
    async def is_so() -> dict[str, Any] | None:
        found = await config_of(database, device)
        return found if found.get("status") == status else None

    found: dict[str, Any] = await until(is_so)
    return found


async def test_a_command_goes_its_way(shard: TwinShard, device: Device, database: Database) -> None:
    (answer,) = await shard.issue_commands([command("c1")])
    assert answer.problem is None
    assert (await told(device, "down/command", Command)).id == "c1"
    await until_state(database, "c1", "sent")
    await device.raw("up/result", msgspec.json.encode(CommandResult("c1", "accepted")))
    await until_state(database, "c1", "accepted")
    await device.raw("up/result", msgspec.json.encode(CommandResult("c1", "succeeded", {"blinked": 3})))
    await until_state(database, "c1", "succeeded")
    rows = await fetch(database, "SELECT kind FROM remote.receipt ORDER BY chain, seq")
    assert [row["kind"] for row in rows] == [f"command.{step}" for step in ("queued", "sent", "accepted", "succeeded")]


async def test_a_configuration_goes_its_way(shard: TwinShard, device: Device, database: Database) -> None:
    (answer,) = await shard.change_configs(
        [wish(Change("set", own={"report_interval_s": 30.0}, person_id="otto", expected=0))]
    )
    assert (answer.version, answer.changed, answer.there) == (1, True, True)
    desired = await told(device, "down/config", DesiredConfig)
    assert (desired.version, desired.values["report_interval_s"]) == (1, 30.0)
    await until_config(database, "applying")
    await device.raw("up/config", msgspec.json.encode(ReportedConfig(1, desired.values)))
    found = await until_config(database, "in_sync")
    assert found["reported_version"] == 1
    await device.raw("up/config", msgspec.json.encode(ReportedConfig(1, {**desired.values, "report_interval_s": 99.0})))
    await until_config(database, "drifted")
    (stale,) = await shard.change_configs([wish(Change("overwrite", expected=0))])
    assert stale.problem is not None
    assert (stale.problem.code, stale.problem.version) == ("stale_version", 1)
    (again,) = await shard.change_configs([wish(Change("overwrite", expected=1))])
    assert again.version == 2
    second = await told(device, "down/config", DesiredConfig, 2)
    assert second.values == desired.values
