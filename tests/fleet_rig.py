"""A small fleet in a database, a running shard, and devices that speak to it: for integration tests and benchmarks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import asyncpg
import msgspec

from actors.manual_ack import AT_ONCE
from actors.shard import TwinShard
from certs.tls import client_context
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.placement import slot_of
from fleet.profiles import shipped
from fleet.settings import BrokerSettings, DatabaseSettings, RaySettings, TwinsSettings
from fleet.storage.database import connect
from fleet.telemetry import PlatformAck, Sample, Telemetry, UnixMs
from tests.servers import Broker, Database, Pki

CUSTOMER, INSTALLER = "org-customer", "org-installer"


async def seed_fleet(database: Database, sites: Iterable[tuple[str, dict[str, str]]]) -> None:
    """sites: (site id, {device id: profile id})."""
    owner = await connect(database.owner)
    try:
        await owner.executemany(
            "INSERT INTO registry.profile (id, definition) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            [(profile.id, msgspec.to_builtins(profile)) for profile in shipped()],
        )
        await owner.executemany(
            "INSERT INTO accounts.organisation (id, name, kind) VALUES ($1, $1, $2) ON CONFLICT DO NOTHING",
            [(CUSTOMER, "customer"), (INSTALLER, "installer")],
        )
        listed = list(sites)
        await owner.copy_records_to_table(
            "site",
            schema_name="registry",
            columns=(
                "id", "slot", "name", "latitude", "longitude", "peak_power_w",
                "customer_organisation_id", "installer_organisation_id",
            ),
            records=[(site, slot_of(SiteId(site)), site, 44.73, 5.02, 6000.0, CUSTOMER, INSTALLER) for site, _ in listed],
        )  # fmt: skip
        await owner.copy_records_to_table(
            "device",
            schema_name="registry",
            columns=("id", "site_id", "profile_id", "name", "serial"),
            records=[
                (device, site, profile, device, f"SN-{device}")
                for site, devices in listed
                for device, profile in devices.items()
            ],
        )
    finally:
        await owner.close()


def twins_settings(
    database: DatabaseSettings, broker: BrokerSettings, shards: int = 1, log_file: Path | None = None
) -> TwinsSettings:
    """For a shard without Ray."""
    nowhere = Path("/nonexistent")
    return TwinsSettings(shards, database, broker, RaySettings(nowhere, nowhere, nowhere), log_file)


@asynccontextmanager
async def running_shard(settings: TwinsSettings, shard: int = 0) -> AsyncIterator[TwinShard]:
    """A shard that is ready and connected; killed (cancelled) at the end. What it raised comes out here."""
    twin_shard = TwinShard(shard, settings)
    task = asyncio.create_task(twin_shard.run())
    try:
        await first(task, twin_shard.ready())

        async def connected() -> bool:
            return (await twin_shard.stats()).connected

        await first(task, until(connected))
        yield twin_shard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def first(task: "asyncio.Task[Any]", wanted: Awaitable[Any]) -> None:
    """Waits for `wanted`, or raises what the task died of."""
    waiting = asyncio.ensure_future(wanted)
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        waiting.cancel()
        task.result()
    await waiting


async def until(condition: Callable[[], Awaitable[Any]], deadline_s: float = 90.0, period_s: float = 0.02) -> Any:
    """The first true answer; AssertionError after the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        answer = await condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"still {answer!r} after {deadline_s} s"
        await asyncio.sleep(period_s)


class Device:
    """A device with a real certificate and a real connection; keeps what the platform tells it."""

    def __init__(self, broker: Broker, pki: Pki, site: str, device: str, stream: str = "s1") -> None:
        self.site, self.id, self.stream = SiteId(site), DeviceId(device), stream
        chain, key = pki.device(device)
        tls = client_context(ca_file=pki.server_trust, cert_file=chain, key_file=key)
        self.client = aiomqtt.Client(
            broker.host, broker.device_port, identifier=device, tls_context=tls, socket_options=AT_ONCE, timeout=60.0
        )
        self.acked = 0
        self.told: list[tuple[str, bytes]] = []
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Device":
        await self.client.__aenter__()
        await self.client.subscribe(topics.device_filter(self.site, self.id), qos=1)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *error: Any) -> None:
        assert self._listening is not None
        self._listening.cancel()
        with contextlib.suppress(aiomqtt.MqttError):
            await self.client.__aexit__(*error)

    async def say(self, seq: int, *samples: tuple[UnixMs, dict[str, float | None]], oldest: int = 1) -> None:
        message = Telemetry([Sample(t, v) for t, v in samples], seq, oldest, self.stream)
        await self.raw("up/telemetry", msgspec.json.encode(message))

    async def raw(self, channel: str, payload: bytes) -> None:
        await self.client.publish(f"{topics.device_root(self.site, self.id)}/{channel}", payload, qos=1)

    async def acked_up_to(self, seq: int, deadline_s: float = 90.0) -> None:
        async def reached() -> bool:
            return self.acked >= seq

        await until(reached, deadline_s)

    async def _listen(self) -> None:
        async for message in self.client.messages:
            topic, payload = str(message.topic), bytes(message.payload)  # type: ignore[arg-type]
            self.told.append((topic, payload))
            if topic.endswith("/down/ack"):
                ack = msgspec.json.decode(payload, type=PlatformAck)
                assert ack.stream == self.stream
                self.acked = max(self.acked, ack.seq)


async def fetch(database: Database, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    connection = await connect(database.owner)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
