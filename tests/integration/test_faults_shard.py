"""A shard dies at the worst moments. What was acked is stored, once; what was not comes again."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actors.batch import Batch
from actors.shard import TwinShard
from actors.writer import Writer
from fleet.settings import TwinsSettings, save
from fleet.storage import intake
from tests.acked import audit, check_acked, check_complete
from tests.edge_fleet import SITES, edge_fleet, in_background
from tests.fleet_rig import running_shard, seed_fleet, twins_settings
from tests.servers import Broker, Database

DEATHS = 3
POINTS = ("before the transaction", "with the transaction open", "after the commit")


class Died(Exception):
    """The shard's end. What it does on its way out (snapshots, good-byes) is part of the fault."""


class Fate:
    """Kills the shard at one point of its nth batch with samples."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.batches_left = 0

    def due(self) -> bool:
        self.batches_left -= 1
        return self.batches_left == 0


@pytest.fixture(params=POINTS)
def fate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Fate:
    fate = Fate(request.param)
    store_samples: Callable[..., Any] = intake.store_samples

    class MortalWriter(Writer):
        async def _store(self, batch: Batch) -> None:
            if fate.point == "before the transaction" and batch.samples and fate.due():
                raise Died
            await super()._store(batch)
            if fate.point == "after the commit" and batch.samples and fate.due():
                raise Died

    async def store_and_die(*arguments: Any) -> int:
        stored: int = await store_samples(*arguments)
        if fate.point == "with the transaction open" and fate.due():
            raise Died
        return stored

    monkeypatch.setattr("actors.shard.Writer", MortalWriter)
    monkeypatch.setattr("actors.writer.intake.store_samples", store_and_die)
    return fate


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_shard_that_dies_around_its_commit_loses_nothing(
    seed: int, fate: Fate, database: Database, broker: Broker
) -> None:
    await seed_fleet(database, SITES)
    settings, luck = twins_settings(database.sp_twins, broker.sp_twins), random.Random(seed)
    async with running_shard(settings) as shard:
        await shard.stop()  # the broker knows its session now
    async with edge_fleet(broker, seed) as fleet, in_background(audit(database, fleet.devices)):
        async with in_background(fleet.talk()):
            for _ in range(DEATHS):
                fate.batches_left = luck.randint(1, 4)
                with pytest.raises(ExceptionGroup) as end:
                    await asyncio.wait_for(TwinShard(0, settings).run(), 90.0)
                assert end.group_contains(Died)
                await check_acked(database, fleet.devices)
        fate.batches_left = 0
        async with running_shard(settings) as shard:
            await fleet.all_acked()
            duplicates = (await shard.stats()).duplicates
    if fate.point == "after the commit":
        assert duplicates > 0, "nobody came again: the acks of the dead shard must have left it"
    await check_complete(database, fleet.devices)


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_a_shard_killed_with_sigkill_at_any_instant_loses_nothing(
    seed: int, database: Database, broker: Broker, tmp_path: Path
) -> None:
    await seed_fleet(database, SITES)
    settings, luck = twins_settings(database.sp_twins, broker.sp_twins), random.Random(seed)
    async with edge_fleet(broker, seed) as fleet, in_background(audit(database, fleet.devices)):
        async with in_background(fleet.talk()):
            for _ in range(2):
                with shard_process(settings, tmp_path) as process:
                    await fleet.progress()
                    await asyncio.sleep(luck.uniform(0.0, 0.8))  # the instant of this kill
                    process.kill()
        with shard_process(settings, tmp_path):
            await fleet.all_acked()
    await check_complete(database, fleet.devices)


@contextmanager
def shard_process(settings: TwinsSettings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    file = folder / "twins.json"
    save(file, settings)
    with (folder / "shard.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "tests.crash.shard_process", str(file)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
