"""Rollouts that stop by themselves, or wait for the sun to go: with a real shard, database, broker, and devices."""

import secrets
import time
from collections.abc import Sequence

import msgspec
import pytest

from fleet.rollouts.facts import NOT_SENT
from fleet.rollouts.plan import EnergyOutcome, SolarWindow, Threshold, Wave
from fleet.storage.database import connect
from fleet.telemetry import Sample, Telemetry
from tests.fleet_rig import fetch, until
from tests.obedient import Habits
from tests.rollout_rig import QUICK, RolloutRig, mails, rollout_rig
from tests.servers import Broker, Database

TWO_WAVES = (Wave(count=3), Wave(percent=100.0))


async def test_canaries_that_refuse_stop_it_and_get_back_what_they_had(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 40, Habits(failing_share=0.5)) as rig:
        group_id = await rig.group()
        plan = msgspec.structs.replace(QUICK, waves=(Wave(count=20), Wave(percent=100.0)))
        rollout_id = await rig.begin(plan, group=group_id)
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.wave, found.stopped.person_id) == ("rejected", 0, None)
        told = [device for device, state in (await rig.states(rollout_id)).items() if state != "waiting"]
        obstinate = len(rig.fleet.failing & set(told))  # they refuse what is given back too
        await rig.rounds_until(rollout_id, {"return_rejected": obstinate, "restored": 20 - obstinate, "waiting": 20})
        assert await rig.holders() == set()
        await until(rig.nobody_runs)
        (mail,) = await mails(database)
        assert mail["recipient"] == "otto@example.org"
        assert "stopped by itself" in mail["subject"]
        assert f"https://portal.test/ops/rollouts/{rollout_id}" in mail["body"]
        kinds = await fetch(database, "SELECT kind, count(*) FROM remote.config_change GROUP BY kind ORDER BY kind")
        assert [tuple(row) for row in kinds] == [("rollout", 20), ("rollout_return", 20)]
        (entry,) = await fetch(database, "SELECT action, subject FROM audit.entry WHERE action LIKE 'rollout%'")
        assert tuple(entry) == ("rollout.stop", rollout_id)
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({}, None)


async def test_canaries_that_are_all_away_let_nobody_else_be_told(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=1.0)) as rig:
        rollout_id = await rig.begin(QUICK)
        await rig.rounds_until(rollout_id, {"away": 3, "waiting": 7})
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).state == "running", "they may be there in a moment"
        await fetch(database, "UPDATE remote.rollout SET wave_at = wave_at - interval '1 hour'")
        held_back = min(device for device, state in (await rig.states(rollout_id)).items() if state == "away")
        await fetch(database, "UPDATE remote.rollout_target SET problem = $2 WHERE device_id = $1", held_back, NOT_SENT)
        found = await rig.lead(rollout_id, "paused")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.count, found.stopped.of) == ("no_outcome", 3, 3)
        assert found.stopped.held_back == 1
        assert found.counts == {"away": 3, "waiting": 7}
        (mail,) = await mails(database)
        assert "solar window" in mail["body"]
        rig.fleet.come_back(rig.fleet.devices)
        await rig.seen_by_platform()
        await rig.rounds_until(rollout_id, {"done": 3, "waiting": 7})
        await rig.move(rollout_id, "resume")
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 10}


async def test_those_that_return_after_the_end_and_refuse_stop_it(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 20, Habits(offline_share=0.3)) as rig:
        group_id = await rig.group()
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, waves=TWO_WAVES), group=group_id)
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 14, "away": 6}
        for device in (away := rig.fleet.offline):
            rig.fleet.devices[device].failing = True
        rig.fleet.come_back(away)
        await rig.rounds_until(rollout_id, {"restored": 14, "return_rejected": 6})
        found = await rig.lead(rollout_id, "aborted")
        assert found.stopped is not None
        assert (found.stopped.code, found.stopped.person_id) == ("rejected", None)
        assert await rig.holders() == set()
        await until(rig.nobody_runs)
        (mail,) = await mails(database)
        assert "It was completed" in mail["body"]
        (group,) = await fetch(database, 'SELECT "values", rollout_id FROM remote.device_group')
        assert (group["values"], group["rollout_id"]) == ({}, None)


async def test_what_a_later_rollout_has_replaced_is_not_taken_back(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.3)) as rig:
        group_id = await rig.group()
        plan = msgspec.structs.replace(QUICK, waves=TWO_WAVES)
        earlier = await rig.begin(plan, group=group_id)
        await rig.lead(earlier, "completed")
        for device in (away := rig.fleet.offline):
            rig.fleet.devices[device].failing = True
        rig.fleet.come_back(away)
        later = await rig.begin(plan, group=group_id, values={"report_interval_s": 30.0})
        await rig.move(later, "pause")
        await rig.rounds_until(earlier, {"done": 7, "rejected": 3})
        for state in ("paused", "completed"):
            await fetch(database, "UPDATE remote.rollout SET state = $2 WHERE id = $1", later, state)
            await rig.rounds_for(earlier, 3)
            assert (await rig.look(earlier)).state == "completed"
        assert await mails(database) == []


async def test_at_noon_nobody_is_told(database: Database, broker: Broker) -> None:
    """What the devices say decides: with 5 kW of 6 kW the window is shut, with 100 W it is open."""
    async with rollout_rig(database, broker, 10) as rig:
        plan = msgspec.structs.replace(QUICK, window=SolarWindow(max_share_of_peak_pct=5.0))
        await _produce(rig, 500.0)
        rollout_id = await rig.begin(plan)
        await rig.rounds_until(rollout_id, {"held": 3, "waiting": 7})
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
        await rig.rounds_until(rollout_id, {"done": 2, "waiting": 38})
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
        await fetch(
            database,
            "UPDATE remote.rollout_target SET told_at = now() - interval '2 hours' WHERE told_at IS NOT NULL",
        )
        found = await rig.lead(rollout_id, state)
        assert found.energy is not None or state == "completed"
        if state == "aborted":
            assert found.stopped is not None
            assert found.stopped.code == "energy"
            assert found.stopped.measured_pct == pytest.approx(-25.0, abs=0.5)
            await rig.rounds_until(rollout_id, {"restored": 2, "waiting": 38})
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
        await rig.rounds_until(rollout_id, {"done": 4, "waiting": 16})
        canaries = [device for device, its in (await rig.states(rollout_id)).items() if its == "done"]
        rig.fleet.go_away(canaries[:1])
        await rig.fleet.all_sent()
        await rig.seen_by_platform()
        await fetch(
            database,
            "UPDATE telemetry.device_latest SET seen_at = seen_at - interval '1 hour' WHERE NOT online",
        )
        await fetch(database, "UPDATE remote.rollout_target SET told_at = told_at - interval '1 hour' WHERE state = 'done'")
        await rig.rounds_until(rollout_id, {"done": 3, "silent": 1, "waiting": 16})
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
        await rig.rounds_until(rollout_id, {"restored": 3, "return_unanswered": 1, "waiting": 16})
        rig.fleet.come_back(canaries[:1])
        await rig.rounds_until(rollout_id, {"restored": 4, "waiting": 16})


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
        " FROM generate_series(-1, 2) day",  # tomorrow's too: midnight may come meanwhile
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
