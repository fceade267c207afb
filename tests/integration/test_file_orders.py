"""Files in any order and any pieces, as often as anybody likes, an importer that is killed in between: the same days."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import pytest

from actors.rollup import Rollup
from fleet.calendar import day_bounds
from fleet.energy.day import SiteDay
from fleet.storage import energy
from fleet.storage import lease as leases
from fleet.storage.database import Pool, open_pool
from tests.fleet_rig import fetch, until
from tests.importer_rig import SITE, Intake, intake, running_importer
from tests.samples.fortnight import DAYS, INVERTER, PARIS, PRM, SOLAR_LOG, Fortnight, exports
from tests.servers import Database

NOW: Final = datetime.now(UTC)


def change_of_the_clock(month: int) -> date:
    """The last one in March or October that is a month past."""
    year = NOW.year
    while True:
        last = date(year, month, 31)
        sunday = last - timedelta(days=(last.weekday() + 1) % 7)
        if sunday < NOW.date() - timedelta(days=30):
            return sunday
        year -= 1


@asynccontextmanager
async def rollup(database: Database) -> AsyncIterator[tuple[Rollup, Pool]]:
    """While no importer runs: each takes the slots over."""

    async def nothing() -> None:
        pass

    pool = await open_pool(database.sp_twins, size_max=2)
    try:
        async with pool.acquire() as connection:
            lease = await leases.claim(connection, 0, range(256), "test")
        yield Rollup(pool, lease, range(256), nothing), pool
    finally:
        await pool.close()


async def settled(database: Database, *, anew: bool = False) -> dict[date, SiteDay]:
    """All days once every mark was worked off. anew: all of them forgotten before."""
    async with rollup(database) as (roll, pool):
        if anew:
            async with pool.acquire() as connection:
                gone = await connection.fetch("DELETE FROM telemetry.site_day RETURNING day")
                marks = [(SITE, row["day"], day_bounds(row["day"], PARIS)[0]) for row in gone]
                await energy.mark_dirty(connection, marks)
        while (await roll.run_once(round(NOW.timestamp() * 1000))).remaining:
            pass
        async with pool.acquire() as connection:
            rows = await energy.site_days(connection, SITE, date(2000, 1, 1), date(2100, 1, 1))
    return {row.day: row for row in rows if not set(row.totals_wh.values()) <= {None}}


async def import_with_kills(here: Intake, told: Fortnight, luck: Random) -> None:
    """In any order; now and then the importer dies, and the days are computed from what there is. The meter that some of
    the files are about is attached when most of them have come.
    """
    files = exports(told, luck)
    luck.shuffle(files)
    sent = 0
    while sent < len(files):
        async with running_importer(here):
            for file in files[sent : sent + luck.randint(10, 30)]:
                await here.put(file.name, file.raw)
                sent += 1
            ended = luck.randint(sent // 2, sent)

            async def enough() -> bool:
                done = [file for file in await here.files() if file["finished_at"] is not None]
                return len(done) >= ended  # noqa: B023 - called within this turn

            await until(enough)
        if luck.random() < 0.3:
            await settled(here.database)
    await here.add_device("linky", "imported-meter", PRM)

    async def all_are_in() -> bool:
        found = await here.files()
        return all(file["state"] in {"imported", "same"} and not file["rows_waiting"] for file in found)

    async with running_importer(here):
        await until(all_are_in, 90.0)
    assert len(await here.files()) == len(files)


@pytest.mark.timeout(400)  # a minute of work on a busy machine; each of its waits ends sooner
@pytest.mark.parametrize(("month", "seed"), [(3, 1), (10, 2)])
async def test_a_fortnight_comes_to_the_same_days_and_they_are_true(
    database: Database, tmp_path: Path, month: int, seed: int
) -> None:
    luck = Random(seed)
    told = Fortnight(change_of_the_clock(month) - timedelta(days=luck.randint(1, DAYS - 2)), luck)
    async with intake(database, tmp_path) as here:
        await here.add_device("roof", "imported-inverter", INVERTER)
        await here.add_device("barn", "imported-inverter", SOLAR_LOG)
        await import_with_kills(here, told, luck)
        days = await settled(database)
        for day in told.days:
            found = {register: values for register, values in days[day].registers.items() if values != (None,) * len(values)}
            assert found == told.registers_wh(day)  # by quarter-hour, to the mWh
        assert await settled(database, anew=True) == days
        async with running_importer(here):
            await here.execute("UPDATE imports.file SET state = 'undoing' WHERE state = 'imported'")
            await here.done(len(await here.files()))
        assert await here.samples() == []  # what was taken back was never there
        assert await settled(database) == {}


async def test_counters_that_fall_are_begun_anew_and_count_on(database: Database, tmp_path: Path) -> None:
    """An inverter's counter that was reset at noon, and one line of nonsense; told by two files, the later one first."""
    start, _ = day_bounds(date(NOW.year - 1, 7, 1), PARIS)  # of 24 hours
    shown = [(start + n * 900_000, 50_000 + 100 * n if n < 48 else 100 * (n - 48)) for n in range(97)]
    shown[70] = shown[70][0], 3
    rows = [f"{t},{INVERTER},{wh}\n" for t, wh in shown]
    async with intake(database, tmp_path) as here:
        await here.add_device("roof", "imported-inverter", INVERTER)
        async with running_importer(here):
            for name, piece in (("b.csv", rows[40:]), ("a.csv", rows[:60])):
                await here.put(name, ("time,serial,pv_energy_wh\n" + "".join(piece)).encode())
            await here.done(2)
        (day,) = (await settled(database)).values()
        assert day.totals_wh["pv_energy_wh"] == 47 * 100 + 48 * 100  # what flowed while it was reset, nobody knows
        assert min(wh for wh in day.registers["pv_energy_wh"] if wh is not None) >= 0
        kinds = await fetch(database, "SELECT kind FROM telemetry.counter_event ORDER BY time")
        assert [row["kind"] for row in kinds] == ["reset", "glitch"]
