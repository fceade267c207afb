"""What one message, row, day, twin, connection and request costs: the unit costs that deploy/sizing.md is computed from.

Processor time is the kernel's count for each process, so that a machine on which others work as well spoils it little.
Writes deploy/sizing.json, and deploy/sizing.md from it (tests.bench.sizing_page).
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import httpx
import psutil

from actors.clock import now_ms
from actors.local.demo import logins
from edge.load import MEASURES
from fleet.storage.database import connect
from tests.bench import sizing_stored, twins
from tests.bench.figures import Figure, figure, note
from tests.bench.ingest import CONNECTIONS, SITES, summary
from tests.bench.platform import SHARDS, Platform, platform
from tests.bench.sizing_page import PAGE_FILE, UNITS_FILE, UnitCosts, page, save
from tests.fleet_rig import Device

_RATE: Final = 2_000.0  # below what it takes where nobody else works
_LOAD_S: Final = 60.0
_CONNECT_S: Final = 30.0
_SETTLE_S: Final = 12.0  # connections
_STORED_DEADLINE_S: Final = 600.0
_WIRE_MESSAGES: Final = 100
_SEGMENT_BYTES: Final = 52  # IPv4 and TCP headers with time stamps
_PAGES: Final = 100  # open pages
_PAGES_S: Final = 15.0
_REQUESTS: Final = 200


class Use(NamedTuple):
    """Seconds of a core so far."""

    shards: float
    broker: float
    postgres: float
    web: float

    def since(self, earlier: "Use", times: float) -> "Use":
        """For each of so many."""
        return Use(*((now - then) / times for now, then in zip(self, earlier, strict=True)))


def run() -> Iterator[Figure]:
    stored = sizing_stored.measure()
    per_twin = next(twins.run()).value * 1024
    with platform(sites=SITES, web=True) as running:
        live = measure_live(running)
    units = UnitCosts(
        measured_on=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=machine(),
        twin_bytes=per_twin,
        **stored,
        **live,
    )
    save(units)
    PAGE_FILE.write_text(page(units))
    note(f"written: {UNITS_FILE.name}, {PAGE_FILE.name}")
    for name, value in vars_of(units).items():
        yield figure("sizing", name, value, name.rpartition("_")[2])


def machine() -> str:
    memory_gb = psutil.virtual_memory().total / 1e9
    return (
        f"{os.cpu_count()} cores, {memory_gb:.0f} GB, everything on it; {_RATE:,.0f} messages/s from {CONNECTIONS:,}"
        f" connections; load average {os.getloadavg()[2]:.0f}, others included"
    )


def vars_of(units: UnitCosts) -> dict[str, float]:
    return {name: getattr(units, name) for name in units.__struct_fields__ if isinstance(getattr(units, name), float)}


def measure_live(running: Platform) -> dict[str, float]:
    found = measure_connections(running)  # first: the broker's memory was never anything else
    rows, wal, first = asyncio.run(stored(running)), asyncio.run(wal_bytes(running)), use(running)
    running.load(rate=_RATE, seconds=_LOAD_S, connections=CONNECTIONS).wait()
    report = running.report()
    note(f"  {summary(report)}")
    offered = int(report["offered"])  # type: ignore[call-overload]
    wait_until_stored(running, rows + offered)  # on a busy machine the shards come after: then all is counted for all
    each, wal = use(running).since(first, offered), asyncio.run(wal_bytes(running)) - wal
    sessions = asyncio.run(connections_of(running))
    found |= {
        "shard_cpu_s_per_message": each.shards,
        "broker_cpu_s_per_message": each.broker - found["broker_cpu_s_per_connect"] * CONNECTIONS / offered,
        "postgres_cpu_s_per_message": each.postgres,
        "postgres_wal_bytes_per_message": wal / offered,
        "shard_postgres_connections": sessions["sp_twins"] / SHARDS,
        "web_postgres_connections": float(sessions["sp_web"]),
        "shard_rss_bytes": sum(process.memory_info().rss for process in running.shard_processes()) / SHARDS,
        "ray_pss_bytes": float(ray_memory(running)),
        "web_rss_bytes": float(web_process(running).memory_info().rss),
    }
    return found | asyncio.run(on_the_wire(running)) | measure_web(running)


def measure_connections(running: Platform) -> dict[str, float]:
    """What the broker uses, and grows by, for each connection that says next to nothing."""
    broker = psutil.Process(running.broker.server.pid)
    memory, files, used = broker.memory_info().rss, broker.num_fds(), cpu_s(broker)
    load = running.load(rate=20, seconds=_CONNECT_S, connections=CONNECTIONS)
    while broker.num_fds() - files < CONNECTIONS:
        assert load.poll() is None, "not everybody was let in"
        time.sleep(0.5)
    found = {
        "broker_cpu_s_per_connect": (cpu_s(broker) - used) / CONNECTIONS,
        "broker_rss_bytes_per_connection": (broker.memory_info().rss - memory) / CONNECTIONS,
        "broker_files_per_connection": (broker.num_fds() - files) / CONNECTIONS,
    }
    load.wait()
    return found


def wait_until_stored(running: Platform, rows: int) -> None:
    end = time.monotonic() + _STORED_DEADLINE_S
    while (found := asyncio.run(stored(running))) < rows:
        assert time.monotonic() < end, f"{rows - found} messages are not stored"
        time.sleep(1.0)


def use(running: Platform) -> Use:
    postgres, web = psutil.Process(running.database_pid), web_process(running)
    ended = postgres.cpu_times()  # what its ended children used is counted with itself
    return Use(
        sum(cpu_s(process) for process in running.shard_processes()),
        cpu_s(psutil.Process(running.broker.server.pid)),
        cpu_s(postgres) + ended.children_user + ended.children_system + sum(map(cpu_s, alive(postgres))),
        cpu_s(web),
    )


def cpu_s(process: psutil.Process) -> float:
    try:
        used = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(used.user + used.system)


def alive(process: psutil.Process) -> list[psutil.Process]:
    return list(process.children(recursive=True))


def web_process(running: Platform) -> psutil.Process:
    return next(child for child in psutil.Process().children() if "-m web" in " ".join(child.cmdline()))


def ray_memory(running: Platform) -> int:
    """Proportional shares: Ray's processes have libraries in common. The shards are counted by themselves."""
    shards = {process.pid for process in running.shard_processes()}
    family = [psutil.Process(running.process.pid), *alive(psutil.Process(running.process.pid))]
    return sum(int(process.memory_full_info().pss) for process in family if process.pid not in shards)


async def stored(running: Platform) -> int:
    """Rows of live samples: one for each message."""
    return int(await _one(running, "SELECT count(*) FROM telemetry.sample"))


async def wal_bytes(running: Platform) -> int:
    return int(await _one(running, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"))


async def connections_of(running: Platform) -> dict[str, int]:
    connection = await connect(running.database.owner)
    try:
        rows = await connection.fetch("SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE 'sp_%' GROUP BY 1")
        return {row["usename"]: row["count"] for row in rows}
    finally:
        await connection.close()


async def _one(running: Platform, query: str) -> Any:
    connection = await connect(running.database.owner)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def on_the_wire(running: Platform) -> dict[str, float]:
    """Bytes of a device's connection in both directions, headers included, for each of its messages, and once to connect."""
    site = running.plan.sites[0]
    device = site.devices[0]
    async with Device(running.broker, running.pki, site.id, device.id, stream="wire") as speaking:
        wire = speaking.client._client.socket()
        assert isinstance(wire, socket.socket)
        hello = travelled(wire)
        for seq in range(1, _WIRE_MESSAGES + 1):
            await speaking.say(seq, (now_ms(), dict.fromkeys(MEASURES[device.profile_id], 1_234.5 + seq)))
            await speaking.acked_up_to(seq, deadline_s=300.0)
        each = (travelled(wire) - hello) / _WIRE_MESSAGES
    return {"wire_bytes_per_message": each, "wire_bytes_per_connect": float(hello)}


def travelled(wire: socket.socket) -> int:
    """From the kernel's struct tcp_info: bytes acked and received, and a header for each segment."""
    told = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    sent, received = struct.unpack_from("<QQ", told, 120)
    segments_out, segments_in = struct.unpack_from("<II", told, 136)
    return int(sent + received + _SEGMENT_BYTES * (segments_out + segments_in))


def measure_web(running: Platform) -> dict[str, float]:
    load = running.load(rate=_RATE, seconds=2 * _SETTLE_S + _PAGES_S, connections=CONNECTIONS)
    time.sleep(_SETTLE_S)
    first = use(running)
    events = asyncio.run(watch([site.id for site in running.plan.sites[:_PAGES]], running))
    per_event = use(running).since(first, events).web
    load.wait()
    first = use(running)
    asyncio.run(ask([site.id for site in running.plan.sites], running))
    per_request = use(running).since(first, _REQUESTS)
    return {
        "web_cpu_s_per_event": per_event,
        "web_cpu_s_per_request": per_request.web,
        "postgres_cpu_s_per_request": per_request.postgres,
    }


@asynccontextmanager
async def signed_in(running: Platform) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=2 * _PAGES)
    async with httpx.AsyncClient(base_url=f"{running.url}/api/v1", timeout=30.0, limits=limits) as client:
        ops = logins()["ops"]
        answer = await client.post("/auth/login", json={"email": ops.email, "password": ops.password})
        client.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield client


async def watch(sites: Sequence[str], running: Platform) -> int:
    """Events that so many open pages were told."""
    told = 0

    async def read(client: httpx.AsyncClient, site: str) -> None:
        nonlocal told
        async with client.stream("GET", f"/sites/{site}/events") as events:
            async for line in events.aiter_lines():
                told += line.startswith("data:")

    async with signed_in(running) as client:
        pages = [asyncio.create_task(read(client, site)) for site in sites]
        await asyncio.sleep(_PAGES_S)
        for opened in pages:
            opened.cancel()
        await asyncio.gather(*pages, return_exceptions=True)
    return told


async def ask(sites: Sequence[str], running: Platform) -> None:
    """Half of them the day's energy from PostgreSQL, half of them the live view from the twin."""
    day, after = (f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
    async with signed_in(running) as client:
        for number in range(_REQUESTS):
            site = sites[number % len(sites)]
            energy = {"from": day, "to": after, "step": "15m"}
            asked = client.get(f"/sites/{site}/energy", params=energy) if number % 2 else client.get(f"/sites/{site}/live")
            (await asked).raise_for_status()
