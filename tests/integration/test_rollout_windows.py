"""Rollouts with a window, and devices that are away: nobody is told who could hear of it at noon."""

from datetime import UTC, datetime

import msgspec
import pytest

from fleet.rollouts.plan import RolloutPlan, SolarWindow, Wave
from tests.fleet_rig import fetch
from tests.obedient import Habits
from tests.rollout_rig import QUICK, KilledTwins, RolloutRig, rollout_rig
from tests.servers import Broker, Database

OPEN = SolarWindow(from_hour=0.0, until_hour=24.0)
TWO_WAVES = msgspec.structs.replace(QUICK, waves=(Wave(count=3), Wave(percent=100.0)))  # in each somebody is there


async def test_who_is_away_is_told_once_it_is_there_and_its_window_is_open(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.3)) as rig:
        away = set(rig.fleet.offline)
        rollout_id = await rig.begin(_windowed(OPEN))
        found = await rig.lead(rollout_id, "completed")
        assert found.counts == {"done": 7, "absent": 3}, "nobody waits for them"
        assert {device for device, state in (await rig.states(rollout_id)).items() if state == "absent"} == away
        assert not await rig.holders() & away, "not even their twins have it"

        await _set_window(rig, rollout_id, _shut())
        rig.fleet.come_back(away)
        await _seen(rig)
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).counts == {"done": 7, "absent": 3}
        assert not rig.running() & away, "they are there, and it is noon"

        await _set_window(rig, rollout_id, OPEN)
        await _a_minute_later(rig)
        await rig.rounds_until(rollout_id, {"done": 10})
        assert len(rig.running()) == 10
        assert max(rig.fleet.configured.values()) == 1


async def test_who_comes_back_at_noon_while_its_wave_is_at_work_is_waited_for(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        rollout_id = await rig.begin(_windowed(_shut(), waves=(Wave(percent=100.0),)))
        await rig.rounds_until(rollout_id, {"held": 10})
        one = sorted(rig.fleet.devices)[0]
        rig.fleet.go_away([one])
        await _seen(rig)
        await _a_minute_later(rig)
        await rig.rounds_until(rollout_id, {"held": 9, "absent": 1})
        rig.fleet.come_back([one])
        await _seen(rig)
        await _a_minute_later(rig)
        await rig.rounds_until(rollout_id, {"held": 10})


async def test_whose_telling_broke_off_waits_for_its_window_again(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        rollout_id = await rig.begin(_windowed(OPEN))
        await rig.lead_fragile(KilledTwins(rig.twins, before=0), 1_000)
        await _set_window(rig, rollout_id, _shut())
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).counts == {"telling": 3, "waiting": 7}
        assert not await rig.holders()
        await _set_window(rig, rollout_id, OPEN)
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 10}


async def test_who_is_absent_is_told_no_more_once_it_is_aborted(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.3)) as rig:
        away = set(rig.fleet.offline)
        rollout_id = await rig.begin(_windowed(OPEN, observe_s=3_600.0, waves=(Wave(percent=100.0),)))
        await rig.rounds_until(rollout_id, {"done": 7, "absent": 3})
        await rig.move(rollout_id, "abort")
        await rig.rounds_until(rollout_id, {"done": 7, "waiting": 3})
        rig.fleet.come_back(away)
        await _seen(rig)
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).counts == {"done": 7, "waiting": 3}
        assert not await rig.holders() & away


async def test_a_later_rollout_is_not_undone_by_an_earlier_one(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.3)) as rig:
        away = set(rig.fleet.offline)
        earlier = await rig.begin(_windowed(OPEN))
        await rig.lead(earlier, "completed")
        later = await rig.begin(TWO_WAVES, values={"active_power_limit_pct": 40.0})
        assert (await rig.lead(later, "completed")).counts == {"done": 7, "away": 3}
        rig.fleet.come_back(away)
        await _seen(rig)
        await _a_minute_later(rig)
        await rig.rounds_until(earlier, {"done": 7, "overruled": 3})
        await rig.rounds_until(later, {"done": 10})
        assert {device.running.values["active_power_limit_pct"] for device in rig.fleet.devices.values()} == {40.0}


@pytest.mark.parametrize(
    ("is_told", "counts"), [(False, {"done": 7, "overruled": 3}), (True, {"done": 10})], ids=["never_asked", "unheard"]
)
async def test_a_telling_that_broke_off_does_not_undo_a_later_rollout(
    database: Database, broker: Broker, is_told: bool, counts: dict[str, int]
) -> None:
    """To the same group, where the later one takes the earlier one's place; or of the same settings, and it is on top."""
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.3)) as rig:
        group_id = None if is_told else await rig.group()
        earlier = await rig.begin(_windowed(OPEN), group=group_id)
        await rig.lead(earlier, "completed")
        rig.fleet.come_back(set(rig.fleet.offline))
        await _seen(rig)
        await _a_minute_later(rig)
        await rig.lead_fragile(KilledTwins(rig.twins, after=0) if is_told else KilledTwins(rig.twins, before=0), 1_000)
        assert (await rig.look(earlier)).counts == {"done": 7, "telling": 3}

        await _set_window(rig, earlier, _shut())
        later = await rig.begin(TWO_WAVES, group=group_id, values={"active_power_limit_pct": 40.0})
        assert (await rig.lead(later, "completed")).counts == {"done": 10}
        await _set_window(rig, earlier, OPEN)
        await rig.rounds_until(earlier, counts)
        assert (await rig.look(later)).counts == {"done": 10}
        assert {device.running.values["active_power_limit_pct"] for device in rig.fleet.devices.values()} == {40.0}


async def test_while_it_was_paused_nobodys_patience_ran_out(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=1.0)) as rig:
        rollout_id = await rig.begin(_windowed(OPEN))
        await rig.rounds_until(rollout_id, {"absent": 3, "waiting": 7})
        await rig.move(rollout_id, "pause")
        await fetch(database, "UPDATE remote.rollout SET wave_at = wave_at - interval '2 days'")
        await rig.move(rollout_id, "resume")
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).state == "running", "its window may open tonight"


async def test_an_absent_one_that_is_revoked_is_gone(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.1)) as rig:
        rollout_id = await rig.begin(_windowed(OPEN))
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 9, "absent": 1}
        await fetch(database, "UPDATE registry.device SET revoked_at = now() WHERE id = ANY($1)", sorted(rig.fleet.offline))
        await _a_minute_later(rig)
        await rig.rounds_until(rollout_id, {"done": 9, "gone": 1})


def _windowed(window: SolarWindow, **changes: object) -> RolloutPlan:
    return msgspec.structs.replace(TWO_WAVES, window=window, **changes)


async def _set_window(rig: RolloutRig, rollout_id: str, window: SolarWindow) -> None:
    await fetch(
        rig.database,
        "UPDATE remote.rollout SET plan = jsonb_set(plan, '{window}', $2) WHERE id = $1",
        rollout_id,
        msgspec.to_builtins(window),
    )
    await _a_minute_later(rig)


def _shut() -> SolarWindow:
    """For the next hours, in France."""
    hour = datetime.now(UTC).hour
    return SolarWindow(from_hour=(hour + 7) % 24, until_hour=(hour + 8) % 24)


async def _a_minute_later(rig: RolloutRig) -> None:
    """It is looked at them again."""
    await fetch(rig.database, "UPDATE remote.rollout_target SET state_at = state_at - interval '2 minutes'")


async def _seen(rig: RolloutRig) -> None:
    await rig.fleet.all_sent()
    await rig.seen_by_platform()
