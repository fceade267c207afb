"""Whose turn it is: neither a file that cannot be worked at nor a thousand files of one site keep the others waiting."""

import os
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.importer import importer as importer_module
from actors.importer.originals import Originals
from actors.importer.taking import Taking
from actors.importer.turns import Turns
from fleet.file_limits import DEFINITIONS_PER_LOGGER_MAX
from fleet.storage import definitions, imports
from fleet.storage.database import connect, open_pool
from tests.fleet_rig import seed_fleet
from tests.importer_rig import LOGGER, SITE, intake, running_importer
from tests.integration.test_importer import own_csv, rising
from tests.servers import Database

BREAKS = "ALTER TABLE imports.file_serial ADD CONSTRAINT nobody_has_thought_of_it CHECK (serial <> 'SN-BAD')"
ADDED = """
    INSERT INTO imports.file (id, site_id, device_id, via, name, size_bytes, sha256)
    SELECT $2 || n, $1, $3, 'upload', $2, 1, '\\x00' FROM generate_series(1, $4) n
"""


async def test_a_file_that_fails_in_an_unknown_way_is_set_aside(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer_module, "IMPORT_REST_S", 0.1)
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.execute(BREAKS)
        await here.put("bad.csv", own_csv(rising(5, "SN-BAD")))
        await here.put("good.csv", own_csv(rising(5)))
        async with running_importer(here):
            bad, good = await here.done(2)
        assert (bad["state"], bad["problem_code"], bad["stored_with"]) == ("quarantined", "not_stored", None)
        assert (good["state"], good["rows_new"]) == ("imported", 5)


async def test_settings_that_are_not_understood_are_that_files_trouble_alone(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.execute("UPDATE imports.account SET settings = $1", {"serial": "x" * 20_000})
        await here.put("bad.csv", own_csv(rising(5)))
        async with running_importer(here):
            await here.done(1)
            await here.execute("UPDATE imports.account SET settings = '{}'")
            await here.put("good.csv", own_csv(rising(5)))
            bad, good = await here.done(2)
        assert (bad["state"], bad["problem_code"]) == ("quarantined", "settings_unknown")
        assert (good["state"], good["rows_new"]) == ("imported", 5)


async def test_uploads_that_a_restore_has_set_aside_are_left_alone(database: Database, tmp_path: Path) -> None:
    """They lie in a folder beside those that nobody came back for."""
    abandoned, aside = tmp_path / "uploads" / "nobodys", tmp_path / "uploads" / ".before-restore-1"
    aside.mkdir(parents=True)
    for path in (abandoned, aside / "somebodys"):
        path.write_bytes(b"1;2")
    for path in (abandoned, aside):
        os.utime(path, (0, 0))
    pool = await open_pool(database.sp_importer, size_max=1)
    try:
        await Taking(pool, Originals(tmp_path / "originals"), tmp_path / "dropbox", tmp_path / "uploads").round()
    finally:
        await pool.close()
    assert not abandoned.exists()
    assert (aside / "somebodys").exists()


async def test_a_box_without_an_account_is_left_alone(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        left = tmp_path / "dropbox" / "a-stranger" / "whole" / f"{time.time_ns():020d}-a.csv"
        left.parent.mkdir(parents=True)
        left.write_bytes(own_csv(rising(9)))
        await here.put("good.csv", own_csv(rising(5)))
        with capture_logs() as logs:
            async with running_importer(here):
                await here.done(1)
        assert left.exists()
        assert len(list((tmp_path / "intake" / "originals").rglob("*.zst"))) == 1
        assert len([each for each in logs if each["event"] == "box_without_account"]) == 1


async def test_spools_of_files_that_ended_are_swept_away(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        spools = tmp_path / "intake" / "spool"
        spools.mkdir(parents=True)
        await here.execute(ADDED, SITE, "a", None, 2)
        await here.execute("UPDATE imports.file SET state = 'imported', finished_at = now() WHERE id = 'a1'")
        await here.execute("UPDATE imports.file SET state = 'storing' WHERE id = 'a2'")
        numbers = [file["number"] for file in await here.files()]
        for number in (*numbers, 10**6):
            (spools / f"{number}.blocks").write_bytes(b"x")
        async with running_importer(here):
            assert [path.stem for path in spools.iterdir() if path.stem != str(numbers[1])] == []


async def test_sites_take_turns(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await seed_fleet(database, [("s-other", {"meter-2": "imported-meter"})])
        await here.execute(ADDED, SITE, "a", None, 20)
        await here.execute(ADDED, "s-other", "b", None, 3)
        connection = await connect(database.sp_importer)
        turns: list[str] = []
        done: list[int] = []
        had = Turns()
        try:
            for _ in range(8):
                spent, served = had.spent(0.0), had.served()
                job = await imports.next_job(connection, small=True, but=done, spent=spent, served=served)
                assert job is not None
                turns.append(job.id)
                done.append(job.number)
                had.had(job.company, job.site, 1.0, 0.0)
            assert await imports.next_job(connection, small=False, but=[], spent=[], served=[]) is None
        finally:
            await connection.close()
        assert turns == ["a1", "b1", "a2", "b2", "a3", "b3", "a4", "a5"]


async def test_whose_files_take_long_waits_for_the_others(database: Database, tmp_path: Path) -> None:
    """However many sites it has."""
    async with intake(database, tmp_path) as here:
        await seed_fleet(database, [("s-second", {}), ("s-other", {})])
        await here.execute("UPDATE registry.site SET installer_organisation_id = NULL WHERE id = 's-other'")
        await here.execute(ADDED, SITE, "a", None, 3)
        await here.execute(ADDED, "s-second", "b", None, 3)
        await here.execute(ADDED, "s-other", "c", None, 5)
        connection = await connect(database.sp_importer)
        turns: list[str] = []
        done: list[int] = []
        had = Turns()
        try:
            for _ in range(8):
                spent, served = had.spent(0.0), had.served()
                job = await imports.next_job(connection, small=True, but=done, spent=spent, served=served)
                assert job is not None
                turns.append(job.id)
                done.append(job.number)
                had.had(job.company, job.site, 0.2 if job.site == "s-other" else 1.0, 0.0)
        finally:
            await connection.close()
        assert turns == ["a1", "c1", "c2", "c3", "c4", "c5", "b1", "a2"]


async def test_a_loggers_newest_definitions_are_kept(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.execute(ADDED, SITE, "a", LOGGER, 1)
        connection = await connect(database.sp_importer)
        try:
            job = await imports.next_job(connection, small=True, but=[], spent=[], served=[])
            assert job is not None
            for first in range(0, DEFINITIONS_PER_LOGGER_MAX + 20, 20):
                found = {f"{number}.ini": "x" for number in range(first, first + 20)}
                async with connection.transaction():
                    await definitions.keep_definitions(connection, job, found)
            kept = await definitions.definitions(connection, SITE, LOGGER)
            assert len(kept) == DEFINITIONS_PER_LOGGER_MAX
            assert f"{DEFINITIONS_PER_LOGGER_MAX + 19}.ini" in kept
            for number in range(9):
                async with connection.transaction():
                    await definitions.keep_definitions(connection, job, {f"large-{number}.ini": "é" * 500_000})
            kept = await definitions.definitions(connection, SITE, LOGGER)
            assert set(kept) == {f"large-{number}.ini" for number in range(1, 9)}
        finally:
            await connection.close()
