"""Rollouts whose process is killed at any instant, cut off, or there twice."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from actors.rollouts.conductor import Conductor
from fleet.configuration import Change
from fleet.rollouts.lifecycle import RETURNED_STATES
from fleet.rollouts.plan import Wave
from fleet.storage import rollout_steps
from fleet.storage.database import connect
from tests.fleet_rig import fetch, first, until
from tests.obedient import Habits
from tests.rollout_rig import QUICK, KilledTwins, mails, rollout_rig
from tests.servers import Broker, Database


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
            statements = luck.randrange(3, 40 if deaths.total() > 2 else 12)  # three such lives are too short for all of it
            deaths[await rig.lead_fragile(twins, statements)] += 1
        found = await rig.look(rollout_id)
        assert deaths.total() > 2, "it was killed now and then"
        assert sum(found.counts.values()) == 30
        if aborts:
            assert found.state == "aborted"
            assert set(found.counts) <= {"waiting", *RETURNED_STATES}
            assert await rig.holders() == set()
            await until(rig.nobody_runs)
            assert len(await mails(database)) == 1
        else:
            assert (found.state, found.counts) == ("completed", {"done": 30})
            assert len(await rig.holders()) == 30
        versions = await fetch(database, "SELECT device_id, count(*) AS made FROM remote.config_change GROUP BY device_id")
        assert {row["made"] for row in versions} == ({2} if aborts else {1}), "told once, and given back once"
        assert max(rig.fleet.configured.values(), default=1) == 1


async def test_the_process_leads_again_after_its_connection_was_cut(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        ready = asyncio.Event()
        conductor = Conductor(database.sp_rollouts, rig.reach, "https://portal.test", ready.set)
        running = asyncio.create_task(conductor.run())
        try:
            await first(running, ready.wait())
            for _ in range(2):
                rollout_id = await rig.begin(msgspec.structs.replace(QUICK, waves=(Wave(percent=100.0),)))

                async def completed(begun: str = rollout_id) -> bool:
                    return (await rig.look(begun)).state == "completed"

                await first(running, until(completed))
                await fetch(
                    database,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'sp_rollouts'"
                    " AND datname = current_database()",
                )
        finally:
            running.cancel()
            await asyncio.wait([running])


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


@pytest.mark.parametrize("lost", ["before", "after"])  # the twins are not asked, or their answer is not heard
async def test_whose_telling_broke_off_is_told_nothing_while_it_is_paused_nor_once_it_is_aborted(
    database: Database, broker: Broker, lost: str
) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        rollout_id = await rig.begin(QUICK)
        await rig.lead_fragile(KilledTwins(rig.twins, **{lost: 0}), 1_000)
        await rig.move(rollout_id, "pause")
        held = await rig.holders()
        assert len(held) == (0 if lost == "before" else 3)
        await rig.rounds_for(rollout_id, 5)
        assert (await rig.look(rollout_id)).counts == {"telling": 3, "waiting": 7}
        assert await rig.holders() == held

        await rig.move(rollout_id, "abort")  # and nothing is given back to those that were told
        await rig.rounds_until(rollout_id, {"restored": 3, "waiting": 7})
        assert await rig.holders() == set()
        assert (await rig.look(rollout_id)).state == "aborted"


async def test_who_has_not_been_given_back_what_it_had_keeps_it_when_somebody_stops_that(
    database: Database, broker: Broker
) -> None:
    """Some have got it back, although nobody has heard so; another one was changed by somebody."""
    async with rollout_rig(database, broker, 10, Habits(offline_share=0.2)) as rig:
        rollout_id = await rig.begin(msgspec.structs.replace(QUICK, waves=(Wave(percent=100.0),)))
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 8, "away": 2}
        await rig.move(rollout_id, "recall")
        await rig.lead_fragile(KilledTwins(rig.twins, before=0), 1_000)
        assert (await rig.look(rollout_id)).counts == {"returning": 10}
        by_somebody, *given_back = sorted(rig.running())[:4]
        await rig.change(by_somebody, Change("rollout_return", source=rollout_id))
        for device in given_back:
            await rig.change(device, Change("rollout_return", source=rollout_id, rollout=rollout_id))
        await rig.move(rollout_id, "abort")
        await rig.rounds_until(rollout_id, {"overruled": 1, "restored": 3, "done": 4, "away": 2})
        assert len(await rig.holders()) == 6
        late = min(rig.fleet.offline)  # an ask that was given up comes through
        await rig.change(late, Change("rollout_return", source=rollout_id, rollout=rollout_id))
        await rig.rounds_until(rollout_id, {"overruled": 1, "restored": 3, "returned": 1, "done": 4, "away": 1})
        rig.fleet.come_back(rig.fleet.offline)
        await rig.rounds_until(rollout_id, {"overruled": 1, "restored": 4, "done": 5})


async def test_whose_telling_broke_off_is_told_once_it_goes_on(database: Database, broker: Broker) -> None:
    async with rollout_rig(database, broker, 10) as rig:
        rollout_id = await rig.begin(QUICK)
        await rig.lead_fragile(KilledTwins(rig.twins, before=0), 1_000)
        await rig.move(rollout_id, "pause")
        await rig.rounds_for(rollout_id, 2)
        await rig.move(rollout_id, "resume")
        assert (await rig.lead(rollout_id, "completed")).counts == {"done": 10}
        assert max(rig.fleet.configured.values()) == 1


async def _is_free(database: Database) -> bool:
    connection = await connect(database.sp_rollouts)
    try:
        return await rollout_steps.lead(connection)
    finally:
        await connection.close()  # and with it the lock, before anybody else asks for it
