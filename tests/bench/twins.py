"""100,000 device twins from PostgreSQL: how fast they load, what each of them weighs."""

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import psutil

from actors.catalog import Catalog
from actors.clock import now_ms
from actors.counters import Counters
from actors.intake import Intake
from actors.manual_ack import Received
from actors.orders import Orders
from fleet import topics
from fleet.limits import SLOTS
from fleet.settings import DatabaseSettings
from fleet.storage.database import connect, open_pool
from fleet.storage.lease import Lease
from tests.bench.figures import Figure, figure
from tests.fleet_rig import seed_fleet
from tests.servers import Database, postgres_server

_SITES = 40_000
_DEVICES = ({"inverter": 1, "meter": 1}, {"inverter": 1, "meter": 1, "battery": 1})  # 2.5 devices a site
_PULL = "SELECT device_id, stream, seq, seen_at, sample_time, readings, online, info::text FROM telemetry.device_latest"


def run() -> Iterator[Figure]:
    with postgres_server() as cluster:
        database = cluster.create_database("sp_bench")
        asyncio.run(seed(database))
        settings = msgspec.json.encode(database.sp_twins, enc_hook=str)
        # A fresh process: what it grows by is the twins and nothing else.
        done = subprocess.run([sys.executable, "-m", __name__], input=settings, capture_output=True, check=True)
        measured = json.loads(done.stdout)
    yield figure("twins", "memory per active device twin, 100,000 loaded", measured["bytes_per_twin"] / 1024, "KiB")
    yield figure("twins", "cold load from PostgreSQL", measured["twins_per_s"], "twins/s", measured["rows_per_s"])


async def seed(database: Database) -> None:
    names = [(f"s{number:05d}", _DEVICES[number % 2]) for number in range(_SITES)]
    fleet = [(site, {f"{site}-{kind}": kind for kind in kinds}) for site, kinds in names]
    await seed_fleet(database, fleet)
    owner = await connect(database.owner)
    try:
        await owner.execute("""
            INSERT INTO telemetry.device_latest
                (site_id, device_id, stream, seq, seen_at, sample_time, readings, online, info)
            SELECT d.site_id, d.id, 'a1b2c3d4', 100000, now(), now(),
                   (SELECT array_agg(1234.5 + n)
                    FROM generate_series(1, jsonb_array_length(p.definition -> 'channels')) AS n),
                   true, '{"online":true,"model":"SP-3000","firmware":"1.4.2","boot":"b-17"}'
            FROM registry.device d JOIN registry.profile p ON p.id = d.profile_id
        """)
        await owner.execute("ANALYZE")
    finally:
        await owner.close()


async def measure(settings: DatabaseSettings) -> dict[str, float]:
    process = psutil.Process()
    pool = await open_pool(settings, size_max=2, command_timeout_s=120.0)
    async with pool.acquire() as connection:  # the limit: the same rows, fetched and thrown away
        began = time.perf_counter()
        rows = len(await connection.fetch(_PULL))
        rows_per_s = rows / (time.perf_counter() - began)
    gc.collect()
    before = process.memory_info().rss
    catalog = Catalog(pool, range(SLOTS))
    began = time.perf_counter()
    await catalog.load_all(now_ms())
    seconds = time.perf_counter() - began
    counters = Counters()
    orders = Orders(settings=settings, pool=pool, lease=Lease(0, 0), slots=range(SLOTS), catalog=catalog, counters=counters)
    make_active(catalog, orders, counters)
    gc.collect()
    grown = process.memory_info().rss - before
    pool.terminate()
    return {
        "bytes_per_twin": grown / catalog.devices,
        "twins_per_s": catalog.devices / seconds,
        "rows_per_s": rows_per_s,
    }


def make_active(catalog: Catalog, orders: Orders, counters: Counters) -> None:
    """Every twin has heard a message: its route is known, its live values are its own."""
    intake, now = Intake(catalog, counters, orders), now_ms()
    for site in list(catalog.sites.values()):
        for device in site.devices.values():
            channel = device.profile.channels[0]
            payload = b'{"seq":100001,"oldest":100001,"stream":"a1b2c3d4","samples":[{"t":%d,"v":{"%s":1.5}}]}' % (
                now,
                channel.encode(),
            )
            entry = intake.take(Received(topics.up(site.record.id, device.id).telemetry, payload, 1), now)
            assert entry is not None
            assert entry.rows


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=DatabaseSettings, dec_hook=lambda kind, text: kind(text))
    print(json.dumps(asyncio.run(measure(given))))
