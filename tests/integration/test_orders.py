"""Configurations and commands through a real shard, a real broker and a real database."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors.shard import TwinShard
from fleet import commands, configuration
from fleet.configuration import Change, Layer
from fleet.errors import BadInput
from fleet.order_messages import Command, DesiredConfig, RejectedConfig
from fleet.orders import ConfigWish
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.orders_rig import (
    GATEWAY,
    OFFLINE,
    OTHER,
    SITE,
    answer,
    come,
    command,
    commands_told,
    now_ms,
    receipts,
    report,
    row_of,
    told,
    until_config,
    until_letter,
    until_state,
    wish,
)
from tests.servers import Broker, Cluster, Database, Pki


@pytest.fixture(autouse=True)
def _nobody_is_told_again_because_the_machine_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """After five seconds of silence a device is told once more; here it is counted what it was told."""
    monkeypatch.setattr(commands, "COMMAND_RESEND_S", (3_600.0,))
    monkeypatch.setattr(configuration, "CONFIG_RESEND_S", (3_600.0,))


@pytest.fixture
async def shard(database: Database, broker: Broker) -> AsyncIterator[TwinShard]:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway", OTHER: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as running:
        yield running


@pytest.fixture
async def device(shard: TwinShard, broker: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker, pki, SITE, GATEWAY) as connected:
        await come(shard, connected)
        yield connected


async def test_a_command_goes_its_way(shard: TwinShard, device: Device, database: Database) -> None:
    (given,) = await shard.issue_commands([command("c1")])
    assert given.problem is None
    assert (await row_of(database, "c1"))["state"] == "sent"  # stored before anybody was told
    assert (await told(device, "down/command", Command)).id == "c1"
    await answer(device, "c1", "accepted")
    await until_state(database, "c1", "accepted")
    await answer(device, "c1", "succeeded", {"blinked": 3})
    assert (await until_state(database, "c1", "succeeded"))["detail"] == {"blinked": 3}
    assert await receipts(database) == [f"command.{step}" for step in ("queued", "sent", "accepted", "succeeded")]


async def test_commands_are_done_one_after_the_other(shard: TwinShard, device: Device, database: Database) -> None:
    await shard.issue_commands([command("c1"), command("c2"), command("c3")])
    for command_id, next_one in (("c1", "c2"), ("c2", "c3"), ("c3", None)):
        assert (await told(device, "down/command", Command, len(commands_told(device)) or 1)).id == command_id
        assert (await row_of(database, command_id))["state"] == "sent"
        if next_one is not None:
            assert (await row_of(database, next_one))["state"] == "queued"
        before = len(commands_told(device))
        await answer(device, command_id, "failed" if command_id == "c1" else "succeeded")
        if next_one is not None:
            await told(device, "down/command", Command, before + 1)
    await until_state(database, "c3", "succeeded")
    assert commands_told(device) == ["c1", "c2", "c3"]


async def test_what_waits_for_an_absent_device_is_told_when_it_comes(
    shard: TwinShard, database: Database, broker: Broker, pki: Pki
) -> None:
    await shard.issue_commands([command("c1")])
    await shard.change_configs([wish(Change("set", own={"report_interval_s": 30.0}))])
    assert (await row_of(database, "c1"))["state"] == "queued"
    await until_config(database, "pending")
    async with Device(broker, pki, SITE, GATEWAY) as device:
        await come(shard, device)
        assert (await told(device, "down/command", Command)).id == "c1"
        assert (await told(device, "down/config", DesiredConfig)).version == 1
    await until_config(database, "applying")


async def test_the_same_key_is_the_same_command(shard: TwinShard, device: Device, database: Database) -> None:
    keyed = [command(f"c{n}", person_id="otto", idempotency_key="k1") for n in (1, 2, 3)]
    answers = await asyncio.gather(*(shard.issue_commands([each]) for each in keyed))
    ids = {given[0].id for given in answers}
    assert len(ids) == 1
    assert sum(given[0].repeated for given in answers) == 2
    (other,) = await shard.issue_commands([command("c4", name="restart", person_id="otto", idempotency_key="k1")])
    assert other.problem is not None
    assert other.problem.code == "key_reused"
    (someone,) = await shard.issue_commands([command("c5", person_id="ada", idempotency_key="k1")])
    assert someone.id == "c5"
    assert len(await fetch(database, "SELECT FROM remote.command")) == 2


async def test_answers_that_make_no_sense_harm_nobody(
    shard: TwinShard, device: Device, database: Database, broker: Broker, pki: Pki
) -> None:
    """A result for another device's command, an invented one, garbage, a contradiction: coded, and the next one flows."""
    await shard.issue_commands([command("c1"), command("c2")])
    async with Device(broker, pki, SITE, OTHER) as other:
        await answer(other, "c1", "succeeded")
        letter = await until_letter(database, "unknown_command_id")
        assert letter["device_id"] == OTHER
    await device.raw("up/result", b'{"id": "c1", "status": "perhaps"}')
    await until_letter(database, "malformed")
    assert (await row_of(database, "c1"))["state"] == "sent"
    for _ in range(2):
        await answer(device, "c1", "succeeded")
        await answer(device, "c1", "succeeded")
        await answer(device, "c1", "accepted")
    await answer(device, "c1", "failed")
    await until_letter(database, "illegal_move")
    await answer(device, "c2", "succeeded", {"text": "a\x00b"})
    assert (await until_state(database, "c2", "succeeded"))["detail"] == {"text": "a\ufffdb"}
    assert (await row_of(database, "c1"))["state"] == "succeeded"


async def test_an_answer_after_the_deadline_is_late(shard: TwinShard, device: Device, database: Database) -> None:
    await shard.issue_commands([command("c1", seconds=-60)])
    await until_state(database, "c1", "expired")
    await shard.issue_commands([command("c2")])
    await until_state(database, "c2", "sent")
    await fetch(database, "UPDATE remote.command SET state = 'timed_out', revision = revision + 10 WHERE id = 'c2'")
    shard._orders._open.clear()
    shard._catalog.sites[SITE].devices[GATEWAY].orders.commands.clear()  # type: ignore[union-attr]
    await answer(device, "c2", "succeeded", 7)

    async def late() -> object:
        return (await row_of(database, "c2"))["late"]

    assert (await until(late))["detail"] == 7
    assert (await row_of(database, "c2"))["state"] == "timed_out"
    assert "command.late" in await receipts(database)


async def test_only_what_was_not_sent_is_cancelled(shard: TwinShard, device: Device, database: Database) -> None:
    await shard.issue_commands([command("c1"), command("c2")])
    await shard.cancel_command(SITE, GATEWAY, "c2", "otto")
    assert (await row_of(database, "c2"))["state"] == "cancelled"
    for gone in ("c1", "c2"):
        with pytest.raises(Exception, match="illegal_move"):
            await shard.cancel_command(SITE, GATEWAY, gone, "otto")
    with pytest.raises(Exception, match="unknown_command_id"):
        await shard.cancel_command(SITE, GATEWAY, "c9", "otto")
    await told(device, "down/command", Command)
    await answer(device, "c1", "succeeded")
    await until_state(database, "c1", "succeeded")
    assert commands_told(device) == ["c1"]


async def test_a_killed_shard_goes_on_with_commands_of_every_state(database: Database, broker: Broker, pki: Pki) -> None:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway", OTHER: "gateway"})])
    settings = twins_settings(database.sp_twins, broker.sp_twins)
    async with Device(broker, pki, SITE, GATEWAY) as device:
        async with running_shard(settings) as shard:
            await come(shard, device)
            await shard.issue_commands([command("done"), command("accepted"), command("queued"), command("absent", OTHER)])
            await told(device, "down/command", Command)
            await answer(device, "done", "succeeded")
            await told(device, "down/command", Command, 2)
            await answer(device, "accepted", "accepted")
            await until_state(database, "accepted", "accepted")
            await shard.change_configs([wish(Change("set", own={"report_interval_s": 30.0}))])
        await answer(device, "accepted", "succeeded")  # while nobody listens: the broker keeps it
        async with running_shard(settings):
            await until_state(database, "accepted", "succeeded")
            assert (await told(device, "down/command", Command, 3)).id == "queued"
            await until_state(database, "queued", "sent")
        async with running_shard(settings):  # killed once more, with one that was sent: it is told again
            assert (await told(device, "down/command", Command, 4)).id == "queued"
            await answer(device, "queued", "succeeded")
            await until_state(database, "queued", "succeeded")
            assert (await told(device, "down/config", DesiredConfig, 2)).version == 1
    assert (await row_of(database, "absent"))["state"] == "queued"


async def test_what_a_rollout_gives_back_is_what_the_device_was_told_before(shard: TwinShard, database: Database) -> None:
    """Also where the profile's default is another one by then: what it was stands in the device's history."""
    await shard.change_configs([wish(Change("set", own={}))])
    brought = Layer("r-1", "R", "r-1", {"report_interval_s": 30.0})
    (told_it,) = await shard.change_configs([wish(Change("rollout", source="r-1", layer=brought, rollout="r-1"))])
    await fetch(
        database,
        "UPDATE remote.config_change SET values = jsonb_set(values, '{report_interval_s}', '77') WHERE version < $1",
        told_it.version,
    )
    (given,) = await shard.change_configs([wish(Change("rollout_return", source="r-1", rollout="r-1"))])
    assert (given.problem, given.changed) == (None, True)
    (row,) = await fetch(database, "SELECT values FROM remote.config_change WHERE version = $1", given.version)
    assert row["values"]["report_interval_s"] == 77


async def test_a_configuration_goes_its_way(shard: TwinShard, device: Device, database: Database) -> None:
    change = Change("set", own={"report_interval_s": 30.0}, person_id="otto", expected=0)
    (given,) = await shard.change_configs([wish(change)])
    assert (given.version, given.changed, given.there) == (1, True, True)
    desired = await told(device, "down/config", DesiredConfig)
    assert (desired.version, desired.values["report_interval_s"]) == (1, 30.0)
    await until_config(database, "applying")
    await report(device, 1, desired.values)
    assert (await until_config(database, "in_sync"))["reported_version"] == 1
    await report(device, 1, {**desired.values, "report_interval_s": 99.0})
    await until_config(database, "drifted")
    (stale,) = await shard.change_configs([wish(Change("overwrite", expected=0))])
    assert stale.problem is not None
    assert (stale.problem.code, stale.problem.version) == ("stale_version", 1)
    (again,) = await shard.change_configs([wish(Change("overwrite", expected=1))])
    assert again.version == 2
    assert (await told(device, "down/config", DesiredConfig, 2)).values == desired.values
    await report(device, 1, desired.values, rejected=RejectedConfig(2, {"report_interval_s": "no"}))
    assert (await until_config(database, "rejected"))["rejected_errors"] == {"report_interval_s": "no"}
    (other,) = await shard.change_configs([wish(Change("set", own={"report_interval_s": 60.0}, expected=2))])
    (back,) = await shard.change_configs([wish(Change("return", version=1, expected=3))])
    assert (other.version, back.version) == (3, 4)
    assert (await told(device, "down/config", DesiredConfig, 4)).values == desired.values


async def test_reports_that_make_no_sense_harm_nobody(shard: TwinShard, device: Device, database: Database) -> None:
    await report(device, 2**52, {"report_interval_s": 1.0})
    await until_letter(database, "bad_version")
    await device.raw("up/config", b'{"version": "seven"}')
    await until_letter(database, "malformed")
    await report(device, 12, {"report_interval_s": 10.0})  # of a database that was restored: never sent by this one
    assert (await until_config(database, "drifted"))["reported_version"] == 12
    (given,) = await shard.change_configs([wish(Change("set", own={"report_interval_s": 20.0}))])
    assert given.version == 13  # a device takes only what is newer


async def test_a_device_that_flaps_fills_no_journal(shard: TwinShard, device: Device, database: Database) -> None:
    began = time.monotonic()
    for number in range(150):
        await report(device, 0, {"report_interval_s": float(number % 2)})
    await report(device, 0, {"report_interval_s": 77.0})

    async def newest() -> bool:
        rows = await fetch(database, "SELECT reported_values FROM remote.config WHERE device_id = $1", GATEWAY)
        return bool(rows) and rows[0]["reported_values"] == {"report_interval_s": 77.0}

    await until(newest)
    minutes = int((time.monotonic() - began) / 60)  # of a machine that stands still: each allows one more
    assert len(await receipts(database)) <= 61 + minutes


async def test_a_device_that_goes_and_comes_is_told_again(shard: TwinShard, device: Device, database: Database) -> None:
    await shard.issue_commands([command("c1")])
    await told(device, "down/command", Command)
    await device.raw("up/state", OFFLINE)
    await come_back(shard, device)
    assert (await told(device, "down/command", Command, 2)).id == "c1"
    assert [kind for kind in await receipts(database) if kind == "command.sent"] == ["command.sent"]


async def come_back(shard: TwinShard, device: Device) -> None:
    async def is_gone() -> bool:
        return not shard._catalog.sites[SITE].devices[GATEWAY].online

    await until(is_gone)
    await come(shard, device)


async def test_a_forgotten_site_remembers_its_orders(shard: TwinShard, device: Device, database: Database) -> None:
    await shard.issue_commands([command("c1")])
    await shard.forget_site(SITE)
    await answer(device, "c1", "succeeded")
    await until_state(database, "c1", "succeeded")


async def test_commands_of_a_device_that_is_no_more_come_to_their_end(shard: TwinShard, database: Database) -> None:
    await shard.issue_commands([command("c1", seconds=0.2)])
    await fetch(database, "UPDATE registry.device SET retired_at = now() WHERE id = $1", GATEWAY)
    await shard.forget_site(SITE)

    async def ended() -> bool:
        await shard._orders.find_forgotten()
        return (await row_of(database, "c1"))["state"] == "expired"

    await until(ended)


async def test_while_the_database_is_away_nothing_is_promised_and_nothing_lost(
    own_postgres: Cluster, broker: Broker, pki: Pki
) -> None:
    database = await asyncio.to_thread(own_postgres.create_database, "sp_away")
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway"})])
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, SITE, GATEWAY) as device,
    ):
        await come(shard, device)
        await shard.issue_commands([command("c1")])
        await told(device, "down/command", Command)
        await asyncio.to_thread(own_postgres.server.kill)
        await answer(device, "c1", "succeeded")
        asked = asyncio.create_task(shard.issue_commands([command("c2")]))
        with contextlib.suppress(Exception):
            await asyncio.wait_for(asyncio.shield(asked), 1.0)
        await asyncio.to_thread(own_postgres.server.start)
        await until_state(database, "c1", "succeeded")
        await asyncio.wait([asked])
        stored = await row_of(database, "c2")
        assert bool(stored) == (asked.exception() is None or "order_unsure" in str(asked.exception()))
        assert msgspec.json.encode(commands_told(device)).count(b"c2") <= 1


async def test_a_wish_for_those_who_are_there_is_not_kept_for_those_who_are_not(shard: TwinShard, device: Device) -> None:
    """Of a rollout with a window: it may be shut when the device returns. What it has already stays."""
    layer = Layer("g", "Group", "r1", {"report_interval_s": 30.0})
    bring = Change("rollout", source="g", layer=layer, rollout="r1")
    here, away = await shard.change_configs([ConfigWish(SITE, each, bring, only_if_there=True) for each in (GATEWAY, OTHER)])
    assert (here.version, here.problem) == (1, None)
    assert away.problem is not None
    assert (away.problem.code, away.version) == ("device_away", 0)
    await device.raw("up/state", OFFLINE)

    async def is_gone() -> bool:
        return not shard._catalog.sites[SITE].devices[GATEWAY].online

    await until(is_gone)
    (again,) = await shard.change_configs([ConfigWish(SITE, GATEWAY, bring, only_if_there=True)])
    assert (again.version, again.changed, again.problem) == (1, False, None)


async def test_what_the_database_never_takes_is_told_nobody(shard: TwinShard, device: Device, database: Database) -> None:
    """And the twin believes what is stored, again."""
    await fetch(database, "ALTER TABLE remote.command ADD CONSTRAINT no_c1 CHECK (id <> 'c1')")
    with pytest.raises(BadInput, match="store_refused"):
        await shard.issue_commands([command("c1")])

    async def is_built_anew() -> bool:
        site = await shard._catalog.site(SITE, now_ms())
        return not shard._orders.mistaken and site is not None and site.devices[GATEWAY].orders is None

    await until(is_built_anew)
    await device.raw("up/state", OFFLINE)  # it is there already: whether its word has been heard would not show
    await come_back(shard, device)
    await shard.issue_commands([command("c2")])
    assert (await told(device, "down/command", Command)).id == "c2"
    assert commands_told(device) == ["c2"]


async def test_a_device_that_is_heard_again_is_asked_again(shard: TwinShard, device: Device, database: Database) -> None:
    """Its "I am here" was lost: telemetry says so as well."""
    await shard.issue_commands([command("c1")])
    await told(device, "down/command", Command)
    await answer(device, "c1", "accepted")
    await until_state(database, "c1", "accepted")
    await device.raw("up/state", OFFLINE)

    async def is_gone() -> bool:
        return not shard._catalog.sites[SITE].devices[GATEWAY].online

    await until(is_gone)
    await device.raw("up/telemetry", b'{"samples":[],"seq":1,"oldest":1,"stream":"s1"}')
    assert (await told(device, "down/command", Command, 2)).id == "c1"
