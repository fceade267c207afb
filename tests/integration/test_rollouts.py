"""Rollouts with a real shard, a real database, a real broker, and devices that obey or do not."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from fleet.configuration import Change
from fleet.ids import DeviceId, SiteId
from fleet.orders import ConfigAnswer, ConfigWish
from fleet.rollout_plan import EnergyOutcome, RolloutPlan, SolarWindow, Threshold, Wave
from fleet.storage import rollout_steps
from fleet.storage.database import connect
from fleet.telemetry import Sample, Telemetry
from tests.fleet_rig import fetch, until
from tests.obedient import Habits
from tests.rollout_rig import LIMIT, QUICK, KilledTwins, RolloutRig, mails, rollout_rig
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


async def test_canaries_that_refuse_stop_it_and_get_back_what_they_had(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 40, Habits(failing_share=0.5)) as rig:
        group_id = await _group(database)
        plan = msgspec.structs.replace(QUICK, waves=(Wave(count=8), Wave(percent=100.0)))
        rollout_id = await rig.begin(plan, group=group_id)
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.wave, found.stopped.person_id) == ("rejected", 0, None)
        assert found.counts == {"returned": 8, "waiting": 32}
        assert await rig.holders() == set()
        await until(_nobody(rig.running))
        (mail,) = await mails(database)
        assert mail["recipient"] == "otto@example.org"
        assert "stopped by itself" in mail["subject"]
        assert f"https://portal.test/rollouts/{rollout_id}" in mail["body"]
        kinds = await fetch(database, "SELECT kind, count(*) FROM remote.config_change GROUP BY kind ORDER BY kind")
        assert [tuple(row) for row in kinds] == [("rollout", 8), ("rollout_return", 8)]
        (entry,) = await fetch(database, "SELECT action, subject FROM audit.entry WHERE action LIKE 'rollout%'")
        assert tuple(entry) == ("rollout.stop", rollout_id)
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({}, None)


async def test_a_return_gives_back_the_earlier_rollout_of_the_group(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await _group(database)
        earlier = await rig.begin(QUICK, group=group_id, values={"report_interval_s": 30.0})
        await rig.lead(earlier, "completed")
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({"report_interval_s": 30.0}, earlier)
        later = await rig.begin(msgspec.structs.replace(QUICK, continuous=True), group=group_id)

        await _rounds_until(rig, later, {"done": 10})
        assert all(device.running.values["report_interval_s"] == 10.0 for device in rig.fleet.devices.values())
        (group,) = await fetch(database, 'SELECT "values" FROM remote.device_group')
        assert group["values"] == LIMIT
        await rig.move(later, "return")
        found = await rig.lead(later, "aborted")
        assert found.counts == {"returned": 10}

        async def as_before() -> bool:
            return all(device.running.values["report_interval_s"] == 30.0 for device in rig.fleet.devices.values())

        await until(as_before)
        assert rig.running() == set()
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({"report_interval_s": 30.0}, earlier)


async def test_a_device_whose_own_values_do_not_go_with_it_is_skipped(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        group_id = await _group(database)
        earlier = await rig.begin(QUICK, group=group_id, values={"export_limit_enabled": True})
        await rig.lead(earlier, "completed")
        own = await _change(rig, "inverter-00004", Change("set", own={"export_limit_w": 500.0}))
        assert own.changed
        rollout_id = await rig.begin(QUICK, group=group_id)  # whose own limit would now limit nothing
        found = await rig.lead(rollout_id, "completed")
        assert found.counts == {"done": 9, "skipped": 1}
        (row,) = await fetch(database, "SELECT device_id, problem FROM remote.rollout_target WHERE state = 'skipped'")
        assert row["device_id"] == "inverter-00004"
        assert "export_limit_w" in row["problem"]
        await until(_everybody_runs(rig, own.version, "inverter-00004"))


@pytest.mark.parametrize("seed", range(6))
async def test_killed_anywhere_again_and_again_it_comes_to_the_same_end(
    database: Database, broker: Broker, seed: int
) -> None:
    luck = random.Random(seed)
    aborts = seed % 2 == 1
    async with rollout_rig(database, broker, 30, Habits(seed=seed, failing_share=0.7 if aborts else 0.0)) as rig:
        plan = msgspec.structs.replace(QUICK, waves=(Wave(count=6), Wave(percent=100.0)), per_minute=3_000)
        rollout_id = await rig.begin(plan)
        deaths = Counter[bool]()
        for _ in range(400):
            if (await rig.look(rollout_id)).state in ("completed", "aborted"):
                break
            kind = luck.choice(["before", "after", "neither"])
            twins = KilledTwins(rig.twins, **({kind: luck.randrange(2)} if kind != "neither" else {}))
            deaths[await rig.lead_fragile(twins, luck.randrange(3, 40))] += 1
        found = await rig.look(rollout_id)
        assert min(deaths.values()) > 0, deaths
        assert sum(found.counts.values()) == 30
        if aborts:
            assert (found.state, set(found.counts)) == ("aborted", {"waiting", "returned"})
            assert await rig.holders() == set()
            await until(_nobody(rig.running))
            assert len(await mails(database)) == 1
        else:
            assert (found.state, found.counts) == ("completed", {"done": 30})
            assert len(await rig.holders()) == 30
        versions = await fetch(database, "SELECT device_id, count(*) AS made FROM remote.config_change GROUP BY device_id")
        assert {row["made"] for row in versions} == ({2} if aborts else {1}), "told once, and given back once"
        assert max(rig.fleet.configured.values()) == 1


async def test_two_conductors_one_works(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        rollout_id = await rig.begin(QUICK)
        holder = await connect(database.sp_rollouts)
        assert await holder.fetchval("SELECT pg_try_advisory_lock($1)", 0x50_1A_14)
        with pytest.raises(AssertionError, match="another conductor leads"):
            await rig.lead(rollout_id, "completed")
        holder.terminate()
        await until(lambda: _is_free(database))
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 10}


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
        assert (await rig.lead(rollout_id, "aborted")).counts == {"returned": 1, "waiting": 19}


async def test_a_continuous_one_catches_a_newcomer(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        await fetch(database, "UPDATE registry.device SET retired_at = now() WHERE id = 'inverter-00003'")
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, continuous=True))
        await _rounds_until(rig, rollout_id, {"done": 9})
        assert (await rig.look(rollout_id)).state == "running"
        await fetch(database, "UPDATE registry.device SET retired_at = NULL WHERE id = 'inverter-00003'")
        await rig.twins.forget_site(SiteId("site-0000"))
        await _rounds_until(rig, rollout_id, {"done": 10})
        (row,) = await fetch(database, "SELECT wave FROM remote.rollout_target WHERE device_id = 'inverter-00003'")
        assert row["wave"] == 3
        ended = await rig.move(rollout_id, "complete")
        assert ended.state == "completed"


async def test_at_noon_nobody_is_told(database: Database, broker: Broker) -> None:
    """What the devices say decides: with 5 kW of 6 kW the window is shut, with 100 W it is open."""
    async with rollout_rig(database, broker, 10) as rig:
        plan = msgspec.structs.replace(QUICK, window=SolarWindow(max_share_of_peak_pct=5.0))
        await _produce(rig, 500.0)
        rollout_id = await rig.begin(plan)
        await _rounds_until(rig, rollout_id, {"held": 3, "waiting": 7})
        await _produce(rig, 10.0)
        await fetch(database, "UPDATE remote.rollout_target SET state_at = state_at - interval '1 minute'")
        found = await rig.lead(rollout_id, "completed")
        assert found.counts == {"done": 10}


@pytest.mark.parametrize(("after_w", "state"), [(3_000.0, "aborted"), (3_950.0, "completed")])
async def test_canaries_that_yield_less_than_their_neighbours_stop_it(
    database: Database, broker: Broker, after_w: float, state: str
) -> None:
    async with rollout_rig(database, broker, 40) as rig:
        plan = msgspec.structs.replace(
            QUICK, waves=(Wave(count=2), Wave(percent=100.0)), energy=EnergyOutcome(5.0, min_wh_per_w=0.3)
        )
        rollout_id = await rig.begin(plan)
        await _rounds_until(rig, rollout_id, {"done": 2, "waiting": 38})
        connection = await connect(database.sp_rollouts)
        try:
            conductor = rig.conductor()
            for _ in range(3):
                await conductor.round(connection)
        finally:
            connection.terminate()
        found = await rig.look(rollout_id)
        assert (found.wave, found.energy and found.energy.verdict) == (0, "unknown")
        canaries = [device for device, its in (await rig.states(rollout_id)).items() if its == "done"]
        await _record_day(database, canaries, before_w=4_000.0, after_w=after_w)
        await fetch(
            database,
            "UPDATE remote.rollout SET settled_at = now() - interval '2 hours', wave_at = now() - interval '2 hours'",
        )
        found = await rig.lead(rollout_id, state)
        assert found.energy is not None or state == "completed"
        if state == "aborted":
            assert found.stopped is not None
            assert found.stopped.code == "energy"
            assert found.stopped.measured_pct == pytest.approx(-25.0, abs=0.5)
            assert found.counts == {"returned": 2, "waiting": 38}
            (mail,) = await mails(database)
            assert "-25" in mail["body"]


async def test_alerts_and_silence_after_it_was_done(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20) as rig:
        plan = msgspec.structs.replace(
            QUICK,
            waves=(Wave(count=4), Wave(percent=100.0)),
            observe_s=3_600.0,
            abort_at=(Threshold("raised_alerts", 75.0, 3),),
        )
        rollout_id = await rig.begin(plan)
        await _rounds_until(rig, rollout_id, {"done": 4, "waiting": 16})
        canaries = [device for device, its in (await rig.states(rollout_id)).items() if its == "done"]
        rig.fleet.go_away(canaries[:1])
        await rig.fleet.all_sent()
        await rig.seen_by_platform()
        await fetch(
            database,
            "UPDATE telemetry.device_latest SET seen_at = seen_at - interval '1 hour' WHERE NOT online",
        )
        await fetch(database, "UPDATE remote.rollout_target SET told_at = told_at - interval '1 hour' WHERE state = 'done'")
        await _rounds_until(rig, rollout_id, {"done": 3, "silent": 1, "waiting": 16})
        for device in canaries[1:]:
            await fetch(
                database,
                "INSERT INTO supervision.alert (id, site_id, device_id, rule, severity, raised_at)"
                " SELECT $1, site_id, id, 'total_outage', 'critical', now() FROM registry.device WHERE id = $2",
                secrets.token_hex(8),
                device,
            )
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.count, found.stopped.of) == ("raised_alerts", 3, 4)
        assert found.counts == {"returned": 4, "waiting": 16}


async def test_revoked_and_changed_by_hand_meanwhile(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 12, Habits(offline_share=0.5)) as rig:
        offline = sorted(rig.fleet.offline)
        plan = RolloutPlan(waves=(Wave(count=6), Wave(percent=100.0)), per_minute=600, observe_s=3_600.0)
        rollout_id = await rig.begin(plan)
        await _rounds_until(rig, rollout_id, {"done": 6, "waiting": 6})
        await fetch(database, "UPDATE registry.device SET revoked_at = now() WHERE id = $1", offline[0])
        await fetch(database, "UPDATE remote.rollout SET settled_at = now() - interval '2 hours'")
        await _rounds_until(rig, rollout_id, {"done": 6, "away": 5, "gone": 1})
        device = rig.fleet.devices[offline[1]]
        await _change(rig, device.id, Change("rollout_return", source=rollout_id))
        await _rounds_until(rig, rollout_id, {"done": 6, "away": 4, "gone": 1, "overruled": 1})


async def _rounds_until(rig: RolloutRig, rollout_id: str, counts: dict[str, int]) -> None:
    conductor, connection = rig.conductor(), await connect(rig.database.sp_rollouts)
    found: dict[Any, int] = {}

    async def reached() -> bool:
        nonlocal found
        await conductor.round(connection)
        found = (await rig.look(rollout_id)).counts
        return found == counts

    try:
        await until(reached)
    except AssertionError:
        raise AssertionError(f"{found} instead of {counts}") from None
    finally:
        connection.terminate()


def _nobody(running: Callable[[], set[DeviceId]]) -> Callable[[], Awaitable[bool]]:
    async def nobody() -> bool:
        return not running()

    return nobody


def _everybody_runs(rig: RolloutRig, version: int, device: str) -> Callable[[], Awaitable[bool]]:
    async def runs() -> bool:
        return rig.fleet.running_config(device).version == version

    return runs


async def _change(rig: RolloutRig, device: str, change: Change) -> ConfigAnswer:
    known = rig.fleet.devices[DeviceId(device)]
    (answer,) = await rig.twins.change_configs([ConfigWish(known.site, known.id, change)])
    return answer


async def _is_free(database: Database) -> bool:
    connection = await connect(database.sp_rollouts)
    try:
        return await rollout_steps.lead(connection)
    finally:
        connection.terminate()


async def _produce(rig: RolloutRig, power_w: float) -> None:
    """Each of ten inverters says so, and the platform has it."""
    now = time.time_ns() // 1_000_000
    for device in rig.fleet.devices:
        said = Telemetry([Sample(now, {"pv_power_w": power_w})], now, now, "s1")
        rig.fleet.say(device, "up/telemetry", said)

    async def known() -> bool:
        for shard in rig.twins.shards:
            await shard._upkeep.save_snapshots()
        rows = await fetch(rig.database, "SELECT readings[1] FROM telemetry.device_latest")
        return [row[0] for row in rows] == [power_w] * len(rig.fleet.devices)

    await until(known)


async def _record_day(database: Database, canaries: Sequence[str], *, before_w: float, after_w: float) -> None:
    """Every inverter of a site of ten makes a tenth of 4 kW, yesterday and in the last two hours; but for the canaries."""
    await fetch(
        database,
        "SELECT telemetry.create_sample_partition((now() - make_interval(days => day))::date)"
        " FROM generate_series(0, 2) day",
    )
    await fetch(
        database,
        "INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)"
        " SELECT d.site_id, d.id, t.time, now(), ARRAY[CASE WHEN d.id = ANY($1) THEN"
        "   CASE WHEN t.time < now() - interval '12 hours' THEN $2::float8 ELSE $3::float8 END ELSE 4000 END / 10,"
        "   NULL, NULL, NULL, NULL, NULL, NULL]"
        " FROM registry.device d, generate_series(now() - interval '30 hours', now(), interval '5 minutes') AS t (time)",
        canaries,
        before_w,
        after_w,
    )


async def _group(database: Database) -> str:
    group_id = secrets.token_hex(8)
    await fetch(
        database,
        "INSERT INTO remote.device_group (id, name, query) VALUES ($1, 'All', '{\"profiles\": [\"inverter\"]}')",
        group_id,
    )
    return group_id
