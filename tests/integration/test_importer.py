"""From a file in the box to samples: whole or not at all, once, whatever is killed when, and nothing is lost."""

import gzip
import random
import time
from pathlib import Path

import msgspec
import pytest

from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv
from fleet.columns import DAY_MS
from fleet.storage.originals import unpacked
from tests.fleet_rig import fetch, until
from tests.importer_rig import LOGGER, SITE, intake, running_importer
from tests.servers import Database

DAY = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 40 * DAY_MS


def own_csv(rows: list[tuple[int, str, float]], measure: str = "import_energy_wh") -> bytes:
    return "".join([f"time,serial,{measure}\n", *(f"{t},{serial},{value}\n" for t, serial, value in rows)]).encode()


def rising(count: int, serial: str = "SN-1", start: int = DAY) -> list[tuple[int, str, float]]:
    return [(start + i * 60_000, serial, 1_000.0 + i) for i in range(count)]


async def test_a_file_becomes_samples(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.put("a.csv", own_csv(rising(100)))
        async with running_importer(here):
            (file,) = await here.done(1)
        assert (file["state"], file["format_id"], file["rows_read"], file["rows_new"]) == (
            "imported",
            "solarperform-csv",
            100,
            100,
        )
        assert (file["via"], file["name"], file["device_id"], file["site_id"]) == ("sftp", "a.csv", LOGGER, SITE)
        samples = await here.samples()
        assert len(samples) == 100
        assert samples[0][:2] == ("meter-1", DAY)
        assert 1_000.0 in samples[0][2]
        assert list(here.box.iterdir()) == []
        (dirty,) = await fetch(database, "SELECT count(*) FROM telemetry.dirty_day")
        assert dirty["count"] >= 1


async def test_again_renamed_packed_grown_and_overlapping_files_add_what_is_new(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        async with running_importer(here):
            rows = rising(120)
            for number, (name, content) in enumerate(
                [
                    ("day.csv", own_csv(rows[:60])),
                    ("day.csv", own_csv(rows[:60])),
                    ("renamed.csv", own_csv(rows[:60])),
                    ("packed.csv.gz", gzip.compress(own_csv(rows[:60]))),
                    ("day.csv", own_csv(rows[:90])),
                    ("other.csv", own_csv(list(reversed(rows[45:])))),
                ],
                1,
            ):
                await here.put(name, content)
                files = await here.done(number)
        assert [file["state"] for file in files] == ["imported", "same", "same", "imported", "imported", "imported"]
        assert [file["rows_new"] for file in files] == [60, 0, 0, 0, 30, 30]
        assert [values for _, _, values in await here.samples()] == [values for _, _, values in sorted(await here.samples())]
        assert len(await here.samples()) == 120


async def test_refused_lines_are_named_and_the_others_count(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.put("a.csv", own_csv(rising(3)) + b"yesterday,SN-1,5\n" + f"{DAY + 1_000},SN-1,five\n".encode())
        async with running_importer(here):
            (file,) = await here.done(1)
        assert (file["state"], file["rows_new"], file["lines_refused"]) == ("partly", 3, 2)
        refused = await here.refusals()
        assert [(line, cell, code) for line, cell, code, _ in refused] == [(5, 1, "bad_time"), (6, 3, "bad_number")]
        assert "yesterday" in refused[0][3]


BAD = {
    "empty_file": b"",
    "html_file": b"<!DOCTYPE html><html><body>session expired</body></html>",
    "unknown_format": b"a;b;c\n1;2;3\n",
    "header_only": b"time,serial,import_energy_wh\n",
    "nothing_usable": b"time,serial,import_energy_wh\nx,y,z\n",
    "truncated_gzip": gzip.compress(own_csv(rising(500)))[:-20],
    "archive_bomb": gzip.compress(bytes(40_000_000)),
    "line_too_long": b"time,serial,import_energy_wh\n" + b"1" * 3_000_000,
    "nul_bytes": own_csv(rising(10)) + b"\0\0\0",
}


async def test_what_cannot_be_read_is_set_aside_with_its_reason_and_kept(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        for problem, content in BAD.items():
            await here.put(f"{problem}.csv", content)
        async with running_importer(here):
            files = await here.done(len(BAD))
        found = {file["name"]: (file["state"], file["problem_code"]) for file in files}
        assert found == {f"{problem}.csv": ("quarantined", problem) for problem in BAD}
        assert await here.samples() == []
        for file in files:
            digest = file["sha256"].hex()
            kept = here.folder / "intake" / "originals" / digest[:2] / f"{digest}.zst"
            assert b"".join(unpacked(kept)) == BAD[file["problem_code"]]


async def test_an_unknown_serial_waits_and_is_imported_once_a_device_has_it(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.put("a.csv", own_csv(rising(10) + rising(20, "SN-2")))
        async with running_importer(here):
            (file,) = await here.done(1)
            assert (file["state"], file["rows_new"], file["rows_waiting"]) == ("imported", 10, 20)
            (waits,) = await fetch(database, "SELECT gateway_id, serial, measures FROM telemetry.waiting_source")
            assert tuple(waits) == (LOGGER, "SN-2", ["import_energy_wh"])
            await here.add_device("meter-2", "imported-meter", "SN-2")

            async def imported() -> bool:
                return len(await here.samples()) == 30

            await until(imported, 60.0)
            (file,) = await here.done(1)
            assert file["rows_waiting"] == 0


@pytest.mark.parametrize("serial", ["", "LOG-77"], ids=["of nobody", "of the logger itself"])
async def test_rows_that_name_no_device_wait_until_somebody_says_whose_they_are(
    database: Database, tmp_path: Path, serial: str
) -> None:
    """The logger that sent them measures nothing: with it they would be counted as known, and be gone."""
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.execute("UPDATE registry.device SET serial = 'LOG-77' WHERE id = $1", LOGGER)
        await here.put("a.csv", own_csv(rising(10, serial)))
        async with running_importer(here):
            (file,) = await here.done(1)
            assert (file["state"], file["rows_new"], file["rows_same"], file["rows_waiting"]) == ("imported", 0, 0, 10)
            assert await here.samples() == []
            assert await fetch(database, "SELECT serial FROM telemetry.waiting_source") == []
            settings = "UPDATE imports.file SET settings = settings || $1, state = 'received'"
            await here.execute(settings, {"serial": "meter-1"})

            async def imported() -> bool:
                return len(await here.samples()) == 10

            await until(imported, 60.0)
            (file,) = await here.done(1)
            assert (file["rows_new"], file["rows_waiting"]) == (10, 0)


async def test_killed_at_any_point_it_goes_on_and_counts_nothing_twice(database: Database, tmp_path: Path) -> None:
    rng = random.Random(11)
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        start = DAY - 200 * DAY_MS
        await here.put("a.csv", own_csv(rising(120_000, start=start)))
        for _ in range(12):
            async with running_importer(here):
                end = time.monotonic() + rng.uniform(0.05, 0.9)

                async def over() -> bool:
                    return time.monotonic() >= end  # noqa: B023 - called within this turn

                await until(over)
        async with running_importer(here):
            files = await here.done(1)
        assert [(file["state"], file["rows_read"]) for file in files] == [("imported", 120_000)]
        (counted,) = await fetch(database, "SELECT count(*), count(DISTINCT time) AS instants FROM telemetry.sample")
        assert tuple(counted) == (120_000, 120_000)


async def test_a_file_that_nobody_knew_is_imported_once_its_format_is_described(database: Database, tmp_path: Path) -> None:
    declaration = WideCsv(
        time=TimeCells(at=("Jour", "Heure"), pattern="dd.MM.yyyy HH:mm"),
        columns=(Column(at="Compteur (kWh)", measure="import_energy_wh", unit="kWh"),),
        decimal=",",
    )
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "logger-1")
        await here.put("a.csv", b"Jour;Heure;Compteur (kWh)\n15.01.2026;12:00;5,5\n15.01.2026;13:00;6,5\n")
        async with running_importer(here):
            (file,) = await here.done(1)
            assert (file["state"], file["problem_code"]) == ("quarantined", "unknown_format")
            await here.execute(
                "INSERT INTO imports.company_format (id, organisation_id, name, definition) VALUES"
                " ('f-1', 'org-installer', 'Chaufferie', $1)", msgspec.to_builtins(declaration),
            )  # fmt: skip

            async def imported() -> bool:
                return len(await here.samples()) == 2

            await until(imported, 60.0)
            (file,) = await here.done(1)
        assert (file["state"], file["format_id"], file["rows_new"]) == ("imported", "f-1", 2)
        assert 5_500.0 in (await here.samples())[0][2]


async def test_read_again_with_another_setting_replaces_what_was_stored(database: Database, tmp_path: Path) -> None:
    """Local times without an offset: the logger's zone was wrong."""
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.put("a.csv", b"time,serial,import_energy_wh\n2026-01-15 12:00:00,SN-1,5\n2026-01-15 12:10:00,SN-1,6\n")
        async with running_importer(here):
            await here.done(1)
            paris = [t for _, t, _ in await here.samples()]
            await here.execute("UPDATE imports.file SET state = 'received', settings = '{\"timezone\": \"+04:00\"}'")
            await here.done(1)
            reunion = [t for _, t, _ in await here.samples()]
            assert reunion == [t - 3 * 3_600_000 for t in paris]
            await here.execute("UPDATE imports.file SET state = 'undoing'")
            (file,) = await here.done(1)
            assert (file["state"], await here.samples()) == ("undone", [])


async def test_a_logger_that_fails_is_told_of_once(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.execute(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash, locale)"
            " VALUES ('ines', 'org-installer', 'ines@example.org', 'Inès', 'installer', 'x', 'fr')"
        )
        for number in range(4):
            await here.put(f"{number}.csv", b"what is this " + str(number).encode())
        async with running_importer(here):
            await here.done(4)
        async with running_importer(here):  # it looks after loggers at its start, and now and then

            async def told() -> list[object]:
                return list(await fetch(database, "SELECT recipient, subject, body FROM accounts.mail"))

            (mail,) = await until(told, 60.0)
        assert mail["recipient"] == "ines@example.org"
        assert "ne se lisent plus" in mail["subject"]
        assert "http://portal.test/sites/s-files/imports" in mail["body"]


async def test_a_file_that_was_cut_off_is_kept_and_not_read(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        await here.put("a.csv", own_csv(rising(10)))
        (path,) = here.box.iterdir()
        path.rename(path.with_name(path.name.replace("-", "~", 1)))
        async with running_importer(here):
            (file,) = await here.done(1)
        assert (file["state"], file["problem_code"], file["name"]) == ("quarantined", "upload_incomplete", "a.csv")


async def test_a_retracted_zone_leaves_other_files_rows(database: Database, tmp_path: Path) -> None:
    async with intake(database, tmp_path) as here:
        await here.add_device("meter-1", "imported-meter", "SN-1")
        async with running_importer(here):
            await here.put("a.csv", own_csv(rising(10)))
            await here.done(1)
            await here.put("b.csv", own_csv(rising(15)))
            await here.done(2)
            await here.execute("UPDATE imports.file SET state = 'undoing' WHERE name = 'b.csv'")
            files = await here.done(2)
            assert [file["state"] for file in files] == ["imported", "undone"]
            assert len(await here.samples()) == 10
