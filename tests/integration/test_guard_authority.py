"""The whole of it: a device enrols, is revoked, is refused; new hardware takes its place and is heard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.ids import DeviceId
from fleet.storage import revocations
from tests.authority import SITE, Authority, authority, enrol, kept, make_claim, make_key, owner, request_of
from tests.fleet_rig import until
from tests.guard_devices import gets_in
from tests.guard_rig import Guard, guarded
from tests.servers import Database, Pki, mosquitto_server


@pytest.fixture
def running(database: Database, tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path, database) as started:
        yield started


@pytest.fixture
def guard(database: Database, running: Authority) -> Iterator[Guard]:
    with mosquitto_server(Pki(running.folder)) as broker, guarded(database, broker) as started:
        yield started


async def enrolled(running: Authority, database: Database, device: str, **more: Any) -> None:
    """Its certificate lies where the rig looks for it."""
    code = await make_claim(database, device, **more)
    key = make_key()
    chain, private = kept(running.folder / "enrolled", await enrol(running, code, request_of(key)), key)
    folder = running.folder / "devices" / device
    folder.mkdir(parents=True, exist_ok=True)
    chain.replace(folder / "chain.pem")
    private.replace(folder / "key.pem")


async def test_from_enrolment_to_revocation_and_back(running: Authority, guard: Guard, database: Database) -> None:
    await guard.ready()
    await enrolled(running, database, "d-roof")
    await enrolled(running, database, "d-barn")
    assert await gets_in(guard, "d-roof")
    async with owner(database) as connection, connection.transaction():
        asked = await revocations.request_revocation(
            connection, site=SITE, device=DeviceId("d-roof"), reason="stolen", note="", requested_by=None
        )
    row = await guard.reaches("d-roof", lambda row: row.done)
    assert (row.id, row.problem) == (asked.id, None)
    assert not await gets_in(guard, "d-roof")
    assert await gets_in(guard, "d-barn")
    assert "d-roof" in (guard.home / "denied").read_text()

    await enrolled(running, database, "d-roof", replaces=True)

    async def heard_again() -> bool:
        return "d-roof" not in (guard.home / "denied").read_text() and await gets_in(guard, "d-roof")

    await until(heard_again)
    await guard.calm()


async def test_an_authority_that_is_away_leaves_the_device_denied(
    running: Authority, guard: Guard, database: Database
) -> None:
    await guard.ready()
    await enrolled(running, database, "d-roof")
    running.kill()
    async with owner(database) as connection, connection.transaction():
        await revocations.request_revocation(
            connection, site=SITE, device=DeviceId("d-roof"), reason="lost", note="", requested_by=None
        )
    await guard.reaches("d-roof", lambda row: row.denied_at)
    await guard.alarm("authority_away")
    running.start()
    await guard.reaches("d-roof", lambda row: row.done)
    assert not await gets_in(guard, "d-roof")
    await guard.alarm("authority_away", raised=False)
