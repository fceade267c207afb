"""Housekeeping lets old orders go, and nothing that still counts."""

from collections.abc import AsyncIterator

import pytest

from actors.shard import TwinShard
from fleet.configuration import Change
from fleet.limits import COMMANDS_KEPT_DAYS
from fleet.storage import order_retention
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings
from tests.orders_rig import GATEWAY, OTHER, SITE, command, receipts, until_state, wish
from tests.servers import Broker, Database

_OLDER = """
    UPDATE remote.command SET created_at = created_at - make_interval(days => $1) WHERE id <> 'of-today'
"""
_BATCH = """
    INSERT INTO remote.command_batch (id, name, args, selection, expires_at, devices, created_at)
    VALUES ($1, 'blink', '{}', '{}', now(), 1, now() - make_interval(days => $2))
"""


@pytest.fixture
async def shard(database: Database, broker: Broker) -> AsyncIterator[TwinShard]:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway", OTHER: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as running:
        yield running


async def test_old_commands_go_and_open_ones_and_receipts_stay(
    shard: TwinShard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_retention, "ORDERS_LET_GO_AT_ONCE", 1)
    wishes = [command(name, seconds=0.0) for name in ("ended", "ended-too", "of-today")]
    await shard.issue_commands([*wishes, command("open")])
    for name in ("ended", "ended-too", "of-today"):
        await until_state(database, name, "expired")
    await fetch(database, _OLDER, COMMANDS_KEPT_DAYS + 1)
    for batch, days in (("old", COMMANDS_KEPT_DAYS + 1), ("new", 1)):
        await fetch(database, _BATCH, batch, days)
    written = len(await receipts(database))
    await shard._upkeep._keep_house()
    left = await fetch(database, "SELECT id FROM remote.command ORDER BY id")
    assert [row["id"] for row in left] == ["of-today", "open"]
    assert [row["id"] for row in await fetch(database, "SELECT id FROM remote.command_batch")] == ["new"]
    assert len(await receipts(database)) == written


async def test_of_too_many_versions_the_newest_stay(
    shard: TwinShard, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_retention, "CONFIG_VERSIONS_KEPT", 3)
    for interval_s in (20.0, 30.0, 40.0, 50.0, 60.0):
        await shard.change_configs([wish(Change("set", own={"report_interval_s": interval_s}))])
    await shard.change_configs([wish(Change("set", own={"report_interval_s": 20.0}), OTHER)])
    await shard._upkeep._keep_house()
    left = await fetch(database, "SELECT device_id, version FROM remote.config_change ORDER BY device_id, version")
    assert [tuple(row) for row in left] == [(GATEWAY, 3), (GATEWAY, 4), (GATEWAY, 5), (OTHER, 1)]
    (gone,) = await shard.change_configs([wish(Change("return", version=1))])
    assert gone.problem is not None
    assert gone.problem.code == "unknown_version"
    (back,) = await shard.change_configs([wish(Change("return", version=3))])
    assert back.version == 6
