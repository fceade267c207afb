"""Other hardware in a place, through registry, broker, shard and roll-up: what was corrected of the old one ends there."""

from typing import Any

import pytest

from fleet.corrections import Correction
from fleet.storage import claims, corrections, enrolled
from fleet.storage.database import connect
from fleet.telemetry import UnixMs
from fleet.views import DeviceLive
from tests.fleet_rig import Device, fetch
from tests.integration import test_corrections
from tests.integration.test_corrections import (
    DAY_MS,
    EXPORT,
    HOUR_MS,
    IMPORT,
    METER,
    MINUTE_MS,
    SITE,
    Place,
    known,
    meter,
    now_ms,
)
from tests.servers import Broker, Database, Pki

place = test_corrections.place


async def enrol_another(database: Database, serial: str = "NEW-1") -> UnixMs:
    """As the authority writes it down; nobody tells the twins. Returns since when the new hardware is there."""
    pki = await connect(database.sp_pki)
    try:
        async with pki.transaction():
            before = await enrolled.hold(pki, METER)
            assert before is not None
            now = await pki.fetchval("SELECT clock_timestamp()")
            claim = claims.HeldClaim(
                "c-1", SITE, METER, "meter", "Meter", serial, True, "p", b"", None, "waiting", False, now
            )  # fmt: skip
            at = await enrolled.take_over(pki, claim, before)
    finally:
        await pki.close()
    return round(at.timestamp() * 1000)


async def listed(place: Place) -> list[Correction]:
    async with place.web() as connection:
        return await corrections.corrections_of(connection, SITE, METER)


async def shown(place: Place) -> DeviceLive:
    return next(each for each in (await place.shard.site_live(SITE)).devices if each.device == METER)


async def shifts(place: Place) -> list[Any]:
    return [row[4] for row in await place.rows()]


async def test_what_new_hardware_says_right_after_its_enrolment_is_its_own(
    place: Place, broker_session: Broker, pki: Pki, database: Database
) -> None:
    """The shard was told of nothing, and its next look at the registry is seconds away."""
    old: dict[str, float | None] = {"grid_power_w": 1.0, "ac_voltage_v": 99.0}
    await place.load(METER, [(place.now - 3 * HOUR_MS, old)])
    await place.correct("clock", "", 7200, place.now - DAY_MS)
    await place.correct("sign", "grid_power_w", -1, place.now - DAY_MS)
    assert (await shown(place)).readings == {"grid_power_w": -1.0, "ac_voltage_v": 99.0}
    since = await enrol_another(database)
    spooled, fresh = place.now - 5 * MINUTE_MS, max(now_ms(), since + 1)  # since: of a finer clock, rounded
    async with Device(broker_session, pki, "s-one", "m-one", stream="new") as device:
        await device.say(1, (spooled, {"grid_power_w": 2.0}), (fresh, {"grid_power_w": 3.0}))
        await device.acked_up_to(1)
    rows = [(round(row[1].timestamp() * 1000), row[4]) for row in await place.rows()]
    assert rows == [(place.now - HOUR_MS, 2 * HOUR_MS), (spooled, None), (fresh, None)]
    assert await fetch(database, "SELECT 1 FROM telemetry.dead_letter WHERE code = 'future_time'") == []
    live = await shown(place)
    assert (live.readings, live.sample_at) == ({"grid_power_w": 3.0}, fresh)
    assert [(each.ended_at, each.in_force) for each in await listed(place)] == [(since, False)] * 2
    before = await place.rows()
    await place.shard._correcting.catch_up()
    assert await place.rows() == before


async def test_what_was_moved_for_want_of_knowledge_is_put_back(place: Place, database: Database) -> None:
    """By the bulk door, which looks nothing up; the next round of the shard does."""
    await place.load(METER, meter(place.now - 6 * HOUR_MS, place.now - 4 * HOUR_MS))
    await place.correct("clock", "", 3600, place.now - DAY_MS)
    before = await place.rows()
    await enrol_another(database)
    new = meter(place.now - 90 * MINUTE_MS, place.now - HOUR_MS)
    await place.load(METER, new)
    assert await shifts(place) == [HOUR_MS] * (len(before) + len(new))
    await place.shard._correcting.catch_up()
    await place.shard.roll_up()
    rows = await place.rows()
    assert rows[: len(before)] == before
    assert [(round(row[1].timestamp() * 1000), row[4]) for row in rows[len(before) :]] == [(t, None) for t, _ in new]
    days = await place.days()
    assert known(await place.anew()) == known(days)
    assert (await shown(place)).sample_at == new[-1][0]


async def test_each_clock_is_corrected_alone_and_undone_alone(place: Place, database: Database) -> None:
    """The old one was an hour behind, the new one is an hour ahead: what they told lies among each other."""
    await place.load(METER, meter(place.now - 4 * HOUR_MS, place.now - 3 * HOUR_MS))
    told = await place.rows()
    old = await place.correct("clock", "", 3600, place.now - DAY_MS)
    moved = await place.rows()
    since = await enrol_another(database)
    await place.shard.corrected(SITE, METER, since)
    await place.load(METER, meter(place.now - 4 * HOUR_MS + 1, place.now - 3 * HOUR_MS + 1))
    both = await place.rows()
    assert sorted(set(await shifts(place)), key=str) == [HOUR_MS, None]
    new = await place.correct("clock", "", -600, place.now - DAY_MS)  # before the replacement: both, and somebody said so
    assert {row[4] for row in await place.rows()} == {HOUR_MS - 600_000, -600_000}
    await place.undo(new)
    assert await place.rows() == both
    await place.undo(old)
    assert [row for row in await place.rows() if row[2] == told[0][2]] == told
    place.now = now_ms()
    own = await place.add("clock", "", -600, place.now, METER)
    await place.shard.corrected(SITE, METER, own.from_at, -600.0)
    assert set(await shifts(place)) == {None}  # it is of the new hardware, which has told nothing of now
    assert moved != told


async def test_samples_of_two_clocks_at_one_instant_stay_two(place: Place, database: Database) -> None:
    t = place.now - 4 * HOUR_MS
    await place.load(METER, [(t, {"grid_power_w": 1.0})])
    old = await place.correct("clock", "", 3600, place.now - DAY_MS)
    await place.shard.corrected(SITE, METER, await enrol_another(database))
    await place.load(METER, [(t, {"grid_power_w": 2.0})])
    await place.undo(old)
    assert [(row[3][0], row[4]) for row in await place.rows()] == [(2.0, None), (1.0, 1)]


@pytest.mark.parametrize("made_before", [True, False])
async def test_a_turned_meter_that_is_replaced_is_turned_in_its_own_past_only(
    place: Place, database: Database, made_before: bool
) -> None:
    start, swapped = place.now - 8 * HOUR_MS, place.now - 4 * HOUR_MS
    await place.load(METER, meter(start, place.now))
    before, told = await place.days(), await place.rows()
    sign = await place.correct("sign", "grid_power_w", -1, start)
    if made_before:
        await fetch(database, "UPDATE registry.correction SET created_at = to_timestamp($1)", swapped / 1000 - 60)
    await place.replace(swapped)
    days = await place.days()
    imported = sum(day.totals_wh[IMPORT] or 0 for day in days.values())
    exported = sum(day.totals_wh[EXPORT] or 0 for day in days.values())
    expected = (2400, 2400) if made_before else (0, 4800)
    assert (imported, exported) == pytest.approx(expected, abs=25)
    assert await place.anew() == days
    assert await place.rows() == told
    await place.undo(sign)
    undone = await place.days()
    assert await place.anew() == undone
    assert sum(day.totals_wh[IMPORT] or 0 for day in undone.values()) == pytest.approx(4800, abs=25)
    assert sorted(undone) == sorted(before)


async def test_what_was_kept_of_the_old_clock_is_not_the_new_ones(
    place: Place, broker_session: Broker, pki: Pki, database: Database
) -> None:
    """It lay in the future when it came; its clock is corrected after the device was replaced."""
    ahead = place.now + 2 * HOUR_MS
    async with Device(broker_session, pki, "s-one", "m-one") as device:
        await device.say(1, (ahead, {"grid_power_w": 42.0}))
        await device.acked_up_to(1)
    since = await enrol_another(database)
    await place.shard.corrected(SITE, METER, since)
    await place.correct("clock", "", -7200, place.now - DAY_MS)
    ((_, _, received_at, readings, shift_ms),) = await place.rows()
    assert (readings[0], shift_ms) == (42.0, -2 * HOUR_MS)
    assert received_at.timestamp() * 1000 < since
    assert (await shown(place)).readings == {}
