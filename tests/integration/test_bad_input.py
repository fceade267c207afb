"""Bad input from end to end: files in the box, and what became of each. Named as people name what went wrong.

Which test holds what else can go wrong: tests/unit/test_bad_input_list.py.
"""

import json
import time
from pathlib import Path
from typing import Final, NamedTuple

from fleet.codecs.files.reading import Refusal
from fleet.codecs.files.refusals import words
from fleet.columns import DAY_MS
from tests.file_reading import at
from tests.fleet_rig import fetch
from tests.importer_rig import Intake, intake, running_importer
from tests.samples.enedis_files import AUTUMN, PRM, intervals, r4x, r4x_curve, r63_csv
from tests.samples.file_samples import FILES
from tests.samples.packed import gzipped, zipped
from tests.servers import Database

NOW: Final = time.time_ns() // 1_000_000
DAY: Final = NOW // DAY_MS * DAY_MS - 40 * DAY_MS
HEADING: Final = "time,serial,import_energy_wh\n"
CURVE: Final = r63_csv(intervals(AUTUMN)[:10])
R4X: Final = r4x(r4x_curve(intervals(AUTUMN)[:10])).replace("<Corps>", "<Corps><Commentaire>relevé</Commentaire>")


def rows(count: int, first: int = 0) -> str:
    return "".join(f"{DAY + n * 60_000},SN-1,{1_000 + n}\n" for n in range(first, first + count))


class Case(NamedTuple):
    """What became of a file. refused: codes of its lines. new: rows that were added. late: of a time that is not kept."""

    raw: bytes
    state: str = "imported"
    problem: str | None = None
    refused: tuple[str, ...] = ()
    new: int = 0
    late: int = 0


def own(text: str, *told: object, **expected: object) -> Case:
    return Case((HEADING + text).encode(), *told, **expected)  # type: ignore[arg-type]


_TIC: Final = FILES["tic-log"].raw
CASES: Final = {
    "Windows-1252": Case(CURVE.encode("cp1252"), new=10),
    "UTF-16": Case(b"\xff\xfe" + r63_csv(intervals(AUTUMN)[10:15]).encode("utf-16-le"), new=5),
    "another encoding than it says": Case(R4X.encode("cp1252"), "quarantined", "bad_xml"),
    "NUL bytes": own(rows(5) + "\0\0" + rows(5), "quarantined", "nul_bytes", ("nul_bytes",)),
    "lone CR": Case((HEADING + rows(5, 100)).replace("\n", "\r").encode(), new=5),
    "BOM in the middle": own(rows(2, 200) + "\ufeff" + HEADING + rows(2, 202), new=4),
    "HTML saved as CSV": Case(
        b"\xef\xbb\xbf\r\n<!DOCTYPE html>\n<title>Connexion</title>", "quarantined", "html_file", ("html_file",)
    ),
    "truncated gzip": Case(gzipped(own(rows(900)).raw)[:-9], "quarantined", "truncated_gzip"),
    "zip in zip": Case(zipped(zipped(own(rows(5)).raw)), "quarantined", "nested_archive"),
    "path tricks": Case(zipped(own(rows(5)).raw, name="../../../intake/spool/1.summary"), "quarantined", "unsafe_name"),
    "header only": own("", "quarantined", "header_only"),
    "half a line": own(rows(3, 300) + rows(1, 303)[:18], "partly", None, ("wrong_field_count",), 3),
    "columns swapped mid-file": own(
        rows(2, 400) + "time,import_energy_wh,serial\n" + f"{DAY + 24_120_000},1402,SN-1\n", new=3
    ),
    "columns swapped mid-file without a heading": own(
        rows(2, 500) + f"1502,{DAY + 30_120_000},SN-1\n{DAY + 30_180_000},1503,SN-1\n", "partly", None,
        ("bad_time", "bad_number"), 2,
    ),
    "a day in the future": own(
        rows(2, 600) + "".join(f"{t},SN-1,5\n" for t in (NOW + DAY_MS, 253_402_300_800_000, (1 << 53) - 1)), new=2, late=3
    ),
    "a day long ago": own(rows(2, 700) + "100000000,SN-1,5\n1900-01-01T00:00:00Z,SN-1,5\n", new=2, late=2),
    "local times that do not exist": own(
        "".join(f"2025-03-30 {clock}:00,SN-1,{n}\n" for n, clock in enumerate(("01:45", "02:00", "02:30", "03:00"))),
        "partly", None, ("time_does_not_exist", "time_does_not_exist"), 2,
    ),
    "local times that exist twice": own(
        "".join(f"2025-10-26 0{clock}:00,SN-1,{n}\n" for n, clock in enumerate(("2:00", "2:30", "2:00", "2:30", "3:00"))),
        new=5,
    ),
    "VA offered as W": Case(
        r63_csv(intervals(AUTUMN)[:5], words="PA;CONS;BRUT;VA").encode(), "quarantined", "nothing_usable",
        ("not_active_power",),
    ),
    "checksum wrong by one": Case(
        _TIC.replace(b"EAST\t012345678\t", b"EAST\t012345679\t"), "partly", None, ("bad_checksum",), 2
    ),
    "JSON NaN": Case(
        json.dumps(json.loads(FILES["fronius"].raw)).replace("251.5", "NaN").encode(), "quarantined", "bad_json"
    ),
    "formulas in cells": own(
        rows(1, 800) + f"{DAY},SN-1,=1+1\n@SUM(A1),SN-1,2\n", "partly", None, ("bad_number", "bad_time"), 1
    ),
}  # fmt: skip


async def _became(here: Intake) -> dict[str, Case]:
    """What became of each file, by its name. Each refusal has words, and what fills their gaps."""
    refused: dict[str, tuple[str, ...]] = {}
    for name, line, code, gaps in await fetch(
        here.database,
        "SELECT name, line, code, gaps FROM imports.refusal r JOIN imports.file f ON f.number = r.file_number"
        " ORDER BY f.number, position",
    ):
        refused[name] = (*refused.get(name, ()), code)
        said = Refusal(line, None, code, gaps)
        assert words(said, french=True) != words(said, french=False)
    return {
        file["name"]: Case(
            b"", file["state"], file["problem_code"], refused.get(file["name"], ()), file["rows_new"], file["rows_late"]
        )
        for file in await here.files()
    }


def _left_in(folder: Path) -> set[str]:
    """Folders that hold files, two levels deep."""
    return {"/".join(path.relative_to(folder).parts[:2]) for path in folder.rglob("*") if path.is_file()}


async def test_bad_input_is_refused_line_by_line_or_as_a_whole_and_what_is_good_counts(
    database: Database, tmp_path: Path
) -> None:
    async with intake(database, tmp_path) as here:
        for device, serial in (("meter-1", "SN-1"), ("linky", "041876097654"), ("prm", PRM)):
            await here.add_device(device, "imported-meter", serial)
        for name, case in CASES.items():
            await here.put(name, case.raw)
        async with running_importer(here):
            await here.done(len(CASES))
        assert await _became(here) == {name: case._replace(raw=b"") for name, case in CASES.items()}
        assert _left_in(tmp_path) == {"intake/originals"}  # nothing of an archive, nothing of what was being read


async def test_an_ambiguous_date_is_refused_with_what_to_set_and_read_once_it_is_set(
    database: Database, tmp_path: Path
) -> None:
    raw = b"Date/Time,Energy Produced (Wh)\n07/08/2025 12:00,1500\n07/08/2025 13:00,1600\n07/08/2025 14:00,1700\n"
    async with intake(database, tmp_path) as here:
        await here.add_device("roof", "imported-inverter", "SN-2")
        await here.put("report.csv", raw)
        async with running_importer(here):
            (file,) = await here.done(1)
            assert (file["state"], file["problem_code"], file["problem_line"]) == ("quarantined", "ambiguous_date", 2)
            why = Refusal(2, 1, file["problem_code"], file["problem_gaps"])
            assert "réglez l'ordre des dates" in words(why, french=True)
            assert "set the logger's order of dates" in words(why, french=False)
            await here.execute(
                'UPDATE imports.file SET state = \'received\', settings = \'{"date_order": "mdy", "serial": "SN-2"}\''
            )
            (file,) = await here.done(1)
        assert (file["state"], file["rows_new"]) == ("imported", 3)
        assert [t for _, t, _ in await here.samples()] == [at(f"2025-07-08T{hour}:00:00+02:00") for hour in (13, 14, 15)]


async def test_half_a_line_is_healed_by_the_whole_file(database: Database, tmp_path: Path) -> None:
    """Also where half a number was left, which no reader can see: the file that has more of the day counts."""
    cuts = (1, 2, 3, 5, 9, 25, 60)
    wholes = {cut: own(rows(20).replace("SN-1", f"SN-{cut:02}")).raw for cut in cuts}
    async with intake(database, tmp_path) as here:
        for cut in cuts:
            await here.add_device(f"meter-{cut}", "imported-meter", f"SN-{cut:02}")
        async with running_importer(here):
            for cut, whole in wholes.items():
                await here.put(f"{cut}.csv", whole[:-cut])
            await here.done(len(cuts))
            for cut, whole in wholes.items():
                await here.put(f"{cut}.csv", whole)
            await here.done(2 * len(cuts))
        told = [next(value for value in readings if value is not None) for _, _, readings in await here.samples()]
        assert told == [1_000.0 + n for n in range(20)] * len(cuts)
