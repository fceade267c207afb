"""What is let go of files: by age, and of whoever has most of the disk. What they have told stays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg

from fleet.codecs.files.reading import refusal
from fleet.file_limits import REFUSED_FILES_KEPT_MAX, SAMPLE_REVISIONS_MAX, WAITING_SERIALS_PER_SITE_MAX
from fleet.ids import SiteId
from fleet.limits import WAITING_SOURCES_PER_GATEWAY_MAX
from fleet.storage import import_retention, imports
from fleet.storage.database import Connection, connect
from fleet.storage.imports import Job, SerialRows
from tests.bulk_rig import block, bulk_door
from tests.fleet_rig import fetch, seed_fleet
from tests.importer_rig import LOGGER, SITE, intake
from tests.integration.test_bulk_door import DAY, SITES
from tests.servers import Database

NOW = datetime.now(UTC)
ADDED = """
    INSERT INTO imports.file (id, site_id, device_id, via, name, size_bytes, sha256, state, received_at, finished_at)
    SELECT $3 || n, $1, $2, 'sftp', 'a', $4, sha256(convert_to($5 || n, 'UTF8')), 'imported', $6, $6
    FROM generate_series(1, $7) n
"""


async def add(
    database: Database, name: str, *, days_old: int, count: int = 1, size: int = 10, content: str = "", site: str = SITE
) -> None:
    logger = LOGGER if site == SITE else None
    await fetch(database, ADDED, site, logger, name, size, content or name, NOW - timedelta(days=days_old), count)


async def kept(database: Database) -> list[str]:
    rows = await fetch(database, "SELECT id FROM imports.file WHERE original_gone_at IS NULL ORDER BY number")
    return [row["id"] for row in rows]


async def first_job(connection: Connection, database: Database) -> Job:
    await fetch(database, "UPDATE imports.file SET state = 'received' WHERE number = (SELECT max(number) FROM imports.file)")
    job = await imports.next_job(connection, small=True, but=[], spent=[], served=[])
    assert job is not None
    return job


async def test_the_old_go_and_then_those_of_whoever_has_most(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path):
        await seed_fleet(database, [("s-other", {})])
        await add(database, "old", days_old=100, count=2)
        await add(database, "again", days_old=1, content="old")  # the bytes of old1 came again
        await add(database, "large", days_old=2, count=3, size=10**9, site="s-other")
        connection = await connect(database.sp_importer)
        try:
            gone = await import_retention.old_originals(connection, NOW - timedelta(days=90), 1_000)
            assert len(gone) == 1  # the other one is needed yet
            assert await kept(database) == ["again1", "large1", "large2", "large3"]
            assert await import_retention.old_originals(connection, NOW - timedelta(days=90), 1_000) == []
            assert len(await import_retention.largest_originals(connection, 2)) == 2
            assert await kept(database) == ["again1", "large3"]
            await import_retention.forget_files(connection, NOW - timedelta(days=50), 1_000)
            files = await fetch(database, "SELECT id FROM imports.file ORDER BY number")
            assert [row["id"] for row in files] == ["again1", "large1", "large2", "large3"]
        finally:
            await connection.close()


async def test_refused_lines_go_with_their_file_and_when_there_are_too_many(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path):
        await add(database, "old", days_old=100, count=REFUSED_FILES_KEPT_MAX + 3)
        await fetch(database, "UPDATE imports.file SET lines_refused = 1")
        await fetch(
            database,
            "INSERT INTO imports.refusal (site_id, file_number, position, line, code)"
            " SELECT site_id, number, 0, 1, 'bad_number' FROM imports.file",
        )
        connection = await connect(database.sp_importer)
        try:
            job = await first_job(connection, database)
            async with connection.transaction():
                await imports.was_read(
                    connection, job.number, format_id=None, blocks=0, rows=0, late=0, lines_refused=1, first_at=None,
                    last_at=None, refusals=[refusal("bad_number", 2)],
                )  # fmt: skip
            (left,) = await fetch(database, "SELECT count(DISTINCT file_number), min(file_number) FROM imports.refusal")
            assert tuple(left) == (REFUSED_FILES_KEPT_MAX, 4)
            await import_retention.old_originals(connection, NOW, 1_000)
            (left,) = await fetch(database, "SELECT count(*) FROM imports.refusal")
            assert left["count"] == 1  # of the one that is being read
        finally:
            await connection.close()


async def test_unknown_serials_wait_within_bounds(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path):
        await add(database, "a", days_old=1, count=3)
        connection = await connect(database.sp_importer)
        try:
            job = await first_job(connection, database)
            serials = [SerialRows(f"SN-{number}", None, 1, ["pv_power_w"]) for number in range(500)]
            async with connection.transaction():
                await imports.note_serials(connection, job, serials)
            (seen,) = await fetch(database, "SELECT count(*) FROM telemetry.waiting_source")
            assert seen["count"] == WAITING_SOURCES_PER_GATEWAY_MAX
            async with connection.transaction():
                await imports.note_serials(connection, job, list(reversed(serials)))
            assert await fetch(database, "SELECT count(*) FROM telemetry.waiting_source") == [seen]
            await fetch(
                database,
                "INSERT INTO imports.file_serial (site_id, file_number, serial, rows, measures, waiting)"
                " SELECT $1, 1, 'X-' || n, 1, '{}', true FROM generate_series(1, $2) n",
                SITE,
                WAITING_SERIALS_PER_SITE_MAX,
            )
            async with connection.transaction():
                await imports.note_serials(connection, job, serials)
            (waiting,) = await fetch(
                database, "SELECT count(*) FILTER (WHERE waiting), count(*) FROM imports.file_serial WHERE file_number = 3"
            )
            assert tuple(waiting) == (0, 500)
        finally:
            await connection.close()


async def test_a_row_that_is_put_right_for_ever_has_no_endless_history(database: Database) -> None:
    await seed_fleet(database, SITES)
    site = SiteId("s-one")
    async with bulk_door(database) as door:
        for number in range(1, SAMPLE_REVISIONS_MAX + 5):
            again = block("m-one", [(DAY, {"import_energy_wh": float(number)})], file_number=number)
            await door.store(site, number, [again], DAY)
    (row,) = await fetch(database, "SELECT readings FROM telemetry.sample")
    assert row["readings"][1] == SAMPLE_REVISIONS_MAX + 4
    (history,) = await fetch(database, "SELECT count(*) FROM telemetry.sample_revision")
    assert history["count"] == SAMPLE_REVISIONS_MAX


async def test_the_importer_may_do_what_it_does_and_no_more(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path):
        connection = await connect(database.sp_importer)
        try:
            for statement in (
                "SELECT password_hash FROM imports.account",
                "SELECT * FROM imports.account_key",
                "UPDATE imports.pull_source SET host = 'x'",
                "INSERT INTO audit.entry DEFAULT VALUES",
                "SELECT * FROM telemetry.sample",
                "SELECT * FROM accounts.person",
                "DELETE FROM telemetry.waiting_source",
            ):
                try:
                    await connection.fetch(statement)
                except asyncpg.InsufficientPrivilegeError:
                    continue
                raise AssertionError(statement)
        finally:
            await connection.close()
