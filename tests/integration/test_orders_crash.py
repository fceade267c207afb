"""Orders while shard, web, broker and agents are killed: nothing is lost, nothing done twice, nothing told wrongly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_platform import Platform, platform
from tests.crash.crash_rig import PARTS
from tests.crash.crash_verdict import stormed
from tests.servers import Database


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.mark.timeout(300)  # processes that are killed and started again, on a machine that may be busy
async def test_orders_outlive_whatever_dies(parts: Platform, tmp_path: Path) -> None:
    storm, verdict = await stormed(tmp_path, parts, runs=24, size=6, seed=5, agents=["roof-agent"])
    assert len(storm.runs) == 24
    assert all(run.answered for run in storm.runs)
    assert set(storm.deaths) == set(PARTS)
    assert verdict.all == []
