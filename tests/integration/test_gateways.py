"""What a gateway says of others: raw messages and sources, serials that nobody knows, and what becomes of what they said."""

import time
from typing import Any

import msgspec
import pytest

from fleet.ids import DeviceId, SiteId
from fleet.limits import WAITING_LETTERS_PER_GATEWAY_MAX, WAITING_SOURCES_PER_GATEWAY_MAX
from fleet.storage import waiting
from fleet.storage.database import connect
from fleet.storage.waiting import Sighting, WaitingSource
from fleet.telemetry import RawMessage, Sample, Telemetry
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki

SITE = SiteId("s-one")
SITES = [("s-one", {"g-one": "opendtu", "i-one": "opendtu-inverter"}), ("s-two", {"g-two": "gateway", "m-two": "shelly-em"})]
ROOF = "114182940773"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def attach(database: Database, device: str, site: str, profile: str, serial: str) -> None:
    await fetch(
        database,
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial) VALUES ($1, $2, $3, $1, $4)",
        device, site, profile, serial,
    )  # fmt: skip


async def say_raw(gateway: Device, seq: int, *messages: tuple[str, bytes], t: int | None = None) -> None:
    at = now_ms() if t is None else t
    telemetry = Telemetry([], seq, 1, gateway.stream, raw=[RawMessage(at, topic, payload) for topic, payload in messages])
    await gateway.raw("up/telemetry", msgspec.json.encode(telemetry))


async def readings_of(database: Database, device: str) -> list[list[Any]]:
    rows = await fetch(database, "SELECT readings FROM telemetry.sample WHERE device_id = $1 ORDER BY time", device)
    return [row["readings"] for row in rows]


async def waiting_at(database: Database, site: str = "s-one") -> list[WaitingSource]:
    connection = await connect(database.sp_twins)
    try:
        return await waiting.waiting_sources(connection, SiteId(site))
    finally:
        await connection.close()


async def test_raw_messages_of_a_known_serial_become_one_row_of_its_device(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    start = now_ms() // 10_000 * 10_000
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "g-one") as gateway,
    ):
        messages = [("solar/114182940773/0/power", b"312.4"), ("solar/114182940773/0/yieldtotal", b"12.5")]
        await fetch(database, "UPDATE registry.device SET serial = $1 WHERE id = 'i-one'", ROOF)
        await shard.forget_site(SITE)
        await say_raw(gateway, 1, *messages, ("solar/dtu/status", b"online"), t=start)
        await gateway.acked_up_to(1)
        assert (await readings_of(database, "i-one"))[0][:3] == [312.4, 12_500.0, None]
        live = {device.device: device for device in (await shard.site_live(SITE)).devices}
        assert live[DeviceId("i-one")].readings["pv_power_w"] == 312.4
        assert live[DeviceId("g-one")].seen_at is not None
    assert await fetch(database, "SELECT 1 FROM telemetry.dead_letter") == []


async def test_a_message_without_a_number_reaches_the_codec_too(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-two", "m-two") as meter,
    ):
        await meter.raw("up/raw/status/em:0", b'{"id": 0, "total_act_power": -812.4}')
        rows = await until(lambda: readings_of(database, "m-two"))
        assert rows[0][0] == -812.4


async def test_an_unknown_serial_waits_and_its_data_comes_back_whole_when_attached(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    start = now_ms() - 200_000
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "g-one") as gateway,
    ):
        for seq in range(1, 11):
            t, power = start + seq * 10_000, b"%d" % (100 + seq)
            await say_raw(gateway, seq, (f"solar/{ROOF}/0/power", power), (f"solar/{ROOF}/1/voltage", b"34.1"), t=t)
        await gateway.acked_up_to(10)
        (source,) = await until(lambda: waiting_at(database))
        assert (source.gateway, source.serial, source.measures) == ("g-one", ROOF, ["dc_voltage_v_1", "pv_power_w"])

        await attach(database, "i-new", "s-one", "opendtu-inverter", ROOF)
        await shard.place_waiting(SITE, ROOF)
        assert [row[0] for row in await readings_of(database, "i-new")] == [float(100 + seq) for seq in range(1, 11)]
        assert await fetch(database, "SELECT 1 FROM telemetry.dead_letter") == []
        days = "SELECT site_id FROM telemetry.dirty_day UNION SELECT site_id FROM telemetry.site_day"  # computed already
        assert await fetch(database, f"SELECT 1 FROM ({days}) AS days WHERE site_id = 's-one'")  # noqa: S608 - constants
        assert await waiting_at(database) == []
        await until(lambda: nobody_waits(database))

        await say_raw(gateway, 11, (f"solar/{ROOF}/0/power", b"500"))
        await gateway.acked_up_to(11)
        assert (await readings_of(database, "i-new"))[-1][0] == 500.0


async def nobody_waits(database: Database) -> bool:
    return await fetch(database, "SELECT 1 FROM telemetry.waiting_source") == []


async def test_a_serial_that_was_attached_without_a_word_is_found_by_itself(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    t = now_ms()
    message = Telemetry([Sample(t, {"grid_power_w": -5.0, "ac_frequency_hz": 50.0})], 1, 1, "s1", "MTR-9")
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-two", "g-two") as gateway,
    ):
        await gateway.raw("up/telemetry", msgspec.json.encode(message))
        await gateway.acked_up_to(1)
        (letter,) = await fetch(database, "SELECT code, source, head FROM telemetry.dead_letter")
        assert tuple(letter) == ("unknown_source", "MTR-9", msgspec.json.encode(message))
        await until(lambda: waiting_at(database, "s-two"))
        await attach(database, "m-new", "s-two", "meter", "MTR-9")  # this profile wants no frequency
        assert await until(lambda: readings_of(database, "m-new")) == [[-5.0, None, None, None]]


async def test_a_replaced_inverter_takes_its_place_with_what_it_said_before(
    database: Database, broker: Broker, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.upkeep.WAITING_WRITE_PERIOD_S", 3_600.0)  # or the shard finds out by itself, before we ask
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "g-one") as gateway,
    ):
        await say_raw(gateway, 1, (f"solar/{ROOF}/0/power", b"10"), t=now_ms() - 20_000)
        await gateway.acked_up_to(1)
        await fetch(database, "UPDATE registry.device SET serial = $1 WHERE id = 'i-one'", ROOF)
        assert await shard.place_waiting(SITE, ROOF) == 1
        await say_raw(gateway, 2, (f"solar/{ROOF}/0/power", b"20"))
        await gateway.acked_up_to(2)
    assert [row[0] for row in await readings_of(database, "i-one")] == [10.0, 20.0]


async def test_a_name_that_only_the_house_knows_carries_its_gateway(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-two", "g-two") as gateway,
    ):
        await say_raw(gateway, 1, ("zigbee2mqtt/linky", b'{"current_summ_delivered": 12.5}'))
        (source,) = await until(lambda: waiting_at(database, "s-two"))
        assert (source.serial, source.measures, source.codec) == ("g-two/linky", ["import_energy_wh"], "zlinky")


async def test_what_a_houses_broker_had_kept_since_last_week_is_not_stored(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    await attach(database, "e-pv", "s-two", "evcc-pv", "g-two/evcc/pv/1")
    start = now_ms() // 10_000 * 10_000 - 60_000
    told = [
        RawMessage(start, "evcc/site/pv/1/power", b"4000", retained=True),
        RawMessage(start, "evcc/site/pv/1/energy", b"99999", retained=True),
        RawMessage(start, "tele/linky/SENSOR", b'{"TIC": {"BASE": 5}}', retained=True),
        RawMessage(start + 20_000, "evcc/site/pv/1/power", b"312.5"),
    ]
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-two", "g-two") as gateway,
    ):
        await gateway.raw("up/telemetry", msgspec.json.encode(Telemetry([], 1, 1, gateway.stream, raw=told)))
        await gateway.acked_up_to(1)
        assert await readings_of(database, "e-pv") == [[312.5, None]]
    assert await fetch(database, "SELECT 1 FROM telemetry.dead_letter") == []
    assert await waiting_at(database, "s-two") == []


async def test_one_stranger_does_not_hold_up_the_acks_of_the_others(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "g-one") as gateway,
    ):
        for seq in range(1, 101):  # more than a device's dead letters of a minute
            await say_raw(gateway, seq, (f"solar/{ROOF}/0/power", b"1"))
        await gateway.acked_up_to(100)
    (kept,) = await fetch(database, "SELECT count(*) AS letters FROM telemetry.dead_letter WHERE source = $1", ROOF)
    assert kept["letters"] == 100


async def test_raw_messages_from_the_future_are_kept_as_their_devices_own(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    await fetch(database, "UPDATE registry.device SET serial = $1 WHERE id = 'i-one'", ROOF)
    t = (now_ms() + 7_200_000) // 10_000 * 10_000
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "g-one") as gateway,
    ):
        await say_raw(gateway, 1, (f"solar/{ROOF}/0/power", b"10"), t=t)
        await gateway.acked_up_to(1)
    (letter,) = await fetch(database, "SELECT code, source, size_bytes, head FROM telemetry.dead_letter")
    kept = msgspec.json.decode(letter["head"], type=Telemetry)
    assert (letter["code"], letter["source"], letter["size_bytes"]) == ("future_time", None, len(letter["head"]))
    assert (kept.source, kept.samples) == (ROOF, [Sample(t, {"pv_power_w": 10.0})])


async def test_bad_raw_messages_are_refused_one_by_one(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    await fetch(database, "UPDATE registry.device SET serial = $1 WHERE id = 'i-one'", ROOF)
    cases: list[tuple[str, bytes, str]] = [
        (f"solar/{ROOF}/0/power", b"lots", "bad_payload"),
        (f"solar/{ROOF}/0/power", b"1e30", "bad_value"),
        (f"solar/{ROOF}/0/power", b"x" * 20_000, "too_large"),
    ]
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "g-one") as gateway,
        Device(broker, pki, "s-one", "i-one") as native,
    ):
        now = now_ms()  # once: on a machine that stands still between two of them, they would be of one instant
        for seq, (topic, payload, _) in enumerate(cases, 1):
            await say_raw(gateway, seq, (topic, payload), (f"solar/{ROOF}/0/temperature", b"40"), t=now - seq * 20_000)
        await gateway.acked_up_to(len(cases))
        await native.raw("up/raw/status/em:0", b"{}")  # its profile has no codec
        many = {"samples": [], "raw": [{"t": 1, "topic": "a", "payload": ""}] * 201}
        await gateway.raw("up/telemetry", msgspec.json.encode(many))
        await gateway.raw("up/telemetry", msgspec.json.encode({"samples": [], "source": "bad\x00serial"}))
        expected = {code: 1 for _, _, code in cases} | {"no_codec": 1, "too_many_raw": 1, "bad_source": 1}

        async def refused() -> bool:
            return (await shard.stats()).dead_letters_by_code == expected

        await until(refused)
    assert [row[5] for row in await readings_of(database, "i-one")] == [40.0] * 3  # the rest of each message counts


async def test_waiting_serials_of_a_gateway_are_bounded(database: Database) -> None:
    await seed_fleet(database, SITES)
    connection = await connect(database.sp_twins)
    try:
        serials = [f"SN-{number:04}" for number in range(WAITING_SOURCES_PER_GATEWAY_MAX + 5)]
        for serial in serials:
            await waiting.note_sources(connection, [Sighting(SITE, DeviceId("g-one"), serial, now_ms(), ["pv_power_w"])])
        await waiting.note_sources(connection, [Sighting(SITE, DeviceId("g-one"), serials[0], now_ms(), ["ac_voltage_v"])])
        found = await waiting.waiting_sources(connection, SITE)
        assert len(found) == WAITING_SOURCES_PER_GATEWAY_MAX
        assert found[0].measures == ["ac_voltage_v", "pv_power_w"]
    finally:
        await connection.close()


async def test_what_is_kept_for_a_gateway_is_bounded(database: Database) -> None:
    await seed_fleet(database, SITES)
    await fetch(
        database,
        "INSERT INTO telemetry.dead_letter (received_at, site_id, device_id, topic, code, detail, size_bytes, head, source)"
        " SELECT now(), 's-one', 'g-one', 't', 'unknown_source', 'd', 1, '\\x00', 'x' FROM generate_series(1, $1)",
        WAITING_LETTERS_PER_GATEWAY_MAX + 7,
    )
    connection = await connect(database.sp_twins)
    try:
        assert await waiting.trim_kept(connection) == 7
    finally:
        await connection.close()
