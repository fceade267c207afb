"""The load generator: real connections, real protocol, payloads from a template."""

import asyncio
import resource
import time
from array import array
from collections import deque
from collections.abc import Callable

import msgspec

from edge.limits import HANDSHAKES_AT_ONCE, LOAD_CONNECT_TIMEOUT_S, LOAD_TICK_S, STOP_TIMEOUT_S
from edge.link import Endpoint, Link
from edge.outbox import Outbox
from edge.spool import MemorySpool
from edge.wiring import Certificates, make_link
from fleet.errors import BadInput, Unavailable
from fleet.fleet_plan import FleetPlan
from fleet.ids import DeviceId
from fleet.telemetry import State, UnixMs

# Three measures per sample; the first varies, the second is a counter.
MEASURES = {
    "meter": ("grid_power_w", "import_energy_wh", "export_energy_wh"),
    "inverter": ("pv_power_w", "pv_energy_wh", "ac_voltage_v"),
    "battery": ("battery_power_w", "charge_energy_wh", "battery_soc_pct"),
}


class LoadSettings(msgspec.Struct, frozen=True):
    """rate: messages/s over all devices, 0 = as many as the windows allow. window: messages of a device that the platform
    has not acked. burst: messages that a device sends at once. connections: so many devices of the plan, from number `first`
    on. handshakes: that are under way at once; devices that are machines of their own know no such bound."""

    endpoint: Endpoint
    certificates: Certificates
    rate: float
    seconds: float
    window: int
    samples_per_message: int = 1
    burst: int = 1
    drain_s: float = 15.0
    connections: int | None = None
    first: int = 0
    handshakes: int = HANDSHAKES_AT_ONCE


class LoadedDevice(msgspec.Struct, frozen=True):
    """Everything of `stream` up to acked_seq must be stored; sent_seq is the highest that was ever sent.

    connected_at: when its latest connection was made.
    """

    device: DeviceId
    stream: str
    offered_seq: int
    sent_seq: int
    acked_seq: int
    connected_at: UnixMs


class LoadReport(msgspec.Struct, frozen=True):
    """Counts of messages. latency: from the moment a message was due to its platform ack. cpu_s: of this process."""

    connections: int
    started_at: UnixMs
    seconds: float
    offered: int
    written: int  # repetitions included
    puback: int
    refused: int
    platform_acked: int
    platform_acked_in_time: int  # before the drain
    given_up: int  # oldest messages dropped for want of memory; acks pass over them
    reconnects: int
    offered_per_s: float
    puback_per_s: float
    platform_acked_per_s: float
    latency_ms: dict[str, float]
    cpu_s: float
    cpu_us_per_message: float
    rss_max_bytes: int
    devices: list[LoadedDevice]


class _Source:
    """One device: makes its messages and times their acks."""

    def __init__(self, outbox: Outbox, link: Link, profile: str, samples: int, latencies_ms: "array[float]") -> None:
        power, counter, other = MEASURES[profile]
        self.outbox = outbox
        self.link = link
        self.offered = 0
        self._template = b'{"t":%%d,"v":{"%s":%%d.5,"%s":%%d,"%s":50}}' % (power.encode(), counter.encode(), other.encode())
        self._samples = samples
        self._last_at: UnixMs = 0
        self._due: deque[float] = deque()
        self.acked = 0
        self._latencies_ms = latencies_ms
        outbox.on_acked = self._on_acked

    def offer(self, messages: int) -> None:
        now = time.monotonic()
        for _ in range(messages):
            self.outbox.offer(self._payload())
            self._due.append(now)
        self.offered += messages
        self.outbox.pump()

    def _payload(self) -> bytes:
        """Times are about now and never the same twice."""
        first = max(time.time_ns() // 1_000_000, self._last_at + 1)
        self._last_at = first + self._samples - 1
        number = self.offered % 1000
        if self._samples == 1:
            return b"[" + self._template % (first, number, self._last_at // 1000) + b"]"
        return b"[" + b",".join(self._template % (first + n, number, first // 1000) for n in range(self._samples)) + b"]"

    def _on_acked(self, seq: int) -> None:
        now = time.monotonic()
        for _ in range(seq - self.acked):
            self._latencies_ms.append((now - self._due.popleft()) * 1000)
        self.acked = seq

    def result(self) -> LoadedDevice:
        box = self.outbox
        connected_at = round(self.link.connected_at * 1000)
        return LoadedDevice(box.device, box.stream, self.offered, box.highest_sent, self.acked, connected_at)


class Load:
    """One run: connect everybody, send for a while, wait for the acks, report."""

    def __init__(self, plan: FleetPlan, settings: LoadSettings) -> None:
        self._settings = settings
        self._latencies_ms: array[float] = array("f")
        self._spool = MemorySpool()
        self._handshakes = asyncio.Semaphore(settings.handshakes)
        self._stopping = False
        self._sources = self._make_sources(plan)
        settings.certificates.check(source.outbox.device for source in self._sources)

    async def run(self) -> LoadReport:
        """Raises Unavailable (not_connected) when not every device gets its connection in time."""
        links = [asyncio.create_task(source.link.run(source.outbox)) for source in self._sources]
        try:
            await self._connected()
            started_at, began, cpu = time.time_ns() // 1_000_000, time.monotonic(), _cpu_s()
            await (self._steady() if self._settings.rate else self._full())
            seconds, in_time, pubacked = time.monotonic() - began, self._acked(), self._pubacked()
            await self._until(self._all_acked, self._settings.drain_s)
            return self._report(started_at, seconds, in_time, pubacked, _cpu_s() - cpu)
        finally:
            for source in self._sources:
                source.link.stop()
            await asyncio.wait(links, timeout=STOP_TIMEOUT_S)
            self._spool.close()

    def stop(self) -> None:
        """Sending ends before its time; the last acks are awaited, and the report is made."""
        self._stopping = True

    def _make_sources(self, plan: FleetPlan) -> list[_Source]:
        settings = self._settings
        pairs = [(site, device) for site in plan.sites for device in site.devices]
        last = None if settings.connections is None else settings.first + settings.connections
        pairs = pairs[settings.first : last]
        if not pairs:
            raise BadInput("empty_plan", "the plan has no devices")
        sources = []
        for site, device in pairs:
            link = make_link(settings.endpoint, settings.certificates, site.id, device.id, self._handshakes)
            outbox = Outbox(
                site.id,
                device.id,
                wire=link,
                spool=self._spool,
                state=State(online=True, model="Load generator"),
                monotonic=time.monotonic,
                window=settings.window,
            )
            sources.append(_Source(outbox, link, device.profile_id, settings.samples_per_message, self._latencies_ms))
        return sources

    async def _connected(self) -> None:
        if not await self._until(lambda: all(source.link.up for source in self._sources), LOAD_CONNECT_TIMEOUT_S):
            missing = [source for source in self._sources if not source.link.up]
            why = missing[0].link.last_failure if missing else ""
            raise Unavailable("not_connected", f"{len(missing)} of {len(self._sources)} devices have no connection: {why}")

    async def _steady(self) -> None:
        """Open loop: what is due is due, whether or not the platform keeps up. One device after the other."""
        began = time.monotonic()
        burst, turn, offered = self._settings.burst, 0, 0
        while (elapsed := time.monotonic() - began) < self._settings.seconds and not self._stopping:
            due = int(elapsed * self._settings.rate)
            while offered + burst <= due:
                self._sources[turn].offer(burst)
                turn = (turn + 1) % len(self._sources)
                offered += burst
            self._check(elapsed)
            await asyncio.sleep(LOAD_TICK_S)

    async def _full(self) -> None:
        """Closed loop: every window is filled as soon as acks make room."""
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < self._settings.seconds and not self._stopping:
            for source in self._sources:
                room = self._settings.window - (source.offered - source.acked)
                if room > 0:
                    source.offer(room)
            self._check(elapsed)
            await asyncio.sleep(LOAD_TICK_S)

    def _check(self, elapsed: float) -> None:
        """Looks after stalled acks, a few devices at each tick."""
        position = int(elapsed / LOAD_TICK_S) % len(self._sources)
        self._sources[position].outbox.check()

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def _acked(self) -> int:
        return sum(source.acked for source in self._sources)

    def _pubacked(self) -> int:
        """Telemetry only: every connection begins with one state message."""
        return sum(source.link.delivered - source.link.connections for source in self._sources)

    def _all_acked(self) -> bool:
        return all(source.acked == source.offered for source in self._sources)

    def _report(self, started_at: UnixMs, seconds: float, in_time: int, pubacked: int, cpu_s: float) -> LoadReport:
        sources = self._sources
        offered = sum(source.offered for source in sources)
        return LoadReport(
            connections=len(sources),
            started_at=started_at,
            seconds=seconds,
            offered=offered,
            written=sum(source.outbox.messages for source in sources),
            puback=self._pubacked(),
            refused=sum(source.link.refused for source in sources),
            platform_acked=self._acked(),
            platform_acked_in_time=in_time,
            given_up=sum(source.outbox.given_up for source in sources),
            reconnects=sum(source.link.connections - 1 for source in sources),
            offered_per_s=offered / seconds,
            puback_per_s=pubacked / seconds,
            platform_acked_per_s=in_time / seconds,
            latency_ms=_percentiles(self._latencies_ms),
            cpu_s=cpu_s,
            cpu_us_per_message=cpu_s / max(offered, 1) * 1e6,
            rss_max_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            devices=[source.result() for source in sources],
        )


def _percentiles(values: "array[float]") -> dict[str, float]:
    ordered = sorted(values)
    wanted = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[int(share * (len(ordered) - 1))], 1) for name, share in wanted.items()} if ordered else {}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
