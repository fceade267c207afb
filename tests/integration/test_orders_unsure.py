"""A database that reads and does not write: whoever gives a command again with its key gets that one, not a second."""

import pytest

from actors import order_asks, order_book
from fleet.errors import Unavailable
from fleet.order_messages import Command
from fleet.storage.database import connect
from tests.fleet_rig import Device, fetch, running_shard, seed_fleet, twins_settings, until
from tests.orders_rig import GATEWAY, SITE, answer, come, command, nothing_is_written, told, until_state
from tests.servers import Broker, Database, Pki

PATIENCE_S = 0.3


async def test_what_a_database_that_only_reads_does_not_take_is_stored_later(
    database: Database, broker: Broker, pki: Pki
) -> None:
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway"})])
    async with (
        running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard,
        Device(broker, pki, SITE, GATEWAY) as device,
    ):
        await come(shard, device)
        await shard.issue_commands([command("c1")])
        await told(device, "down/command", Command)
        owner = await connect(database.owner)
        try:
            await owner.execute(f"ALTER DATABASE {database.owner.name} SET default_transaction_read_only = on")
            await shard._orders.book._disconnect()
            await answer(device, "c1", "succeeded")

            async def tried() -> bool:
                return shard._orders.book._failing

            await until(tried)
            await owner.execute(f"ALTER DATABASE {database.owner.name} RESET default_transaction_read_only")
        finally:
            await owner.close()
        await until_state(database, "c1", "succeeded")


async def test_a_key_gives_one_command_however_long_the_database_takes(
    database: Database, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "ORDERS_STORE_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(order_asks, "ORDERS_STORE_TIMEOUT_S", PATIENCE_S)
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker.sp_twins)) as shard:
        async with nothing_is_written(database):
            for attempt in ("c1", "c2", "c3"):
                with pytest.raises(Unavailable) as refused:
                    await shard.issue_commands([command(attempt, person_id="otto", idempotency_key="k1")])
                assert refused.value.code == "order_unsure"
        monkeypatch.undo()
        (again,) = await shard.issue_commands([command("c4", person_id="otto", idempotency_key="k1")])
        assert (again.id, again.repeated, again.problem) == ("c1", True, None)
        assert [row["id"] for row in await fetch(database, "SELECT id FROM remote.command")] == ["c1"]
        (other,) = await shard.issue_commands([command("c5", person_id="otto", idempotency_key="k2")])
        assert (other.id, other.repeated) == ("c5", False)
