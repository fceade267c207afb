"""The web with its pages before a real shard, and a box whose profile has settings of every kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from httpx import ASGITransport, AsyncClient, Response

from actors.shard import TwinShard
from fleet.ids import DeviceId
from fleet.order_messages import DesiredConfig, ReportedConfig
from fleet.storage.database import open_pool
from tests.box_profile import PROFILE
from tests.fleet_rig import Device, running_shard, twins_settings, until
from tests.local_twins import LocalTwins
from tests.servers import Broker, Database
from tests.web_app import ALPHA, BASE_URL, BETA, Web, alive, make_services, seed, web_settings
from web.app import create_app
from web.pages.routes import PAGE_ROUTES, problem_page

BOX, BETA_BOX = DeviceId("box-alpha"), DeviceId("box-beta")


async def add_boxes(web: Web) -> None:
    await web.execute("INSERT INTO registry.profile (id, definition) VALUES ($1, $2)", "box", msgspec.to_builtins(PROFILE))
    for box, site in ((BOX, ALPHA), (BETA_BOX, BETA)):
        await web.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES ($1, $2, 'box', 'Boîtier', $1)",
            box,
            site,
        )


@dataclass
class ConfigRig:
    """web: of the API and the pages; who signs in is said with each call."""

    web: Web
    shard: TwinShard
    signed_in: dict[str, dict[str, str]] = field(default_factory=dict)

    async def call(
        self, method: str, path: str = "", *, who: str = "otto", version: int | None = None, **more: Any
    ) -> Response:
        """path: beneath the box's configuration."""
        if who not in self.signed_in:  # once: the platform counts log-ins
            self.signed_in[who] = await self.web.token(f"{who}@example.org")
        headers = dict(self.signed_in[who])
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        address = path if path.startswith("/api") else f"/api/v1/devices/{BOX}/config{path}"
        return await self.web.client.request(method, address, headers=headers, **more)

    async def put(self, values: dict[str, Any], version: int, why: str = "", who: str = "otto") -> Response:
        return await self.call("PUT", who=who, version=version, json={"values": values, "why": why})

    async def until_status(self, status: str) -> dict[str, Any]:
        async def is_so() -> dict[str, Any] | None:
            found = (await self.call("GET")).json()
            return found if found["status"] == status else None

        found: dict[str, Any] = await until(is_so)
        return found


async def report(device: Device, version: int, values: dict[str, Any], **more: Any) -> None:
    await device.raw("up/config", msgspec.json.encode(ReportedConfig(version, values, **more)))


async def told(device: Device, version: int) -> DesiredConfig:
    """What it was told, once that is this version."""

    async def is_there() -> DesiredConfig | None:
        found = [
            msgspec.json.decode(payload, type=DesiredConfig)
            for topic, payload in device.told
            if topic.endswith("down/config")
        ]
        return next((each for each in found if each.version == version), None)

    found: DesiredConfig = await until(is_there)
    return found


@asynccontextmanager
async def config_rig(database: Database, broker: Broker, folder: Path) -> AsyncIterator[ConfigRig]:
    await seed(database.owner)
    pool = await open_pool(database.sp_web, size_max=4)
    twins = LocalTwins()
    services = make_services(pool, twins, web_settings(database, folder, None))
    app = create_app(services, pages=PAGE_ROUTES, problem_page=problem_page)
    transport = ASGITransport(cast("Any", app), raise_app_exceptions=False, client=("192.0.2.7", 40_000))
    try:
        async with AsyncClient(transport=transport, base_url=BASE_URL, headers={"Origin": BASE_URL}) as client:
            web = Web(app, client, services, cast("Any", twins), database.owner)
            await add_boxes(web)
            async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard:
                twins.shards.append(shard)
                async with alive(app):
                    await web.until_twins_are(connected=True)
                    yield ConfigRig(web, shard)
    finally:
        pool.terminate()
