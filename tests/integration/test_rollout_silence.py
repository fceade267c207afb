"""Devices that go silent after a rollout has told them something, alone or with everybody else."""

import msgspec

from fleet.rollouts.plan import Threshold, Wave
from tests.fleet_rig import fetch
from tests.rollout_rig import QUICK, RolloutRig, rollout_rig
from tests.servers import Broker, Database

PLAN = msgspec.structs.replace(
    QUICK,
    waves=(Wave(count=4), Wave(percent=100.0)),
    observe_s=3_600.0,
    abort_at=(Threshold("went_silent", 50.0, 2),),
)


async def test_who_goes_away_with_everybody_else_is_no_fault(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20) as rig:
        rollout_id = await rig.begin(PLAN)
        await rig.rounds_until(rollout_id, {"done": 4, "waiting": 16})
        canaries = sorted(device for device, state in (await rig.states(rollout_id)).items() if state == "done")
        others = sorted(set(rig.fleet.devices) - set(canaries))
        rig.fleet.go_away([*canaries[:3], *others[:8]])
        await _an_hour_later(rig)
        await fetch(database, "UPDATE remote.rollout SET settled_at = now() - interval '2 hours'")
        await rig.rounds_for(rollout_id, 5)
        found = await rig.look(rollout_id)
        assert (found.state, found.wave, found.counts) == ("running", 0, {"done": 4, "waiting": 16}), "and no wave is over"

        rig.fleet.come_back([canaries[0], *others[:8]])
        await _an_hour_later(rig)
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.count, found.stopped.of) == ("went_silent", 2, 4)


async def test_two_others_that_are_gone_excuse_nobody(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20) as rig:
        rollout_id = await rig.begin(PLAN)
        await rig.rounds_until(rollout_id, {"done": 4, "waiting": 16})
        canaries = sorted(device for device, state in (await rig.states(rollout_id)).items() if state == "done")
        others = sorted(set(rig.fleet.devices) - set(canaries))
        rig.fleet.go_away([*canaries[:2], *others[:2]])
        await _an_hour_later(rig)
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.count) == ("went_silent", 2)


async def test_others_that_were_gone_long_before_excuse_nobody(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20) as rig:
        rollout_id = await rig.begin(PLAN)
        await rig.rounds_until(rollout_id, {"done": 4, "waiting": 16})
        canaries = sorted(device for device, state in (await rig.states(rollout_id)).items() if state == "done")
        others = sorted(set(rig.fleet.devices) - set(canaries))
        rig.fleet.go_away(others[:10])
        await _an_hour_later(rig)
        rig.fleet.go_away(canaries[:2])
        await _an_hour_later(rig)
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.count) == ("went_silent", 2)


async def _an_hour_later(rig: RolloutRig) -> None:
    """Who is away has been for so long, and was told before."""
    await rig.fleet.all_sent()
    await rig.seen_by_platform()
    await fetch(rig.database, "UPDATE telemetry.device_latest SET seen_at = seen_at - interval '1 hour' WHERE NOT online")
    await fetch(
        rig.database,
        "UPDATE remote.rollout_target SET told_at = told_at - interval '2 hours' WHERE told_at > now() - interval '1 hour'",
    )
