"""Years that files bring: load curves and counters of the day become day rows, and today does not wait for them."""

import random
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from actors.rollup import Rollup
from fleet.calendar import QUARTER_MS, day_bounds, local_day
from fleet.energy.day import SiteDay, total_wh
from fleet.ids import DeviceId, SiteId
from fleet.limits import ROLLUP_DAYS_PER_ROUND
from fleet.profiles import shipped
from fleet.storage import energy, intake, today
from fleet.storage import lease as leases
from fleet.storage.database import Pool, connect, open_pool
from fleet.telemetry import UnixMs
from tests.acting import acting_as
from tests.servers import Database

PARIS = "Europe/Paris"
SITE, OTHER, METER, INVERTER = SiteId("s1"), SiteId("s2"), DeviceId("s1-meter"), DeviceId("s1-inverter")
DAY = date(2026, 6, 21)
START, END = day_bounds(DAY, PARIS)
HOUR_MS = 3_600_000
NOW = END + 10 * 24 * HOUR_MS
IMPORT, EXPORT, PV = "import_energy_wh", "export_energy_wh", "pv_energy_wh"
PROFILES = {"s1-meter": "imported-meter", "s1-inverter": "imported-inverter", "s2-meter": "imported-meter"}
CHANNELS = {device: next(p for p in shipped() if p.id == profile).channels for device, profile in PROFILES.items()}
Told = Mapping[UnixMs, Mapping[str, float]]


class Place:
    """Sites with a meter and an inverter that files tell of, and the roll-up of the shard that they live in."""

    def __init__(self, pool: Pool, lease: leases.Lease) -> None:
        self.pool = pool
        self.rollup = Rollup(pool, lease, range(256), _nothing)

    async def arrive(self, device: DeviceId, told: Told) -> None:
        names, stored_at = CHANNELS[device], datetime.now(UTC)
        rows = [
            (SITE, device, datetime.fromtimestamp(t / 1000, UTC), stored_at, [row.get(name) for name in names], None)
            for t, row in told.items()
        ]
        async with self.pool.acquire() as connection:
            await intake.prepare(connection)
            await intake.create_partitions(connection, {row[2].date() for row in rows})
            async with connection.transaction():
                await intake.store_samples(connection, rows)
                await energy.mark_dirty(connection, [(SITE, local_day(t, PARIS), t) for t in told])

    async def settle(self) -> None:
        while (await self.rollup.run_once(NOW)).remaining:
            pass

    async def days(self) -> dict[date, SiteDay]:
        """Of which anything is known."""
        async with self.pool.acquire() as connection:
            rows = await energy.site_days(connection, SITE, date(2000, 1, 1), date(2030, 1, 1))
        return {row.day: row for row in rows if not set(row.totals_wh.values()) <= {None}}

    async def forget(self) -> None:
        """Marks everything anew and drops the rows."""
        async with self.pool.acquire() as connection:
            days = await connection.fetch("DELETE FROM telemetry.site_day RETURNING day")
            await energy.mark_dirty(connection, [(SITE, row["day"], day_bounds(row["day"], PARIS)[0]) for row in days])


async def _nothing() -> None:
    """No writer is at work."""


@pytest.fixture
async def place(database: Database) -> AsyncIterator[Place]:
    owner = await connect(database.owner)
    for profile in shipped():
        await owner.execute("INSERT INTO registry.profile (id, definition) VALUES ($1, $2)", profile.id, profile)
    await owner.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('o', 'O', 'customer')")
    await owner.execute(
        "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)"
        " SELECT id, 7, id, 48.85, 2.35, 9000, 'o' FROM unnest(ARRAY['s1', 's2']) id"
    )
    for device, kind in PROFILES.items():
        await owner.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, $3, $1)", device, device[:2], kind
        )
    await owner.execute(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
        " VALUES ('p', 'o', 'p@example.org', 'P', 'customer', '')"
    )
    await owner.close()
    pool = await open_pool(database.sp_twins, size_max=2)
    async with pool.acquire() as connection:
        lease = await leases.claim(connection, 0, range(256), "test")
    yield Place(pool, lease)
    await pool.close()


def curve(start: UnixMs, end: UnixMs, wh: float, kind: str = "import") -> dict[UnixMs, dict[str, float]]:
    row = {f"{kind}_interval_wh": wh, f"{kind}_interval_s": 1_800.0}
    return {t: dict(row) for t in range(start + HOUR_MS // 2, end + 1, HOUR_MS // 2)}


async def test_a_year_of_half_hours_becomes_days(place: Place, database: Database) -> None:
    """Over both days on which the clock moves; read by whoever owns the site, by month and by hour."""
    start, end = day_bounds(date(2025, 1, 1), PARIS)[0], day_bounds(date(2025, 12, 31), PARIS)[1]
    told = {
        t: {"import_interval_wh": float(n % 97), "export_interval_wh": 1.0} for n, t in enumerate(curve(start, end, 0.0))
    }
    for row in told.values():
        row |= {"import_interval_s": 1_800.0, "export_interval_s": 1_800.0}
    await place.arrive(METER, told)
    await place.settle()
    days = await place.days()
    assert len(days) == 365
    assert {len(row.quality) for row in days.values()} == {92, 96, 100}
    assert total_wh(row.totals_wh[IMPORT] for row in days.values()) == sum(v["import_interval_wh"] for v in told.values())
    pool = await open_pool(database.sp_web, size_max=1)
    async with acting_as(pool, "p") as web:
        months = await energy.energy(web, SITE, PARIS, start, end, "1mo")
        assert [month.registers[EXPORT] for month in months][:3] == [31 * 48.0, 28 * 48.0, 31 * 48.0 - 2]
        assert sum(month.registers[EXPORT] or 0 for month in months) == 365 * 48.0
        hours = await energy.energy(web, SITE, PARIS, *day_bounds(date(2025, 10, 26), PARIS), "1h")
        assert [hour.registers[EXPORT] for hour in hours] == [2.0] * 25
        assert await today.pv_wh_on(web, {SITE: date(2025, 5, 1)}) == {SITE: None}
        assert await today.first_day(web, SITE) == date(2025, 1, 1)
    await pool.close()


async def test_what_a_row_at_midnight_tells_is_the_day_befores(place: Place) -> None:
    await place.arrive(METER, curve(START, END - HOUR_MS, 50.0))
    await place.settle()
    assert (await place.days())[DAY].totals_wh[IMPORT] == 46 * 50.0
    await place.arrive(METER, {END: {"import_interval_wh": 70.0, "import_interval_s": 3_600.0}})
    await place.settle()
    assert list(await place.days()) == [DAY]
    assert (await place.days())[DAY].registers[IMPORT][-5:] == (25.0, 17.5, 17.5, 17.5, 17.5)


async def test_of_index_curve_and_counter_of_the_day_none_is_added_to_another(place: Place) -> None:
    """A meter of whose curve a part is missing; an inverter with both counters, and later with one of them."""
    await place.arrive(METER, {t: row for t, row in curve(START, END, 50.0).items() if t != START + 6 * HOUR_MS})
    await place.arrive(METER, {t: {IMPORT: 7e6 + 2_400.0 * n} for n, t in enumerate((START, END))})
    sunny = range(START + 8 * HOUR_MS, START + 20 * HOUR_MS + 1, QUARTER_MS)
    of_the_day = {t: {"pv_day_energy_wh": (t - sunny[0]) / HOUR_MS * 100} for t in sunny}
    lifetime = {t: {PV: 5e5 + row["pv_day_energy_wh"]} for t, row in of_the_day.items() if t < START + 12 * HOUR_MS}
    await place.arrive(INVERTER, {t: row | lifetime.get(t, {}) for t, row in of_the_day.items()})
    await place.settle()
    day = (await place.days())[DAY]
    assert day.totals_wh == {PV: 1_200.0, IMPORT: 2_400.0, EXPORT: None}
    assert day.registers[PV][32:80] == (25.0,) * 48


async def test_any_order_of_arrival_ends_in_the_same_rows(place: Place) -> None:
    luck = random.Random(3)
    meter: dict[UnixMs, dict[str, float]] = {}
    for t in range(START - 30 * HOUR_MS, END + 60 * HOUR_MS, 600_000):
        kinds = luck.choice(
            [{"import_interval_wh": luck.random() * 90}, {"import_day_energy_wh": (t % 86_400_000) / 4e4}, {}]
        )
        length = {"import_interval_s": luck.choice([600.0, 600.0, 1_800.0, 86_400.0])}
        meter[t] = kinds | ({EXPORT: (t - START) / 1e4 + 1e5} if luck.random() < 0.2 else {}) | length
    arrivals = list(meter.items()) * 2
    luck.shuffle(arrivals)
    while arrivals:
        size = luck.randint(1, 500)
        piece, arrivals = dict(arrivals[:size]), arrivals[size:]
        await place.arrive(METER, piece)
        await place.settle()
    in_pieces = await place.days()
    await place.forget()
    await place.settle()
    assert await place.days() == in_pieces
    assert len(in_pieces) == 7


async def test_days_whose_samples_are_gone_stand(place: Place, database: Database) -> None:
    await place.arrive(METER, curve(START, END, 50.0))
    await place.settle()
    before = await place.days()
    owner = await connect(database.owner)
    await owner.execute("UPDATE telemetry.site_day SET sealed = true")
    await owner.execute("DELETE FROM telemetry.sample WHERE time < $1", datetime.fromtimestamp(END / 1000 - 7_200, UTC))
    await energy.mark_dirty(owner, [(SITE, DAY, START)])
    await place.arrive(METER, {END + HOUR_MS: {"import_interval_wh": 9.0, "import_interval_s": 3_600.0}})
    await place.settle()
    after = await place.days()
    assert after[DAY] == before[DAY]
    assert after[DAY + timedelta(days=1)].totals_wh[IMPORT] == 9.0
    assert await owner.fetchval("SELECT count(*) FROM telemetry.dirty_day") == 0
    await owner.close()


async def test_a_curve_that_is_taken_back_leaves_nothing_in_the_days_around(place: Place, database: Database) -> None:
    await place.arrive(METER, curve(START - HOUR_MS, END + HOUR_MS, 50.0))
    await place.settle()
    assert len(await place.days()) == 3
    owner = await connect(database.owner)
    gone = datetime.fromtimestamp(START / 1000, UTC), datetime.fromtimestamp(END / 1000, UTC)
    await owner.execute("DELETE FROM telemetry.sample WHERE time BETWEEN $1 AND $2", *gone)
    await energy.mark_dirty(owner, [(SITE, DAY, START), (SITE, DAY + timedelta(days=1), END)], gone=True)
    await owner.close()
    await place.settle()
    assert {day: row.totals_wh[IMPORT] for day, row in (await place.days()).items()} == {
        DAY - timedelta(days=1): 50.0,  # of which the half hour until midnight is gone
        DAY + timedelta(days=1): 100.0,
    }


async def test_today_of_one_site_does_not_wait_for_years_of_another(place: Place) -> None:
    last = local_day(NOW, PARIS)
    async with place.pool.acquire() as connection:
        years = [(SITE, last - timedelta(days=3 + n), 0) for n in range(3_000)]
        await energy.mark_dirty(connection, years)
        await energy.mark_dirty(connection, [(OTHER, last, 0), (OTHER, last - timedelta(days=1), 0), (OTHER, DAY, 0)])
        taken = await energy.take_dirty(connection, range(256), 50, recent=last - timedelta(days=2))
        assert [(dirty.site, dirty.day) for dirty in taken[:2]] == [(OTHER, last - timedelta(days=1)), (OTHER, last)]
        assert [dirty.day for dirty in taken[2:]] == [day for _, day, _ in years[:48]]  # the latest first
        turn = await energy.take_dirty(connection, range(256), 50, recent=last - timedelta(days=2), after=taken[-1].site)
        assert [(dirty.site, dirty.day) for dirty in turn[2:4]] == [(OTHER, DAY), (SITE, years[0][1])]
        crowd = [(OTHER, last + timedelta(days=n), 0) for n in range(200)]
        await energy.mark_dirty(connection, crowd)
        taken = await energy.take_dirty(connection, range(256), 50, recent=last - timedelta(days=2))
        assert [dirty.site for dirty in taken].count(OTHER) == 40  # and the past goes on


async def test_each_sites_past_has_its_turn(place: Place) -> None:
    rounds = 5
    async with place.pool.acquire() as connection:
        marks = [(site, DAY - timedelta(days=n), 0) for site in (SITE, OTHER) for n in range(rounds * ROLLUP_DAYS_PER_ROUND)]
        await energy.mark_dirty(connection, marks)
        left = []
        for _ in range(2 * rounds):
            await place.rollup.run_once(NOW)
            rows = await connection.fetch("SELECT site_id, count(*) FROM telemetry.dirty_day GROUP BY 1")
            counts: dict[str, int] = {row["site_id"]: row["count"] for row in rows}
            left.append((counts.get(SITE, 0), counts.get(OTHER, 0)))
    assert max(abs(one - other) for one, other in left) <= ROLLUP_DAYS_PER_ROUND
    assert left[-1] == (0, 0)


async def test_corrections_and_replacements_reach_every_kind(place: Place, database: Database) -> None:
    """From noon on the meter is reversed and its curve 1 Wh short; the inverter's day counter is another's, and in kWh."""
    noon = START + 12 * HOUR_MS
    both = {t: row | {"export_interval_wh": 2.0, "export_interval_s": 1_800.0} for t, row in curve(START, END, 50.0).items()}
    await place.arrive(METER, both)
    told = {START + 11 * HOUR_MS: 800.0, noon - 1: 1_000.0, noon: 7.0, noon + HOUR_MS: 7.5, END - 1: 8.0}
    await place.arrive(INVERTER, {t: {"pv_day_energy_wh": wh} for t, wh in told.items()})
    await place.settle()
    assert (await place.days())[DAY].totals_wh == {PV: 1_008.0, IMPORT: 2_400.0, EXPORT: 96.0}
    owner = await connect(database.owner)
    for number, (device, kind, measure, value) in enumerate([
        (METER, "sign", "grid_power_w", -1.0),
        (METER, "offset", "export_interval_wh", 1.0),
        (INVERTER, "factor", "pv_day_energy_wh", 1_000.0),
    ]):  # fmt: skip
        await owner.execute(
            "INSERT INTO registry.correction (id, site_id, device_id, kind, measure, value, from_time, created_at)"
            " VALUES ($1, 's1', $2, $3, $4, $5, $6, now() + $7 * interval '1 s')",
            f"c{number}", device, kind, measure, value, datetime.fromtimestamp((noon if number else noon + 1) / 1000, UTC),
            float(number),
        )  # fmt: skip
    await owner.execute(
        "INSERT INTO registry.replacement (site_id, device_id, at) VALUES ('s1', $1, $2)",
        INVERTER,
        datetime.fromtimestamp(noon / 1000, UTC),
    )
    await energy.mark_dirty(owner, [(SITE, DAY, START)])
    await place.settle()
    day = (await place.days())[DAY]
    assert day.totals_wh[IMPORT] == 24 * 50.0 + 24 * 2.0
    assert day.totals_wh[EXPORT] == 23 * 2.0 + 3.0 + 24 * 51.0
    assert day.totals_wh[PV] == 1_000.0 + 1_000.0
    assert day.registers[PV][48] is not None
    events = await owner.fetch("SELECT register, kind, raw_before_wh, raw_after_wh FROM telemetry.counter_event")
    assert [tuple(event) for event in events] == [("pv_day_energy_wh", "swap", 1_000.0, 7.0)]
    await owner.close()
