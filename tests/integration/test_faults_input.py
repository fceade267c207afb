"""Bad input, repeated input and too much of it: each refusal has a reason that is counted, and the neighbours flow."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from actors.shard import TwinShard
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.limits import FUTURE_SKEW_MAX_S, PAYLOAD_BYTES_MAX
from fleet.telemetry import Sample, Telemetry
from tests.acked import audit, check_acked, check_complete
from tests.edge_fleet import SITES, EdgeDevice, EdgeFleet, edge_fleet, in_background, now_ms
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.servers import Broker, Database

MESSAGES = 30


@pytest.mark.parametrize("seed", [1, 2])
async def test_everything_three_times_and_shuffled_across_devices_counts_once(
    seed: int, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        edge_fleet(broker, seed) as fleet,
        in_background(audit(database, fleet.devices)),
    ):
        sendings: list[tuple[EdgeDevice, bytes]] = []
        for device in fleet.devices:
            for seq in range(1, MESSAGES + 1):
                samples = device.offered[seq] = device.measure(3)
                message = Telemetry(samples, seq, 1, device.stream)
                sendings += [(device, encode(message)) for encode in (msgspec.json.encode, msgspec.msgpack.encode) * 2][:3]
        random.Random(seed).shuffle(sendings)
        for number, (device, payload) in enumerate(sendings):
            await device.publish(payload)
            if number == len(sendings) // 2:
                await shard.roll_up()  # half of it is a day already when the rest comes
        await fleet.all_acked()
        await until(lambda: has_heard(shard, len(sendings) + len(fleet.devices)))
    await check_complete(database, fleet.devices)


async def has_heard(shard: TwinShard, messages: int) -> bool:
    return (await shard.stats()).acked_messages >= messages


# nonsense ----------------------------------------------------------------------------------------------------------


def nonsense(device: EdgeDevice, luck: random.Random) -> list[tuple[str, str, bytes]]:
    """(code, topic, payload), in random order."""
    own = topics.up(device.site, device.id).telemetry
    root = topics.device_root(device.site, device.id)
    t, ahead = now_ms() - 1, now_ms() + FUTURE_SKEW_MAX_S * 1000 + 3_600_000

    def samples(v: object, t: object = t) -> dict[str, object]:
        return {"samples": [{"t": t, "v": v}]}

    def packed(value: object) -> bytes:
        return msgspec.msgpack.encode(value)

    listed = [
        ("malformed", own, luck.randbytes(luck.randint(0, 400))),
        ("malformed", own, b'{"samples":[{"t":1,'),
        ("malformed", own, msgspec.json.encode(samples({"grid_power_w": "many"}))),
        ("malformed", own, msgspec.json.encode(samples([1, 2, 3]))),
        ("malformed", own, msgspec.json.encode(samples({"grid_power_w": 1.0}, "noon"))),
        ("malformed", own, b'{"samples":[{"t":%d,"v":{"grid_power_w":NaN}}]}' % t),
        ("malformed", own, b"[" * 50_000),
        ("bad_value", own, packed(samples({"grid_power_w": float("nan")}))),
        ("bad_value", own, packed(samples({"grid_power_w": float("inf")}))),
        ("unknown_measure", own, msgspec.json.encode(samples({"warp_factor": 9.0}))),
        ("future_time", own, msgspec.json.encode(samples({"grid_power_w": 1.0}, ahead))),
        ("too_old", own, msgspec.json.encode(samples({"grid_power_w": 1.0}, -(10**15)))),
        ("too_many_samples", own, msgspec.json.encode({"samples": [{"t": t, "v": {}}] * 501})),
        ("unknown_source", own, msgspec.json.encode({"source": "nobody", **samples({"grid_power_w": 1.0})})),
        ("unexpected_channel", f"{root}/up/dance", b"{}"),
        ("malformed", f"{root}/up/result", b"{}"),
        ("malformed", f"{root}/up/config", b"[]"),
        ("foreign_topic", f"sp/v1/00/{device.site}/{device.id}/up/telemetry", b"{}"),
        ("unknown_site", topics.up(SiteId("f-nowhere"), device.id).telemetry, b"{}"),
        ("unknown_device", topics.up(SiteId("f-2"), device.id).telemetry, b"{}"),
        ("bad_id", f"sp/v1/00/NO%20SITE/{device.id}/up/telemetry", b"{}"),
    ]
    luck.shuffle(listed)
    return listed


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nonsense_within_a_devices_stream_is_counted_and_harms_nobody(
    seed: int, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    luck = random.Random(seed)
    settings = twins_settings(database.sp_twins, broker.sp_twins, log_file=broker.log_file)
    async with (
        running_shard(settings) as shard,
        edge_fleet(broker, seed, haste=0.0) as fleet,  # what comes twice is refused and counted twice
        in_background(audit(database, fleet.devices)),
    ):
        bad = fleet.devices[0]
        expected = Counter[str]()
        for code, topic, payload in nonsense(bad, luck):
            await bad.publish(payload, topic)
            expected[code] += 1
            for device in luck.sample(list(fleet.devices), 5):
                device.offer(device.measure(luck.randint(1, 3)))
            bad.offer(bad.measure(1))
        ahead = [Sample(now_ms() + FUTURE_SKEW_MAX_S * 1000 + 3_600_000, {"grid_power_w": 5.0})]
        bad.offer(bad.measure(2) + ahead)  # sound samples beside one that is too early: all of it is kept
        expected["future_time"] += 1
        for value in (b"NaN", b'"many"', b"[[]]"):  # held by the device under a number, and never to get any better
            bad.offered[bad.outbox.offer(b'[{"t":%d,"v":{"grid_power_w":%s}}]' % (now_ms(), value))] = []
            expected["malformed"] += 1
        bad.offer(bad.measure(1))
        await fleet.all_acked()
        await until(lambda: counted(shard, expected))
        assert await stored_letters(database) == expected
        theirs = topics.up(SiteId("f-1"), DeviceId("f-1-m")).telemetry  # the broker itself refuses this one
        await bad.publish(b"{}", theirs)
        await until(lambda: refused(bad))
        connections = bad.link.connections
        await bad.publish(bytes(16 * PAYLOAD_BYTES_MAX))  # 1 MB: costs its sender the connection
        await until(lambda: reconnected(bad, connections))
        fleet.offer(2)
        await fleet.all_acked()
        expected["oversize_packet"] += 1
        await until(lambda: counted(shard, expected))
        assert await stored_letters(database) == expected
    await check_complete(database, fleet.devices)


async def counted(shard: TwinShard, expected: Counter[str]) -> bool:
    return (await shard.stats()).dead_letters_by_code == dict(expected)


async def stored_letters(database: Database) -> Counter[str]:
    return Counter(row["code"] for row in await fetch(database, "SELECT code FROM telemetry.dead_letter"))


async def refused(device: EdgeDevice) -> bool:
    assert device.link._connection is not None
    return device.link._connection.session.refused == 1


async def reconnected(device: EdgeDevice, connections: int) -> bool:
    return device.link.up and device.link.connections > connections


# too much ----------------------------------------------------------------------------------------------------------


async def test_a_device_over_its_rate_is_told_so_and_loses_nothing(
    database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.device.DEVICE_MESSAGES_BURST", 300)
    monkeypatch.setattr("fleet.device.DEVICE_MESSAGES_PER_S", 0.1)  # used up, and not there again however long this takes
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        edge_fleet(broker, seed=10, window=1_000) as fleet,
    ):
        eager, *neighbours = fleet.devices
        for _ in range(500):
            eager.offer(eager.measure(1))
        for _ in range(20):
            for device in neighbours:
                device.offer(device.measure(1))
            await asyncio.sleep(0.01)
        await EdgeFleet(neighbours, fleet.luck).all_acked()
        await until(lambda: told_to_slow_down(eager))
        assert (await shard.stats()).throttled > 0
        assert not any(device.rate_notices for device in neighbours)
        assert eager.acked < len(eager.offered), "the neighbours were to be done first"
        monkeypatch.undo()
        await check_acked(database, fleet.devices)
        await fleet.all_acked()
    await check_complete(database, fleet.devices)


async def told_to_slow_down(device: EdgeDevice) -> bool:
    return bool(device.rate_notices)


POISON = [
    ("up/telemetry", b'{"seq":9223372036854775808,"oldest":9223372036854775808,"stream":"a","samples":[]}'),
    ("up/telemetry", b'{"seq":1,"oldest":1,"stream":"a\\u0000b","samples":[]}'),
    ("up/telemetry", b'{"seq":1,"oldest":1,"stream":"%s","samples":[]}' % (b"long" * 10_000)),
    ("up/state", b'{"online":true,"model":"a\\u0000b"}'),
    ("up/state", b'{"online":true,"model":"%s"}' % (b"long" * 10_000)),
]


@pytest.mark.parametrize(("channel", "payload"), POISON, ids=["seq", "stream", "long stream", "model", "long model"])
async def test_what_postgresql_cannot_hold_does_not_keep_the_neighbours_from_their_snapshots(
    channel: str, payload: bytes, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard, edge_fleet(broker, 1) as fleet:
        bad, *neighbours = fleet.devices
        await bad.publish(payload, f"{topics.device_root(bad.site, bad.id)}/{channel}")
        fleet.offer(1)
        await EdgeFleet(neighbours, fleet.luck).all_acked()
        await until(lambda: stored_letters(database))
        await shard._upkeep.save_snapshots()
        saved = await fetch(database, "SELECT device_id FROM telemetry.device_latest WHERE seq = 1")
        assert {row["device_id"] for row in saved} >= {device.id for device in neighbours}
