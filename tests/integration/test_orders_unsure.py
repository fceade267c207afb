"""A database that reads and does not write: whoever gives a command again with its key gets that one, not a second."""

import pytest

from actors import order_asks, order_book
from fleet.errors import Unavailable
from tests.fleet_rig import fetch, running_shard, seed_fleet, twins_settings
from tests.orders_rig import GATEWAY, SITE, command, nothing_is_written
from tests.servers import Broker, Database

PATIENCE_S = 0.3


async def test_a_key_gives_one_command_however_long_the_database_takes(
    database: Database, broker_session: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_book, "ORDERS_STORE_TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(order_asks, "ORDERS_STORE_TIMEOUT_S", PATIENCE_S)
    await seed_fleet(database, [(SITE, {GATEWAY: "gateway"})])
    async with running_shard(twins_settings(database.sp_twins, broker_session.sp_twins)) as shard:
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
