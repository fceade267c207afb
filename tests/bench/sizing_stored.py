"""What PostgreSQL and the disk keep: bytes of a row, of a day, of an original; and what a day's recomputation costs."""

import asyncio
import io
import math
import os
import random
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import psutil

from actors.clock import now_ms
from actors.importer.originals import Originals
from actors.rollup import Rollup
from fleet.calendar import local_day
from fleet.ids import DeviceId, SiteId
from fleet.storage import energy, intake
from fleet.storage import lease as leases
from fleet.storage.database import Connection, connect, open_pool
from tests.fleet_rig import seed_fleet
from tests.servers import Cluster, Database, postgres_server, server_folder

_SITES: Final = 200
_STEP_S: Final = 10
_HOURS: Final = 2  # before now, of every device
_PARIS: Final = "Europe/Paris"
_DAYS: Final = 40  # of history, as day rows
_CHANNELS: Final = {"meter": 4, "inverter": 7}
_GZIP_LEVEL: Final = 6  # pg_dump's own


def measure() -> dict[str, float]:
    with postgres_server() as cluster:
        found = asyncio.run(_measure(cluster, cluster.create_database("sp_sizing")))
    return found | {"original_bytes_per_day_file": float(original())}


async def _measure(cluster: Cluster, database: Database) -> dict[str, float]:
    names = [f"s{number:04d}" for number in range(_SITES)]
    await seed_fleet(database, [(name, {f"{name}-meter": "meter", f"{name}-inverter": "inverter"}) for name in names])
    owner = await connect(database.owner)
    try:
        rows = await store(owner)
        sample = await owner.fetchval(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'telemetry.sample'::regclass"
        )
        dumped = await dump(owner, "SELECT * FROM telemetry.sample")
        recompute = await recomputation(owner, cluster, database)
        day_rows = await fill_days(owner)
        day = await owner.fetchval("SELECT pg_total_relation_size('telemetry.site_day')")
        dumped_days = await dump(owner, "SELECT * FROM telemetry.site_day")
    finally:
        await owner.close()
    return {
        "sample_bytes_per_row": float(sample) / rows,
        "sample_dump_bytes_per_row": dumped / rows,
        "site_day_bytes_per_row": float(day) / day_rows,
        "site_day_dump_bytes_per_row": dumped_days / day_rows,
        **recompute,
    }


async def store(owner: Connection) -> int:
    """As live intake brings them: instant by instant, all devices in some order, 500 rows a transaction."""
    await intake.prepare(owner)
    now = datetime.now(UTC)
    first = now - timedelta(hours=_HOURS)
    await intake.create_partitions(owner, {first.date(), now.date()})
    luck, stored = random.Random(1), 0
    waiting: list[intake.SampleRecord] = []
    for step in range(_HOURS * 3600 // _STEP_S):
        waiting += readings(first + timedelta(seconds=step * _STEP_S), luck)
        while len(waiting) >= 500:
            batch, waiting = waiting[:500], waiting[500:]
            async with owner.transaction():
                stored += await intake.store_samples(owner, batch)
    await owner.execute("VACUUM (ANALYZE) telemetry.sample")
    return stored


def readings(at: datetime, luck: random.Random) -> Iterator[intake.SampleRecord]:
    seconds = at.timestamp()
    for number in luck.sample(range(_SITES), _SITES):
        for kind, channels in _CHANNELS.items():
            values: list[float | None] = [round(luck.uniform(-5e3, 5e3), 1) for _ in range(channels)]
            values[1] = round(seconds / 7 + number)  # a counter
            site = SiteId(f"s{number:04d}")
            shift = timedelta(milliseconds=luck.randrange(9_000))
            yield site, DeviceId(f"{site}-{kind}"), at + shift, at + shift, values, None


async def recomputation(owner: Connection, cluster: Cluster, database: Database) -> dict[str, float]:
    """Today, dirty for the last half minute, at every site: seconds of a core in the shard, and in PostgreSQL, for each."""
    now = now_ms()
    pool = await open_pool(database.sp_twins, size_max=4, command_timeout_s=120.0)
    async with pool.acquire() as connection:
        lease = await leases.claim(connection, 0, range(256), "sizing")
    rollup = Rollup(pool, lease, range(256), _nothing)
    postgres = psutil.Process(cluster.server.pid)

    async def mark(since_s: float) -> None:
        since = now - round(since_s * 1000)
        sites = [SiteId(f"s{number:04d}") for number in range(_SITES)]
        await energy.mark_dirty(owner, [(site, local_day(since, _PARIS), since) for site in sites])

    async def settle() -> int:
        days = 0
        while (report := await rollup.run_once(now)).days:
            days += report.days
        return days

    await mark(_HOURS * 1800)
    await settle()  # the day stands; from now on only its end is dirty
    await mark(30.0)
    before, own = postgres_cpu_s(postgres), sum(os.times()[:2])
    days = await settle()
    own, used = sum(os.times()[:2]) - own, postgres_cpu_s(postgres) - before
    pool.terminate()
    return {"shard_cpu_s_per_recomputed_day": own / days, "postgres_cpu_s_per_recomputed_day": used / days}


async def _nothing() -> None:
    await asyncio.sleep(0)


def postgres_cpu_s(postgres: psutil.Process) -> float:
    own = postgres.cpu_times()
    children = (child.cpu_times() for child in postgres.children(recursive=True))
    used = own.user + own.system + own.children_user + own.children_system
    return float(used + sum(child.user + child.system for child in children))


async def fill_days(owner: Connection) -> int:
    """History as the roll-up writes it: five registers, two of them of a battery that most sites do not have."""
    await owner.execute(
        """
        INSERT INTO telemetry.site_day
        SELECT s.id, d::date, 'Europe/Paris', 20000, 9000, 8000, NULL, NULL, q.pv, q.import, q.export, '{}', '{}', q.quality,
               now()
        FROM registry.site s
        CROSS JOIN generate_series(current_date - $1::integer, current_date - 3, interval '1 day') d
        CROSS JOIN LATERAL (
            SELECT array_agg(CASE WHEN abs(n - 52) < 28 THEN round((random() * 900)::numeric, 1) ELSE 0 END)::float8[] AS pv,
                   array_agg(round((random() * 300)::numeric, 1)::float8) AS import,
                   array_agg(round((random() * 300)::numeric, 1)::float8) AS export, array_agg(1::smallint) AS quality
            FROM generate_series(0, 95) n WHERE s.id IS NOT NULL AND d IS NOT NULL
        ) q
        """,
        _DAYS,
    )
    await owner.execute("VACUUM FULL telemetry.site_day")
    rows: int = await owner.fetchval("SELECT count(*) FROM telemetry.site_day")
    return rows


async def dump(owner: Connection, query: str) -> int:
    """Bytes of these rows as pg_dump's own format keeps them: COPY's text, compressed."""
    packer, packed = zlib.compressobj(_GZIP_LEVEL), 0

    async def take(piece: bytes) -> None:
        nonlocal packed
        packed += len(packer.compress(piece))

    await owner.copy_from_query(query, output=take)
    return packed + len(packer.flush())


def original() -> int:
    """A logger's file of one day: three measures each quarter of an hour, as the importer keeps it."""
    lines = ["time,grid_power_w,import_energy_wh,export_energy_wh"]
    for quarter in range(96):
        at = datetime(2026, 6, 21, tzinfo=UTC) + timedelta(minutes=15 * quarter)
        power = 1000 * math.sin(quarter / 15)
        lines.append(f"{at.isoformat()},{power:.1f},{120_000 + 37 * quarter},{80_000 + 91 * quarter}")
    with server_folder("originals") as folder:
        kept = Originals(Path(folder) / "kept")
        taken = kept.keep(io.BytesIO("\n".join(lines).encode()))
        return kept.path(taken.sha256).stat().st_size
