"""Files: ten million rows of our own CSV to stored samples, live intake meanwhile, reading, and what hostile files cost."""

import asyncio
import gzip
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil

from actors.importer import reading
from actors.importer.originals import Originals
from actors.importer.reader import Progress
from actors.importer.reading import ReadingJob
from actors.importer.spool import Spool, Summary
from fleet.codecs.files.reading import Context
from fleet.columns import DAY_MS
from fleet.ids import DeviceId, SiteId
from fleet.settings import text_of
from fleet.storage.copy_rows import COLUMNS, HEADER, TRAILER, SampleRows
from fleet.storage.database import connect
from tests.bench.figures import Figure, figure, note
from tests.bench.ingest import open_loop
from tests.bench.platform import Platform, importer, platform
from tests.servers import server_folder

ROWS: Final = 10_000_000
_STEP_MS: Final = 10_000
_LIMIT_ROWS: Final = 1_000_000
_LIVE_RATE: Final = 1_000.0
_LIVE_S: Final = 30.0
_LINES_AT_ONCE: Final = 100_000
_MEASURES: Final = ("grid_power_w", "import_energy_wh", "export_energy_wh")


def run() -> Iterator[Figure]:
    with platform(sites=450) as running, importer(running) as box:
        site = running.plan.sites[0].id
        asyncio.run(_add_devices(running, site))
        limit = asyncio.run(bare_copy(running, site))
        note(f"a bare COPY of such rows into telemetry.sample: {limit:.0f} rows/s")
        idle = _p99(open_loop(running, _LIVE_RATE, _LIVE_S))
        rate = backfill(running, box, "SN-bulk-1", ROWS)
        yield figure("files", "own CSV, 10 M rows, received to stored samples", rate, "rows/s", limit)
        load = running.load(rate=_LIVE_RATE, seconds=_LIVE_S, connections=1_000)
        backfill(running, box, "SN-bulk-2", ROWS)
        load.wait()
        busy = _p99(running.report())
        yield figure("files", "live publish to platform ack, p99, idle", idle, "ms")
        yield figure("files", "live publish to platform ack, p99, while 10 M rows are read and stored", busy, "ms", idle)
    yield from reading_speeds()
    yield from hostile_files()


# ten million rows ---------------------------------------------------------------------------------------------------


def own_csv(file: Path, serial: str, rows: int) -> None:
    """Rows of ten seconds, ending forty days ago."""
    end = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 40 * DAY_MS
    with file.open("w") as out:
        out.write(f"time,serial,{','.join(_MEASURES)}\n")
        for first in range(0, rows, _LINES_AT_ONCE):
            lines = (
                f"{end - (rows - i) * _STEP_MS},{serial},{i % 6000}.5,{i * 3},{i // 2}\n"
                for i in range(first, min(rows, first + _LINES_AT_ONCE))
            )
            out.write("".join(lines))


def backfill(running: Platform, box: Path, serial: str, rows: int) -> float:
    """Rows/s from the moment at which the file lies in the box to its state 'imported'."""
    fresh = running.folder / f"{serial}.csv"
    own_csv(fresh, serial, rows)
    began = time.monotonic()
    fresh.rename(box / f"{time.time_ns():020d}-{serial}.csv")
    stored = asyncio.run(_imported(running, f"{serial}.csv"))
    seconds = time.monotonic() - began
    assert stored == rows, f"{stored} of {rows} rows were stored"
    note(f"  {rows} rows in {seconds:.1f} s")
    return rows / seconds


async def _imported(running: Platform, name: str) -> int:
    connection = await connect(running.database.owner)
    try:
        while True:
            row = await connection.fetchrow("SELECT state, rows_new FROM imports.file WHERE name = $1", name)
            if row is not None and row["state"] in ("imported", "partly", "quarantined"):
                assert row["state"] == "imported", row
                return int(row["rows_new"])
            await asyncio.sleep(0.2)
    finally:
        await connection.close()


async def _add_devices(running: Platform, site: SiteId) -> None:
    connection = await connect(running.database.owner)
    try:
        await connection.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES"
            " ('bulk-1', $1, 'meter', 'b1', 'SN-bulk-1'), ('bulk-2', $1, 'meter', 'b2', 'SN-bulk-2'),"
            " ('bulk-limit', $1, 'meter', 'b0', NULL)",
            site,
        )
    finally:
        await connection.close()


async def bare_copy(running: Platform, site: SiteId) -> float:
    """Rows/s of one COPY into telemetry.sample, as the table's owner, of rows that are encoded already."""
    end = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 40 * DAY_MS
    t = end - np.arange(_LIMIT_ROWS, 0, -1, dtype=np.int64) * _STEP_MS
    readings = np.column_stack([t * 1e-3, t * 1e-4, t * 1e-5, np.full(len(t), np.nan)])
    rows = SampleRows(site, DeviceId("bulk-limit"), datetime.now(UTC), t, readings, t, np.zeros(len(t), np.int64))
    encoded = [b"".join(rows.encoded(first, first + 20_000)) for first in range(0, len(t), 20_000)]
    connection = await connect(running.database.owner)
    try:
        for day in np.unique(t // DAY_MS).tolist():
            date = datetime.fromtimestamp(day * 86_400, UTC).date()
            await connection.execute("SELECT telemetry.create_sample_partition($1)", date)

        async def source() -> AsyncIterator[bytes]:
            yield HEADER
            for piece in encoded:
                yield piece
            yield TRAILER

        began = time.monotonic()
        await connection.copy_to_table("sample", schema_name="telemetry", columns=COLUMNS, source=source(), format="binary")
        return _LIMIT_ROWS / (time.monotonic() - began)
    finally:
        await connection.close()


def _p99(report: dict[str, object]) -> float:
    return float(report["latency_ms"]["p99"])  # type: ignore[index]


# reading ------------------------------------------------------------------------------------------------------------


def reading_speeds() -> Iterator[Figure]:
    """Values/s from the original to rows in the spool, one core."""
    for name, content, values in (
        ("Huawei day file of 13 inverters", huawei_day(), 13 * 288 * 20),
        ("Enedis curve of two years", enedis_curve(), 730 * 48),
    ):
        speeds = []
        for _ in range(5):
            began = time.monotonic()
            summary = read_file(content)
            speeds.append(values / (time.monotonic() - began))
            assert summary.problem is None, summary.problem
            assert summary.rows > 0
        yield figure("files", f"{name}, read to rows", sorted(speeds)[2], "values/s")


def read_file(content: bytes) -> Summary:
    """In this process."""
    with server_folder("files") as folder:
        source = folder / "source"
        source.write_bytes(content)
        job = _job(folder, source)
        return reading.read(job, lambda *_: None)


def _job(folder: Path, source: Path) -> ReadingJob:
    originals = Originals(folder / "originals")
    with source.open("rb") as file:
        kept = originals.keep(file)
    context = Context(source.name, "Europe/Paris", time.time_ns() // 1_000_000)
    return ReadingJob(1, originals.path(kept.sha256), folder / "spool", context, "file")


def huawei_day() -> bytes:
    columns = "Upv1;Upv2;Upv3;Upv4;Ipv1;Ipv2;Ipv3;Ipv4;Uac1;Uac2;Uac3;Iac1;Iac2;Iac3;Temp;cos;fac;Pac;E-Day;E-Total"
    parts = ["#SmartLogger ESN:102100000001\n"]
    for inverter in range(13):
        parts.append(f"#INV{inverter + 1} ESN:2101000000000000{inverter:02d}\n#Time;{columns}\n")
        for slot in reversed(range(288)):
            kw = max(0.0, 30 * math.sin(math.pi * (slot - 60) / 168))
            values = ";".join(f"{600 + slot % 7 + number / 10:.1f}" for number in range(17))
            parts.append(
                f"2026-07-01 {slot // 12:02d}:{slot % 12 * 5:02d}:00;{values};{kw:.3f};"
                f"{slot * 0.5:.2f};{slot + 150000:.2f};\n"
            )
    return "".join(parts).encode()


def enedis_curve() -> bytes:
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    head = (
        "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite;"
        "Pas en minutes\n"
        "12345678901234;Courbe de charge;01/01/2024;31/12/2025;Energie active;Consommation;Comptage Brut;W;30\n\n"
        "Horodate;Valeur\n"
    )
    rows = (
        f"{datetime.fromtimestamp(start + i * 1800, UTC):%Y-%m-%dT%H:%M:%S}+00:00;{i % 3000}\n"
        for i in range(1, 730 * 48 + 1)
    )
    return ("\ufeff" + head + "".join(rows)).encode()


# what a hostile file costs ----------------------------------------------------------------------------------------------


def hostile_files() -> Iterator[Figure]:
    """The largest resident memory of the process that reads them."""
    with server_folder("hostile") as folder:
        two_gb = folder / "two-gb.csv"
        own_csv(two_gb, "SN-1", 36_000_000)
        size_gb = two_gb.stat().st_size / 1e9
        cases: list[tuple[str, Path]] = [(f"a file of {size_gb:.1f} GB", two_gb)]
        line = folder / "line.csv"
        line.write_bytes(b"time,serial,pv_energy_wh\n" + b"1" * 200_000_000)
        cases.append(("a line of 200 MB", line))
        bomb = folder / "bomb.csv.gz"
        bomb.write_bytes(gzip.compress(b"0," * 50_000_000, 9))
        cases.append(("a gzip of 100 MB in 100 KB", bomb))
        wide = folder / "wide.csv"
        wide.write_bytes(b"time," + b"pv_energy_wh," * 1_000_000 + b"\n")
        cases.append(("a million columns", wide))
        for name, source in cases:
            peak_mb, summary, seconds = read_apart(folder, source)
            problem = "none" if summary.problem is None else summary.problem.code
            note(f"  {name}: {seconds:.0f} s, {summary.rows} rows, problem {problem}")
            yield figure(
                "files", f"reader's peak memory, {name} ({'read' if problem == 'none' else problem})", peak_mb, "MB"
            )


def read_apart(folder: Path, source: Path) -> tuple[float, Summary, float]:
    """By the reader's own process, as the importer starts it. Peak MB, what it found, seconds."""
    job = _job(folder, source)
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "actors.importer.reader"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(job, enc_hook=text_of) + b"\n")
        process.stdin.flush()
        watched, peak = psutil.Process(process.pid), 0
        for said in process.stdout:
            peak = max(peak, int(watched.memory_info().rss))
            told = msgspec.json.decode(said, type=Progress)
            assert told.failed is None, told.failed
            if told.done:
                break
        status = Path(f"/proc/{process.pid}/status").read_text()
        high_water = next((int(entry.split()[1]) * 1024 for entry in status.splitlines() if entry.startswith("VmHWM")), peak)
        process.stdin.close()
    return max(peak, high_water) / 1e6, Spool(folder / "spool", 1).summary, time.monotonic() - began
