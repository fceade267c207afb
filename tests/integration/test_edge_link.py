"""Simulated devices against a real Mosquitto with mTLS."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from edge.link import Endpoint, Link
from edge.load import LoadReport
from edge.outbox import Outbox
from edge.plan import make_fleet
from edge.spool import DiskSpool
from edge.wiring import Certificates, make_link
from fleet import topics
from fleet.fleet_plan import FleetPlan
from fleet.ids import DeviceId, SiteId, device_id, site_id
from fleet.telemetry import PlatformAck, State, Telemetry
from tests.edge_fleet import ended
from tests.integration.test_local_mosquitto import as_platform
from tests.servers import Broker

SITE, DEVICE = site_id("s-1"), device_id("edge-one")
DEADLINE_S = 90.0
_DRAIN_S = 90.0  # what a machine that stands still may need to ack what was sent


async def until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


class Platform:
    """Hears everything that devices send; acks when told to."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.acking = False
        self.telemetry: dict[DeviceId, list[Telemetry]] = {}
        self.states: list[State] = []
        self._client = client

    async def listen(self) -> None:
        async for message in self._client.messages:
            topic = topics.parse(str(message.topic))
            if topic.channel == "up/state":
                self.states.append(msgspec.json.decode(message.payload, type=State))  # type: ignore[arg-type]
            elif topic.channel == "up/telemetry":
                said = msgspec.json.decode(message.payload, type=Telemetry)  # type: ignore[arg-type]
                self.telemetry.setdefault(topic.device, []).append(said)
                if self.acking and said.seq is not None:
                    await self.ack(topic.site, topic.device, said.seq, said.stream)

    async def ack(self, site: SiteId, device: DeviceId, seq: int, stream: str | None) -> None:
        await self._client.publish(topics.down(site, device).ack, msgspec.json.encode(PlatformAck(seq, stream)), qos=1)

    def seqs(self, device: DeviceId = DEVICE) -> set[int | None]:
        return {said.seq for said in self.telemetry.get(device, [])}


@asynccontextmanager
async def platform(broker: Broker) -> AsyncIterator[Platform]:
    async with as_platform(broker) as client:
        await client.subscribe(f"{topics.ROOT}/+/+/+/up/#", qos=1)  # before anybody may speak: nothing is kept for us
        listening = Platform(client)
        task = asyncio.create_task(listening.listen())
        try:
            yield listening
        finally:
            with contextlib.suppress(aiomqtt.MqttError):
                await ended(task)


@asynccontextmanager
async def device(broker: Broker, spool: DiskSpool, *, server_name: str = "localhost") -> AsyncIterator[tuple[Link, Outbox]]:
    broker.pki.devices([DEVICE])
    certificates = Certificates(broker.pki.folder / "devices", broker.pki.server_trust)
    endpoint = Endpoint(broker.host, broker.device_port, server_name)
    link = make_link(endpoint, certificates, SITE, DEVICE, asyncio.Semaphore(1))
    outbox = Outbox(SITE, DEVICE, wire=link, spool=spool, state=State(online=True, boot="b"), monotonic=time.monotonic)
    running = asyncio.create_task(link.run(outbox))
    try:
        yield link, outbox
    finally:
        link.stop()
        await asyncio.wait_for(running, DEADLINE_S)


def offer(spool: DiskSpool, outbox: Outbox, messages: int) -> None:
    for number in range(messages):
        outbox.offer(b'[{"t":%d,"v":{"grid_power_w":1}}]' % (time.time_ns() // 1_000_000 + number))
    spool.commit()
    outbox.pump()


async def test_a_device_says_that_it_is_there_sends_and_lets_go_of_what_is_acked(
    broker_session: Broker, tmp_path: Path
) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    async with platform(broker_session) as heard, device(broker_session, spool) as (link, outbox):
        await until(lambda: link.up, "connected")
        offer(spool, outbox, 500)  # far more than the window
        await until(lambda: heard.seqs() == set(range(1, 501)) or len(heard.seqs()) == 256, "the unacked window is used up")
        assert len(heard.seqs()) == 256
        heard.acking = True
        await heard.ack(SITE, DEVICE, 256, outbox.stream)
        await until(lambda: outbox.acked == 500, "everything is acked")
        assert heard.seqs() == set(range(1, 501))
        assert heard.states == [State(online=True, boot="b")]
        assert spool.after(DEVICE, 0, 10) == []
        assert link.delivered == 501


async def test_a_cut_connection_is_announced_by_the_will_and_made_again(broker_session: Broker, tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    async with platform(broker_session) as heard:
        async with device(broker_session, spool) as (link, outbox):
            await until(lambda: link.up, "connected")
            link.hold(True)
            await until(lambda: heard.states[-1:] == [State(online=False)], "the will")
            offer(spool, outbox, 3)
            assert heard.seqs() == set()
            link.hold(False)
            await until(lambda: heard.seqs() == {1, 2, 3}, "what was measured meanwhile arrives")
            assert heard.states[-1] == State(online=True, boot="b")
        await until(lambda: heard.states[-1] == State(online=False), "switching off is announced as well")


async def test_a_killed_broker_loses_nothing(broker: Broker, tmp_path: Path) -> None:
    spool = DiskSpool(tmp_path / "spool.sqlite")
    async with device(broker, spool) as (link, outbox):
        async with platform(broker) as before:
            await until(lambda: link.up, "connected")
            offer(spool, outbox, 5)
            await until(lambda: before.seqs() == set(range(1, 6)), "sent")
            await before.ack(SITE, DEVICE, 2, outbox.stream)
            await until(lambda: outbox.acked == 2, "partly acked")
        broker.server.kill()
        await until(lambda: not link.up, "the loss is noticed")
        offer(spool, outbox, 5)
        broker.server.start()
        async with platform(broker) as after:
            await until(lambda: link.up, "connected again")
            after.acking = True
            outbox.ready()  # the platform may have subscribed after the device came back: what an ack stall would do, now
            await until(lambda: outbox.acked == 10, "everything is acked")
            assert after.seqs() == set(range(3, 11))
            assert after.telemetry[DEVICE][0].oldest == 3


async def test_a_broker_with_another_name_is_not_trusted(broker_session: Broker, tmp_path: Path) -> None:
    async with device(broker_session, DiskSpool(tmp_path / "s.sqlite"), server_name="elsewhere.example") as (link, _):
        await until(lambda: "certificate" in link.last_failure.lower(), "refused")
        assert link.connections == 0


@pytest.fixture
def plan(tmp_path: Path) -> FleetPlan:
    plan = make_fleet(2, 4, time.time_ns() // 1_000_000, 1)
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode(plan))
    return plan


def edge(broker: Broker, plan: FleetPlan, folder: Path, command: str, *more: str) -> "subprocess.Popen[str]":
    broker.pki.devices([planned.id for site in plan.sites for planned in site.devices])
    arguments = ["--plan", str(folder / "plan.json"), "--certs", str(broker.pki.folder / "devices")]
    arguments += [
        "--ca",
        str(broker.pki.server_trust),
        "--broker-host",
        broker.host,
        "--broker-port",
        str(broker.device_port),
    ]
    return subprocess.Popen([sys.executable, "-m", "edge", command, *arguments, *more], text=True, stdout=subprocess.PIPE)


async def test_the_simulator_survives_kill_9_and_ends_cleanly(
    broker_session: Broker, plan: FleetPlan, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    names = {planned.id for site in plan.sites for planned in site.devices}
    first_site = {planned.id for planned in plan.sites[0].devices}

    def start(*more: str) -> "subprocess.Popen[str]":
        return edge(broker_session, plan, tmp_path, "simulate", "--state", str(state), "--interval-s", "0.3", *more)

    async with platform(broker_session) as heard:
        running = start()
        await until(lambda: set(heard.telemetry) == names and min(map(len, heard.telemetry.values())) > 2, "all speak")
        assert (state / "ready").exists()
        over = heard.states.count(State(online=False)) + len(names)
        running.kill()
        running.wait()
        # the broker says them after all that it had of the first run, which would be taken for the second one's
        await until(lambda: heard.states.count(State(online=False)) >= over, "everybody's last will")
        killed_with = {name: said[-1] for name, said in heard.telemetry.items()}
        heard.telemetry.clear()
        heard.acking = True
        again = start("--fault", "comms_loss:0")
        quiet_ones_out = names - first_site
        await until(lambda: all(len(heard.telemetry.get(name, [])) > 8 for name in quiet_ones_out), "they go on")
        assert not first_site & set(heard.telemetry)
        for name in quiet_ones_out:
            assert heard.telemetry[name][0].stream == killed_with[name].stream
            assert heard.telemetry[name][0].seq == 1  # never acked, so sent again from the start
            assert heard.seqs(name) == set(range(1, len(heard.seqs(name)) + 1))
        again.send_signal(signal.SIGTERM)
        assert again.wait(timeout=90) == 0
        assert not (state / "ready").exists()


async def test_the_load_generator_reports_what_it_did(broker_session: Broker, plan: FleetPlan, tmp_path: Path) -> None:
    report_file = tmp_path / "report.json"
    more = ("--rate", "300", "--seconds", "2", "--samples-per-message", "2", "--report", str(report_file))
    more += ("--drain-s", str(_DRAIN_S))
    async with platform(broker_session) as heard:
        heard.acking = True
        running = edge(broker_session, plan, tmp_path, "load", *more)
        await until(lambda: running.poll() is not None, "it ends by itself", 150.0)
    report = msgspec.json.decode(report_file.read_bytes(), type=LoadReport)
    assert running.returncode == 0
    assert 0 < report.offered <= 600  # of two seconds of the clock, whatever the machine did meanwhile
    assert report.platform_acked == report.puback == report.written == report.offered
    assert sum(one.acked_seq for one in report.devices) == report.offered
    assert report.latency_ms["p50"] > 0
    for one in report.devices:
        said = heard.telemetry[one.device]
        assert heard.seqs(one.device) == set(range(1, one.sent_seq + 1))
        assert {message.stream for message in said} == {one.stream}
        times = [sample.t for message in said for sample in message.samples]
        assert len(set(times)) == len(times) == 2 * one.sent_seq
        assert all(len(sample.v) == 3 for message in said for sample in message.samples)


async def test_without_a_rate_the_load_generator_keeps_its_windows_full(
    broker_session: Broker, plan: FleetPlan, tmp_path: Path
) -> None:
    report_file = tmp_path / "report.json"
    more = ("--rate", "0", "--seconds", "150", "--window", "4", "--report", str(report_file), "--drain-s", str(_DRAIN_S))
    async with platform(broker_session) as heard:
        heard.acking = True
        running = edge(broker_session, plan, tmp_path, "load", *more)
        devices = [planned.id for site in plan.sites for planned in site.devices]
        await until(lambda: sum(len(heard.seqs(name)) for name in devices) > 4 * len(devices), "more than the windows hold")
        running.terminate()
        await until(lambda: running.poll() is not None, "it ends when told to")
    report = msgspec.json.decode(report_file.read_bytes(), type=LoadReport)
    assert running.returncode == 0
    assert report.platform_acked == report.offered > 4 * len(report.devices)
