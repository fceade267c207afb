"""A small fleet on the devices' side: real mTLS connections, store-and-forward, and a memory of all said and heard."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from edge.link import Endpoint, Link
from edge.outbox import Outbox
from edge.spool import MemorySpool
from edge.wiring import Certificates, make_link
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceProfile, shipped
from fleet.telemetry import PlatformAck, RateNotice, Sample, State, UnixMs
from tests.fleet_rig import until
from tests.servers import Broker

PROFILES = {profile.id: profile for profile in shipped()}
SITES: list[tuple[str, dict[str, str]]] = [
    (f"f-{site}", {f"f-{site}-{profile[0]}": profile for profile in profiles})
    for site, profiles in enumerate([("meter", "inverter", "battery")] * 2 + [("meter", "inverter")] * 2)
]
HOURS_MS = 3_600_000
HISTORY_MS = 40 * HOURS_MS  # samples begin so long ago: two midnights lie in them
HASTE = 10.0  # the devices' clock for ack stalls runs so much faster: 2 s instead of 20 s
_CHECK_PERIOD_S = 0.05


def now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000


def measured(profile: DeviceProfile, luck: random.Random, start: UnixMs, step_ms: int) -> Iterator[Sample]:
    """Values with all their bits in use; counters that grow, stand still and now and then begin anew."""
    counters = {channel: luck.uniform(0, 1e6) for channel in profile.channels if channel.endswith("_energy_wh")}
    for t in itertools.count(start, step_ms):
        for counter, value in counters.items():
            counters[counter] = 0.0 if luck.random() < 0.003 else value + max(0.0, luck.uniform(-1, 4))
        powers = {channel: luck.uniform(-5e3, 5e3) for channel in profile.channels if channel not in counters}
        yield Sample(t, {**powers, **counters})


class EdgeDevice:
    """Stands between link and outbox.

    offered  seq → the samples of that message; said  one line per sample sent
    told     stream → the highest seq that the platform has called stored
    """

    def __init__(
        self, site: str, device: str, profile: str, link: Link, window: int, luck: random.Random, haste: float
    ) -> None:
        self.site, self.id, self.profile = SiteId(site), DeviceId(device), PROFILES[profile]
        self.link = link
        self.offered: dict[int, list[Sample]] = {}
        self.told: dict[str, int] = {}
        self.rate_notices: list[RateNotice] = []
        self._up = topics.up(self.site, self.id)
        self._down = topics.down(self.site, self.id)
        self._measured = measured(self.profile, luck, now_ms() - HISTORY_MS, 10_000)
        self.outbox = Outbox(
            self.site,
            self.id,
            wire=link,
            spool=MemorySpool(),
            state=State(online=True, model="test"),
            monotonic=lambda: time.monotonic() * haste,
            window=window,
        )
        self.outbox.on_rate = self.rate_notices.append
        self.stream = self.outbox.stream

    @property
    def acked(self) -> int:
        return self.told.get(self.stream, 0)

    def measure(self, samples: int) -> list[Sample]:
        return list(itertools.islice(self._measured, samples))

    def offer(self, samples: list[Sample]) -> int:
        """Through the outbox: sent until it is acked."""
        seq = self.outbox.offer(msgspec.json.encode(samples))
        self.offered[seq] = samples
        self.outbox.pump()
        return seq

    async def publish(self, payload: bytes, topic: str | None = None) -> None:
        """Past the outbox: sent once, by default as telemetry."""

        async def room() -> bool:
            return self.link.room > 0

        await until(room)
        self.link.publish(topic or self._up.telemetry, payload)

    # Called by the session

    def ready(self) -> None:
        self.outbox.ready()

    def room_again(self) -> None:
        self.outbox.room_again()

    def message(self, topic: str, payload: bytes) -> None:
        if topic == self._down.ack:
            ack = msgspec.json.decode(payload, type=PlatformAck)
            stream = ack.stream or ""
            self.told[stream] = max(self.told.get(stream, 0), ack.seq)
        self.outbox.message(topic, payload)


class EdgeFleet:
    def __init__(self, devices: Sequence[EdgeDevice], luck: random.Random) -> None:
        self.devices = devices
        self.luck = luck

    @property
    def told(self) -> dict[DeviceId, int]:
        return {device.id: device.acked for device in self.devices}

    def offer(self, messages: int, samples: int = 1) -> None:
        for _ in range(messages):
            for device in self.devices:
                device.offer(device.measure(samples))

    async def talk(self, period_s: float = 0.04) -> None:
        """For a task: every device says something every period, until cancelled."""
        while True:
            self.offer(1, self.luck.randint(1, 3))
            await asyncio.sleep(period_s)

    async def connected(self) -> None:
        await self._until(lambda: all(device.link.up for device in self.devices))

    async def all_acked(self, deadline_s: float = 90.0) -> None:
        await self._until(lambda: all(device.acked >= len(device.offered) for device in self.devices), deadline_s)

    async def progress(self, messages: int = 1) -> None:
        """Every device hears of at least so many more stored messages than now."""
        before = self.told
        await self._until(lambda: all(device.acked >= before[device.id] + messages for device in self.devices))

    async def tend(self) -> None:
        """For a task: what a device's own loop does about stalled acks."""
        while True:
            for device in self.devices:
                device.outbox.check()
            await asyncio.sleep(_CHECK_PERIOD_S)

    async def _until(self, condition: Callable[[], bool], deadline_s: float = 90.0) -> None:
        async def holds() -> bool:
            return condition()

        await until(holds, deadline_s)


@asynccontextmanager
async def edge_fleet(
    broker: Broker, seed: int, *, window: int = 256, connect: bool = True, haste: float = HASTE
) -> AsyncIterator[EdgeFleet]:
    """The devices of SITES, connected; they say good-bye at the end.

    haste: 0 for devices that wait for their acks as long as it takes. Otherwise a machine that stands still for two seconds
    has them say things twice.
    """
    broker.pki.devices([device for _, devices in SITES for device in devices])
    certificates = Certificates(broker.pki.folder / "devices", broker.pki.server_trust)
    endpoint = Endpoint(broker.host, broker.device_port, "localhost")
    handshakes = asyncio.Semaphore(8)
    luck = random.Random(seed)
    devices = [
        EdgeDevice(
            site,
            device,
            profile,
            make_link(endpoint, certificates, SiteId(site), DeviceId(device), handshakes),
            window,
            random.Random(f"{seed} {device}"),
            haste,
        )
        for site, of_site in SITES
        for device, profile in of_site.items()
    ]
    fleet = EdgeFleet(devices, luck)
    links = [asyncio.create_task(device.link.run(device)) for device in devices]
    tending = asyncio.create_task(fleet.tend())
    try:
        if connect:
            await fleet.connected()
        yield fleet
    finally:
        for device in devices:
            device.link.stop()
        await asyncio.wait(links, timeout=60.0)
        await ended(tending)


@asynccontextmanager
async def in_background(work: Awaitable[None]) -> AsyncIterator[None]:
    """Runs beside the block and ends with it. What it raises comes out here."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        await ended(task)


async def ended(task: "asyncio.Future[None]") -> None:
    """Told to stop as often as it takes: whoever publishes by aiomqtt waits by Python 3.11's wait_for, which loses a
    cancellation that comes together with the answer. What it died of comes out here.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=5.0)
    if not task.cancelled():
        task.result()
