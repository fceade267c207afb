"""Sent → committed → platform-acked over mTLS, a thousand connections, three measures a message."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mqtt5

from actors.local.debian import obtain
from certs.tls import client_context
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.limits import INFLIGHT_MESSAGES_MAX
from fleet.storage.database import connect
from tests.bench.figures import Figure, figure, note
from tests.bench.platform import Platform, platform
from tests.servers import Broker, Pki, mosquitto_server

CONNECTIONS = 1_000
SITES = 450
_LIMIT_MESSAGES = 150_000
_STEADY_S = 20.0
_FLOOD_CHUNK = 250
_PUBACK_BYTES = 4  # MQTT 5: a success needs no reason code


def run() -> Iterator[Figure]:
    with platform(sites=SITES) as running:
        limit = subscriber_limit(running.pki, running.plan.sites[0].devices[0].id, running.plan.sites[0].id)
        note(f"one mosquitto_sub receives {limit:.0f} messages/s")
        found = closed_loop(running, 15.0)
        note(f"closed loop: {found:.0f} messages/s")
        sustained = steady(running, found * 0.9)
        yield figure("ingest", "sustained 60 s, sent to platform-acked", sustained, "messages/s", limit)
        yield from check_stored(running)


def closed_loop(running: Platform, seconds: float) -> float:
    """As many as the windows allow: what the platform can take."""
    running.load(rate=0, seconds=seconds, connections=CONNECTIONS).wait()
    report = running.report()
    note(f"  {summary(report)}")
    return float(report["platform_acked_per_s"])  # type: ignore[arg-type]


def steady(running: Platform, rate: float) -> float:
    running.load(rate=rate, seconds=_STEADY_S, connections=CONNECTIONS).wait()
    report = running.report()
    note(f"  {summary(report)}")
    return float(report["platform_acked_per_s"])  # type: ignore[arg-type]


def summary(report: dict[str, object]) -> str:
    return " ".join(f"{key}={value}" for key, value in report.items() if key != "devices")


def check_stored(running: Platform) -> Iterator[Figure]:
    """Acked means stored: every sequence number below the acked one left a row."""
    acked = sum(device["acked_seq"] for device in running.report()["devices"])  # type: ignore[union-attr,attr-defined]
    stored = asyncio.run(_rows(running))
    yield figure("ingest", "platform-acked messages without a row", max(0, acked - stored), "messages")


async def _rows(running: Platform) -> int:
    connection = await connect(running.database.owner)
    try:
        rows: int = await connection.fetchval("SELECT count(*) FROM telemetry.sample")
        return rows
    finally:
        await connection.close()


def subscriber_limit(pki: Pki, device: str, site: str) -> float:
    """Messages/s that one C subscriber takes from a broker configured alike, while one connection sends all that TLS takes."""
    program = obtain("mosquitto-clients", "usr/bin/mosquitto_sub")
    assert program is not None, "the limit is measured with mosquitto_sub: install mosquitto-clients"
    root = topics.device_root(SiteId(site), DeviceId(device))
    with mosquitto_server(pki) as broker:
        internal = broker.sp_twins
        subscriber = subprocess.Popen(
            [
                str(program.path), "-h", "localhost", "-p", str(internal.port), "-q", "1", "-t", f"{root}/up/#",
                "-C", str(_LIMIT_MESSAGES), "-F", "%l", "-i", "bench-limit",
                "--cafile", str(internal.ca_file), "--cert", str(internal.cert_file), "--key", str(internal.key_file),
            ],
            stdout=subprocess.DEVNULL,
            env={**os.environ, **program.env},
        )  # fmt: skip
        wait_for_line(broker.log_file, "as bench-limit")
        began = time.monotonic()
        flood(broker, pki, device, f"{root}/up/telemetry")
        subscriber.wait(timeout=120)
        return _LIMIT_MESSAGES / (time.monotonic() - began)


def flood(broker: Broker, pki: Pki, device: str, topic: str) -> None:
    """One connection, ready-made packets, as many in flight as the broker allows."""
    payload = (
        b'{"seq":1,"samples":[{"t":1763800000000,"v":{"grid_power_w":12.5,"import_energy_wh":1234,"export_energy_wh":50}}]}'
    )
    qos = mqtt5.QoS.AT_LEAST_ONCE
    packets = [mqtt5.PublishPacket(topic, payload, qos=qos, packet_id=number).write() for number in range(1, 50_001)]
    chain, key = pki.device(device)
    tls = client_context(ca_file=pki.server_trust, cert_file=chain, key_file=key)
    with (
        socket.create_connection((broker.host, broker.device_port)) as raw,
        tls.wrap_socket(raw, server_hostname="localhost") as wire,
    ):
        wire.sendall(mqtt5.ConnectPacket(client_id=device, clean_start=True).write())
        wire.recv(1_024)  # CONNACK
        acked_bytes = 0
        sent = 0
        while sent < _LIMIT_MESSAGES:
            wire.sendall(b"".join(packets[(sent + n) % len(packets)] for n in range(_FLOOD_CHUNK)))
            sent += _FLOOD_CHUNK
            while sent - acked_bytes // _PUBACK_BYTES > INFLIGHT_MESSAGES_MAX - _FLOOD_CHUNK:
                acked_bytes += len(wire.recv(65_536))
        while acked_bytes // _PUBACK_BYTES < sent:
            acked_bytes += len(wire.recv(65_536))


def wait_for_line(log: Path, text: str, deadline_s: float = 20.0) -> None:
    end = time.monotonic() + deadline_s
    while text not in log.read_text():
        assert time.monotonic() < end, f"the broker's log never said {text!r}"
        time.sleep(0.05)
