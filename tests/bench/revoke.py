"""A thousand devices are connected and speak; a hundred of them are revoked, one after the other, as the web asks for it.

Seen from outside: a subscriber notes when the broker last delivered something of the device, and somebody with the device's
own certificate knocks until it is refused as revoked.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

import aiomqtt
import msgspec

from actors.broker_files import GUARD
from actors.guard import canary
from actors.guard.canary import Door
from actors.guard.takeover import InternalDoor
from certs.tls import client_context
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
_FLUSH = f"{topics.ROOT}/bench/flush"


class Measured(msgspec.Struct, frozen=True):
    """Seconds since the request. delivered: of the last message that came through. refused: a knock with its certificate.

    heard: its messages until then, the broker's queue towards the subscriber emptied.
    """

    delivered: float
    refused: float
    heard: int
    row: RevocationRow


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
    tap = Tap()
    listening = asyncio.create_task(tap.listen(running))
    connection = await connect(running.database.owner)
    try:
        await tap.everyone()
        devices = [(site.id, device.id) for site in running.plan.sites for device in site.devices][:_REVOCATIONS]
        found = [await _one(running, connection, tap, site, device) for site, device in devices]
        await asyncio.sleep(5.0)  # whoever got through after all is heard by now
        await tap.flush()
        late = sum(tap.count[device] - one.heard for (_, device), one in zip(devices, found, strict=True))
    finally:
        listening.cancel()
        await connection.close()
    return _figures(found, reloads, late)


async def _one(running: Platform, connection: DirectConnection, tap: "Tap", site: SiteId, device: DeviceId) -> Measured:
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
    await tap.flush()
    return Measured(max(0.0, tap.last[device] - began), refused_at - began, tap.count[device], row)


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


class Tap:
    """Hears what the devices send: when each was last heard, and how often."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.count: Counter[str] = Counter()
        self._client: aiomqtt.Client | None = None
        self._flushed = asyncio.Event()

    async def listen(self, running: Platform) -> None:
        inner = running.broker.sp_twins
        tls = client_context(ca_file=inner.ca_file, cert_file=inner.cert_file, key_file=inner.key_file)
        async with aiomqtt.Client(inner.host, inner.port, identifier="bench-tap", tls_context=tls) as client:
            await client.subscribe([(f"{topics.ROOT}/+/+/+/up/telemetry", 0), (_FLUSH, 0)])
            self._client = client
            async for message in client.messages:
                if str(message.topic) == _FLUSH:
                    self._flushed.set()
                    continue
                device = topics.parse(str(message.topic)).device
                self.last[device] = time.time()
                self.count[device] += 1

    async def flush(self) -> None:
        """Returns when everything that the broker had for us by now is heard: what we say ourselves comes after it."""
        assert self._client is not None
        self._flushed.clear()
        await self._client.publish(_FLUSH)
        await asyncio.wait_for(self._flushed.wait(), _DEADLINE_S)

    async def everyone(self) -> None:
        async def all_spoke() -> bool:
            return len(self.last) >= CONNECTIONS

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
    return [*figures, figure("revoke", "messages of revoked devices after the proof", late, "messages")]


def _after(row: RevocationRow, at: int | None) -> float:
    assert at is not None
    return (at - row.requested_at) / 1000
