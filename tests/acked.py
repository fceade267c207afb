"""Acked means stored: what devices were told, against what PostgreSQL holds.

    told      of every device: stream and seq → the (device, time, readings) of all messages up to it
    stored    the rows, and the quarantined dead letters
    check     told minus stored is empty, nothing is there twice, and every value has the bits that were sent

A twin's snapshot that knows a sequence number claims the same as an ack: after a restart it becomes one.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from actors.rollup import Rollup
from fleet.calendar import local_day
from fleet.ids import DeviceId, SiteId
from fleet.limits import SLOTS
from fleet.profiles import DeviceProfile
from fleet.storage import energy, intake
from fleet.storage import lease as leases
from fleet.storage.database import Connection, connect, open_pool
from fleet.telemetry import Sample, Telemetry, UnixMs
from tests.servers import Database

_TIMEZONE = "Europe/Paris"  # of every site in the rigs
_AUDIT_PERIOD_S = 0.2
_DAY_TABLES = {"telemetry.site_day": "computed_at", "telemetry.counter_event": ""}  # and what of them is no result


class Instant(NamedTuple):
    device: DeviceId
    t: UnixMs


Bits = tuple[bytes | None, ...]  # eight bytes for each reading, in the profile's channel order


class Speaker(Protocol):
    """A device with its memory."""

    @property
    def site(self) -> SiteId: ...
    @property
    def id(self) -> DeviceId: ...
    @property
    def profile(self) -> DeviceProfile: ...
    @property
    def stream(self) -> str: ...
    @property
    def offered(self) -> Mapping[int, Sequence[Sample]]: ...
    @property
    def told(self) -> Mapping[str, int]: ...


async def check_acked(
    database: Database, devices: Iterable[Speaker], caught_up: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Holds at every instant, also in the middle of a fault.

    caught_up: where devices are heard from outside; what is stored may not have been heard yet.
    """
    connection = await connect(database.owner)
    try:
        await _check_acked(connection, list(devices), caught_up)
    finally:
        await connection.close()


async def audit(database: Database, devices: Sequence[Speaker]) -> None:
    """For a task: checks again and again, until cancelled."""
    connection = await connect(database.owner)
    try:
        while True:
            await _check_acked(connection, devices)
            await asyncio.sleep(_AUDIT_PERIOD_S)
    finally:
        connection.terminate()


async def check_complete(database: Database, devices: Sequence[Speaker]) -> None:
    """At the end: all that was offered is acked and stored once, nothing else is, and the days come out as if the same
    samples had come once and in order. Afterwards the database holds just those.
    """
    for device in devices:
        assert device.told.get(device.stream, 0) == max(device.offered, default=0), f"{device.id} was not told of everything"
    await check_acked(database, devices)
    await _check_days(database, devices)


async def _check_acked(
    connection: Connection, devices: Sequence[Speaker], caught_up: Callable[[], Awaitable[None]] | None = None
) -> None:
    told = {device.id: dict(device.told) for device in devices}  # before the rows are read: these must be among them
    for row in await connection.fetch("SELECT device_id, stream, seq FROM telemetry.device_latest WHERE stream IS NOT NULL"):
        if row["device_id"] in told:
            claims = told[row["device_id"]]
            claims[row["stream"]] = max(claims.get(row["stream"], 0), row["seq"])
    rows, letters = await stored_rows(connection), await quarantined(connection)
    if caught_up is not None:
        await caught_up()
    # nothing below waits, so what was offered does not grow meanwhile
    for device in devices:
        unknown = set(told[device.id]) - {device.stream}
        assert not unknown, f"{device.id} was told of streams {unknown}, and speaks {device.stream}"
        seq = told[device.id].get(device.stream, 0)
        assert seq <= max(device.offered, default=0), f"{device.id} was told of {seq}, which it never sent"
        covered = expected(device, [samples for number, samples in device.offered.items() if number <= seq])
        lost = {instant for instant in covered if instant not in rows and instant not in letters}
        assert not lost, f"{device.id} was told that up to {seq} all is stored; {len(lost)} samples are not, as {min(lost)}"
        sent = expected(device, device.offered.values())
        changed = [instant for instant, bits in rows.items() if instant.device == device.id and sent.get(instant) != bits]
        assert not changed, f"{device.id}: {len(changed)} rows are not what was sent, as {changed[0]}"


def expected(device: Speaker, messages: Iterable[Sequence[Sample]]) -> dict[Instant, Bits]:
    return {
        Instant(device.id, sample.t): bits_of([sample.v.get(channel) for channel in device.profile.channels])
        for samples in messages
        for sample in samples
    }


def bits_of(readings: Iterable[float | None]) -> Bits:
    return tuple(None if value is None else struct.pack(">d", value) for value in readings)


async def stored_rows(connection: Connection) -> dict[Instant, Bits]:
    query = "SELECT device_id, round(extract(epoch FROM time) * 1000)::bigint AS t, readings FROM telemetry.sample"
    rows = await connection.fetch(query)
    times = Counter(Instant(row["device_id"], row["t"]) for row in rows)
    twice = [instant for instant, count in times.items() if count > 1]
    assert not twice, f"{len(twice)} samples are stored twice, as {twice[0]}"
    return {Instant(row["device_id"], row["t"]): bits_of(row["readings"]) for row in rows}


async def quarantined(connection: Connection) -> set[Instant]:
    """Samples from the future: kept whole beside the reason."""
    rows = await connection.fetch("SELECT device_id, head FROM telemetry.dead_letter WHERE code = 'future_time'")
    messages = [(row["device_id"], msgspec.json.decode(row["head"], type=Telemetry)) for row in rows]
    return {Instant(device, sample.t) for device, message in messages for sample in message.samples}


# the same samples, once and in order -----------------------------------------------------------------------------------


async def _check_days(database: Database, devices: Sequence[Speaker]) -> None:
    pool = await open_pool(database.sp_twins, size_max=2)
    owner = await connect(database.owner)
    try:
        async with pool.acquire() as connection:
            lease = await leases.claim(connection, 0, range(SLOTS), "checker")
        rollup = Rollup(pool, lease, range(SLOTS), _no_marks_are_spared)
        await _settle(rollup)
        found = await _days(owner)
        await owner.execute("TRUNCATE telemetry.sample, telemetry.dirty_day, telemetry.site_day, telemetry.counter_event")
        async with pool.acquire() as connection:
            await _store_in_order(connection, devices)
        await _settle(rollup)
        wanted = await _days(owner)
        assert found == wanted, "the days are not those of the same samples sent once and in order"
        assert any(row["import_wh"] for row in wanted["telemetry.site_day"]), "no energy: this compared nothing with nothing"
    finally:
        await owner.close()
        await pool.close()


async def _settle(rollup: Rollup) -> None:
    report = await rollup.run_once(_now_ms())
    while report.remaining:
        report = await rollup.run_once(_now_ms())
    assert report.failed_sites == 0


async def _days(owner: Connection) -> dict[str, list[dict[str, Any]]]:
    """Whole rows, for a comparison to the bit."""
    found = {}
    for table, without in _DAY_TABLES.items():
        rows = await owner.fetch(f"SELECT * FROM {table}")  # noqa: S608 - names of ours
        found[table] = sorted(
            ({name: value for name, value in row.items() if name != without} for row in rows),
            key=repr,
        )
    return found


async def _store_in_order(connection: Connection, devices: Sequence[Speaker]) -> None:
    stored_at, now = datetime.now(UTC), _now_ms()
    rows = sorted(
        (sample.t, device.site, device.id, [sample.v.get(channel) for channel in device.profile.channels])
        for device in devices
        for samples in device.offered.values()
        for sample in samples
        if sample.t <= now
    )
    records = [
        (site, device, datetime.fromtimestamp(t / 1000, UTC), stored_at, readings, None)
        for t, site, device, readings in rows
    ]
    await intake.prepare(connection)
    await intake.create_partitions(connection, {record[2].date() for record in records})
    async with connection.transaction():
        await intake.store_samples(connection, records)
        await energy.mark_dirty(connection, [(site, local_day(t, _TIMEZONE), t) for t, site, _, _ in rows])


async def _no_marks_are_spared() -> None:
    """No writer is at work any more."""


def _now_ms() -> UnixMs:
    return round(datetime.now(UTC).timestamp() * 1000)
