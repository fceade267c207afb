"""Sent → committed → platform-acked over mTLS, a thousand connections, three measures a message."""

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mqtt5
import uvloop

from actors.local.debian import obtain
from certs.tls import client_context
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.storage.database import connect
from tests.bench.figures import Figure, figure, note
from tests.bench.platform import Platform, platform
from tests.servers import Broker, Database, Pki, mosquitto_server

CONNECTIONS = 1_000
SITES = 450
_LIMIT_MESSAGES = 150_000
_STEADY_S = 60.0
_OPEN_RATE = 8_000.0  # each message its own write, which costs the generator and the broker three times as much
_OPEN_S = 20.0
_WINDOW = 128  # unacked messages per device in the closed loop
_LIMIT_BURST = 5  # messages of one connection in one write
_PAYLOAD = (
    b'{"seq":1234,"oldest":1230,"stream":"a1b2c3d4","samples":'
    b'[{"t":1763800000000,"v":{"grid_power_w":12.5,"import_energy_wh":1234,"export_energy_wh":50}}]}'
)


def run() -> Iterator[Figure]:
    with platform(sites=SITES) as running:
        limit = subscriber_limit(running)
        note(f"one mosquitto_sub receives {limit:.0f} messages/s")
        report = open_loop(running, _OPEN_RATE, _OPEN_S)
        for share, milliseconds in report["latency_ms"].items():  # type: ignore[attr-defined]
            yield figure("ingest", f"publish to platform ack at 8,000 messages/s, {share}", milliseconds, "ms")
        sustained = closed_loop(running, _STEADY_S)
        yield figure("ingest", "sustained 60 s at saturation, sent to platform-acked", sustained, "messages/s", limit)
        yield from check_stored(running, "ingest")


def closed_loop(running: Platform, seconds: float) -> float:
    """As many as the devices' windows allow: what the platform can take, in messages/s committed and platform-acked."""
    running.load(rate=0, seconds=seconds, connections=CONNECTIONS, more=("--window", str(_WINDOW))).wait()
    report = running.report()
    note(f"  {summary(report)}")
    return float(report["platform_acked_per_s"])  # type: ignore[arg-type]


def open_loop(running: Platform, rate: float, seconds: float) -> dict[str, object]:
    """Devices that speak when it is time, whether or not the platform keeps up."""
    running.load(rate=rate, seconds=seconds, connections=CONNECTIONS).wait()
    report = running.report()
    note(f"  {summary(report)}")
    return report


def summary(report: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in report.items() if key != "devices")


def check_stored(running: Platform, bench: str) -> Iterator[Figure]:
    """Acked means stored: the last load's samples, each of its own instant, against what its devices were told."""
    report = running.report()
    acked = sum(device["acked_seq"] for device in report["devices"])  # type: ignore[attr-defined]
    stored = asyncio.run(rows_since(running.database, int(report["started_at"])))  # type: ignore[call-overload]
    yield figure(bench, "platform-acked messages without a row", max(0, acked - stored), "messages")


async def rows_since(database: Database, at_ms: int) -> int:
    connection = await connect(database.owner)
    try:
        counted = "SELECT count(*) FROM telemetry.sample WHERE time >= to_timestamp($1::float8 / 1000)"
        rows: int = await connection.fetchval(counted, at_ms)
        return rows
    finally:
        await connection.close()


def subscriber_limit(running: Platform) -> float:
    """Messages/s that one C subscriber takes from a broker configured alike, from as many connections.

    The senders' packets are ready-made and several go into one write, so that the broker and the subscriber set the pace.
    """
    program = obtain("mosquitto-clients", "usr/bin/mosquitto_sub")
    assert program is not None, "the limit is measured with mosquitto_sub: install mosquitto-clients"
    with mosquitto_server(running.pki) as broker:
        internal = broker.sp_twins
        subscriber = subprocess.Popen(
            [
                str(program.path), "-h", "localhost", "-p", str(internal.port), "-q", "1", "-t", f"{topics.ROOT}/#",
                "-C", str(_LIMIT_MESSAGES), "-i", "bench-limit",
                "--cafile", str(internal.ca_file), "--cert", str(internal.cert_file), "--key", str(internal.key_file),
            ],
            stdout=(running.folder / "received").open("wb"),
            env={**os.environ, **program.env},
        )  # fmt: skip
        wait_for_line(broker.log_file, "as bench-limit")
        return uvloop.run(flood(running, broker, subscriber))


async def flood(running: Platform, broker: Broker, subscriber: "subprocess.Popen[bytes]") -> float:
    pairs = [(site.id, device.id) for site in running.plan.sites for device in site.devices][:CONNECTIONS]
    gate = asyncio.Semaphore(50)
    writers = await asyncio.gather(*(_connected(running.pki, broker, site, device, gate) for site, device in pairs))
    began = time.monotonic()
    for number in range(1, _LIMIT_MESSAGES // CONNECTIONS // _LIMIT_BURST + 1):
        for writer, topic in writers:
            writer.write(b"".join(_packet(topic, number * _LIMIT_BURST + part) for part in range(_LIMIT_BURST)))
        await asyncio.gather(*(writer.drain() for writer, _ in writers))
    await asyncio.to_thread(subscriber.wait, 120)
    rate = _LIMIT_MESSAGES / (time.monotonic() - began)
    for writer, _ in writers:
        writer.transport.abort()
    return rate


def _packet(topic: str, number: int) -> bytes:
    return mqtt5.PublishPacket(topic, _PAYLOAD, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number).write()


async def _connected(
    pki: Pki, broker: Broker, site: SiteId, device: DeviceId, gate: asyncio.Semaphore
) -> tuple[asyncio.StreamWriter, str]:
    chain, key = pki.device(device)
    tls = client_context(ca_file=pki.server_trust, cert_file=chain, key_file=key)
    async with gate:
        reader, writer = await asyncio.open_connection(broker.host, broker.device_port, ssl=tls, server_hostname="localhost")
        writer.write(mqtt5.ConnectPacket(client_id=device, clean_start=True).write())
        await reader.read(1_024)  # CONNACK; PUBACKs collect unread in the reader
    return writer, topics.up(site, device).telemetry


def wait_for_line(log: Path, text: str, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while text not in log.read_text():
        assert time.monotonic() < end, f"the broker's log never said {text!r}"
        time.sleep(0.05)
