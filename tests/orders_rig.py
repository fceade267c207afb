"""A shard with two gateways, and what they say and are told: for tests of configurations and commands."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from actors.shard import TwinShard
from fleet.configuration import Change
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import CommandResult, ReportedConfig
from fleet.orders import CommandWish, ConfigWish
from fleet.storage.database import connect
from fleet.telemetry import State
from tests.fleet_rig import Device, fetch, until
from tests.servers import Database

SITE, GATEWAY, OTHER = SiteId("site-one"), DeviceId("gateway-one"), DeviceId("gateway-two")
ONLINE, OFFLINE = (msgspec.json.encode(State(online=there)) for there in (True, False))


def command(
    command_id: str, device: DeviceId = GATEWAY, name: str = "blink", seconds: float = 3_600.0, **more: Any
) -> CommandWish:
    return CommandWish(command_id, SITE, device, name, {}, now_ms() + round(seconds * 1000), 3_600.0, **more)


def wish(change: Change, device: DeviceId = GATEWAY) -> ConfigWish:
    return ConfigWish(SITE, device, change)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def come(shard: TwinShard, device: Device) -> None:
    """It says that it is there, and its twin has heard it."""
    await device.raw("up/state", ONLINE)

    async def is_online() -> bool:
        live = await shard._catalog.site(device.site, now_ms())  # it may have been let go of, and be loaded anew
        return live is not None and live.devices[device.id].online

    await until(is_online)


async def answer(device: Device, command_id: str, status: Any, detail: Any = None) -> None:
    await device.raw("up/result", msgspec.json.encode(CommandResult(command_id, status, detail)))


async def report(device: Device, version: int, values: dict[str, Any], **more: Any) -> None:
    await device.raw("up/config", msgspec.json.encode(ReportedConfig(version, values, **more)))


async def told(device: Device, channel: str, kind: Any, number: int = 1) -> Any:
    """The newest of at least `number` messages of this channel."""

    async def enough() -> list[bytes] | None:
        found = [payload for topic, payload in device.told if topic.endswith(channel)]
        return found if len(found) >= number else None

    return msgspec.json.decode((await until(enough))[-1], type=kind)


def commands_told(device: Device) -> list[str]:
    return [msgspec.json.decode(payload)["id"] for topic, payload in device.told if topic.endswith("down/command")]


async def row_of(database: Database, command_id: str) -> dict[str, Any]:
    rows = await fetch(database, "SELECT * FROM remote.command WHERE id = $1", command_id)
    return dict(rows[0]) if rows else {}


async def until_state(database: Database, command_id: str, state: str) -> dict[str, Any]:
    async def is_so() -> dict[str, Any] | None:
        found = await row_of(database, command_id)
        return found if found.get("state") == state else None

    found: dict[str, Any] = await until(is_so)
    return found


async def until_config(database: Database, status: str, device: DeviceId = GATEWAY) -> dict[str, Any]:
    async def is_so() -> dict[str, Any] | None:
        rows = await fetch(database, "SELECT * FROM remote.config WHERE device_id = $1", device)
        return dict(rows[0]) if rows and rows[0]["status"] == status else None

    found: dict[str, Any] = await until(is_so)
    return found


async def until_letter(database: Database, code: str) -> dict[str, Any]:
    async def is_there() -> dict[str, Any] | None:
        rows = await fetch(database, "SELECT * FROM telemetry.dead_letter WHERE code = $1", code)
        return dict(rows[0]) if rows else None

    found: dict[str, Any] = await until(is_there)
    return found


async def receipts(database: Database) -> list[str]:
    return [row["kind"] for row in await fetch(database, "SELECT kind FROM remote.receipt ORDER BY chain, seq")]


@asynccontextmanager
async def nothing_is_written(database: Database) -> AsyncIterator[None]:
    """As on a disk that hangs: commands can be read, and none is stored."""
    owner = await connect(database.owner)
    try:
        async with owner.transaction():
            await owner.execute("LOCK TABLE remote.command IN EXCLUSIVE MODE")
            yield
    finally:
        await owner.close()
