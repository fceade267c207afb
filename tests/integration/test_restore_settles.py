"""What went on when a backup was made does not go on by itself in what is restored from it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from actors.keeping import backup, words
from actors.keeping.restore import How, Restored, restore
from actors.local.audit import Findings, examined
from fleet.commands import IssuedCommand
from fleet.device_orders import DeviceOrders
from fleet.ids import DeviceId, SiteId
from fleet.profiles import shipped
from fleet.receipts import RESTORE_CHAINS, Head
from fleet.settings import DatabaseSettings
from fleet.storage import orders, receipts, rollouts
from fleet.storage.database import connect
from tests.fleet_rig import seed_fleet
from tests.keeping_rig import elsewhere, empty_database, kept
from tests.servers import Cluster, Database

_SITE, _DEVICE = SiteId("s"), DeviceId("inverter-1")
_PROFILE = next(profile for profile in shipped() if profile.id == "inverter")
_AT = 1_750_000_000_000
_LATER = _AT + 3_600_000
_ROLLOUTS = """
    INSERT INTO remote.rollout (id, name, profile_id, query, "values", plan, state, wave, stopped) VALUES
    ('r1', 'Limit', 'inverter', '{}', '{}', '{}', 'running', 1, NULL),
    ('r2', 'Night', 'inverter', '{}', '{}', '{}', 'paused', 0, '{"code": "energy_unknown", "at": 1, "wave": 0}'),
    ('r3', 'Old', 'inverter', '{}', '{}', '{}', 'completed', 4, NULL)
"""


def command(number: int) -> IssuedCommand:
    return IssuedCommand(f"c{number}", _SITE, _DEVICE, number, "reboot", {}, "queued", _AT, _LATER, 60.0, created_by="otto")


async def under_way(database: Database) -> list[Head]:
    """Three rollouts, and three commands of which the first was sent. The journal's heads."""
    await seed_fleet(database, [("s", {"inverter-1": "inverter"})])
    owner = await connect(database.owner)
    try:
        await owner.execute(_ROLLOUTS)
        told = DeviceOrders(_SITE, _DEVICE)
        steps = [told.issue(command(1), _PROFILE, there=True, now=_AT)]
        steps += [told.issue(command(number), _PROFILE, there=True, now=_AT) for number in (2, 3)]
        async with owner.transaction():
            await orders.save_steps(owner, steps)
            await orders.save_receipts(owner, 0, steps)
        return await receipts.heads(owner)
    finally:
        await owner.close()


async def brought_back(
    database: Database, postgres: Cluster, target: DatabaseSettings, folder: Path
) -> tuple[Restored, list[Head]]:
    rig = kept(postgres, database.owner, folder)
    heads = await under_way(database)
    made = await backup.back_up(rig.settings, rig.seal)
    return await restore(elsewhere(rig.settings, target, folder / "second"), made.file, rig.opener, How(verify=True)), heads


async def rows(database: DatabaseSettings, query: str) -> list[tuple[Any, ...]]:
    owner = await connect(database)
    try:
        return [tuple(row) for row in await owner.fetch(query)]
    finally:
        await owner.close()


def test_rollouts_and_commands_wait_for_a_person(
    database: Database, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    target = empty_database(postgres, "restored")
    done, heads = asyncio.run(brought_back(database, postgres, target, tmp_path))

    async def stopped() -> tuple[str, str, int]:
        owner = await connect(target)
        try:
            found = await rollouts.rollout(owner, "r1")
        finally:
            await owner.close()
        assert found.stopped is not None
        return found.state, found.stopped.code, found.stopped.wave

    assert asyncio.run(stopped()) == ("paused", "restored", 1)
    states = asyncio.run(rows(target, "SELECT id, state, stopped ->> 'code' FROM remote.rollout ORDER BY id"))
    assert states[1:] == [("r2", "paused", "energy_unknown"), ("r3", "completed", None)]
    assert asyncio.run(rows(target, "SELECT action, subject FROM audit.entry")) == [("rollout.stop", "r1")]

    states = asyncio.run(rows(target, "SELECT id, state FROM remote.command ORDER BY id"))
    assert states == [("c1", "sent"), ("c2", "cancelled"), ("c3", "cancelled")]
    found = asyncio.run(examined(target, heads))  # each step has its receipt, and what was saved then still stands
    assert found.is_whole
    assert [chain.head.seq for chain in found.chains] == [4, 2]
    assert [chain.head.chain in RESTORE_CHAINS for chain in found.chains] == [False, True]

    said = "\n".join(words.warnings(done))
    assert "1 rollouts that were under way are paused" in said
    assert "Limit" in said
    assert "2 commands that waited" in said
    postgres.drop_database(target.name)


def test_a_later_restore_of_an_older_backup_rewrites_nothing(
    database: Database, postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the heads that were saved after the first one, what that had written is cut off, as is all that came since."""
    lots = iter(RESTORE_CHAINS)
    monkeypatch.setattr("actors.keeping.aftermath.choice", lambda chains: next(lots))
    rig = kept(postgres, database.owner, tmp_path)
    asyncio.run(under_way(database))
    made = asyncio.run(backup.back_up(rig.settings, rig.seal))

    async def journal_of(target: DatabaseSettings, saved: list[Head]) -> Findings:
        await restore(elsewhere(rig.settings, target, tmp_path / target.name), made.file, rig.opener)
        return await examined(target, saved)

    first, second = (empty_database(postgres, "restored") for _ in range(2))
    saved = [chain.head for chain in asyncio.run(journal_of(first, [])).chains]
    found = asyncio.run(journal_of(second, saved))
    broken = [(chain.head.chain, chain.broken.code) for chain in found.chains if chain.broken is not None]
    assert broken == [(RESTORE_CHAINS[0], "cut_end")]
    for target in (first, second):
        postgres.drop_database(target.name)
