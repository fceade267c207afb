"""Devices and listeners around a guarded broker, and the stage that they act on."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
import mqtt5

from fleet import topics
from fleet.ids import DeviceId
from tests.edge_fleet import ended
from tests.fleet_rig import until
from tests.guard_rig import DEADLINE_S, SITE, Guard, Signer, register


def tls_of(guard: Guard, device: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(guard.pki.server_trust))
    context.load_cert_chain(*guard.pki.device(device))
    return context


class Talker:
    """Publishes a number every 20 ms at QoS 1, over one connection, until it is cut off."""

    def __init__(self, guard: Guard, device: str) -> None:
        self.guard, self.device = guard, device
        self.sent = 0
        self.cut = asyncio.Event()
        self.heard: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Talker":
        up = asyncio.Event()
        self._task = asyncio.create_task(self._talk(up))
        async with asyncio.timeout(DEADLINE_S):
            await up.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        await ended(self._task)

    async def is_cut(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.cut.wait()

    async def has_sent(self, messages: int) -> None:
        async def so() -> bool:
            return self.sent >= messages

        await until(so, DEADLINE_S)

    async def _talk(self, up: asyncio.Event) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async with device_client(self.guard, self.device) as client:
                await client.subscribe(topics.device_filter(SITE, DeviceId(self.device)), qos=1)
                up.set()
                hearing = asyncio.create_task(self._hear(client))
                try:
                    while True:
                        self.sent += 1
                        payload = str(self.sent).encode()
                        await client.publish(topics.up(SITE, DeviceId(self.device)).telemetry, payload, qos=1)
                        await asyncio.sleep(0.02)
                finally:
                    hearing.cancel()
        self.cut.set()

    async def _hear(self, client: aiomqtt.Client) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                self.heard.append(message.payload)


def device_client(guard: Guard, device: str, **more: Any) -> aiomqtt.Client:
    return aiomqtt.Client(
        "localhost",
        guard.broker.device_port,
        identifier=device,
        tls_context=tls_of(guard, device),
        timeout=60.0,
        **more,
    )


async def gets_in(guard: Guard, device: str) -> bool:
    """Whether a fresh connection is let in. A broker that is away lets nobody in."""
    try:
        connection = await asyncio.to_thread(greet, guard, device, tls_of(guard, device))
    except OSError:
        return False
    connection.close()
    return True


def greet(guard: Guard, device: str, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    """Connected and welcomed. Raises OSError (ssl.SSLError is one)."""
    plain = socket.create_connection(("127.0.0.1", guard.broker.device_port), 60.0)
    connection = context.wrap_socket(plain, server_hostname="localhost", session=session)
    connection.sendall(mqtt5.ConnectPacket(client_id=device, clean_start=True).write())
    if not connection.recv(100):
        raise ConnectionResetError
    return connection


class Listener:
    """Everything that the broker delivers to anybody: (device, payload)."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.got: list[tuple[str, bytes]] = []
        self._flushes = 0
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Listener":
        up = asyncio.Event()
        self._task = asyncio.create_task(self._listen(up))
        async with asyncio.timeout(DEADLINE_S):
            await up.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        await ended(self._task)

    async def so_far(self, device: str) -> int:
        """How many messages of the device the broker had delivered by now: one of ours came through after them."""
        self._flushes += 1
        await self.says(topics.up(SITE, DeviceId("d-flush")).state, str(self._flushes).encode())
        return self.count(device)

    def count(self, device: str) -> int:
        return sum(1 for name, _ in self.got if name == device)

    async def hears(self, device: str) -> None:
        before = self.count(device)

        async def more() -> bool:
            return self.count(device) > before

        await until(more, DEADLINE_S)

    async def says(self, topic: str, payload: bytes) -> None:
        """And hears it itself; again, when the broker was started anew in between."""

        async def came_back() -> bool:
            if any(said == payload for _, said in self.got):
                return True
            with contextlib.suppress(aiomqtt.MqttError):
                assert self._client is not None
                await self._client.publish(topic, payload, qos=1)
            return False

        await until(came_back, period_s=0.1)

    async def _listen(self, up: asyncio.Event) -> None:
        """Comes back after the broker was restarted."""
        platform = self._guard.broker.sp_twins
        while True:
            context = ssl.create_default_context(cafile=str(platform.ca_file))
            context.load_cert_chain(platform.cert_file, platform.key_file)
            client = aiomqtt.Client("localhost", platform.port, identifier="listener", tls_context=context, timeout=60.0)
            self._client = client
            with contextlib.suppress(aiomqtt.MqttError, OSError):
                async with client:
                    await client.subscribe(f"{topics.ROOT}/#", qos=0)
                    up.set()
                    async for message in client.messages:
                        device = topics.parse(str(message.topic)).device
                        assert isinstance(message.payload, bytes)
                        self.got.append((device, message.payload))
            await asyncio.sleep(0.05)


@asynccontextmanager
async def stage(guard: Guard, *devices: str) -> AsyncIterator[tuple[Signer, Listener]]:
    """Registered devices with certificates in the ledger, a first list proven, and an ear on everything."""
    await register(guard, *devices)
    signer = Signer(guard)
    await signer.enter(*devices)
    number = await signer.sign()
    await guard.ready()
    await guard.proven(number)
    async with Listener(guard) as listener:
        yield signer, listener
