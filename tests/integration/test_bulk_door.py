"""Rows from files in the database: added once, corrected with their history, in whatever order files are stored."""

import random
import time
from itertools import permutations

import pytest

from fleet.columns import DAY_MS, BulkReport
from fleet.errors import BadInput
from fleet.health import device_health
from fleet.ids import DeviceId, SiteId
from tests.bulk_rig import block, bulk_door
from tests.fleet_rig import fetch, seed_fleet
from tests.servers import Database

SITE = SiteId("s-one")
SITES = [("s-one", {"m-one": "meter", "i-one": "inverter"})]
DAY = time.time_ns() // 1_000_000 // DAY_MS * DAY_MS - 40 * DAY_MS
ROWS = "SELECT device_id, time, readings FROM telemetry.sample ORDER BY device_id, time"


async def stored(database: Database) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await fetch(database, ROWS)]


async def test_the_same_rows_again_add_nothing(database: Database) -> None:
    await seed_fleet(database, SITES)
    rows = [(DAY + i * 60_000, {"grid_power_w": float(i), "import_energy_wh": i * 10.0}) for i in range(100)]
    async with bulk_door(database) as door:
        assert await door.store(SITE, 1, [block("m-one", rows)], DAY) == BulkReport(new=100)
        first = await stored(database)
        assert await door.store(SITE, 1, [block("m-one", rows)], DAY) == BulkReport(same=100)
        assert await door.store(SITE, 2, [block("m-one", rows[40:], file_number=2)], DAY) == BulkReport(same=60)
    assert await stored(database) == first
    assert await fetch(database, "SELECT * FROM telemetry.sample_revision") == []


async def test_a_file_is_news_of_a_device_and_no_connection(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        await door.store(SITE, 1, [block("m-one", [(DAY, {"grid_power_w": 5.0})])], DAY)
        site = await door._catalog.site(SITE, DAY)
        assert site is not None
        meter = site.devices[DeviceId("m-one")]
        assert (meter.seen_at, meter.sample_at, meter.online, meter.gone) == (DAY, DAY, False, False)


async def test_a_device_that_a_file_told_of_is_known_to_the_shard_after_this_one(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        await door.store(SITE, 1, [block("m-one", [(DAY, {"grid_power_w": 5.0})])], DAY)
    async with bulk_door(database) as door:  # the first has died before any of its snapshots
        site = await door._catalog.site(SITE, DAY)
        assert site is not None
        assert {name: device.seen_at for name, device in site.devices.items()} == {"i-one": None, "m-one": DAY}


async def test_a_device_whose_first_word_was_awaited_is_missed_once_a_file_has_told_of_it(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        site = await door._catalog.site(SITE, DAY)
        assert site is not None
        meter = site.devices[DeviceId("m-one")]
        for told in (False, True):
            if told:
                await door.store(SITE, 1, [block("m-one", [(DAY, {"grid_power_w": 5.0})])], DAY)
            now = DAY + 40 * DAY_MS
            meter.judged = device_health(
                meter.judged, profile=meter.profile, interval_s=10.0, created_at=now, seen_at=meter.seen_at,
                online=not meter.gone, sun_elevation_deg=30.0, grace_until=now, now=now,
            )  # fmt: skip
            assert meter.judged.status == ("offline" if told else "unknown")


async def test_another_value_is_a_correction_with_its_history(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        await door.store(SITE, 1, [block("m-one", [(DAY, {"import_energy_wh": 10.0})])], DAY)
        again = block("m-one", [(DAY, {"import_energy_wh": 12.0, "grid_power_w": 5.0})], file_number=2)
        assert await door.store(SITE, 2, [again], DAY) == BulkReport(corrected=1)
    assert (await stored(database))[0][2] == [5.0, 12.0, None, None]
    (revision,) = await fetch(database, "SELECT file_number, before FROM telemetry.sample_revision")
    assert tuple(revision) == (2, [None, 10.0, None, None])


async def test_a_corrected_curve_outranks_a_raw_one_that_comes_later(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        await door.store(SITE, 1, [block("m-one", [(DAY, {"import_energy_wh": 10.0})], corrected=True)], DAY)
        raw = block("m-one", [(DAY, {"import_energy_wh": 12.0})], file_number=2)
        assert await door.store(SITE, 2, [raw], DAY) == BulkReport(same=1)
    assert (await stored(database))[0][2] == [None, 10.0, None, None]


async def test_a_file_that_has_less_of_the_day_changes_nothing_of_one_that_has_more(database: Database) -> None:
    """A transfer that failed comes again, after the grown file of the same day: its last row was provisional."""
    await seed_fleet(database, SITES)
    early = [(DAY, {"import_energy_wh": 10.0}), (DAY + 600_000, {"import_energy_wh": 10.5})]
    grown = [(DAY + at_s * 1_000, {"import_energy_wh": wh}) for at_s, wh in ((0, 10.0), (600, 11.0), (900, 12.0))]
    async with bulk_door(database) as door:
        await door.store(SITE, 1, [block("m-one", grown, file_number=1)], DAY)
        await door.store(SITE, 2, [block("m-one", early, file_number=2)], DAY)
    assert [row[2][1] for row in await stored(database)] == [10.0, 11.0, 12.0]  # type: ignore[index]


@pytest.mark.parametrize("seed", range(4))
async def test_no_order_of_contradicting_files_matters(database: Database, seed: int) -> None:
    """Partial rows, shared instants, the same instant twice in one file, blocks stored twice, live rows in between."""
    rng = random.Random(seed)
    measures = ("grid_power_w", "import_energy_wh", "export_energy_wh")
    files = []
    for number in range(1, 4):
        chosen = rng.sample(measures, rng.randint(1, 3))
        rows = [(DAY + rng.randrange(6) * 60_000, {name: float(rng.randrange(3)) for name in chosen}) for _ in range(8)]
        rng.shuffle(rows)
        cut = rng.randrange(1, 8)
        corrected = rng.random() < 0.3
        parts = (rows[:cut], rows[cut:])
        files.append((number, [block("m-one", part, file_number=number, corrected=corrected) for part in parts]))
    seen = set()
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        for order in permutations(files):
            await fetch(database, "TRUNCATE telemetry.sample")
            for number, blocks in order:
                for each in rng.sample(blocks, len(blocks)):
                    await door.store(SITE, number, [each], DAY)
                if rng.random() < 0.5:
                    await door.store(SITE, number, blocks, DAY)
            seen.add(repr(await stored(database)))
    assert len(seen) == 1


async def test_what_cannot_be_stored_is_counted(database: Database) -> None:
    await seed_fleet(database, SITES)
    now = time.time_ns() // 1_000_000
    rows = [
        (DAY, {"grid_power_w": 1.0}),
        (DAY, {"grid_power_w": 2.0}),
        (now + 3_600_000, {"grid_power_w": 1.0}),
        (now - 20 * 366 * DAY_MS, {"grid_power_w": 1.0}),
        (DAY + 1_000, {"grid_power_w": 1e300}),
        (DAY + 2_000, {"pv_power_w": 1.0}),
    ]
    async with bulk_door(database) as door:
        report = await door.store(SITE, 1, [block("m-one", rows)], DAY)
        assert report == BulkReport(new=1, same=1, late=1, future=1, useless=2)
        with pytest.raises(BadInput, match="unknown_device"):
            await door.store(SITE, 1, [block("m-two", rows)], DAY)
    assert (await stored(database))[0][2] == [2.0, None, None, None]


async def test_days_of_years_ago_are_marked_and_lie_in_few_partitions(database: Database) -> None:
    await seed_fleet(database, SITES)
    start = DAY - 900 * DAY_MS
    rows = [(start + i * 3_600_000 * 6, {"import_energy_wh": float(i)}) for i in range(4 * 800)]
    async with bulk_door(database) as door:
        report = await door.store(SITE, 1, [block("m-one", rows)], DAY)
    assert report == BulkReport(new=3_200)
    (days,) = await fetch(database, "SELECT count(*) FROM telemetry.dirty_day")
    assert days["count"] >= 800
    (tables,) = await fetch(database, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'telemetry.sample'::regclass")
    assert tables["count"] <= 30


async def test_a_day_whose_samples_are_gone_keeps_its_total(database: Database) -> None:
    await seed_fleet(database, SITES)
    old = DAY - 800 * DAY_MS
    async with bulk_door(database) as door:
        await fetch(
            database,
            "INSERT INTO telemetry.site_day (site_id, day, timezone, pv_q, import_q, export_q, charge_q, discharge_q,"
            " quality_q, computed_at, sealed) VALUES ($1, to_timestamp($2)::date, 'Europe/Paris', '{}', '{}', '{}', '{}',"
            " '{}', '{}', now(), true)",
            SITE, old // 1000,
        )  # fmt: skip
        rows = [(old + 43_200_000, {"import_energy_wh": 1.0}), (old + DAY_MS + 43_200_000, {"import_energy_wh": 2.0})]
        assert await door.store(SITE, 1, [block("m-one", rows)], DAY) == BulkReport(new=1, late=1)


@pytest.mark.parametrize("seed", range(3))
async def test_a_file_that_is_taken_back_was_never_there(database: Database, seed: int) -> None:
    """Once the others were read again: what they had told as well is not kept twice."""
    rng = random.Random(seed)
    measures = ("grid_power_w", "import_energy_wh", "export_energy_wh")

    def told(number: int) -> list[tuple[int, dict[str, float]]]:
        chosen = rng.sample(measures, rng.randint(1, 3))
        return [(DAY + i * 60_000, {name: float(rng.randrange(3)) for name in chosen}) for i in rng.sample(range(6), 4)]

    files = [(number, block("m-one", told(number), file_number=number)) for number in (1, 2, 3)]
    unwanted = rng.choice((1, 2, 3))
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        for number, rows in files:
            if number != unwanted:
                await door.store(SITE, number, [rows], DAY)
        wanted = await stored(database)
        await fetch(database, "TRUNCATE telemetry.sample")
        await fetch(database, "TRUNCATE telemetry.sample_revision")
        for number, rows in files:
            await door.store(SITE, number, [rows], DAY)
        assert await door.retract(SITE, DeviceId("m-one"), unwanted, DAY - DAY_MS, DAY + DAY_MS) > 0
        assert await door.retract(SITE, DeviceId("m-one"), unwanted, DAY - DAY_MS, DAY + DAY_MS) == 0
        for number, rows in files:
            if number != unwanted:
                await door.store(SITE, number, [rows], DAY)
        assert await stored(database) == wanted


@pytest.mark.parametrize("seed", range(3))
async def test_of_files_that_are_all_taken_back_nothing_is_left(database: Database, seed: int) -> None:
    """In any order: what one had replaced of another does not come back once that other was taken back, too."""
    rng = random.Random(seed)
    measures = ("grid_power_w", "import_energy_wh", "export_energy_wh")

    def told(number: int) -> list[tuple[int, dict[str, float]]]:
        chosen = rng.sample(measures, rng.randint(1, 3))
        return [(DAY + i * 60_000, {name: float(rng.randrange(3)) for name in chosen}) for i in rng.sample(range(6), 5)]

    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        for number in rng.sample(range(1, 7), 6):
            await door.store(SITE, number, [block("m-one", told(number), file_number=number)], DAY)
        for number in rng.sample(range(1, 7), 6):
            await door.retract(SITE, DeviceId("m-one"), number, DAY - DAY_MS, DAY + DAY_MS)
            assert number not in await _files_that_tell(database)
    assert await stored(database) == []
    assert await fetch(database, "SELECT * FROM telemetry.sample_revision") == []


async def _files_that_tell(database: Database) -> set[int]:
    rows = await fetch(
        database,
        "SELECT DISTINCT r & ((1::bigint << 48) - 1) AS file FROM telemetry.sample,"
        " LATERAL unnest(readings, coalesce(ranks, array_fill(rank, ARRAY[cardinality(readings)]))) u(v, r)"
        " WHERE v IS NOT NULL",
    )
    return {row["file"] for row in rows}


async def test_what_was_told_live_comes_back_with_the_file_that_had_replaced_it(database: Database) -> None:
    await seed_fleet(database, SITES)
    async with bulk_door(database) as door:
        await fetch(
            database,
            "SELECT telemetry.create_sample_partition(to_timestamp($1)::date)", DAY // 1000,
        )  # fmt: skip
        await fetch(
            database,
            "INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)"
            " VALUES ('s-one', 'm-one', to_timestamp($1), now(), '{7, NULL, NULL, NULL}')", DAY // 1000,
        )  # fmt: skip
        told = block("m-one", [(DAY, {"grid_power_w": 9.0, "import_energy_wh": 1.0})])
        assert await door.store(SITE, 1, [told], DAY) == BulkReport(corrected=1)
        assert (await stored(database))[0][2] == [9.0, 1.0, None, None]
        assert await door.retract(SITE, DeviceId("m-one"), 1, DAY, DAY) == 1
    assert (await stored(database))[0][2] == [7.0, None, None, None]
    assert await fetch(database, "SELECT * FROM telemetry.sample_revision") == []
