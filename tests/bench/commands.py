"""A command's way there and back, and configurations changed a second, while two thousand messages a second come in."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiomqtt
import httpx
import msgspec

from actors.local.demo import logins
from certs.tls import client_context
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import Command, CommandResult
from fleet.telemetry import State
from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.ingest import CONNECTIONS, SITES, summary
from tests.bench.platform import Platform, platform
from tests.bench.storm import connected
from tests.fleet_rig import Device

_RATE = 2_000.0  # messages/s of telemetry meanwhile
_SETTLE_S = 8.0
_COMMANDS_S = 30.0
_COMMANDS_PER_S = 10.0
_DEVICES = 8  # that are commanded, one after the other


class Obedient(Device):
    """Does what it is told, at once."""

    async def _listen(self) -> None:
        up = topics.up(self.site, self.id)
        async for message in self.client.messages:
            if str(message.topic).endswith("/down/command"):
                command = msgspec.json.decode(bytes(message.payload), type=Command)  # type: ignore[arg-type]
                for status in ("accepted", "succeeded"):
                    answer = msgspec.json.encode(CommandResult(command.id, status))  # type: ignore[arg-type]
                    await self.client.publish(up.result, answer, qos=1)


def run() -> Iterator[Figure]:
    with platform(sites=SITES, web=True) as running:
        load = running.load(rate=_RATE, seconds=_COMMANDS_S + 4 * _SETTLE_S, connections=CONNECTIONS)
        while connected(running) < CONNECTIONS:
            assert load.poll() is None, "the load generator has ended"
            time.sleep(0.2)
        yield from asyncio.run(_commands(running))
        load.wait()
        note(f"  {summary(running.report())}")


async def _commands(running: Platform) -> list[Figure]:
    chosen = _chosen(running)
    async with AsyncExitStack() as stack:
        for site, device in chosen:
            one = await stack.enter_async_context(Obedient(running.broker, running.pki, site, device))
            await one.raw("up/state", msgspec.json.encode(State(online=True)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{running.url}/api/v1", timeout=40.0))
        await sign_in(client)
        await asyncio.sleep(2.0)
        echo = await _echoes(running)
        asks = [await _timed(client.get(f"/sites/{chosen[n % len(chosen)][0]}/live")) for n in range(100)]
        taken = []
        began = time.perf_counter()
        for number in range(int(_COMMANDS_S * _COMMANDS_PER_S)):
            await asyncio.sleep(max(0.0, began + number / _COMMANDS_PER_S - time.perf_counter()))
            taken.append(await _there_and_back(client, chosen[number % len(chosen)][1]))
    limits = [percentile(asks, share) + percentile(echo, share) for share in (0.5, 0.99)]
    name = "API to device and its result back at the API, {}, {:.0f} messages/s meanwhile"
    return [
        figure("commands", name.format(word, _RATE), percentile(taken, share), "ms", limit)
        for (word, share), limit in zip((("p50", 0.5), ("p99", 0.99)), limits, strict=True)
    ]


def _chosen(running: Platform) -> list[tuple[SiteId, DeviceId]]:
    """Devices that the load generator does not speak for: those behind its number of connections."""
    pairs = [(site.id, device.id) for site in running.plan.sites for device in site.devices]
    return pairs[-_DEVICES:]


async def sign_in(client: httpx.AsyncClient) -> None:
    ops = logins()["ops"]
    answer = await client.post("/auth/login", json={"email": ops.email, "password": ops.password})
    client.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"


async def _there_and_back(client: httpx.AsyncClient, device: DeviceId) -> float:
    """Milliseconds from the request to the answer that says how it ended."""
    began = time.perf_counter()
    asked = {"name": "blink", "args": {}}
    given = await client.post(f"/devices/{device}/commands", json=asked, headers={"Prefer": "wait=10"})
    command = given.raise_for_status().json()
    assert command["state"] == "succeeded", command
    return (time.perf_counter() - began) * 1000


async def _timed(request: "asyncio.Future[httpx.Response] | object") -> float:
    began = time.perf_counter()
    (await request).raise_for_status()  # type: ignore[misc]
    return (time.perf_counter() - began) * 1000


async def _echoes(running: Platform) -> list[float]:
    """Broker and back, between two clients of the internal listener: part of what no platform can go below."""
    own = running.broker.sp_twins
    tls = client_context(ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file)
    topic = f"{topics.ROOT}/00/echo/echo/down/echo"
    taken = []
    async with (
        aiomqtt.Client("localhost", own.port, identifier="echo-a", tls_context=tls) as sender,
        aiomqtt.Client("localhost", own.port, identifier="echo-b", tls_context=tls) as receiver,
    ):
        await receiver.subscribe(topic, qos=1)
        messages = aiter(receiver.messages)
        for _ in range(100):
            began = time.perf_counter()
            await sender.publish(topic, b"x", qos=1)
            await anext(messages)
            taken.append((time.perf_counter() - began) * 1000)
    return taken
