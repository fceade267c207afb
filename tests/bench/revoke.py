"""A thousand devices are connected and speak; a hundred of them are revoked, one after the other, as the web asks for it.

Seen from outside: a subscriber notes when the broker last delivered something of the device, and somebody with the device's
own certificate knocks until it is refused as revoked.
"""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import Iterator

import aiomqtt
import msgspec

from actors.broker_files import GUARD
from actors.guard import canary
from actors.guard.canary import Door
from actors.guard.takeover import InternalDoor
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.storage import revocations
from fleet.storage.database import DirectConnection, connect
from fleet.storage.revocations import RevocationRow
from tests.bench.figures import Figure, figure, note, percentile
from tests.bench.ingest import CONNECTIONS, SITES
from tests.bench.platform import Platform, platform
from tests.fleet_rig import until
from tests.servers import certs

_REVOCATIONS = 100
_RATE = 1_000.0  # each device about once a second
_SETTLE_S = 20.0
_SECONDS = 600.0
_RELOADS = 20
_DEADLINE_S = 60.0


class Measured(msgspec.Struct, frozen=True):
    """Seconds since the request. delivered: of the last message that came through. refused: a knock with its certificate."""

    delivered: float
    refused: float
    row: RevocationRow

    @property
    def installed_at(self) -> float:
        assert self.row.installed_at is not None
        return self.row.installed_at / 1000


def run() -> Iterator[Figure]:
    with platform(sites=SITES, onboarding=True) as running:
        load = running.load(rate=_RATE, seconds=_SECONDS, connections=CONNECTIONS)
        try:
            time.sleep(_SETTLE_S)
            yield from asyncio.run(measure(running))
        finally:
            load.send_signal(signal.SIGTERM)
            load.wait(timeout=60)


async def measure(running: Platform) -> list[Figure]:
    reloads = await bare_reloads(running)
    note(f"a bare reload takes {percentile(reloads, 0.5) * 1000:.0f} ms (p50)")
    last: dict[str, float] = {}
    tap = asyncio.create_task(_listen(running, last))
    connection = await connect(running.database.owner)
    try:
        await _everyone(last)
        devices = [(site.id, device.id) for site in running.plan.sites for device in site.devices][:_REVOCATIONS]
        found = [await _one(running, connection, last, site, device) for site, device in devices]
        await asyncio.sleep(5.0)  # whoever got through after all is heard by now
        late = sum(last[device] > one.installed_at for (_, device), one in zip(devices, found, strict=True))
    finally:
        tap.cancel()
        await connection.close()
    return _figures(found, reloads, late)


async def _one(
    running: Platform, connection: DirectConnection, last: dict[str, float], site: SiteId, device: DeviceId
) -> Measured:
    knocking = asyncio.create_task(_knock(running, device))
    began = time.time()
    async with connection.transaction():
        await revocations.request_revocation(
            connection, site=site, device=device, reason="stolen", note="", requested_by=None
        )

    async def done() -> RevocationRow | None:
        row = (await revocations.revocations_of(connection, device))[0]
        return row if row.done else None

    row = await until(done, _DEADLINE_S)
    refused_at = await knocking
    return Measured(max(0.0, last[device] - began), refused_at - began, row)


async def _knock(running: Platform, device: DeviceId) -> float:
    """When the device's own certificate was first refused as revoked."""
    chain, key = running.pki.device(device)
    door = Door(running.broker.host, running.broker.device_port, "localhost", running.pki.server_trust)
    pems = chain.read_text(), key.read_text()

    async def refused() -> bool:
        return (await asyncio.to_thread(canary.probe, door, *pems)).verdict == "refused"

    await until(refused, _DEADLINE_S)
    return time.time()


async def bare_reloads(running: Platform) -> list[float]:
    """Seconds from the signal until the broker, with everyone connected, talks again: nothing has changed."""
    certs("issue-platform", str(running.pki.folder), GUARD)
    door = InternalDoor(running.pki.platform(running.broker, GUARD))
    taken = []
    for _ in range(_RELOADS):
        assert running.broker.server.pid is not None
        began = time.monotonic()
        os.kill(running.broker.server.pid, signal.SIGHUP)
        await door.take_over("bench", "none")
        taken.append(time.monotonic() - began)
    return taken


async def _listen(running: Platform, last: dict[str, float]) -> None:
    platform_ = running.broker.sp_twins
    context = ssl.create_default_context(cafile=str(platform_.ca_file))
    context.load_cert_chain(platform_.cert_file, platform_.key_file)
    async with aiomqtt.Client(
        platform_.host, platform_.port, identifier="bench-tap", tls_context=context, max_queued_incoming_messages=0
    ) as client:
        await client.subscribe(f"{topics.ROOT}/+/+/+/up/telemetry", qos=0)
        async for message in client.messages:
            last[topics.parse(str(message.topic)).device] = time.time()


async def _everyone(last: dict[str, float]) -> None:
    async def all_spoke() -> bool:
        return len(last) >= CONNECTIONS

    await until(all_spoke, _DEADLINE_S)


def _figures(found: list[Measured], reloads: list[float], late: int) -> list[Figure]:
    steps = {
        "revoked to its last delivered message": [one.delivered for one in found],
        "revoked to its live session gone": [_after(one.row, one.row.kicked_at) for one in found],
        "revoked to its certificate refused": [one.refused for one in found],
        "revoked to the proof on the page": [_after(one.row, one.row.refused_at) for one in found],
    }
    figures = [
        figure("revoke", f"{name}, {label}, {CONNECTIONS:,} devices connected", percentile(values, share), "s", limit)
        for name, values in steps.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
        for limit in [percentile(reloads, share)]
    ]
    return [*figures, figure("revoke", "messages of a revoked device after its list was installed", late, "messages")]


def _after(row: RevocationRow, at: int | None) -> float:
    assert at is not None
    return (at - row.requested_at) / 1000
