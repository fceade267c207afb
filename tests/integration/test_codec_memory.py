"""What a gateway's messages taught is still known after the shard that learned it was killed."""

from pathlib import Path

import msgspec

from fleet.telemetry import RawMessage, Telemetry
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.integration.test_faults_shard import shard_process
from tests.integration.test_gateways import now_ms, readings_of
from tests.samples.sparkplug_node import DOUBLE, INT64, Metric, payload
from tests.servers import Broker, Database, Pki

SITES = [("s-one", {"g-one": "gateway", "i-roof": "opendtu-inverter", "i-barn": "opendtu-inverter"})]
CONFIG = {
    "stat_t": "barn/state", "val_tpl": "{{ value_json.pac | float / 10 }}", "unit_of_meas": "W", "dev_cla": "power",
    "name": "Solar power", "dev": {"ids": ["BARN-77001122"]},
}  # fmt: skip


async def say(gateway: Device, seq: int, *messages: RawMessage) -> None:
    await gateway.raw("up/telemetry", msgspec.json.encode(Telemetry([], seq, seq, gateway.stream, raw=list(messages))))
    await gateway.acked_up_to(seq)


async def remembered(database: Database) -> list[str]:
    rows = await fetch(database, "SELECT key FROM telemetry.codec_memory WHERE site_id = 's-one' ORDER BY key")
    return [row["key"] for row in rows]


async def test_births_and_announcements_outlive_a_killed_shard(
    database: Database, broker: Broker, pki: Pki, tmp_path: Path
) -> None:
    await seed_fleet(database, SITES)
    for device, serial in (("i-roof", "plant/roof/inv1"), ("i-barn", "BARN-77001122")):
        await fetch(database, "UPDATE registry.device SET serial = $2 WHERE id = $1", device, serial)
    settings, t = twins_settings(database.sp_twins, broker.sp_twins), now_ms() - 60_000
    births = [
        RawMessage(t, "spBv1.0/plant/NBIRTH/roof", payload(Metric(1, "bdSeq", datatype=INT64), t=t, seq=0)),
        RawMessage(t, "spBv1.0/plant/DBIRTH/roof/inv1", payload(Metric(100.0, "AC/Power", 1, DOUBLE), t=t, seq=1)),
        RawMessage(t, "homeassistant/sensor/barn/config", msgspec.json.encode(CONFIG), retained=True),
    ]
    async with running_shard(settings):
        pass  # the broker knows its session now
    async with Device(broker, pki, "s-one", "g-one") as gateway:
        with shard_process(settings, tmp_path) as process:
            await say(gateway, 1, *births)
            process.kill()
        assert await remembered(database) == [
            "homeassistant/homeassistant/sensor/barn/config",
            "sparkplug/device/plant/roof/inv1/",
            "sparkplug/node/plant/roof/",
        ]
        with shard_process(settings, tmp_path) as process:
            later = [
                RawMessage(
                    t + 20_000, "spBv1.0/plant/DDATA/roof/inv1", payload(Metric(200.0, alias=1), t=t + 20_000, seq=2)
                ),
                RawMessage(t + 20_000, "barn/state", b'{"pac": 3000}'),
            ]
            await say(gateway, 2, *later)
            assert [row[0] for row in await readings_of(database, "i-roof")] == [100.0, 200.0]
            assert [row[0] for row in await readings_of(database, "i-barn")] == [300.0]
            death = payload(Metric(1, "bdSeq", datatype=INT64))
            await say(
                gateway,
                3,
                RawMessage(t + 30_000, "spBv1.0/plant/NDEATH/roof", death),
                RawMessage(t + 30_000, "homeassistant/sensor/barn/config", b""),
            )
            process.kill()
        assert await remembered(database) == []
        with shard_process(settings, tmp_path):
            await say(gateway, 4, RawMessage(t + 40_000, later[0].topic, later[0].payload))

            async def refused() -> bool:
                rows = await fetch(database, "SELECT code FROM telemetry.dead_letter")
                return [row["code"] for row in rows] == ["birth_unknown"]

            await until(refused)
