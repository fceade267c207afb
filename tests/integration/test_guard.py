"""Revocation beside the broker, seen from outside: who still gets through, and what the platform says about it."""

from collections.abc import Iterator

import pytest

from tests.guard_rig import Guard, Talker, gets_in, guarded, stage
from tests.servers import Broker, Database


@pytest.fixture
def guard(database: Database, broker: Broker) -> Iterator[Guard]:
    with guarded(database, broker) as running:
        yield running


async def test_a_revoked_device_is_silenced_thrown_out_and_refused(guard: Guard) -> None:
    async with (
        stage(guard, "d-one", "d-two") as (signer, listener),
        Talker(guard, "d-one") as one,
        Talker(guard, "d-two") as two,
    ):
        await listener.hears("d-one")
        await guard.revoke("d-one")
        number = await signer.sign()
        row = await guard.reaches("d-one", lambda row: row.done)
        assert row.crl_number == number
        assert one.cut.is_set()
        assert not await gets_in(guard, "d-one")
        assert listener.last("d-one") * 1000 <= row.installed_at  # type: ignore[operator]
        times = (row.requested_at, row.denied_at, row.installed_at, row.kicked_at, row.refused_at)
        assert list(times) == sorted(times)
        assert row.problem is None
        await listener.hears("d-two")
        assert not two.cut.is_set()
        assert await guard.alarms() == set()
