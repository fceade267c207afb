"""A full disk while the importer keeps an original or reads one: nothing is lost, it is said, and it goes on by itself."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.importer import importer as importers
from actors.importer import originals, reading, spool
from actors.importer.originals import Originals
from actors.importer.reading import ReadingJob
from fleet.codecs.files.reading import Context
from fleet.file_limits import IMPORT_DISK_FREE_MIN_BYTES
from tests.fleet_rig import fetch, until
from tests.importer_rig import Intake, intake, running_importer
from tests.integration.test_bad_input import HEADING, NOW, own, rows
from tests.servers import Database
from tests.small_disk import files_up_to, filled, mounted

_ROOM = IMPORT_DISK_FREE_MIN_BYTES + 4 * 1024**2


async def test_a_full_disk_loses_nothing_and_the_importer_goes_on_when_there_is_room(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First while files arrive, then while one that was kept already is to be read."""
    monkeypatch.setattr(importers, "IMPORT_REST_S", 0.2)
    monkeypatch.setattr(importers, "IMPORT_RETRY_S", (0.2,))
    with mounted(tmp_path / "intake", str(_ROOM)) as disk:
        async with intake(database, tmp_path) as here:
            await here.add_device("meter-1", "imported-meter", "SN-1")
            ballast = filled(disk, 6 * 1024**2)
            await here.put("a.csv", own(rows(20)).raw)
            await here.put("b.csv", own(rows(20, 20)).raw)
            with capture_logs() as logs:
                async with running_importer(here):
                    await _held_up(logs)
                    assert len(list(here.box.iterdir())) == 2
                    assert await here.files() == []
                    ballast.unlink()
                    files = await here.done(2)
                    await _told(logs, "importer_goes_on")
            assert _said(logs, "taking") == ["importer_held_up", "importer_goes_on"]
            assert [file["rows_new"] for file in files] == [20, 20]
            await _again_on_a_full_disk(here, disk)
            assert len(await here.samples()) == 40


async def _again_on_a_full_disk(here: Intake, disk: Path) -> None:
    ballast = filled(disk, 6 * 1024**2)
    await here.execute("UPDATE imports.file SET state = 'received', stored_with = NULL WHERE name = 'b.csv'")
    with capture_logs() as logs:
        async with running_importer(here):
            await _held_up(logs)
            (state,) = await fetch(here.database, "SELECT state, attempts FROM imports.file WHERE name = 'b.csv'")
            assert tuple(state) == ("reading", 0)  # nothing is counted against it
            assert list((disk / "spool").iterdir()) == []
            ballast.unlink()
            files = await here.done(2)
            await _told(logs, "importer_goes_on")
    assert {file["state"] for file in files} == {"imported"}
    assert _said(logs, "small files") == ["importer_held_up", "importer_goes_on"]


def _said(logs: Sequence[Mapping[str, object]], work: str) -> list[object]:
    return [each["event"] for each in logs if each.get("work") == work]


async def _held_up(logs: Sequence[Mapping[str, object]]) -> None:
    """Said, and tried a few times more of which nothing is said."""
    await _told(logs, "importer_held_up")
    await asyncio.sleep(1.0)


async def _told(logs: Sequence[Mapping[str, object]], event: str) -> None:
    async def told() -> bool:
        return any(each["event"] == event for each in logs)

    await until(told)


@pytest.mark.parametrize("most", [0, 10_000, 500_000, 2_000_000])
def test_a_disk_that_is_full_in_the_middle_of_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Wherever that is, what was begun goes: it may be the very room that is missing. The next try finds everything."""
    for module in (originals, reading, spool):
        monkeypatch.setattr(module, "IMPORT_DISK_FREE_MIN_BYTES", 0)
    luck = random.Random(1)
    sent = tmp_path / "sent"
    sent.write_text(HEADING + "".join(f"{NOW - n},SN-1,{luck.random() * 1e9}\n" for n in range(60_000)))
    keeper = Originals(tmp_path / "originals")
    with files_up_to(min(most, 500_000)), sent.open("rb") as file, pytest.raises(OSError):  # noqa: PT011 - of any number
        keeper.keep(file)
    assert [path for path in (tmp_path / "originals").rglob("*") if path.is_file()] == []
    with sent.open("rb") as file:
        kept = keeper.keep(file)
    job = ReadingJob(1, keeper.path(kept.sha256), tmp_path / "spool", Context("a.csv", "Europe/Paris", NOW), "logger-1")
    with files_up_to(most), pytest.raises(OSError):  # noqa: PT011 - of any number
        reading.read(job, lambda *_: None)
    assert list((tmp_path / "spool").iterdir()) == []
    assert reading.read(job, lambda *_: None).rows == 60_000
