"""Backup and restore of ten million samples, verified equal; beside it a bare COPY of the same rows to a file and back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from actors.keeping import backup
from actors.keeping.restore import How, restore
from fleet.settings import DatabaseSettings
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate
from tests.bench.figures import Figure, figure, note
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import elsewhere, empty_database, kept
from tests.servers import Cluster, postgres_server, server_folder

ROWS: Final = 10_000_000
_DEVICES: Final = 250
_STEP_S: Final = 60
_CHUNK_BYTES: Final = 1024 * 1024
# Powers and counters as devices tell them: some digits each, and no two rows alike.
_DAY: Final = """
    INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)
    SELECT 'site-' || d % 50, 'device-' || d, t, t + interval '0.7 seconds',
        ARRAY[floor(random() * 60000) / 10, floor(random() * 4000) / 10, m * 48 + d, m * 18, NULL,
              20 + floor(random() * 300) / 10]
    FROM generate_series(1, $3::int) d, generate_series(0, $2::int - 1) m,
        LATERAL (SELECT $1::timestamptz + m * interval '1 minute') u (t)
"""


def run() -> Iterator[Figure]:
    with postgres_server() as cluster, server_folder("backup") as folder:
        full = cluster.create_database("sp_full")
        asyncio.run(seed_fleet(full, [(f"site-{n}", {}) for n in range(50)]))
        asyncio.run(_fill(full.owner))
        rig = kept(cluster, full.owner, folder)
        out_s, copied_bytes = asyncio.run(_copy_out(full.owner, folder / "rows"))
        made = asyncio.run(backup.back_up(rig.settings, rig.seal))
        yield figure(
            "backup", f"{ROWS // 1_000_000} M samples into a sealed archive", ROWS / made.seconds, "samples/s", ROWS / out_s
        )
        yield figure("backup", "the same, time", made.seconds, "s", out_s)
        yield figure(
            "backup", "size of the archive (limit: the rows as binary COPY)", made.size_bytes / 1e6, "MB", copied_bytes / 1e6
        )
        in_s = asyncio.run(_copy_in(cluster, folder / "rows"))
        (folder / "rows").unlink()
        target = elsewhere(rig.settings, empty_database(cluster, "restored"), folder / "second")
        done = asyncio.run(restore(target, made.file, rig.opener, How(verify=True)))  # raises when anything differs
        yield figure("backup", "restored into an empty installation", ROWS / done.seconds, "samples/s", ROWS / in_s)
        yield figure("backup", "the same, time", done.seconds, "s", in_s)
        yield figure("backup", "verified: tables, sequences and files that differ", 0, "differences")
        yield figure("backup", "the same, time", done.verified_s or 0.0, "s")
        held = sum(table.rows for table in done.manifest.tables if table.name.startswith("telemetry.sample_2"))
        assert held == ROWS, f"{held} samples in the archive"


async def _fill(database: DatabaseSettings) -> None:
    """Some weeks of a row a minute of each device, in partitions of a day."""
    began, left = time.monotonic(), ROWS
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    per_day = _DEVICES * 86_400 // _STEP_S
    owner = await connect(database)
    try:
        while left > 0:
            day -= timedelta(days=1)
            await owner.execute("SELECT telemetry.create_sample_partition($1)", day.date())
            minutes = min(per_day, left) // _DEVICES
            await owner.execute(_DAY, day, minutes, _DEVICES)
            left -= minutes * _DEVICES
        await owner.execute("VACUUM ANALYZE telemetry.sample")
    finally:
        await owner.close()
    note(f"{ROWS} samples in {time.monotonic() - began:.0f} s")


async def _copy_out(database: DatabaseSettings, file: Path) -> tuple[float, int]:
    """Seconds and bytes of a COPY to a file, as it lies in the table."""
    owner = await connect(database)
    try:
        began = time.monotonic()
        await owner.copy_from_query("SELECT * FROM telemetry.sample", output=file, format="binary")
        return time.monotonic() - began, file.stat().st_size  # noqa: ASYNC240 - its time is taken already
    finally:
        await owner.close()


async def _copy_in(cluster: Cluster, file: Path) -> float:
    """Seconds of a COPY of that file into such a table."""
    database = await asyncio.to_thread(empty_database, cluster, "bare")
    owner = await connect(database)
    try:
        await migrate(owner, {role: (cluster.secrets / role).read_text() for role in SERVICE_ROLES})
        day = datetime.now(UTC).date()
        for back in range(ROWS * _STEP_S // (_DEVICES * 86_400) + 2):
            await owner.execute("SELECT telemetry.create_sample_partition($1)", day - timedelta(days=back))
        began = time.monotonic()
        await owner.copy_to_table("sample", schema_name="telemetry", source=_pieces(file), format="binary")
        return time.monotonic() - began
    finally:
        await owner.close()
        await asyncio.to_thread(cluster.drop_database, database.name)


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while piece := source.read(_CHUNK_BYTES):
            yield piece
