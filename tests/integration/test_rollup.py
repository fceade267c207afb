"""Dirty days become day rows, on a real PostgreSQL."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from actors.rollup import Rollup, RollupReport
from fleet.calendar import QUARTER_MS, day_bounds, local_day
from fleet.energy.day import SiteDay, total_wh
from fleet.errors import BadInput, StaleOwner
from fleet.ids import DeviceId, SiteId
from fleet.profiles import shipped
from fleet.storage import energy, intake
from fleet.storage import lease as leases
from fleet.storage.database import Pool, connect, open_pool
from fleet.telemetry import UnixMs
from tests.acting import acting_as
from tests.servers import Database

PARIS = "Europe/Paris"
SITE, METER, INVERTER = SiteId("s1"), DeviceId("s1-meter"), DeviceId("s1-inverter")
DAY = date(2026, 6, 21)
START, END = day_bounds(DAY, PARIS)
HOUR_MS = 3_600_000
NOW = END + 10 * 24 * HOUR_MS
IMPORT, PV = "import_energy_wh", "pv_energy_wh"
Readings = dict[DeviceId, dict[UnixMs, float]]


class Plant:
    """One site with meter and inverter, and the roll-up of the shard that it lives in."""

    def __init__(self, pool: Pool, lease: leases.Lease) -> None:
        self.pool = pool
        self.rollup = Rollup(pool, lease, range(256), self._between_taking_and_reading)
        self.arriving_meanwhile: list[Readings] = []

    async def arrive(self, readings: Readings) -> None:
        """As the writer does it: samples and marks in one transaction."""
        channels = {METER: lambda v: [None, v, None, None], INVERTER: lambda v: [None, v, None, None, None, None, None]}
        rows = [
            (SITE, device, datetime.fromtimestamp(t / 1000, UTC), datetime.now(UTC), channels[device](value), None)
            for device, samples in readings.items()
            for t, value in samples.items()
        ]
        marks = [(SITE, local_day(t, PARIS), t) for samples in readings.values() for t in samples]
        async with self.pool.acquire() as connection:
            await intake.prepare(connection)
            await intake.create_partitions(connection, {row[2].date() for row in rows})
            async with connection.transaction():
                await intake.store_samples(connection, rows)
                await energy.mark_dirty(connection, marks)

    async def settle(self) -> list[RollupReport]:
        reports = [await self.rollup.run_once(NOW)]
        while reports[-1].remaining:
            reports.append(await self.rollup.run_once(NOW))
        return reports

    async def days(self) -> dict[date, SiteDay]:
        async with self.pool.acquire() as connection:
            return {row.day: row for row in await energy.site_days(connection, SITE, date(2020, 1, 1), date(2030, 1, 1))}

    async def dirty(self) -> int:
        async with self.pool.acquire() as connection:
            count: int = await connection.fetchval("SELECT count(*) FROM telemetry.dirty_day")
            return count

    async def forget(self) -> None:
        """Marks everything anew and drops the rows."""
        async with self.pool.acquire() as connection:
            days = await connection.fetch("DELETE FROM telemetry.site_day RETURNING day")
            await connection.execute("DELETE FROM telemetry.counter_event")
            await energy.mark_dirty(connection, [(SITE, row["day"], day_bounds(row["day"], PARIS)[0]) for row in days])

    async def _between_taking_and_reading(self) -> None:
        while self.arriving_meanwhile:
            await self.arrive(self.arriving_meanwhile.pop())


@pytest.fixture
async def plant(database: Database) -> AsyncIterator[Plant]:
    owner = await connect(database.owner)
    for profile in shipped():
        await owner.execute("INSERT INTO registry.profile (id, definition) VALUES ($1, $2)", profile.id, profile)
    await owner.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('o', 'O', 'customer')")
    await owner.execute(
        "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)"
        " VALUES ('s1', 7, 'S1', 48.85, 2.35, 9000, 'o')"
    )
    await owner.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name)"
        " VALUES ('s1-meter', 's1', 'meter', 'M'), ('s1-inverter', 's1', 'inverter', 'I')"
    )
    await owner.execute(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
        " VALUES ('p', 'o', 'p@example.org', 'P', 'customer', ''), ('q', 'o', 'q@example.org', 'Q', 'installer', '')"
    )
    await owner.close()
    pool = await open_pool(database.sp_twins, size_max=3)
    async with pool.acquire() as connection:
        lease = await leases.claim(connection, 0, range(256), "test")
    yield Plant(pool, lease)
    await pool.close()


def even(start: UnixMs, end: UnixMs, power_w: float, first_wh: float = 1000.0) -> dict[UnixMs, float]:
    return {t: first_wh + power_w * (t - start) / HOUR_MS for t in range(start, end, 60_000)}


async def test_samples_become_a_day(plant: Plant) -> None:
    await plant.arrive({METER: even(START - HOUR_MS, END + HOUR_MS, 400.0)})
    await plant.settle()
    assert sorted(await plant.days()) == [DAY + timedelta(days=n) for n in (-1, 0, 1)]
    day = (await plant.days())[DAY]
    assert day.registers[IMPORT] == (100.0,) * 96
    assert day.registers[PV] == (None,) * 96
    assert "charge_energy_wh" not in day.registers
    assert await plant.dirty() == 0
    assert await plant.settle() == [RollupReport()]


async def test_a_late_sample_recomputes_its_day_and_what_a_gap_draws_in(plant: Plant) -> None:
    gap = {
        t: v for t, v in even(START, END + 12 * HOUR_MS, 400.0).items() if not START + 20 * HOUR_MS < t < END + 4 * HOUR_MS
    }
    await plant.arrive({METER: gap})
    await plant.settle()
    before = await plant.days()
    assert before[DAY].registers[IMPORT][-16:] == before[DAY + timedelta(days=1)].registers[IMPORT][:16] == (100.0,) * 16
    assert before[DAY].quality[-1] == before[DAY + timedelta(days=1)].quality[0] == 2
    await plant.arrive({METER: {END - 2 * HOUR_MS: 1000.0 + 20 * 400.0 + 40.0}})  # less was used first, more afterwards
    await plant.settle()
    after = await plant.days()
    assert set(after[DAY].registers[IMPORT][-16:-8]) == {5.0}
    assert set(after[DAY + timedelta(days=1)].registers[IMPORT][:16]) == {131.666, 131.667}  # (2400 + 800 - 40) / 24, in mWh
    assert [day.totals_wh[IMPORT] for day in after.values()] != [day.totals_wh[IMPORT] for day in before.values()]
    assert total_wh(day.totals_wh[IMPORT] for day in after.values()) == total_wh(
        day.totals_wh[IMPORT] for day in before.values()
    )


async def test_what_arrives_while_a_day_is_computed_keeps_it_dirty(plant: Plant) -> None:
    await plant.arrive({METER: even(START, START + HOUR_MS, 400.0)})
    plant.arriving_meanwhile = [{METER: {START + 2 * HOUR_MS: 1800.0}}]
    await plant.rollup.run_once(NOW)
    assert await plant.dirty() == 1
    await plant.settle()
    assert await plant.dirty() == 0
    assert (await plant.days())[DAY].totals_wh[IMPORT] == 800.0


async def test_only_the_generation_that_was_taken_is_finished(plant: Plant) -> None:
    await plant.arrive({METER: {START: 1.0}})
    async with plant.pool.acquire() as connection:
        (taken,) = await energy.take_dirty(connection, range(256), 10)
        assert await energy.take_dirty(connection, [1, 2], 10) == []
        await plant.arrive({METER: {START + HOUR_MS: 2.0}})
        assert not await energy.finish_dirty(connection, taken)
        (again,) = await energy.take_dirty(connection, range(256), 10)
        assert (again.from_time, again.generation) == (START, taken.generation + 1)
        assert await energy.finish_dirty(connection, again)


async def test_any_order_of_arrival_ends_in_the_same_rows(plant: Plant) -> None:
    """Resets, swaps and glitches included; three times each, in pieces, with roll-ups between."""
    luck = random.Random(7)
    meter = even(START - 30 * HOUR_MS, END + 30 * HOUR_MS, 900.0)
    solar = {t: v for t, v in meter.items() if not START + 2 * HOUR_MS < t < START + 9 * HOUR_MS}
    for samples in (meter, solar):
        for t in luck.sample(sorted(samples), 12):
            samples[t] = luck.choice([0.0, 9e6, samples[t] - 50.0])
    for t in meter:
        meter[t] = meter[t] - 20_000 if t > START + 15 * HOUR_MS and meter[t] > 20_000 else meter[t]
    arrivals = [(device, t, v) for device, samples in ((METER, meter), (INVERTER, solar)) for t, v in samples.items()] * 3
    luck.shuffle(arrivals)
    arrivals.sort(key=lambda arrival: arrival[1] // (20 * HOUR_MS))  # roughly in order, shuffled within
    while arrivals:
        size = luck.randint(1, 6_000)
        piece, arrivals = arrivals[:size], arrivals[size:]
        await plant.arrive({device: {t: v for d, t, v in piece if d == device} for device in (METER, INVERTER)})
        await plant.settle()
    in_pieces, events_in_pieces = await plant.days(), await _events(plant)
    await plant.forget()
    await plant.settle()
    assert await plant.days() == in_pieces
    assert await _events(plant) == events_in_pieces
    assert {kind for _, _, _, kind in events_in_pieces} >= {"swap", "glitch"}


async def _events(plant: Plant) -> list[tuple[str, str, datetime, str]]:
    async with plant.pool.acquire() as connection:
        rows = await connection.fetch("SELECT device_id, register, time, kind FROM telemetry.counter_event ORDER BY 1, 2, 3")
        return [tuple(row) for row in rows]


async def test_a_stale_owner_stores_nothing(plant: Plant) -> None:
    await plant.arrive({METER: even(START, START + HOUR_MS, 400.0)})
    async with plant.pool.acquire() as connection:
        await leases.claim(connection, 1, range(256), "somebody else")
    with pytest.raises(StaleOwner):
        await plant.rollup.run_once(NOW)
    assert await plant.days() == {}
    assert await plant.dirty() == 1


async def test_a_site_that_cannot_be_computed_does_not_stop_the_others(plant: Plant, database: Database) -> None:
    await plant.arrive({METER: even(START, START + HOUR_MS, 400.0)})
    owner = await connect(database.owner)
    await owner.execute(
        "INSERT INTO registry.site SELECT 'a0', slot, name, 'No/Where', 0, 0, 0, NULL, 'o' FROM registry.site"
    )
    await energy.mark_dirty(owner, [(SiteId("a0"), DAY, START)])
    await owner.close()
    reports = await plant.settle()
    assert reports[0].failed_sites == 1
    assert DAY in await plant.days()
    assert await plant.dirty() == 1


async def test_months_and_years_are_made_of_days(plant: Plant, database: Database) -> None:
    """Through the week in which the clock goes back, and the turn of a year; as the site's owner sees it."""
    start, end = day_bounds(date(2025, 10, 24), PARIS)[0], day_bounds(date(2026, 1, 2), PARIS)[1]
    hourly = {t: 400.0 * (t - start) / HOUR_MS for t in range(start, end + 1, QUARTER_MS)}
    await plant.arrive({METER: hourly})
    await plant.settle()
    pool = await open_pool(database.sp_web, size_max=1)
    async with acting_as(pool, "p") as web:
        months = await energy.energy(web, SITE, PARIS, start, end, "1mo")
        assert [local_day(month.start, PARIS).isoformat() for month in months] == [
            "2025-10-24", "2025-11-01", "2025-12-01", "2026-01-01",
        ]  # fmt: skip
        assert [month.registers[IMPORT] for month in months] == [(7 * 24 + 25) * 400.0, 30 * 9600.0, 31 * 9600.0, 2 * 9600.0]
        assert months[0].quality == (0, (7 * 24 + 25) * 4, 0, 0)
        years = await energy.energy(web, SITE, PARIS, start, end, "1y")
        assert [year.registers[IMPORT] for year in years] == [(68 * 24 + 25) * 400.0, 2 * 9600.0]
        assert years[0].registers[PV] is None
        hours = await energy.energy(web, SITE, PARIS, *day_bounds(date(2025, 10, 26), PARIS), "1h")
        assert [hour.registers[IMPORT] for hour in hours] == [400.0] * 25
        cut = await energy.energy(web, SITE, PARIS, start + 5 * QUARTER_MS, start + 26 * HOUR_MS, "1d")
        assert [day.registers[IMPORT] for day in cut] == [(96 - 5) * 100.0, 800.0]
        beyond = await energy.energy(web, SITE, PARIS, end, end + 24 * HOUR_MS, "1d")
        assert beyond[0].quality == (96, 0, 0, 0)
        with pytest.raises(BadInput, match="too_many_steps"):
            await energy.energy(web, SITE, PARIS, 0, end, "15m")
    async with acting_as(pool, "q") as web:
        assert all(step.registers == {} for step in await energy.energy(web, SITE, PARIS, start, end, "1mo"))
    await pool.close()
