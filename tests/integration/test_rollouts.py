"""Rollouts with a real shard, a real database, a real broker, and devices that obey or do not."""

from collections.abc import Awaitable, Callable

import msgspec

from fleet.configuration import Change, Values
from fleet.ids import DeviceId, SiteId
from fleet.rollouts.plan import RolloutPlan, Threshold, Wave
from fleet.storage.database import connect
from fleet.targets import TargetQuery
from tests.fleet_rig import fetch, until
from tests.obedient import Habits
from tests.rollout_rig import LIMIT, QUICK, RolloutRig, begin_rollout, rollout_rig
from tests.servers import Broker, Database


async def test_it_reaches_everybody_and_waits_for_nobody(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 60, Habits(seed=3, offline_share=0.1, failing_share=0.05)) as rig:
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, abort_at=(Threshold("rejected", 20.0, 4),)))
        found = await rig.lead(rollout_id, "completed", "aborted")
        assert found.state == "completed", found.stopped
        assert found.counts == {"done": 51, "rejected": 3, "away": 6}
        assert {device for device, state in (await rig.states(rollout_id)).items() if state == "away"} == rig.fleet.offline
        assert len(rig.running()) == 51
        rig.fleet.come_back(rig.fleet.offline)

        async def all_have_it() -> bool:
            connection = await connect(database.sp_rollouts)
            try:
                await rig.conductor().round(connection)  # it is over, and still followed
            finally:
                connection.terminate()
            return (await rig.look(rollout_id)).counts == {"done": 57, "rejected": 3}

        await until(all_have_it)
        assert max(rig.fleet.configured.values()) == 1, "nobody was told anything twice"
        problems = await fetch(database, "SELECT DISTINCT problem FROM remote.rollout_target WHERE state = 'rejected'")
        assert "refuses everything" in problems[0]["problem"]


async def test_a_return_gives_back_the_earlier_rollout_of_the_group(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await rig.group()
        earlier = await rig.begin(QUICK, group=group_id, values={"report_interval_s": 30.0})
        await rig.lead(earlier, "completed")
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({"report_interval_s": 30.0}, earlier)
        later = await rig.begin(msgspec.structs.replace(QUICK, continuous=True), group=group_id)

        await rig.rounds_until(later, {"done": 10}, wave=3)
        assert all(device.running.values["report_interval_s"] == 10.0 for device in rig.fleet.devices.values())
        (group,) = await fetch(database, 'SELECT "values" FROM remote.device_group')
        assert group["values"] == LIMIT
        await rig.move(later, "return")
        await rig.rounds_until(later, {"restored": 10})
        read = "SELECT DISTINCT t.state, r.counts FROM remote.rollout r JOIN remote.rollout_target t ON t.rollout_id = r.id"
        (row,) = await fetch(database, read + " WHERE r.id = $1", later)
        assert (row["state"], row["counts"]) == ("returned", {"returned": 10}), "the words of the release before"

        async def as_before() -> bool:
            return all(device.running.values["report_interval_s"] == 30.0 for device in rig.fleet.devices.values())

        await until(as_before)
        assert rig.running() == set()
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({"report_interval_s": 30.0}, earlier)


async def test_what_is_given_back_does_not_win_over_another_group(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        groups = [await rig.group("one"), await rig.group("two")]
        for group_id, limit_pct in zip(groups, (70.0, 60.0), strict=True):
            await rig.lead(await rig.begin(QUICK, group=group_id, values=_limit(limit_pct)), "completed")
        later = await rig.begin(msgspec.structs.replace(QUICK, continuous=True), group=groups[0], values=_limit(50.0))
        await rig.rounds_until(later, {"done": 10}, wave=3)
        await rig.move(later, "return")
        await rig.rounds_until(later, {"restored": 10})

        async def as_before() -> bool:
            return {each.running.values["active_power_limit_pct"] for each in rig.fleet.devices.values()} == {60.0}

        await until(as_before)


async def test_a_device_whose_own_values_do_not_go_with_it_is_skipped(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await rig.group()
        earlier = await rig.begin(QUICK, group=group_id, values={"export_limit_enabled": True})
        await rig.lead(earlier, "completed")
        own = await rig.change("inverter-00004", Change("set", own={"export_limit_w": 500.0}))
        assert own.changed
        rollout_id = await rig.begin(QUICK, group=group_id)  # whose own limit would now limit nothing
        found = await rig.lead(rollout_id, "completed")
        assert found.counts == {"done": 9, "skipped": 1}
        (row,) = await fetch(database, "SELECT device_id, problem FROM remote.rollout_target WHERE state = 'skipped'")
        assert row["device_id"] == "inverter-00004"
        assert "export_limit_w" in row["problem"]
        await until(_everybody_runs(rig, own.version, "inverter-00004"))


async def test_paused_it_tells_nobody(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20) as rig:
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, per_minute=4))
        connection = await connect(database.sp_rollouts)
        try:
            conductor = rig.conductor()
            await conductor.round(connection)
            await rig.move(rollout_id, "pause")
            for _ in range(5):
                await conductor.round(connection)
            told = sum(state != "waiting" for state in (await rig.states(rollout_id)).values())
            assert told == 1, "at twice the even pace of four a minute, one a second"
        finally:
            connection.terminate()
        await rig.move(rollout_id, "resume")
        await rig.move(rollout_id, "return")
        await rig.rounds_until(rollout_id, {"restored": 1, "waiting": 19})


async def test_a_continuous_one_catches_a_newcomer(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        await fetch(database, "UPDATE registry.device SET retired_at = now() WHERE id = 'inverter-00003'")
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, continuous=True))
        await rig.rounds_until(rollout_id, {"done": 9})
        assert (await rig.look(rollout_id)).state == "running"
        await fetch(database, "UPDATE registry.device SET retired_at = NULL WHERE id = 'inverter-00003'")
        await rig.twins.forget_site(SiteId("site-0000"))
        await rig.rounds_until(rollout_id, {"done": 10})
        (row,) = await fetch(database, "SELECT wave FROM remote.rollout_target WHERE device_id = 'inverter-00003'")
        assert row["wave"] == 3
        ended = await rig.move(rollout_id, "complete")
        assert ended.state == "completed"


async def test_a_continuous_one_catches_who_could_not_have_it_when_its_turn_came(database: Database, broker: Broker) -> None:
    """One was revoked, another had values of its own that did not go with it, a third was revoked after it was told."""
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await rig.group()
        await rig.lead(await rig.begin(QUICK, group=group_id, values={"export_limit_enabled": True}), "completed")
        await rig.change("inverter-00004", Change("set", own={"export_limit_w": 500.0}))
        await _revoke(database, "inverter-00003")
        later = await rig.begin(msgspec.structs.replace(QUICK, continuous=True), group=group_id)
        await rig.rounds_until(later, {"done": 8, "skipped": 1, "gone": 1}, wave=3)
        told = "SELECT count(*) FROM remote.rollout_target WHERE rollout_id = $1 AND state_at > $2"
        (since,) = await fetch(database, "SELECT clock_timestamp() AS at")
        await rig.rounds_for(later, 3)
        assert [row["count"] for row in await fetch(database, told, later, since["at"])] == [0], "nothing has changed yet"
        await fetch(database, "UPDATE remote.rollout_target SET state = 'gone' WHERE device_id = 'inverter-00005'")

        await fetch(database, "UPDATE registry.device SET revoked_at = NULL")
        await rig.twins.forget_site(SiteId("site-0000"))
        await rig.change("inverter-00004", Change("set", own={}))
        await rig.rounds_until(later, {"done": 10})
        await rig.move(later, "return")
        await rig.rounds_until(later, {"restored": 10})
        values = await fetch(
            database,
            "SELECT DISTINCT v.values -> 'export_limit_enabled' AS enabled FROM remote.config c"
            " JOIN remote.config_change v USING (site_id, device_id, version)",
        )
        assert [row["enabled"] for row in values] == [True], "what they had before it is not what it had brought itself"
        assert await rig.holders() == set()


async def test_a_continuous_one_follows_what_its_group_means_by_then(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await rig.group()
        narrow = TargetQuery(profiles=("inverter",), devices=(DeviceId("inverter-00001"), DeviceId("inverter-00002")))
        plan = msgspec.structs.replace(QUICK, continuous=True)
        rollout_id = await begin_rollout(database, plan, narrow, group_id)
        await fetch(database, "UPDATE remote.device_group SET query = $1", narrow)
        await rig.rounds_until(rollout_id, {"done": 2}, wave=3)
        wider = TargetQuery(profiles=("inverter",))
        await fetch(database, "UPDATE remote.device_group SET query = $1", wider)
        await rig.rounds_until(rollout_id, {"done": 10})


async def test_revoked_and_changed_by_hand_meanwhile(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 12, Habits(offline_share=0.5)) as rig:
        offline = sorted(rig.fleet.offline)
        plan = RolloutPlan(waves=(Wave(count=6), Wave(percent=100.0)), per_minute=600, observe_s=3_600.0)
        rollout_id = await rig.begin(plan)
        await rig.rounds_until(rollout_id, {"done": 6, "waiting": 6})
        await _revoke(database, offline[0])
        await fetch(database, "UPDATE remote.rollout SET settled_at = now() - interval '2 hours'")
        await rig.rounds_until(rollout_id, {"done": 6, "away": 5, "gone": 1})
        device = rig.fleet.devices[offline[1]]
        await rig.change(device.id, Change("rollout_return", source=rollout_id))
        await rig.rounds_until(rollout_id, {"done": 6, "away": 4, "gone": 1, "overruled": 1})


async def _revoke(database: Database, device: str) -> None:
    await fetch(database, "UPDATE registry.device SET revoked_at = now() WHERE id = $1", device)


def _limit(limit_pct: float) -> Values:
    return {"active_power_limit_pct": limit_pct}


def _everybody_runs(rig: RolloutRig, version: int, device: str) -> Callable[[], Awaitable[bool]]:
    async def runs() -> bool:
        return rig.fleet.running_config(device).version == version

    return runs
