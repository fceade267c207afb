"""From a device's mTLS connection through a shard into PostgreSQL and back: what is acked is stored, once."""

import asyncio
import random
import time

import msgspec
import pytest

from actors.manual_ack import ManualAckSession
from certs.tls import client_context
from fleet.limits import PAYLOAD_BYTES_MAX
from fleet.telemetry import Sample, Telemetry
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database, Pki

SITES = [("s-one", {"m-one": "meter", "i-one": "inverter"}), ("s-two", {"m-two": "meter"})]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_reading_is_stored_acked_and_shown(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    t = now_ms()
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "m-one") as device,
    ):
        await device.say(1, (t, {"grid_power_w": -250.0, "export_energy_wh": 12.0}))
        await device.acked_up_to(1)
        rows = await fetch(database, "SELECT site_id, device_id, readings FROM telemetry.sample")
        assert [tuple(row) for row in rows] == [("s-one", "m-one", [-250.0, None, 12.0, None])]
        live = await shard.site_live("s-one")  # type: ignore[arg-type]
        assert live.flow.grid_power_w == -250.0


async def test_messagepack_is_read_too(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "m-one") as device,
    ):
        message = Telemetry([Sample(now_ms(), {"grid_power_w": 1.0})], 1, 1, device.stream)
        await device.raw("up/telemetry", msgspec.msgpack.encode(message))
        await device.acked_up_to(1)


async def test_tripled_and_shuffled_messages_are_stored_once(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    start, rng = now_ms() - 60_000, random.Random(7)
    sending = [seq for seq in range(1, 41) for _ in range(3)]
    rng.shuffle(sending)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "m-one") as device,
    ):
        for seq in sending:
            await device.say(seq, (start + seq * 1_000, {"grid_power_w": float(seq)}))
        await device.acked_up_to(40)
    rows = await fetch(database, "SELECT readings[1] AS power FROM telemetry.sample ORDER BY time")
    assert [row["power"] for row in rows] == [float(seq) for seq in range(1, 41)]


async def test_two_partial_messages_about_one_instant_become_one_row(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    t = now_ms()
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "m-one") as device,
    ):
        await device.say(1, (t, {"grid_power_w": 5.0}))
        await device.acked_up_to(1)
        await device.say(
            2, (t, {"grid_power_w": 6.0, "ac_voltage_v": 231.0})
        )  # what stands stays, what is missing is filled in
        await device.acked_up_to(2)
    rows = await fetch(database, "SELECT readings FROM telemetry.sample")
    assert [row["readings"] for row in rows] == [[5.0, None, None, 231.0]]


REFUSED = [
    (b"{not json", "malformed"),
    (b'{"samples":[{"t":1,"v":{"grid_power_w":"many"}}]}', "malformed"),
    (b'{"samples":[{"t":%d,"v":{"grid_power_w":NaN}}]}', "malformed"),
    (b'{"samples":[{"t":%d,"v":{"warp_factor":9}}]}', "unknown_measure"),
    (b'{"samples":[{"t":%d,"v":{"grid_power_w":1e300}}]}', "bad_value"),
    (b'{"samples":[{"t":99999999999999,"v":{"grid_power_w":1}}]}', "future_time"),
    (b'{"samples":[{"t":1,"v":{"grid_power_w":1}}]}', "too_old"),
    (b'{"samples":[{"t":%d,"v":{"grid_power_w":1}}],"source":"nobody"}', "unknown_source"),
    (b"\x00\x00\x00", "malformed"),
]


@pytest.mark.parametrize(("payload", "code"), REFUSED)
async def test_nonsense_becomes_a_dead_letter_and_the_neighbour_flows(
    payload: bytes, code: str, database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    t = now_ms()
    bad = payload % t if b"%d" in payload else payload
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, "s-one", "m-one") as device,
        Device(broker, pki, "s-two", "m-two") as neighbour,
    ):
        await device.raw("up/telemetry", bad)
        await neighbour.say(1, (t, {"grid_power_w": 1.0}))
        await neighbour.acked_up_to(1)
        letters = await until(lambda: fetch(database, "SELECT * FROM telemetry.dead_letter"))
        assert [(row["code"], row["site_id"], row["device_id"], row["head"]) for row in letters] == [
            (code, "s-one", "m-one", bad)
        ]
        assert (await shard.stats()).dead_letters_by_code == {code: 1}
    assert [row["device_id"] for row in await fetch(database, "SELECT device_id FROM telemetry.sample")] == ["m-two"]


async def test_a_site_or_device_that_nobody_knows_is_named_and_learnt_once_registered(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "m-nobody") as device,
    ):
        await device.raw("up/telemetry", b'{"samples":[]}')
        await until(lambda: fetch(database, "SELECT 1 FROM telemetry.dead_letter WHERE code = 'unknown_device'"))


async def test_a_payload_over_the_limit_costs_its_sender_the_connection_and_is_counted(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, SITES)
    settings = twins_settings(database.sp_twins, broker.sp_twins, log_file=broker.log_file)
    async with running_shard(settings), Device(broker, pki, "s-two", "m-two") as neighbour:
        async with Device(broker, pki, "s-one", "m-one") as device:
            sending = asyncio.create_task(device.raw("up/telemetry", b"x" * (16 * PAYLOAD_BYTES_MAX)))
            letters = await until(
                lambda: fetch(database, "SELECT * FROM telemetry.dead_letter WHERE code = 'oversize_packet'")
            )
            assert letters[0]["device_id"] == "m-one"
            sending.cancel()
        await neighbour.say(1, (now_ms(), {"grid_power_w": 1.0}))
        await neighbour.acked_up_to(1)


async def test_a_device_cannot_write_as_another(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)),
        Device(broker, pki, "s-one", "m-one") as device,
    ):
        topic = "sp/v1/00/s-one/m-one/up/telemetry"  # its own name, not its site's slot
        await device.client.publish(topic, b'{"samples":[]}', qos=1)
        await device.client.publish("sp/v1/00/s-two/m-two/up/telemetry", b'{"samples":[]}', qos=1)  # the broker drops it
        await device.say(1, (now_ms(), {"grid_power_w": 1.0}))
        await device.acked_up_to(1)
        letters = await fetch(database, "SELECT code, topic, site_id FROM telemetry.dead_letter")
        assert [tuple(row) for row in letters] == [("foreign_topic", topic, None)]


async def test_fewer_shards_leave_no_session_that_fills_up(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, SITES)
    three, two = (twins_settings(database.sp_twins, broker.sp_twins, shards=shards) for shards in (3, 2))
    async with running_shard(three, 2):
        pass
    async with running_shard(two, 0), running_shard(two, 1):
        own = broker.sp_twins
        tls = client_context(ca_file=own.ca_file, cert_file=own.cert_file, key_file=own.key_file)
        async with Device(broker, pki, "s-one", "m-one") as device:
            for seq in range(1, 4):
                await device.say(seq, (now_ms(), {"grid_power_w": 1.0}))
            await device.acked_up_to(3)
        async with ManualAckSession(own, "sp-shard-2", tls) as leftover:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await leftover.receive(1, 0.0)
