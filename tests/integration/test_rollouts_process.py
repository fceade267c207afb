"""The process that leads rollouts, with a shard as Ray runs it: killed in the middle, another one brings it to its end."""

import asyncio

import pytest

from fleet.rollout_plan import RolloutPlan, Wave
from fleet.rollouts import Rollout
from fleet.targets import TargetQuery
from tests.bench.platform import Platform, platform, rollouts
from tests.fleet_rig import fetch, seed_fleet, until
from tests.obedient import ObedientFleet, obedient_fleet
from tests.rollout_rig import begin_rollout, look_at
from tests.servers import Database

SITES = ("r-0", "r-1")
DEVICES = [(site, f"{site}-{number}", "inverter") for site in SITES for number in range(8)]
PLAN = RolloutPlan(waves=(Wave(count=4), Wave(percent=100.0)), per_minute=240, observe_s=0.0)  # eight a second


async def _seed(database: Database) -> None:
    await seed_fleet(database, [(site, {device: "inverter" for its, device, _ in DEVICES if its == site}) for site in SITES])


@pytest.mark.timeout(240)
def test_killed_in_the_middle_another_process_ends_it() -> None:
    with platform(sites=1, shards=1, seed=_seed) as running:
        asyncio.run(_kill_and_go_on(running))


async def _kill_and_go_on(running: Platform) -> None:
    async with obedient_fleet(running.broker.sp_twins, DEVICES) as fleet:
        await _until_online(running.database)
        rollout_id = await begin_rollout(running.database, PLAN, TargetQuery(sites=SITES))

        async def stands(*states: str, told: int = 0) -> Rollout | None:
            found = await look_at(running.database, rollout_id)
            return found if found.state in states and found.targets - found.counts.get("waiting", 0) >= told else None

        with rollouts(running) as process:
            await until(lambda: stands("running", told=6), deadline_s=60.0)
            process.kill()
            process.wait()
        found = await look_at(running.database, rollout_id)
        assert found.state == "running"
        assert found.counts.get("waiting", 0) > 0, "it was in the middle"
        with rollouts(running):
            found = await until(lambda: stands("completed", "aborted"), deadline_s=60.0)
        assert (found.state, found.counts) == ("completed", {"done": len(DEVICES)})
        await _everybody_once(running.database, fleet)


async def _everybody_once(database: Database, fleet: ObedientFleet) -> None:
    made = await fetch(database, "SELECT count(*) AS made FROM remote.config_change GROUP BY device_id")
    assert [row["made"] for row in made] == [1] * len(DEVICES)
    assert set(fleet.configured.values()) == {1}
    assert all(device.running.values["active_power_limit_pct"] == 70.0 for device in fleet.devices.values())


async def _until_online(database: Database) -> None:
    async def online() -> bool:
        rows = await fetch(database, "SELECT count(*) AS online FROM telemetry.device_latest WHERE online")
        return bool(rows[0]["online"] >= len(DEVICES))

    await until(online, deadline_s=60.0)
