"""A crowd of obedient devices before a real shard: what the platform has written is what the devices did."""

import time
from collections import Counter

import pytest

from fleet.configuration import Change
from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandWish, ConfigWish
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings, until
from tests.obedient import Habits, ObedientFleet, obedient_fleet
from tests.servers import Broker, Database

SITES = [(f"crowd-{site}", {f"crowd-{site}-{number}": "inverter" for number in range(10)}) for site in range(20)]
DEVICES = [(site, device, profile) for site, devices in SITES for device, profile in devices.items()]
HABITS = Habits(seed=7, offline_share=0.1, failing_share=0.05, latency_s=(0.0, 0.05))


async def states(database: Database, query: str) -> Counter[str]:
    return Counter(row[0] for row in await fetch(database, query))


async def until_counts(database: Database, query: str, **wanted: int) -> None:
    async def are_so() -> bool:
        return await states(database, query) == Counter(wanted)

    await until(are_so)


@pytest.mark.timeout(180)
async def test_everybody_there_obeys_and_those_who_come_back_do_so_then(database: Database, broker: Broker) -> None:
    await seed_fleet(database, SITES)
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        obedient_fleet(broker.sp_twins, DEVICES, HABITS) as fleet,
    ):
        wish = Change("set", own={"report_interval_s": 30.0})
        answers = await shard.change_configs([ConfigWish(SiteId(site), DeviceId(name), wish) for site, name, _ in DEVICES])
        assert [answer.problem for answer in answers] == [None] * 200
        expires_at = round((time.time() + 3_600) * 1000)
        await shard.issue_commands(
            [
                CommandWish(f"c-{name}", SiteId(site), DeviceId(name), "blink", {}, expires_at, 600.0)
                for site, name, _ in DEVICES
            ]
        )
        config, command = "SELECT status FROM remote.config", "SELECT state FROM remote.command"
        await until_counts(database, config, in_sync=170, rejected=10, pending=20)
        await until_counts(database, command, succeeded=170, failed=10, queued=20)
        fleet.come_back(sorted(fleet.offline))
        await until_counts(database, config, in_sync=190, rejected=10)
        await until_counts(database, command, succeeded=190, failed=10)
        nothing_twice(fleet)


def nothing_twice(fleet: ObedientFleet) -> None:
    assert set(fleet.executed.values()) == {1}
    assert len(fleet.executed) == 190
    assert set(fleet.configured.values()) == {1}
    assert {name for name, _ in fleet.configured} == fleet.devices.keys() - fleet.failing
