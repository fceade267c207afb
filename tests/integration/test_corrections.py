"""Corrections and replacements through database, shard and roll-up: history follows, and comes back when they are undone."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from actors import correcting, upkeep
from actors.local.load_history import columns
from actors.shard import TwinShard
from fleet import site as live_site
from fleet.corrections import Correction, CorrectionKind
from fleet.energy.day import SiteDay
from fleet.errors import BadInput, Conflict, NotFound, StaleOwner
from fleet.fleet_plan import HistoryBlock
from fleet.ids import DeviceId, SiteId
from fleet.limits import CORRECTIONS_PER_DEVICE_MAX
from fleet.storage import corrections, energy, samples
from fleet.storage import lease as leases
from fleet.storage.database import connect, open_pool
from fleet.telemetry import Sample, UnixMs
from tests.acting import acting_as
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki

SITE, METER, INVERTER = SiteId("s-one"), DeviceId("m-one"), DeviceId("i-one")
SITES = [("s-one", {"m-one": "meter", "i-one": "inverter"}), ("s-two", {"m-two": "meter"})]
IMPORT, EXPORT = "import_energy_wh", "export_energy_wh"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
Values = dict[str, float | None]


def now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000


class Place:
    """A shard with a site, and somebody who may correct its devices."""

    def __init__(self, database: Database, shard: TwinShard, now: UnixMs) -> None:
        self.database = database
        self.shard = shard
        self.now = now

    async def load(self, device: DeviceId, samples: Sequence[tuple[UnixMs, Values]]) -> None:
        for start in range(0, len(samples), 5_000):
            piece = [Sample(t, values) for t, values in samples[start : start + 5_000]]
            await self.shard.store_columns(SITE, 0, list(columns(HistoryBlock(SITE, device, piece))), now_ms())
        await self.shard.roll_up()

    async def correct(
        self, kind: CorrectionKind, measure: str, value: float, from_at: UnixMs, device: DeviceId = METER
    ) -> Correction:
        made = await self.add(kind, measure, value, from_at, device)
        await self._follow(made)
        return made

    async def add(self, kind: CorrectionKind, measure: str, value: float, from_at: UnixMs, device: DeviceId) -> Correction:
        async with self.web() as connection:
            return await corrections.add_correction(
                connection, site=SITE, device=device, kind=kind, measure=measure, value=value, from_at=from_at,
                created_by="p", now=self.now,
            )  # fmt: skip

    async def undo(self, made: Correction) -> None:
        async with self.web() as connection:
            undone = await corrections.undo_correction(connection, SITE, made.id, "p")
        assert undone.undone_at is not None
        await self._follow(made)

    async def replace(self, at: UnixMs) -> None:
        async with self.web() as connection:
            await swap(connection, at)
        await self.shard.corrected(SITE, METER, at)
        await self.shard.roll_up()

    async def _follow(self, made: Correction) -> None:
        await self.shard.corrected(SITE, made.device, made.from_at, made.value if made.kind == "clock" else 0.0)
        await self.shard.roll_up()

    @asynccontextmanager
    async def web(self, person: str = "p") -> AsyncIterator[Any]:
        pool = await open_pool(self.database.sp_web, size_max=1)
        try:
            async with acting_as(pool, person) as connection:
                yield connection
        finally:
            await pool.close()

    async def days(self) -> dict[date, SiteDay]:
        owner = await connect(self.database.owner)
        try:
            return {row.day: row for row in await energy.site_days(owner, SITE, date(2020, 1, 1), date(2100, 1, 1))}
        finally:
            await owner.close()

    async def rows(self) -> list[tuple[Any, ...]]:
        rows = await fetch(
            self.database, "SELECT device_id, time, received_at, readings, shift_ms FROM telemetry.sample ORDER BY 1, 2"
        )
        return [tuple(row) for row in rows]

    async def events(self) -> list[tuple[Any, ...]]:
        rows = await fetch(
            self.database,
            "SELECT register, kind, raw_before_wh, raw_after_wh, energy_wh FROM telemetry.counter_event ORDER BY 1, time",
        )
        return [tuple(row) for row in rows]

    async def anew(self) -> dict[date, SiteDay]:
        """The same days, made from nothing."""
        days = await fetch(self.database, "DELETE FROM telemetry.site_day RETURNING day")
        await fetch(self.database, "DELETE FROM telemetry.counter_event")
        owner = await connect(self.database.owner)
        await energy.mark_dirty(owner, [(SITE, row["day"], 0) for row in days])
        await owner.close()
        await self.shard.roll_up()
        return await self.days()


@pytest.fixture(autouse=True)
def _a_slow_machine_makes_no_power_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples end when the test begins, and what flows is asked for after its roll-ups."""
    monkeypatch.setattr(live_site, "_STALE_MIN_MS", HOUR_MS)


@pytest.fixture
def seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that starts after this does nothing by itself that it would have to own its slots for."""
    for period in ("SWEEP_PERIOD_S", "SNAPSHOT_PERIOD_S", "ROLLUP_PERIOD_S", "WAITING_WRITE_PERIOD_S"):
        monkeypatch.setattr(upkeep, period, 3_600.0)
    monkeypatch.setattr(correcting, "CORRECTIONS_PERIOD_S", 3_600.0)


@pytest.fixture
async def place(database: Database, broker_session: Broker) -> AsyncIterator[Place]:
    await seed_fleet(database, SITES)
    await fetch(
        database,
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash) VALUES"
        " ('p', 'org-installer', 'p@example.org', 'P', 'installer', ''),"
        " ('q', 'org-customer', 'q@example.org', 'Q', 'installer', '')",
    )
    async with running_shard(twins_settings(database.sp_twins, broker_session.sp_twins)) as shard:
        yield Place(database, shard, now_ms())


async def swap(connection: Any, at: UnixMs) -> None:
    """Other hardware from then on, as a device that comes in again writes it: at a time of the test's choice."""
    await connection.execute(
        "INSERT INTO registry.replacement (site_id, device_id, at, old_serial, new_serial, person_id)"
        " VALUES ($1, $2, to_timestamp($3 / 1000.0), 'A', 'B', 'p')",
        SITE, METER, at,
    )  # fmt: skip


def meter(start: UnixMs, end: UnixMs, power_w: float = 600.0, first_wh: float = 1000.0) -> list[tuple[UnixMs, Values]]:
    return [
        (t, {"grid_power_w": power_w, IMPORT: first_wh + power_w * (t - start) / HOUR_MS, EXPORT: 7.0})
        for t in range(start, end + 1, MINUTE_MS)
    ]


def known(days: dict[date, SiteDay]) -> dict[date, SiteDay]:
    """Without those of which nothing is known: a day that lost its samples stays, empty."""
    return {day: row for day, row in days.items() if set(row.totals_wh.values()) != {None}}


async def test_a_reversed_meter_is_turned_around_from_a_time_on_and_back(place: Place) -> None:
    start, turned = place.now - 2 * DAY_MS, place.now - DAY_MS
    await place.load(METER, meter(start, place.now))
    before, told = await place.days(), await place.rows()
    sign = await place.correct("sign", "grid_power_w", -1, turned)
    after = await place.days()
    imported = sum(day.totals_wh[IMPORT] or 0 for day in after.values())
    exported = sum(day.totals_wh[EXPORT] or 0 for day in after.values())
    assert imported == pytest.approx(24 * 600, abs=30)
    assert exported == pytest.approx(24 * 600, abs=30)
    assert (await place.shard.site_live(SITE)).flow.grid_power_w == -600.0
    assert await place.rows() == told
    assert await place.anew() == after
    await place.undo(sign)
    assert await place.days() == before
    assert (await place.shard.site_live(SITE)).flow.grid_power_w == 600.0


async def test_a_counter_in_kwh_counts_and_two_corrections_compose(place: Place) -> None:
    start = place.now - 6 * HOUR_MS
    await place.load(METER, [(t, {IMPORT: 5 + 0.6 * (t - start) / HOUR_MS}) for t in range(start, place.now, MINUTE_MS)])
    before = await place.days()
    factor = await place.correct("factor", IMPORT, 1000, start - DAY_MS)
    sign = await place.correct("sign", "grid_power_w", -1, start - DAY_MS)
    after = await place.days()
    assert sum(day.totals_wh[EXPORT] or 0 for day in after.values()) == pytest.approx(6 * 600, abs=20)
    assert all(not day.totals_wh.get(IMPORT) for day in after.values())
    assert await place.anew() == after
    await place.undo(factor)
    assert sum(day.totals_wh[EXPORT] or 0 for day in (await place.days()).values()) == pytest.approx(3.6, abs=0.1)
    await place.undo(sign)
    assert await place.days() == before


@pytest.mark.parametrize("first_wh", [5_000_000.0, 12.0, None])
async def test_a_new_meters_counter_is_a_swap_and_no_energy(place: Place, first_wh: float | None) -> None:
    """Higher, lower, and going on exactly where the old one stopped."""
    start, swapped = place.now - 8 * HOUR_MS, place.now - 4 * HOUR_MS
    old = meter(start, swapped)
    last_wh = old[-1][1][IMPORT]
    assert last_wh is not None
    new = meter(swapped + 10 * MINUTE_MS, place.now, first_wh=last_wh if first_wh is None else first_wh)
    await place.load(METER, old + new)
    await place.replace(swapped + 5 * MINUTE_MS)
    swaps = [event for event in await place.events() if event[0] == IMPORT]
    assert swaps == [(IMPORT, "swap", last_wh, new[0][1][IMPORT], 0.0)]
    days = await place.days()
    counted = sum(day.totals_wh[IMPORT] or 0 for day in days.values())
    assert counted == pytest.approx((len(old) + len(new) - 2) * 10, abs=0.1)
    assert await place.anew() == days


async def test_a_restarted_shard_shows_what_is_corrected_once(
    database: Database, broker_session: Broker, place: Place
) -> None:
    await place.load(METER, meter(place.now - HOUR_MS, place.now))
    await place.correct("factor", "grid_power_w", 0.5, place.now - DAY_MS)
    await place.correct("sign", "grid_power_w", -1, place.now - DAY_MS)
    assert (await place.shard.site_live(SITE)).flow.grid_power_w == -300.0
    await place.shard.stop()
    stored = await fetch(
        database, "SELECT readings[1] AS shown, told[1] AS told FROM telemetry.device_latest WHERE device_id = 'm-one'"
    )
    assert [tuple(row) for row in stored] == [(-300.0, 600.0)]
    again = TwinShard(0, twins_settings(database.sp_twins, broker_session.sp_twins))
    async with _another(again) as shard:
        assert (await shard.site_live(SITE)).flow.grid_power_w == -300.0


@asynccontextmanager
async def _another(shard: TwinShard) -> AsyncIterator[TwinShard]:
    """A look at what a new owner would load, by a catalog of its own."""
    from actors.catalog import Catalog

    pool = await open_pool(shard._settings.database, size_max=1)
    shard._catalog = Catalog(pool, shard._slots)
    await shard._catalog.load_all(now_ms())
    try:
        yield shard
    finally:
        await pool.close()


async def test_a_clock_that_was_slow_is_put_right_and_back(place: Place) -> None:
    told = meter(place.now - 5 * HOUR_MS, place.now - HOUR_MS)
    await place.load(METER, told)
    before, days = await place.rows(), await place.days()
    clock = await place.correct("clock", "", 3600, place.now - DAY_MS)
    moved = await place.rows()
    assert [row[4] for row in moved] == [3_600_000] * len(told)
    assert [round(row[1].timestamp() * 1000) for row in moved] == [t + HOUR_MS for t, _ in told]
    later = await place.days()
    assert sum(day.totals_wh[IMPORT] or 0 for day in later.values()) == pytest.approx(4 * 600, abs=15)
    assert known(await place.anew()) == known(later)
    await place.load(METER, [(place.now - HOUR_MS + 1, {"grid_power_w": 1.0})])  # told by the same slow clock: it is now
    assert (await place.shard.site_live(SITE)).flow.grid_power_w == 1.0
    await place.undo(clock)
    assert await place.rows() == [*before, (await place.rows())[-1]]
    assert known(await place.days()) == days


async def test_where_moved_samples_meet_others_none_is_lost(place: Place) -> None:
    """Right at first, from some time on an hour ahead: what is moved comes to lie among what is not."""
    samples = meter(place.now - 4 * HOUR_MS, place.now)
    await place.load(METER, samples)
    before, days = await place.rows(), await place.days()
    clock = await place.correct("clock", "", -3600, place.now - 3 * HOUR_MS)
    moved = await place.rows()
    assert len(moved) == len(before)
    assert any(row[4] == -3_599_999 for row in moved)
    await place.undo(clock)
    assert await place.rows() == before
    assert await place.days() == days


async def test_what_lay_in_the_future_is_taken_when_the_clock_is_corrected(
    place: Place, broker_session: Broker, pki: Pki, database: Database
) -> None:
    ahead = place.now + 2 * HOUR_MS
    async with Device(broker_session, pki, "s-one", "m-one") as device:
        await device.say(1, (ahead, {"grid_power_w": 42.0}))
        await device.say(2, (ahead + 1_000, {"grid_power_w": 43.0}))
        await device.acked_up_to(2)
        assert await place.rows() == []
        await place.correct("clock", "", -7200, place.now - DAY_MS)
        assert [row[3][0] for row in await place.rows()] == [42.0, 43.0]
        assert await fetch(database, "SELECT 1 FROM telemetry.dead_letter WHERE code = 'future_time'") == []
        await device.say(3, (ahead + 2_000, {"grid_power_w": 44.0}))
        await device.acked_up_to(3)

    async def shown() -> bool:
        return (await place.shard.site_live(SITE)).flow.grid_power_w == 44.0

    await until(shown)


async def test_what_the_twins_were_not_told_of_counts_all_the_same(place: Place) -> None:
    await place.load(METER, meter(place.now - 4 * HOUR_MS, place.now))
    before = await place.rows()
    made = await place.add("clock", "", -60, place.now - DAY_MS, METER)
    await place.shard._correcting.catch_up()
    assert [row[4] for row in await place.rows()] == [-60_000] * len(before)
    async with place.web() as connection:
        await corrections.undo_correction(connection, SITE, made.id, "p")
        await swap(connection, place.now - 2 * HOUR_MS - 30_000)
    await place.shard._correcting.catch_up()
    await place.shard.roll_up()
    assert await place.rows() == before
    assert {event[1] for event in await place.events()} == {"swap"}
    async with place.web() as connection:
        assert (await corrections.corrector_of(connection, SITE, METER)) is None


async def test_samples_are_read_corrected_or_as_they_were_told(place: Place) -> None:
    t = place.now - HOUR_MS
    await place.load(METER, [(t, {"grid_power_w": 2.0, IMPORT: 5.0})])
    await place.correct("clock", "", 60, place.now - DAY_MS)
    await place.correct("factor", "grid_power_w", 1000, place.now - DAY_MS)
    span = {"since": t, "until": place.now, "limit": 10}
    channels = ["grid_power_w", IMPORT, EXPORT, "ac_voltage_v"]
    async with place.web() as connection:
        corrector = await corrections.corrector_of(connection, SITE, METER)
        shown = await samples.samples(connection, SITE, METER, channels, corrector=corrector, **span)  # type: ignore[arg-type]
        told = await samples.samples(connection, SITE, METER, channels, as_told=True, **span)  # type: ignore[arg-type]
    assert [one.sample for one in shown] == [Sample(t + 60_000, {"grid_power_w": 2000.0, IMPORT: 5.0})]
    assert [one.sample for one in told] == [Sample(t, {"grid_power_w": 2.0, IMPORT: 5.0})]


async def test_nothing_of_the_sequence_is_forgotten(place: Place, broker_session: Broker, pki: Pki) -> None:
    async with Device(broker_session, pki, "s-one", "m-one") as device:
        await device.say(1, (place.now, {"grid_power_w": 1.0}))
        await device.say(2, (place.now + 1, {"grid_power_w": 2.0}))
        await device.acked_up_to(2)
        await place.correct("sign", "grid_power_w", -1, place.now - DAY_MS)
        await device.say(3, (place.now + 2, {"grid_power_w": 3.0}), oldest=1)
        await device.acked_up_to(3)


@pytest.mark.usefixtures("seldom")  # it would find out by itself, and end
async def test_a_stale_owner_moves_nothing(place: Place, database: Database) -> None:
    await place.load(METER, meter(place.now - HOUR_MS, place.now))
    before = await place.rows()
    await place.add("clock", "", -60, place.now - DAY_MS, METER)
    owner = await connect(database.owner)
    await leases.claim(owner, 1, range(256), "somebody else")
    await owner.close()
    with pytest.raises(StaleOwner):
        await place.shard.corrected(SITE, METER, place.now - DAY_MS, -60.0)
    assert await place.rows() == before


async def test_what_cannot_be_corrected_is_refused(place: Place) -> None:
    ago = place.now - HOUR_MS
    for kind, measure, value in [
        ("sign", "grid_power_w", 2.0), ("sign", IMPORT, -1.0), ("factor", "grid_power_w", 0.0),
        ("factor", "grid_power_w", 1e9), ("factor", "pv_power_w", 2.0), ("offset", "grid_power_w", float("nan")),
        ("clock", "", 1e12), ("clock", "grid_power_w", 60.0),
    ]:  # fmt: skip
        with pytest.raises(BadInput, match="bad_correction"):
            await place.add(kind, measure, value, ago, METER)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="bad_correction"):
        await place.add("offset", "grid_power_w", 1.0, place.now + DAY_MS, METER)
    with pytest.raises(NotFound, match="unknown_device"):
        await place.add("offset", "grid_power_w", 1.0, ago, DeviceId("m-two"))
    with pytest.raises(NotFound, match="unknown_site"):
        await place.shard.corrected(SiteId("s-none"), METER, ago)
    with pytest.raises(NotFound, match="unknown_device"):
        await place.shard.corrected(SITE, DeviceId("m-none"), ago)


async def test_a_correction_is_made_once_and_undone_once(place: Place) -> None:
    made = await place.add("offset", "grid_power_w", 1.0, place.now, METER)
    assert await place.add("offset", "grid_power_w", 1.0, place.now, METER) == made
    async with place.web("q") as stranger:
        with pytest.raises(NotFound, match="unknown_correction"):
            await corrections.undo_correction(stranger, SITE, made.id, "q")
    await place.undo(made)
    async with place.web() as connection:
        with pytest.raises(Conflict, match="already_undone"):
            await corrections.undo_correction(connection, SITE, made.id, "p")
        listed = await corrections.corrections_of(connection, SITE, METER)
    assert [(known.id, known.undone_at is not None) for known in listed] == [(made.id, True)]


async def test_a_device_has_room_for_so_many_corrections(place: Place) -> None:
    for number in range(CORRECTIONS_PER_DEVICE_MAX):
        await place.add("offset", "grid_power_w", 1.0 + number, place.now, METER)
    with pytest.raises(Conflict, match="too_many_corrections"):
        await place.add("offset", "grid_power_w", 0.5, place.now, METER)
